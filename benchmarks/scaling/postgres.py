"""A PostgreSQL server of one's own, for as long as it is wanted."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        port: on 127.0.0.1.
        process: of the postmaster, whose children serve the connections.
        folder: its files.
    """

    port: int
    process: int
    folder: Path

    def address(self, port: int | None = None) -> str:
        """Of its database, as SQLAlchemy wants it; `port`: of what stands in front of it."""
        return f"postgresql+psycopg://tune@127.0.0.1:{port or self.port}/postgres"


def binaries() -> Path | None:
    """The folder of initdb and postgres: of PATH, or where Debian puts them; None: nowhere."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


@contextlib.contextmanager
def postgres(*settings: str) -> Iterator[Server]:
    """A server with an empty database, as PostgreSQL ships it but for `settings` (`name=value`).

    Raises FileNotFoundError where there is no PostgreSQL.
    """
    programs = binaries()
    if programs is None:
        raise FileNotFoundError("no PostgreSQL here (Debian: apt-get install postgresql)")
    # The server refuses to run as root.
    user = None
    if os.geteuid() == 0:
        names = {entry.pw_name for entry in pwd.getpwall()}
        user = "postgres" if "postgres" in names else "nobody"
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    try:
        if user is not None:
            shutil.chown(folder, user)
        made = subprocess.run(
            [programs / "initdb", "-D", folder / "data", "-U", "tune", "-A", "trust", "-N"],
            user=user,
            cwd=folder,
            capture_output=True,
            text=True,
        )
        assert made.returncode == 0, made.stderr
        options = ["-c", "listen_addresses=127.0.0.1", "-k", str(folder)]
        for setting in settings:
            options += ["-c", setting]
        server = subprocess.Popen(
            [programs / "postgres", "-D", folder / "data", "-p", str(port), *options],
            user=user,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait(port)
            yield Server(port, server.pid, folder)
        finally:
            server.send_signal(signal.SIGINT)  # SIGTERM would wait until every client has gone
            server.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(port: int) -> None:
    for _ in range(600):
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(f"postgresql://tune@127.0.0.1:{port}/postgres").close()
            return
        time.sleep(0.1)
    raise TimeoutError("PostgreSQL does not answer")
