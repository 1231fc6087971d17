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
from pathlib import Path

import psycopg


class Server:
    """A server with one user, who needs a password if one is given."""

    def __init__(
        self,
        binaries: Path,
        folder: Path,
        host: str = "127.0.0.1",
        password: str | None = None,
        settings: tuple[str, ...] = (),
    ) -> None:
        self.host, self._binaries, self._folder, self._password = host, binaries, folder, password
        self._settings = settings
        # The server refuses to run as root.
        self._user = None
        if os.geteuid() == 0:
            names = {entry.pw_name for entry in pwd.getpwall()}
            self._user = "postgres" if "postgres" in names else "nobody"
            shutil.chown(folder, self._user)
        with socket.socket() as free:
            free.bind((host, 0))
            self.port = free.getsockname()[1]
        self._make()
        self.start()

    def address(self, database: str = "postgres", port: int | None = None) -> str:
        """Of a database, for SQLAlchemy; without the password, which PGPASSWORD tells.

        `port`: of what stands in front of the server.
        """
        return f"postgresql+psycopg://tune@{self.host}:{port or self.port}/{database}"

    @property
    def process(self) -> int:
        """The postmaster's, whose children serve the connections."""
        return self._process.pid

    def connect(self, database: str = "postgres") -> "psycopg.Connection[tuple[object, ...]]":
        """A connection of one's own, each of whose statements is a transaction."""
        plain = self.address(database).replace("+psycopg", "")
        return psycopg.connect(plain, password=self._password, autocommit=True)

    def start(self) -> None:
        """Start it, and return when it answers."""
        options = [f"listen_addresses={self.host}", *self._settings]
        self._process = subprocess.Popen(
            [
                *(self._binaries / "postgres", "-D", self._folder / "data", "-p", str(self.port)),
                *("-k", str(self._folder)),
                *(part for option in options for part in ("-c", option)),
            ],
            user=self._user,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(600):
            with contextlib.suppress(psycopg.OperationalError):
                self.connect().close()
                return
            time.sleep(0.1)
        raise TimeoutError("PostgreSQL does not answer")

    def stop(self) -> None:
        """End it, whatever is under way there: SIGTERM would wait until every client has gone."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait()

    def _make(self) -> None:
        secret = self._folder / "password"
        secret.write_text(self._password or "")
        given = [] if self._password is None else [f"--pwfile={secret}"]
        method = "trust" if self._password is None else "scram-sha-256"
        made = subprocess.run(
            [
                *(self._binaries / "initdb", "-D", self._folder / "data", "-U", "tune", "-N"),
                *("-A", method, *given),
            ],
            user=self._user,
            cwd=self._folder,
            capture_output=True,
            text=True,
        )
        assert made.returncode == 0, made.stderr
        with (self._folder / "data/pg_hba.conf").open("a") as rules:
            rules.write(f"host all all 0.0.0.0/0 {method}\n")


def binaries() -> Path | None:
    """The folder of initdb and postgres: of PATH, or where Debian puts them; None: nowhere."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


@contextlib.contextmanager
def postgres(
    *settings: str, host: str = "127.0.0.1", password: str | None = None
) -> Iterator[Server]:
    """A server with an empty database, as PostgreSQL ships it but for `settings` (`name=value`).

    Raises FileNotFoundError where there is no PostgreSQL.
    """
    programs = binaries()
    if programs is None:
        raise FileNotFoundError("no PostgreSQL here (Debian: apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        server = Server(programs, folder, host, password, settings)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
