"""MLflow's server, for as long as it is wanted."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlflow.entities import Param
from mlflow.tracking import MlflowClient

from benchmarks.recipes import default_params
from benchmarks.scaling.processor import processor_seconds
from pipeline.base.params import flat


@dataclass(frozen=True)
class Tracker:
    """A running server.

    Attributes:
        store: the kind of its database.
        address: of the server.
        processes: its own, and that of its database where it has one.
    """

    store: str
    address: str
    processes: tuple[int, ...]

    @property
    def seconds(self) -> float:
        """Processor time until now."""
        return sum(map(processor_seconds, self.processes))


@contextlib.contextmanager
def mlflow_server(store: str, folder: Path, *database: int) -> Iterator[Tracker]:
    """A server of two workers, as deploy/compose.yaml starts it; `database`: its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--workers", "2"]
    command += ["--port", str(port), "--backend-store-uri", store]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            _wait(f"http://127.0.0.1:{port}/health", server, folder / "server.log")
            kind = store.partition(":")[0].partition("+")[0]
            yield Tracker(kind, f"http://127.0.0.1:{port}", (server.pid, *database))
        finally:
            server.terminate()
            server.wait()


def _wait(address: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(1800):
        assert server.poll() is None, log.read_text()
        with contextlib.suppress(OSError):
            urllib.request.urlopen(address, timeout=5).close()  # noqa: S310
            return
        time.sleep(0.1)
    raise TimeoutError("MLflow's server does not answer")


def create_run(client: MlflowClient, experiment: str) -> str:
    """An empty run with this project's parameters, about as many as a run of it has."""
    run: str = client.create_run(experiment).info.run_id
    params = [Param(key, str(value)) for key, value in flat(default_params()).items()]
    client.log_batch(run, params=params)
    return run
