import contextlib
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from pipeline.base.cli import UserError
from pipeline.tracking.run import TrackedRun, now_ms
from pipeline.tracking.server import close_dead_runs, connect, find_run, read_history
from tests.commands import own_tracker

pytestmark = pytest.mark.slow  # a new database takes MLflow some seconds

DEAD = "http://user:secret@127.0.0.1:9"  # nothing listens there


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project's root of its own, with one database for all tests of this file."""
    folder: Path = tmp_path_factory.mktemp("root")
    with pytest.MonkeyPatch.context() as patch:
        own_tracker(folder, patch)
        yield folder


@pytest.fixture
def key(root: Path) -> str:
    return uuid.uuid4().hex


def run_of(key: str) -> tuple[MlflowClient, Run]:
    client, experiment = connect()
    run_id = find_run(client, experiment, key)
    assert run_id is not None
    return client, client.get_run(run_id)


def history(key: str, name: str) -> list[tuple[int, float]]:
    client, run = run_of(key)
    return [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, name)]


def begun(key: str, **params: Any) -> TrackedRun:
    run = TrackedRun(key)
    run.begin("a name", params, {"colour": "blue"})
    return run


def test_a_run_arrives_with_all_that_was_told_of_it(key: str, tmp_path: Path) -> None:
    run = begun(key, epochs=3, rate=0.5)
    run.tags({"status": "stable"})
    run.dataset("mnist", "abc", "data/mnist", {"train": 5})
    (tmp_path / "notes.txt").write_text("hello")
    run.artifact(tmp_path / "notes.txt", "reports")
    run.end("FINISHED")
    assert run.waiting() == 5
    assert run.flush()
    assert run.waiting() == 0
    client, found = run_of(key)
    assert found.info.run_name == "a name"
    assert found.info.status == "FINISHED"
    assert found.data.params == {"epochs": "3", "rate": "0.5"}
    assert found.data.tags["colour"] == "blue"
    assert found.data.tags["status"] == "stable"
    assert found.inputs is not None
    assert [entry.dataset.digest for entry in found.inputs.dataset_inputs] == ["abc"]
    listed = client.list_artifacts(found.info.run_id, "reports")
    assert [item.path for item in listed] == ["reports/notes.txt"]


def test_metrics_sent_twice_count_once(key: str) -> None:
    run = begun(key)
    time_ms = now_ms()
    for _ in range(2):
        run.metrics(["a", "b"], [1, 2, 3], [[1.0, 4.0], [2.0, 5.0], [2.0, 6.0]], time_ms)
        assert run.flush()
    assert history(key, "a") == [(1, 1.0), (2, 2.0), (3, 2.0)]
    assert history(key, "b") == [(1, 4.0), (2, 5.0), (3, 6.0)]


def test_more_metrics_than_one_call_takes_all_arrive(key: str) -> None:
    run = begun(key)
    steps = range(1, 1501)
    run.metrics(["a", "b"], steps, [[float(step), -float(step)] for step in steps], now_ms())
    assert run.flush()
    assert history(key, "b") == [(step, -float(step)) for step in steps]


def test_values_that_are_not_finite_are_left_out_and_the_others_arrive(key: str) -> None:
    run = begun(key)
    rows = [[1.0, nan], [inf, 2.0], [-inf, 3.0]]
    run.metrics(["a", "b"], [1, 2, 3], rows, now_ms())
    assert run.flush()
    assert history(key, "a") == [(1, 1.0)]
    assert history(key, "b") == [(2, 2.0), (3, 3.0)]


def test_the_first_step_at_which_a_value_was_not_finite_is_told_with_the_history(key: str) -> None:
    run = begun(key)
    run.metrics(["a", "b"], [1, 2, 3], [[1.0, 4.0], [2.0, nan], [-inf, inf]], now_ms())
    run.metrics(["a", "b"], [5], [[nan, nan]], now_ms())
    assert run.flush()
    _, found = run_of(key)
    assert found.data.tags["not_finite/a"] == "3"
    assert found.data.tags["not_finite/b"] == "2"
    histories = read_history(found.info.run_id, ["a", "b", "c"])
    assert set(histories) == {"a", "b"}
    assert histories["a"][0] == [1, 2, 3]
    assert histories["b"][0] == [1, 2]
    assert np.array_equal(histories["a"][1], [1, 2, nan], equal_nan=True)
    assert np.array_equal(histories["b"][1], [4, nan], equal_nan=True)


def test_asking_for_a_history_creates_no_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for address in (f"sqlite:///{tmp_path}/x.db", "sqlite:///x.db", "sqlite:///x.db?timeout=1"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with pytest.raises(UserError, match=r"^no run was ever tracked in .*x\.db$"):
            read_history("0" * 32, ["a"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["samples", "pictures/samples"])
def test_pictures_sent_twice_are_there_once_for_each_step(key: str, name: str) -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    run = begun(key)
    for _ in range(2):
        run = TrackedRun(key)  # as a new process, which remembers nothing
        for step in (1, 11):
            run.image(name, step, pixels, now_ms())
        assert run.flush()
    client, found = run_of(key)
    listed = [Path(item.path).name for item in client.list_artifacts(found.info.run_id, "images")]
    steps = sorted(int(file.split("+")[2]) for file in listed if file.endswith(".png"))
    assert steps == [1, 11]


def test_a_run_that_goes_on_is_the_same_run(key: str) -> None:
    run = begun(key)
    run.end("KILLED")
    assert run.flush()
    _, first = run_of(key)
    again = begun(key)
    assert again.flush()
    _, second = run_of(key)
    assert second.info.run_id == first.info.run_id
    assert (first.info.status, second.info.status) == ("KILLED", "RUNNING")


def test_who_joins_a_run_waits_until_its_maker_has_created_it(key: str) -> None:
    maker = threading.Timer(1.0, lambda: begun(key).flush())
    maker.start()
    TrackedRun(key).wait_until_known(60)
    run_of(key)  # is there
    maker.join()


def test_who_joins_a_run_that_nobody_makes_waits_no_longer_than_told(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    TrackedRun(key).wait_until_known(20)
    assert 20 <= clock[0] < 21


def test_a_run_goes_on_with_another_value_of_a_parameter(key: str) -> None:
    assert begun(key, path="a", epochs=3).flush()
    assert begun(key, path="b", epochs=3, added=1).flush()
    _, found = run_of(key)
    assert found.data.params == {"path": "a", "epochs": "3", "added": "1"}
    assert found.data.tags["path"] == "b"
    assert "epochs" not in found.data.tags


def test_what_is_told_of_a_run_of_another_machine_leaves_none_running(key: str) -> None:
    run = TrackedRun(key)
    run.metrics(["a"], [1], [[1.0]], now_ms())
    assert run.flush()
    assert history(key, "a") == [(1, 1.0)]
    assert run_of(key)[1].info.status == "FINISHED"


def test_a_dead_server_is_told_once_and_nothing_is_lost(
    key: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DEAD)
    run = begun(key)
    assert not run.flush()
    run.metrics(["a"], [1], [[1.0]], now_ms())
    assert not run.flush(at_once=True)
    assert not run.flush()
    output, errors = capfd.readouterr()
    assert errors.count("tracking is behind") == errors.count("\n") == 1
    assert "secret" not in output + errors
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert not run.flush()  # the minute has not passed
    assert run.flush(at_once=True)
    assert history(key, "a") == [(1, 1.0)]


def test_after_a_failure_the_server_is_left_alone_for_a_minute(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DEAD)
    run = begun(key)
    assert not run.flush()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    clock[0] += 59
    assert not run.flush()
    clock[0] += 2
    assert run.flush()


def test_a_server_that_never_answers_is_given_up(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        assert not begun(key).flush()  # not within the seconds set, it would take minutes


def test_a_locked_database_is_given_up_in_one_line(
    key: str, root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    address = f"sqlite:///{root / 'mlflow.db'}?timeout=0.1"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    run = begun(key)
    assert run.flush()
    run.metrics(["a"], [1], [[1.0]], now_ms())
    with contextlib.closing(sqlite3.connect(root / "mlflow.db")) as other:
        other.execute("begin exclusive")
        assert not run.flush()  # in the midst of a run
        assert not TrackedRun(key).flush()  # at its start
    errors = capfd.readouterr().err
    assert errors.count("tracking is behind") == errors.count("\n") == 2
    assert run.flush(at_once=True)
    assert history(key, "a") == [(1, 1.0)]


@pytest.mark.parametrize("address", ["nonsense://user:secret@host", "postgresql://u:secret@h/d"])
def test_an_address_that_cannot_be_used_costs_no_run(
    key: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], address: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert not begun(key).flush()
    errors = capfd.readouterr().err
    assert "tracking is behind" in errors
    assert "secret" not in errors


def test_killed_while_sending_everything_arrives_once(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begun(key)
    run.metrics(["a"], [1, 2], [[1.0], [2.0]], 5)
    run.image("samples", 2, np.zeros((8, 8), np.uint8), 5)
    run.end("FINISHED")
    for waiting in (4, 3, 2, 1):
        # The process is gone after an entry was sent, first before and then after its removal.
        for kill, left in ((kill_before, waiting), (kill_after, waiting - 1)):
            with monkeypatch.context() as patch:
                patch.setattr(Path, "rename", kill)
                with pytest.raises(KeyboardInterrupt):
                    TrackedRun(key).send()
            assert TrackedRun(key).waiting() == left
    client, found = run_of(key)
    assert history(key, "a") == [(1, 1.0), (2, 2.0)]
    listed = client.list_artifacts(found.info.run_id, "images")
    assert len([item for item in listed if item.path.endswith(".png")]) == 1
    assert found.info.status == "FINISHED"


def kill_before(self: Path, target: Path) -> Path:
    raise KeyboardInterrupt


def kill_after(self: Path, target: Path) -> Path:
    os.replace(self, target)
    raise KeyboardInterrupt


def test_a_run_whose_process_is_gone_is_marked_killed_and_no_other(root: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    here = os.uname().nodename
    processes = {
        "gone": f"{here}:{gone.pid}",
        "alive": f"{here}:{os.getpid()}",
        "elsewhere": f"not-{here}:{gone.pid}",
        "unknown": "",
    }
    keys = {name: uuid.uuid4().hex for name in (*processes, "finished")}
    for name, process in processes.items():
        run = begun(keys[name])
        run.tags({"process": process})
        assert run.flush()
    run = begun(keys["finished"])
    run.tags({"process": processes["gone"]})
    run.end("FINISHED")
    assert run.flush()
    assert close_dead_runs() == 1
    assert {name: run_of(key)[1].info.status for name, key in keys.items()} == {
        "gone": "KILLED",
        "alive": "RUNNING",
        "elsewhere": "RUNNING",
        "unknown": "RUNNING",
        "finished": "FINISHED",
    }


@pytest.mark.parametrize("taken_up", [False, True])
def test_a_run_that_ends_or_goes_on_while_dead_ones_are_looked_for_is_left_alone(
    key: str, monkeypatch: pytest.MonkeyPatch, taken_up: bool
) -> None:
    run = begun(key)
    assert run.flush()

    def process_ends(number: int) -> bool:
        if number != os.getpid():
            return False
        if taken_up:
            run.tags({"process": f"{os.uname().nodename}:1"})
        else:
            run.end("FINISHED")
        return not run.flush()

    monkeypatch.setattr(psutil, "pid_exists", process_ends)
    close_dead_runs()
    assert run_of(key)[1].info.status == ("RUNNING" if taken_up else "FINISHED")


def test_without_a_server_dead_runs_wait(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DEAD)
    assert close_dead_runs() == 0


def test_a_stranger_s_file_among_the_pictures_is_left_alone(key: str, tmp_path: Path) -> None:
    pixels = np.zeros((8, 8), np.uint8)
    begun(key).flush()
    client, found = run_of(key)
    for name in ("notes.txt", "one+plus.png"):
        (tmp_path / name).write_text("mine")
        client.log_artifact(found.info.run_id, tmp_path / name, "images")
    run = TrackedRun(key)
    for step in (1, 2):
        run.image("samples", step, pixels, now_ms())
    assert run.flush()
    listed = [Path(item.path).name for item in client.list_artifacts(found.info.run_id, "images")]
    assert {"notes.txt", "one+plus.png"} < {*listed}
    assert sorted(file.split("+")[2] for file in listed if file.startswith("samples+")) == [
        *("1", "1", "2", "2"),  # each with the small picture that the page shows first
    ]


def test_the_description_of_a_run_is_the_last_one_given(key: str) -> None:
    run = begun(key)
    for text in ("**first**", "| a | b |\n| --- | --- |\n"):
        run.describe(text)
        assert run.flush()
    assert run_of(key)[1].data.tags["mlflow.note.content"] == text
