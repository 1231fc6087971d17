import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from ganverdict.assessment import assess_log
from ganverdict.formats import ReadError
from ganverdict.log import Log
from ganverdict.verdict import Verdict
from ganverdict.watch import watch
from tests.ganverdict.formats.event_files import write_events

FALLS_THEN_GROWS = [100, 80, 60, 40, 30, 20, 15, 30, 50, 70, 90, 110]


class OverError(Exception):
    """Nothing more happens."""


def judge(log: Log) -> Verdict:
    return assess_log(log).verdict


def acts(*steps: Callable[[], object]) -> Callable[[float], None]:
    """A sleep in which one thing after another happens."""
    left = list(steps)

    def sleep(_: float) -> None:
        if not left:
            raise OverError
        left.pop(0)()

    return sleep


def followed(
    paths: Sequence[Path | str], *steps: Callable[[], object], **options: Any
) -> list[tuple[str, Verdict]]:
    """The changes that are told until nothing more happens."""
    found: list[tuple[str, Verdict]] = []
    with contextlib.suppress(OverError):
        for log, verdict in watch(paths, judge, sleep=acts(*steps), **options):
            found.append((log.name, verdict))
    return found


def evaluations(path: Path, fids: list[int]) -> Callable[[], object]:
    def write() -> None:
        rows = [f"{(n + 1) * 1000},{fid}" for n, fid in enumerate(fids)]
        path.write_text("\n".join(["step,fid", *rows]) + "\n")

    return write


def test_changes_are_told_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    evaluations(path, FALLS_THEN_GROWS[:5])()
    grown = [evaluations(path, FALLS_THEN_GROWS[:count]) for count in range(6, 13)]
    found = followed([path], lambda: None, *grown)
    told = [(verdict.status, verdict.best_step) for _, verdict in found]
    assert told[:3] == [("stable", 5000), ("stable", 6000), ("stable", 7000)]
    assert told[3:] == [("silent", 7000)]


def test_what_has_not_been_written_to_is_not_read_again(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    evaluations(path, FALLS_THEN_GROWS)()
    count = 0

    def counted(log: Log) -> Verdict:
        nonlocal count
        count += 1
        return judge(log)

    changes = watch([tmp_path], counted, sleep=acts(*[lambda: None] * 5, path.touch, lambda: None))
    with pytest.raises(OverError):
        list(changes)
    assert count == 2


def test_several_runs_of_a_folder_are_followed_and_new_ones_too(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    rows = "".join(f"{n},0.5,1.0\n" for n in range(1, 900))
    (tmp_path / "a/log.csv").write_text("step,d_loss,g_loss\n" + rows)

    def second() -> None:
        (tmp_path / "b/log.csv").write_text("step,d_loss,g_loss\n" + rows)

    found = followed([tmp_path], second)
    assert {name for name, _ in found} >= {str(tmp_path / "a"), str(tmp_path / "b")}


def test_a_log_that_has_nothing_yet_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("")
    troubles: list[str] = []
    steps = (lambda: None, path.touch, evaluations(path, FALLS_THEN_GROWS), lambda: None)
    found = followed([path], *steps, on_trouble=lambda error: troubles.append(str(error)))
    assert [verdict.status for _, verdict in found] == ["silent"]
    assert len(troubles) == 1
    assert troubles[0].startswith(str(path))


def test_a_folder_of_tensorboard_is_followed(tmp_path: Path) -> None:
    scalars = [("fid", 100 * (n + 1), fid) for n, fid in enumerate(FALLS_THEN_GROWS)]
    whole = write_events(tmp_path / "whole", scalars).read_bytes()
    (tmp_path / "whole").unlink()
    record = len(whole) // len(scalars)
    path = tmp_path / "events.out.tfevents.1700000000.host"

    def grows_to(size: int) -> Callable[[], object]:
        return lambda: path.write_bytes(whole[:size])

    grows_to(8 * record + 40)()
    half_a_record = grows_to(8 * record + 60)
    found = followed([tmp_path], half_a_record, grows_to(len(whole)))
    told = [(verdict.status, verdict.best_step) for _, verdict in found]
    assert told == [("stable", 700), ("silent", 700)]


def test_a_run_of_mlflow_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE runs (run_uuid, name, lifecycle_stage, start_time)")
    connection.execute("CREATE TABLE metrics (key, value, timestamp, run_uuid, step, is_nan)")
    connection.execute("INSERT INTO runs VALUES ('abc', 'fancy', 'active', 1)")

    def write(first: int, last: int) -> Callable[[], object]:
        def insert() -> None:
            rows = [
                ("fid", float(FALLS_THEN_GROWS[n]), n, "abc", 100 * (n + 1), 0)
                for n in range(first, last)
            ]
            connection.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?)", rows)
            connection.commit()

        return insert

    write(0, 8)()
    found = followed([path], lambda: None, write(8, 12))
    told = [(verdict.status, verdict.best_step) for _, verdict in found]
    assert told == [("stable", 700), ("silent", 700)]
    connection.close()


@pytest.mark.slow
def test_a_live_run_of_a_tracking_server_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'runs.db'}")
    client = mlflow.MlflowClient()
    experiment = client.create_experiment("gan", artifact_location=str(tmp_path / "artifacts"))
    run_id = client.create_run(experiment).info.run_id

    def write(first: int, last: int) -> Callable[[], object]:
        def log() -> None:
            for n in range(first, last):
                client.log_metric(run_id, "fid", FALLS_THEN_GROWS[n], step=100 * (n + 1))

        return log

    troubles: list[str] = []
    steps = (write(0, 8), lambda: None, write(8, 12))
    found = followed(
        [f"mlflow:{run_id}"], *steps, on_trouble=lambda error: troubles.append(str(error))
    )
    told = [(verdict.status, verdict.best_step) for _, verdict in found]
    assert told == [("stable", 700), ("silent", 700)]
    assert len(troubles) == 1  # before anything was logged


def test_what_cannot_be_followed_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="no such file"):
        watch([tmp_path / "nowhere"], judge)
    with pytest.raises(ReadError, match="standard input"):
        watch(["-"], judge)
    for seconds in (0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="seconds"):
            watch([tmp_path], judge, every=seconds)
