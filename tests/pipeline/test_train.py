"""The stage `train`: killed, continued, refused, diverging, cut off from its tracker.

What needs a process of its own has one; the rest is run in this one, because the start of a
process that trains takes longer than its training.
"""

import csv
import dataclasses
import itertools
import json
import shutil
import signal
import time
from collections.abc import Iterator
from math import nan
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from dcgan.training import Report, fit
from pipeline import fetch, judge, stop, sync, train
from pipeline.training.neighbours import Clock, Neighbours
from tests.commands import DEAD, enter, run_stages, status_of
from tests.project import Project

pytestmark = pytest.mark.slow  # processes, and a new database, which takes MLflow some seconds

EPOCHS, STEPS_PER_EPOCH = 5, 20
STEPS = EPOCHS * STEPS_PER_EPOCH
RESULTS = (
    "models/generator_best.safetensors",
    "models/generator_last.safetensors",
    "reports/steps.csv",
    "reports/stop.json",
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A clone with data and judge in place."""
    project = Project(tmp_path_factory.mktemp("train") / "clone")
    project.set_params({"train": {"epochs": EPOCHS, "steps_per_epoch": STEPS_PER_EPOCH}})
    run_stages(project.folder, fetch, judge)
    return project


@pytest.fixture(scope="module")
def uninterrupted(prepared: Project) -> dict[str, bytes]:
    """What a run leaves that nothing disturbs."""
    with pytest.MonkeyPatch.context() as patch:
        enter(prepared.folder, patch)
        assert status_of(train.main) == 0
    return {name: (prepared.folder / name).read_bytes() for name in RESULTS}


@pytest.fixture
def project(prepared: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """The clone before its first training, as the working directory; left as it was."""
    kept = ("params.yaml", "models/judge.safetensors", "data/mnist/train-labels-idx1-ubyte")
    contents = {name: (prepared.folder / name).read_bytes() for name in kept}
    shutil.rmtree(prepared.folder / "checkpoints", ignore_errors=True)
    for name in (*RESULTS, "models/run.json"):
        (prepared.folder / name).unlink(missing_ok=True)
    enter(prepared.folder, monkeypatch)
    yield prepared
    for name, content in contents.items():
        (prepared.folder / name).write_bytes(content)


def tracked(project: Project) -> tuple[str, str]:
    """Id and status of the run that the newest checkpoints belong to, which is there once."""
    (file,) = (project.folder / "checkpoints").glob("*/run.json")
    sql = """
        select r.run_uuid, r.status from runs r join tags t on r.run_uuid = t.run_uuid
        where t.key = 'run_key' and t.value = ?
    """
    ((run_id, status),) = project.query(sql, json.loads(file.read_text())["key"])
    return run_id, status


def tracked_steps(project: Project, metric: str) -> list[Any]:
    sql = "select step from metrics where key = ? and run_uuid = ? order by step"
    return project.query(sql, metric, tracked(project)[0])


def assert_whole(project: Project) -> None:
    assert tracked_steps(project, "train/d_loss") == list(range(1, STEPS + 1))
    ends = [STEPS_PER_EPOCH * epoch for epoch in range(1, EPOCHS + 1)]
    assert tracked_steps(project, "eval/fd") == ends
    assert tracked(project)[1] == "FINISHED"


def started(project: Project) -> Popen[str]:
    """A training process that has saved a new state."""

    def newest() -> list[int]:
        files = (project.folder / "checkpoints").glob("*/state.pt")
        return [file.stat().st_mtime_ns for file in files]

    before = newest()
    process = project.start("python", "-m", "pipeline.train")
    while newest() == before:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    return process


def test_a_run_killed_again_and_again_continues_bit_for_bit_into_the_same_tracked_run(
    project: Project, uninterrupted: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    for ending in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        process = started(project)
        if ending == signal.SIGTERM:
            # While it is there, even at rest, a second start is refused by its number.
            process.send_signal(signal.SIGSTOP)
            assert status_of(train.main) == 1
            said = capsys.readouterr().err
            assert f"process {process.pid} is training this very run" in said
            process.send_signal(signal.SIGCONT)
        process.send_signal(ending)
        output, _ = process.communicate(timeout=120)
        assert "Traceback" not in output
        if ending == signal.SIGKILL:
            assert process.returncode == -ending
        else:
            assert process.returncode == 128 + ending, output
            assert tracked(project)[1] == "KILLED"
    assert not (project.folder / "reports/stop.json").exists()
    project.python("pipeline.train")
    for name, content in uninterrupted.items():
        assert (project.folder / name).read_bytes() == content, name
    assert_whole(project)


def test_other_thresholds_change_the_verdict_and_train_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert status_of(train.main) == 0
    before = json.loads(Path("reports/stop.json").read_text())
    project.set_params({"stability": {"burn_in_epochs": 0, "min_windows": 6}})
    monkeypatch.setattr("pipeline.training.run.fit", lambda *_: iter([]))
    assert status_of(train.main) == 0
    after = json.loads(Path("reports/stop.json").read_text())
    assert after["watched"]["charted"] > before["watched"]["charted"] == 0
    assert Path("models/generator_last.safetensors").stat().st_size > 0
    (name,) = (file.name for file in Path("checkpoints").iterdir())
    assert name == json.loads(Path("models/run.json").read_text())["config_hash"]
    # The page of the run tells the newest verdict.
    sql = "select value from tags where key = 'mlflow.note.content' and run_uuid = ?"
    (note,) = project.query(sql, tracked(project)[0])
    assert note.startswith(f"**{after['status']}**: {after['reason']}\n")
    assert f"epoch {after['best_epoch']}, step {after['best_step']}" in note
    assert "| `fd`" in note


def test_a_training_says_once_that_others_take_its_cores(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = itertools.count(1.0)  # with each look; half of them on two cores are others'

    def crowded(_: int) -> Neighbours:
        return Neighbours(2, lambda: Clock(second := next(seconds), second, 100 * second))

    monkeypatch.setattr(train, "Neighbours", crowded)
    assert status_of(train.main) == 0
    assert capsys.readouterr().err.count("note: other programs take 50% of the cores") == 1


def test_a_run_that_diverges_is_named_by_step_and_its_best_epoch_kept(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = STEPS_PER_EPOCH + 13

    def failing(*arguments: Any) -> Iterator[Report]:
        for report in fit(*arguments):
            row = failed - report.first_step
            if not 0 <= row < len(report.signals):
                yield report
                continue
            report.signals[row, 1:3] = nan
            yield dataclasses.replace(report, failed_step=failed, failed_signal="g_loss")
            return

    monkeypatch.setattr("pipeline.training.run.fit", failing)
    assert status_of(train.main) == 0
    assert f"is not finite at step {failed}" in capsys.readouterr().out
    verdict = json.loads(Path("reports/stop.json").read_text())
    assert (verdict["status"], verdict["onset_step"]) == ("diverged", failed)
    assert (verdict["best_epoch"], verdict["best_step"]) == (1, STEPS_PER_EPOCH)
    for name in RESULTS:
        assert Path(name).stat().st_size > 0, name
    with Path("reports/steps.csv").open(newline="") as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == list(range(1, failed + 1))
    run_id, status = tracked(project)
    assert status == "FAILED"
    # The tracked run tells the same as the files; that something went wrong is a status, too.
    assert status_of(stop.main, "--run", run_id, "--out", "tracked.json") == 1
    told = json.loads(Path("tracked.json").read_text())
    same = ("status", "onset_step", "best_step", "best_value")
    assert {name: told[name] for name in same} == {name: verdict[name] for name in same}


def test_a_run_that_diverges_at_once_is_one_line_and_leaves_nothing_to_export(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    wild = {"lr_d": 10.0, "lr_g": 10.0, "optimizer": "rmsprop", "r1_gamma": 1e6, "r1_every": 1}
    project.set_params({"train": {**wild, "loss": "relativistic", "epochs": 12}})
    assert status_of(train.main) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: nothing to export: ")
    assert "is not finite" in said
    assert not Path("models/generator_best.safetensors").exists()
    assert tracked(project)[1] == "FAILED"


def test_a_dead_tracking_server_costs_seconds_and_nothing_is_lost(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", DEAD)
        assert status_of(train.main) == 0
        assert capsys.readouterr().err.count("tracking is behind") == 1
        assert Path("models/generator_best.safetensors").exists()
        assert status_of(sync.main) == 1
        assert "pipeline.sync" in capsys.readouterr().err
    assert status_of(sync.main) == 0
    assert_whole(project)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"train": {"lr_g": "fast"}}, "train.lr_g: 'fast' is not allowed"),
        ({"train": {"width": 3}}, "train.width: 3 is not allowed"),
        ({"train": {"learning_rate": 1}}, "train.learning_rate: unknown key"),
        ({"runtime": {"device": "tpu"}}, "runtime.device: 'tpu' is not allowed"),
    ],
)
def test_wrong_parameters_are_one_line_and_status_2(
    project: Project,
    change: dict[str, dict[str, Any]],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    project.set_params(change)
    for stage in (fetch, judge, train):
        assert status_of(stage.main) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith("error: params.yaml: " + words)
        assert said.err.count("\n") == 1


def test_missing_inputs_are_named_with_the_stage_that_makes_them(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("models/judge.safetensors").unlink()
    assert status_of(train.main) == 1
    assert "`dvc repro judge` makes it" in capsys.readouterr().err
    Path("data/mnist/train-labels-idx1-ubyte").write_bytes(b"nonsense")
    assert status_of(train.main) == 1
    said = capsys.readouterr().err
    assert "train-labels-idx1-ubyte" in said
    assert "`dvc repro fetch`" in said
    assert said.count("\n") == 1


def test_a_judge_that_is_right_too_seldom_names_the_parameter_to_lower_and_writes_nothing(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {file: file.stat().st_mtime_ns for file in Path("models").glob("judge*")}
    project.set_params({"judge": {"epochs": 1, "lr": 0.0, "min_accuracy": 0.99}})
    assert status_of(judge.main) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert "less than judge.min_accuracy = 0.99; " in said
    assert "lower judge.min_accuracy" in said
    assert {file: file.stat().st_mtime_ns for file in Path("models").glob("judge*")} == before
