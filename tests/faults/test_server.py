"""Tracking servers that are away, silent, full or mad: the work goes on, and nothing is lost."""

import contextlib
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from mlflow.tracking import MlflowClient

from pipeline.tracking.run import TrackedRun
from pipeline.tracking.server import close_dead_runs, connect, find_run
from tests.commands import own_tracker
from tests.faults.disks import filled, small_disk
from tests.faults.length import LONG, times

pytestmark = pytest.mark.slow

SECRET = "geheim"  # noqa: S105
ANSWERS = {
    "500": (500, b"{}", {}),
    "503 for an hour": (503, b"{}", {"Retry-After": "3600"}),
    "429 for an hour": (429, b"{}", {"Retry-After": "3600"}),
    "404": (404, b"", {}),
    "401": (401, b"", {"WWW-Authenticate": "Basic"}),
    "a login page": (200, b"<html>please log in</html>", {"Content-Type": "text/html"}),
    "nothing": (200, b"", {}),
    "an empty object": (200, b"{}", {"Content-Type": "application/json"}),
    "a list": (200, b"[1]", {"Content-Type": "application/json"}),
    "elsewhere": (302, b"", {"Location": f"http://u:{SECRET}@127.0.0.1:9/"}),
}
ADDRESSES = [
    f"http://u:{SECRET}@host:port",
    f"http://u:{SECRET}@[::1",
    f"http://u:{SECRET}@",
    f"http://u:x {SECRET}@127.0.0.1:9",
    f"http://u:x#{SECRET}@127.0.0.1:9",
    f"http://u:x/{SECRET}@127.0.0.1:9",
    f"http://u:x?{SECRET}@127.0.0.1:99999",
    f"http://u:x@{SECRET}@127.0.0.1:9",
    f"http://127.0.0.1:9/?token={SECRET}",
    f"postgresql://u:{SECRET}@host:port/db",
    f"postgresql+psycopg://u:{SECRET}@127.0.0.1:9/db",
    f"postgresql+psycopg://u:x {SECRET}@127.0.0.1:9/db",
    f"postgresql+nothing://u:{SECRET}@127.0.0.1:9/db",
    f"mysql://u:{SECRET}@127.0.0.1:9/db",
    f"ftp://u:{SECRET}@host",
    f"s3://key:{SECRET}@bucket",
    f"uc:{SECRET}",
    f"u:{SECRET}@host",
    "sqlite:////proc/no/such.db",
    "sqlite:////dev/null/such.db",
    "http://",
    "://",
]


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    own_tracker(tmp_path, monkeypatch)
    return tmp_path


@contextlib.contextmanager
def server(status: int, body: bytes, headers: dict[str, str]) -> Iterator[str]:
    """Gives this answer to everything; returns its address."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://u:{SECRET}@127.0.0.1:{http.server_address[1]}"
        http.shutdown()


def told(steps: int = 3, key: str = "somebody") -> TrackedRun:
    """A run of which everything waits to be sent."""
    run = TrackedRun(key)
    run.begin("a name", {"epochs": 1}, {})
    for step in range(1, steps + 1):
        run.metrics(["a", "b"], [step], [[step, -step]], 5)
    run.image("samples", steps, np.zeros((8, 8), np.uint8), 5)
    run.end("FINISHED")
    return run


def assert_costs_seconds_and_one_line(capfd: pytest.CaptureFixture[str], what: str) -> None:
    run, began = told(key=uuid.uuid4().hex), time.monotonic()
    assert not run.flush(), what
    close_dead_runs()
    assert not run.flush(), what
    assert time.monotonic() - began < 60, what  # the machine may be busy; it was minutes, or ever
    assert run.waiting() == 6, what
    output, errors = capfd.readouterr()
    assert output == "", what
    assert errors.startswith("tracking is behind"), what
    assert errors.count("\n") == 1, what
    assert SECRET not in errors, what


def test_a_server_that_answers_nonsense_costs_seconds_and_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    attacked: Callable[[int, str], None],
) -> None:
    for name, (status, body, headers) in ANSWERS.items():
        with server(status, body, headers) as address:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
            assert_costs_seconds_and_one_line(capfd, name)
    attacked(len(ANSWERS), "answers: " + ", ".join(ANSWERS))


@pytest.mark.parametrize("kind", ["http", "postgresql+psycopg"])
def test_a_server_that_accepts_and_is_silent_or_resets_costs_seconds_and_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], kind: str
) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        address = f"{kind}://u:{SECRET}@127.0.0.1:{listening.getsockname()[1]}/db"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        assert_costs_seconds_and_one_line(capfd, "silent")

        def reset() -> None:
            with contextlib.suppress(OSError):
                while True:
                    other, _ = listening.accept()
                    linger = struct.pack("ii", 1, 0)
                    other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    other.close()

        threading.Thread(target=reset, daemon=True).start()
        assert_costs_seconds_and_one_line(capfd, "reset")
        listening.shutdown(socket.SHUT_RDWR)


def test_the_longer_a_failure_takes_the_longer_the_server_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [1000.0]
    tries = []

    def silent() -> None:
        tries.append(clock[0])
        clock[0] += 10
        raise OSError("silent")

    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    run = TrackedRun("somebody")
    monkeypatch.setattr(run, "send", silent)
    for _ in range(1000):
        run.flush()
        clock[0] += 1
    lost = 10 * len(tries) / (clock[0] - 1000)
    assert len(tries) > 1
    assert lost < 0.05


def test_whatever_the_address_is_the_work_goes_on_and_no_password_is_shown(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    attacked: Callable[[int, str], None],
) -> None:
    for address in ADDRESSES:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        assert_costs_seconds_and_one_line(capfd, address)
    attacked(len(ADDRESSES), "addresses")


def assert_whole(steps: int) -> None:
    client, experiment = connect()
    assert len(client.search_runs([experiment])) == 1
    run_id = str(find_run(client, experiment, "somebody"))
    for name, sign in (("a", 1), ("b", -1)):
        history = [(m.step, m.value) for m in client.get_metric_history(run_id, name)]
        assert history == [(step, sign * step) for step in range(1, steps + 1)]
    pictures = [item.path for item in client.list_artifacts(run_id, "images")]
    assert len([path for path in pictures if path.endswith(".png")]) == 1
    assert client.get_run(run_id).info.status == "FINISHED"


def test_when_the_disk_of_the_store_is_full_all_of_it_arrives_later_once(
    root: Path, monkeypatch: pytest.MonkeyPatch, attacked: Callable[[int, str], None]
) -> None:
    steps, sizes = 40, [0, 4096, 20_000, 100_000, 300_000][:: times(2, 1)]
    with small_disk(root / "store") as disk:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{disk / 'mlflow.db'}")
        with filled(disk):
            assert not told(steps).flush()  # there is not even room for an empty database
        place = (disk / "artifacts").as_uri()
        MlflowClient().create_experiment("dcgan", artifact_location=place)
        for left in sizes:
            with filled(disk, left):
                TrackedRun("somebody").flush()
        assert TrackedRun("somebody").flush()
        assert_whole(steps)
    attacked(1 + len(sizes), "sizes of what is left")


@pytest.mark.skipif(not LONG, reason="starts servers; part of `make test-faults`")
def test_when_the_server_is_killed_again_and_again_all_of_it_arrives_once(
    root: Path, monkeypatch: pytest.MonkeyPatch, attacked: Callable[[int, str], None]
) -> None:
    rng, steps, kills = random.Random(6), 400, 8
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    run = told(steps)
    for _ in range(kills):
        with mlflow_server(root, port) as process:
            threading.Timer(rng.uniform(0, 3), os.killpg, (process.pid, signal.SIGKILL)).start()
            run.flush(at_once=True)
            process.wait(60)
    with mlflow_server(root, port):
        assert run.flush(at_once=True)
        assert_whole(steps)
    attacked(kills, "kills of an MLflow server")


@contextlib.contextmanager
def mlflow_server(root: Path, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """A server that has just become ready, and its workers, as a process group."""
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(port)]
    store = ["--backend-store-uri", f"sqlite:///{root}/s.db", "--artifacts-destination", "./store"]
    with subprocess.Popen(
        [*command, *store],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        for _ in range(1200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
