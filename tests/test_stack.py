"""PostgreSQL, S3 and an MLflow server, all of them real, and two hosts that search together."""

import contextlib
import csv
import json
import os
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from mlflow.tracking import MlflowClient

from benchmarks.scaling.postgres import Server
from pipeline import fetch, judge
from tests.commands import run_stages
from tests.hosts import Host, Network, two_hosts
from tests.postgres import postgres_server
from tests.project import Checkout, Project
from tests.s3 import BUCKET, S3, s3

pytestmark = pytest.mark.slow

# Trials enough for a host that was cut off to find some left when it is back.
EPOCHS, STEPS_PER_EPOCH, TRIALS = 8, 20, 10
_PATIENCE = 1500.0  # seconds; machines may be busy, and a minute is usual for all of it
PASSWORD = secrets.token_hex(16)  # which nothing but this process and what it tells can hold


@dataclass
class Machine:
    """A host with a clone of the project, and what its commands said."""

    host: Host
    checkout: Checkout
    environment: dict[str, str]
    said: list[str] = field(default_factory=list)

    def start(self, *command: str) -> "subprocess.Popen[str]":
        return self.checkout.start(*self.host.prefix, *command, **self.environment)

    def run(self, *command: str) -> str:
        process = self.start(*command)
        self.end(process)
        return self.said[-1]

    def end(self, process: "subprocess.Popen[str]", expect: int = 0) -> None:
        output, _ = process.communicate(timeout=_PATIENCE)
        self.said.append(output)
        assert process.returncode == expect, output


@dataclass
class Stack:
    """All servers, and the machines that use them."""

    network: Network
    database: Server
    bucket: S3
    folder: Path
    port: int

    @property
    def tracking(self) -> str:
        return f"http://{self.network.server}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a user exports on each host."""
        return {
            **self.bucket.environment,
            "PGPASSWORD": PASSWORD,
            "AWS_ENDPOINT_URL": self.bucket.address,
            "MLFLOW_TRACKING_URI": self.tracking,
        }

    def start_mlflow(self) -> "subprocess.Popen[bytes]":
        """Start the server, and return when it answers."""
        at = f"{self.network.server}:{self.port}"
        command = ["mlflow", "server", "--host", self.network.server, "--port", str(self.port)]
        options = [
            *("--workers", "1", "--allowed-hosts", at),
            *("--backend-store-uri", self.database.address("mlflow")),
            *("--artifacts-destination", f"s3://{BUCKET}/mlflow"),
        ]
        process = subprocess.Popen(
            [sys.executable, "-m", *command, *options],
            cwd=self.folder,
            env={
                **os.environ,
                **self.bucket.environment,
                "PGPASSWORD": PASSWORD,
                "MLFLOW_S3_ENDPOINT_URL": self.bucket.address,
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            },
            start_new_session=True,
            stdout=(self.folder / "mlflow.log").open("ab"),
            stderr=subprocess.STDOUT,
        )
        wait_until(lambda: answers(self.network.server, self.port), process)
        return process

    def ask(self, sql: str, database: str = "tune") -> list[Any]:
        with self.database.connect(database) as connection:
            return connection.execute(sql).fetchall()

    def machine(self, host: Host, project: Project, name: str) -> Machine:
        """A clone of the project on a host."""
        folder = self.folder / name
        copy = Checkout(folder)
        subprocess.run(["cp", "-r", project.folder, folder], check=True)
        return Machine(host, copy, self.environment)


def answers(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
        return True
    return False


def wait_until(ready: Callable[[], Any], *processes: "subprocess.Popen[Any]") -> Any:
    """What `ready` gives once it is true, while the processes run."""
    deadline = time.monotonic() + _PATIENCE
    while not (found := ready()):
        for process in processes:
            assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def end(process: "subprocess.Popen[Any]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A clone with data and judge in place, and a small search whose checkpoints are shared."""
    project = Project(tmp_path_factory.mktemp("stack") / "project")
    tune = {
        "trials": TRIALS,
        "workers": 2,
        "epochs": {"min": 1, "max": EPOCHS, "mode": "resource"},
        "pruner": "none",
        "startup_trials": TRIALS,
        "confirm": {"top": 0, "seeds": 2},
    }
    train = {"epochs": 2, "steps_per_epoch": STEPS_PER_EPOCH, "lr_g": 2e-3, "lr_d": 2e-3}
    project.set_params({"train": train, "tune": tune})
    project.set_params({"runtime": {"checkpoints": f"s3://{BUCKET}/checkpoints"}})
    project.run("git", "commit", "-qam", "small")
    run_stages(project.folder, fetch, judge)
    return project


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with (
        two_hosts() as network,
        postgres_server(network.server, PASSWORD) as database,
        s3(network.server) as bucket,
    ):
        for name in ("mlflow", "tune"):
            database.connect().execute(f"create database {name}")
        with socket.socket() as free:
            free.bind((network.server, 0))
            port = free.getsockname()[1]
        yield Stack(network, database, bucket, tmp_path, port)


HERE = Host(os.uname().nodename, None)
UNDER_WAY = """
    select t.number, a.value_json from trials t
    join trial_user_attributes a on a.trial_id = t.trial_id and a.key = 'owner'
    where t.state = 'RUNNING' and exists
        (select 1 from trial_intermediate_values v where v.trial_id = t.trial_id)
    order by t.number
"""
REPLACED = "select value_json::int from trial_user_attributes where key = 'replaces'"


def test_two_hosts_search_through_kills_a_cut_link_and_restarts_and_nothing_is_lost(
    prepared: Project, stack: Stack
) -> None:
    machines = [
        stack.machine(host, prepared, name)
        for host, name in zip(stack.network.hosts, ("one", "two"), strict=True)
    ]
    if not stack.network.apart:
        why = f"no network namespaces here ({stack.network.reason})"
        warnings.warn(f"{why}: both clones are on one host, and no link is cut", stacklevel=1)
    mlflow = stack.start_mlflow()
    command = ("python", "-m", "tests.impatient", "--join", "--storage")
    first, second = sweeps = [
        machine.start(*command, stack.database.address("tune")) for machine in machines
    ]
    try:
        mlflow = _attack(stack, mlflow, first, second)
        for machine, sweep in zip(machines, sweeps, strict=True):
            machine.end(sweep)
        for machine in machines:  # all of them first: each sends what it has of any run
            _assert_nothing_waits(machine)
        for machine in machines:
            _assert_every_picture_can_be_read(machine)
    finally:
        for sweep in sweeps:
            sweep.kill()
        end(mlflow)
    _assert_each_trial_counts_once(stack, machines)
    _assert_each_run_is_whole(stack)
    _assert_no_secret_is_told(stack, machines)


def _attack(
    stack: Stack,
    mlflow: "subprocess.Popen[bytes]",
    first: "subprocess.Popen[str]",
    second: "subprocess.Popen[str]",
) -> "subprocess.Popen[bytes]":
    """Let everything happen to a search, one thing after the other; returns the new server."""

    def at_work() -> dict[int, str]:
        return {number: json.loads(owner) for number, owner in stack.ask(UNDER_WAY)}

    def replaced() -> set[int]:
        return {number for (number,) in stack.ask(REPLACED)}

    both = (first, second)
    tables = "select 1 from pg_tables where tablename = 'trial_intermediate_values'"
    wait_until(lambda: stack.ask(tables), *both)
    # A worker is killed.
    running = wait_until(lambda: len(found := at_work()) == 4 and found, *both)
    names = [machine.name for machine in stack.network.hosts]
    killed = next(n for n, owner in running.items() if owner.startswith(names[0]))
    os.kill(int(running[killed].partition(":")[2]), signal.SIGKILL)
    wait_until(lambda: killed in replaced(), *both)
    # A host is cut off for longer than a heartbeat.
    if stack.network.apart:
        cut = stack.network.hosts[1]
        cut.link(up=False)
        its = {n for n, owner in at_work().items() if owner.startswith(names[1])}
        wait_until(lambda: its & replaced(), *both)
        cut.link(up=True)
        wait_until(lambda: any(owner.startswith(names[1]) for owner in at_work().values()), *both)
    # The database is restarted, and then MLflow's server.
    stack.database.stop()
    stack.database.start()
    end(mlflow)
    return stack.start_mlflow()


def test_a_trial_whose_host_dies_goes_on_at_the_other_bit_for_bit(
    prepared: Project, stack: Stack
) -> None:
    machines = [
        stack.machine(host, prepared, name)
        for host, name in zip((*stack.network.hosts, HERE), ("one", "two", "alone"), strict=True)
    ]
    first, second, undisturbed = machines
    tracker = MlflowClient(f"sqlite:///{stack.folder / 'mlflow.db'}")
    tracker.create_experiment("dcgan", (stack.folder / "mlartifacts").as_uri())
    for machine in (first, second):
        machine.environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{stack.folder / 'mlflow.db'}"
    command = ("python", "-m", "tests.impatient", "--trials", "1", "--workers", "1")
    joining = (*command, "--join", "--storage", stack.database.address("tune"))

    dying = first.start(*joining)
    tables = "select 1 from pg_tables where tablename = 'trial_intermediate_values'"
    wait_until(lambda: stack.ask(tables), dying)
    reported = "select count(*) from trial_intermediate_values"
    wait_until(lambda: stack.ask(reported)[0][0] >= 2, dying)
    for process in (host := psutil.Process(dying.pid), *host.children(recursive=True)):
        process.kill()
    dying.communicate()
    killed_at = time.time() * 1000
    assert stack.ask(REPLACED) == []
    second.end(second.start(*joining))

    alone = undisturbed.checkout
    alone.set_params({"runtime": {"checkpoints": "checkpoints"}})
    undisturbed.environment.clear()
    undisturbed.end(undisturbed.start(*command))

    assert [number for (number,) in stack.ask(REPLACED)] == [0]
    told = "select value_json from trial_user_attributes where key = 'fd'"
    with contextlib.closing(sqlite3.connect(alone.folder / "tune.db")) as database:
        assert stack.ask(told) == database.execute(told).fetchall()
    losses = "select step, value from metrics where key = 'train/g_loss' order by step"
    with contextlib.closing(sqlite3.connect(alone.folder / "mlflow.db")) as database:
        whole = database.execute(losses).fetchall()
    with contextlib.closing(sqlite3.connect(stack.folder / "mlflow.db")) as database:
        assert database.execute(losses).fetchall() == whole
        early = "select step from metrics where key = 'train/g_loss' and timestamp < ?"
        assert database.execute(early, [killed_at]).fetchall()
    assert len(whole) == EPOCHS * STEPS_PER_EPOCH


def _assert_each_trial_counts_once(stack: Stack, machines: list[Machine]) -> None:
    assert stack.ask("select count(*) from trials where state in ('RUNNING', 'WAITING')") == [(0,)]
    for machine in machines:
        with (machine.checkout.folder / "reports/tune/trials.csv").open(newline="") as file:
            trials = list(csv.DictReader(file))
        assert len(trials) == TRIALS
        assert {trial["outcome"] for trial in trials} == {"complete"}
        assert len({(trial["lr_g"], trial["lr_d"]) for trial in trials}) == TRIALS
        assert {len(trial["fd_by_epoch"].split()) for trial in trials} == {EPOCHS}


def _assert_each_run_is_whole(stack: Stack) -> None:
    names = stack.ask("select run_uuid, name, status from runs", "mlflow")
    assert {status for _, _, status in names} == {"FINISHED"}, names
    assert len(names) == TRIALS + 1, names
    twice = "select run_uuid, key, step from metrics group by 1, 2, 3 having count(*) > 1"
    assert stack.ask(twice, "mlflow") == []
    steps = (
        "select run_uuid, array_agg(step order by step) from metrics where key = '{}' group by 1"
    )
    losses = stack.ask(steps.format("train/d_loss"), "mlflow")
    assert len(losses) == TRIALS
    assert all(told == [*range(1, EPOCHS * STEPS_PER_EPOCH + 1)] for _, told in losses)
    ends = [epoch * STEPS_PER_EPOCH for epoch in range(1, EPOCHS + 1)]
    assert [told for _, told in stack.ask(steps.format("eval/fd"), "mlflow")] == [ends] * TRIALS


_LIST = """
import os, tempfile
from pipeline.tracking.server import connect
client, experiment = connect()
for run in client.search_runs([experiment]):
    if "mlflow.parentRunId" in run.data.tags:
        with tempfile.TemporaryDirectory() as folder:
            client.download_artifacts(run.info.run_id, "images", folder)
            names = [os.path.join(at, name) for at, _, names in os.walk(folder) for name in names]
            heads = [open(name, "rb").read(4) for name in names]
            print("read", run.info.run_id, heads.count(b"\\x89PNG"))
"""


def _assert_nothing_waits(machine: Machine) -> None:
    assert "nothing is missing" in machine.run("python", "-m", "pipeline.sync").splitlines()


def _assert_every_picture_can_be_read(machine: Machine) -> None:
    told = machine.run("python", "-c", _LIST).splitlines()
    pictures = [int(line.split()[2]) for line in told if line.startswith("read ")]
    assert pictures == [EPOCHS] * TRIALS


def _assert_no_secret_is_told(stack: Stack, machines: list[Machine]) -> None:
    kept = [PASSWORD.encode(), stack.bucket.secret.encode()]
    said = [text.encode() for machine in machines for text in machine.said]
    tags = [str(row).encode() for row in stack.ask("select * from tags", "mlflow")]
    params = [str(row).encode() for row in stack.ask("select * from params", "mlflow")]
    files = (file for file in stack.folder.rglob("*") if file.is_file())
    for text in (*said, *tags, *params, *(file.read_bytes() for file in files)):
        assert not any(secret in text for secret in kept)
    assert not any(b"Traceback" in text for text in said)
