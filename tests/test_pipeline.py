"""The stages end to end, through real DVC and real MLflow, on synthetic digits."""

import csv
import json
import shutil
import signal
import sqlite3
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.project import Project

pytestmark = pytest.mark.slow

STEPS = 60
SIGNALS = 8


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("pipeline") / "clone")
    project.run("dvc", "repro")
    project.run("git", "add", "-A")
    project.run("git", "commit", "-qm", "reproduced")
    return project


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, reproduced: Project) -> Path:
    """A folder with data and judge in place, to copy for tests of `train` alone."""
    folder: Path = tmp_path_factory.mktemp("prepared") / "clone"
    leave = shutil.ignore_patterns("mlflow.db", "mlartifacts", "checkpoints", ".tracking", ".git")
    shutil.copytree(reproduced.folder, folder, ignore=leave)
    return folder


@pytest.fixture
def trainable(tmp_path: Path, prepared: Path, reproduced: Project) -> Project:
    project = object.__new__(Project)
    project.folder = tmp_path / "clone"
    shutil.copytree(prepared, project.folder)
    for path in ("models/run.json", "reports/steps.csv", "models/generator_last.safetensors"):
        (project.folder / path).unlink()
    return project


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def query(project: Project, sql: str, *values: str) -> list[Any]:
    """Rows of the clone's MLflow database; a list of values where there is one column."""
    with sqlite3.connect(project.folder / "mlflow.db") as database:
        found = database.execute(sql, values).fetchall()
    return [row[0] if len(row) == 1 else row for row in found]


def metric_steps(project: Project, key: str, run: str = "%") -> list[int]:
    """Steps of a metric, of the runs whose name is like `run`, in order."""
    sql = """
        select m.step from metrics m join runs r on r.run_uuid = m.run_uuid
        where m.key = ? and r.name like ? order by m.step
    """
    return query(project, sql, key, run)


def test_repro_leaves_every_output_of_every_stage(reproduced: Project) -> None:
    for name in (
        "models/judge.safetensors",
        "models/generator_best.safetensors",
        "models/generator_last.safetensors",
        "reports/metrics.json",
        "reports/figures/losses.png",
        "export/generator.onnx",
        "export/generator.pt2",
        "export/generator.safetensors",
        "export/model_card.md",
    ):
        assert (reproduced.folder / name).stat().st_size > 0, name
    steps = rows(reproduced.folder / "reports/steps.csv")
    assert [int(row["step"]) for row in steps] == list(range(1, STEPS + 1))
    epochs = rows(reproduced.folder / "reports/epochs.csv")
    assert [int(row["epoch"]) for row in epochs] == [1, 2, 3]


def test_repro_again_runs_nothing(reproduced: Project) -> None:
    output = reproduced.run("dvc", "repro")
    assert "Running stage" not in output
    assert output.count("didn't change, skipping") == 5


def test_the_tracker_has_every_step_once_and_every_picture(reproduced: Project) -> None:
    for signal_name in ("d_loss", "g_loss", "d_grad_norm", "g_update_ratio"):
        assert metric_steps(reproduced, f"train/{signal_name}") == list(range(1, STEPS + 1))
    assert metric_steps(reproduced, "eval/fd") == [20, 40, 60]
    assert metric_steps(reproduced, "final/fd")
    pictures = sorted((reproduced.folder / "mlartifacts").glob("*/artifacts/images/*.png"))
    steps = sorted(int(picture.name.split("+")[2]) for picture in pictures)
    assert steps == [8, 16, 20, 24, 32, 40, 48, 56, 60]
    assert query(reproduced, "select status from runs") == ["FINISHED"]


def test_the_tracked_run_says_where_it_comes_from(reproduced: Project) -> None:
    tags = dict(query(reproduced, "select key, value from tags"))
    commit = reproduced.run("git", "rev-parse", "HEAD~1").strip()
    assert tags["mlflow.source.git.commit"] == commit
    assert tags["git_dirty"] == "no"
    recorded = json.loads((reproduced.folder / "reports/data.json").read_text())
    assert tags["data_hash"] == recorded["hash"]
    params = dict(query(reproduced, "select key, value from params"))
    assert params["train.lr_g"] == "0.002"
    assert query(reproduced, "select name from datasets") == ["mnist"]
    aliases = query(reproduced, "select name, alias from registered_model_aliases")
    assert aliases == [("dcgan-generator", "champion")]


def test_an_experiment_is_a_run_of_its_own_under_its_name(reproduced: Project) -> None:
    reproduced.run("dvc", "exp", "run", "--name", "slower", "-S", "train.lr_g=0.0005")
    assert metric_steps(reproduced, "train/d_loss", "slower") == list(range(1, STEPS + 1))
    rates = query(reproduced, "select value from params where key = 'train.lr_g' order by value")
    assert rates == ["0.0005", "0.002"]
    assert "fd" in reproduced.run("dvc", "metrics", "diff", "HEAD", "--all")
    reproduced.run("git", "checkout", "-q", "--", ".")
    reproduced.run("dvc", "checkout")


def test_queued_experiments_run_in_parallel_into_the_same_store(reproduced: Project) -> None:
    for name, rate in (("left", "0.0015"), ("right", "0.003")):
        # A queued experiment runs the code of its own snapshot: here, one that says so.
        reproduced.run("dvc", "exp", "run", "--queue", "--name", name, "-S", f"train.lr_g={rate}")
    reproduced.run("dvc", "queue", "start", "-j", "2")
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline:
        states = Counter(
            line.split()[-1]
            for line in reproduced.run("dvc", "queue", "status").splitlines()
            if " left " in line or " right " in line
        )
        if states["Success"] + states["Failed"] == 2:
            break
        time.sleep(2)
    assert states["Success"] == 2, reproduced.run("dvc", "queue", "logs", "left")
    for name in ("left", "right"):
        assert metric_steps(reproduced, "train/d_loss", name) == list(range(1, STEPS + 1))
    shown = reproduced.run("dvc", "exp", "show", "--csv", "--no-pager")
    assert {"left", "right"} <= {row["Experiment"] for row in csv.DictReader(shown.splitlines())}


def test_plots_are_drawn_from_the_reports(reproduced: Project) -> None:
    reproduced.run("dvc", "plots", "show", "--out", "plots")
    page = (reproduced.folder / "plots/index.html").read_text()
    assert "d_loss" in page
    assert "class_kl" in page


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_killed_run_continues_bit_for_bit_into_the_same_tracked_run(
    trainable: Project, reproduced: Project, ending: signal.Signals
) -> None:
    state = None
    process = trainable.start("python", "-m", "pipeline.train")
    while state is None and process.poll() is None:
        time.sleep(0.02)
        state = next((trainable.folder / "checkpoints").glob("*/state.pt"), None)
    process.send_signal(ending)
    output, _ = process.communicate(timeout=120)
    assert process.returncode != 0, output
    assert "Traceback" not in output
    if ending != signal.SIGKILL:
        assert process.returncode == 128 + ending
        assert query(trainable, "select status from runs") == ["KILLED"]
    trainable.python("pipeline.train")
    for name in ("models/generator_best.safetensors", "models/generator_last.safetensors"):
        there = (trainable.folder / name).read_bytes()
        assert there == (reproduced.folder / name).read_bytes()
    for name in ("reports/steps.csv", "reports/stop.json"):
        assert (trainable.folder / name).read_text() == (reproduced.folder / name).read_text()
    assert metric_steps(trainable, "train/d_loss") == list(range(1, STEPS + 1))
    assert metric_steps(trainable, "eval/fd") == [20, 40, 60]
    assert query(trainable, "select status from runs") == ["FINISHED"]


def test_a_second_start_of_the_same_run_is_refused_by_the_process_number(
    trainable: Project,
) -> None:
    trainable.set_params({"train": {"epochs": 500}})
    first = trainable.start("python", "-m", "pipeline.train")
    try:
        while not list((trainable.folder / "checkpoints").glob("*/state.pt")):
            assert first.poll() is None
            time.sleep(0.05)
        output = trainable.python("pipeline.train", expect=1)
        assert f"process {first.pid} is training this very run" in output
    finally:
        first.kill()
        first.communicate()


def test_a_run_that_diverges_is_named_by_step_and_still_exported(trainable: Project) -> None:
    trainable.set_params({"train": {"lr_d": 10.0, "lr_g": 10.0, "optimizer": "rmsprop"}})
    trainable.set_params({"train": {"loss": "relativistic", "r1_gamma": 1000000.0, "epochs": 12}})
    output = trainable.run("python", "-m", "pipeline.train", expect=1)
    assert "is not finite" in output
    assert "Traceback" not in output
    assert query(trainable, "select status from runs") == ["FAILED"]


def test_a_dead_tracking_server_costs_seconds_and_nothing_is_lost(trainable: Project) -> None:
    dead = "http://127.0.0.1:9"  # nothing listens there
    output = trainable.python("pipeline.train", MLFLOW_TRACKING_URI=dead)
    assert output.count("tracking is behind") == 1
    assert (trainable.folder / "models/generator_best.safetensors").exists()
    assert "pipeline.sync" in trainable.python("pipeline.sync", expect=1, MLFLOW_TRACKING_URI=dead)
    trainable.python("pipeline.sync")
    assert metric_steps(trainable, "train/d_loss") == list(range(1, STEPS + 1))
    assert query(trainable, "select status from runs") == ["FINISHED"]


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
    trainable: Project, change: dict[str, dict[str, Any]], words: str
) -> None:
    trainable.set_params(change)
    for stage in ("train", "judge"):
        output = trainable.python(f"pipeline.{stage}", expect=2)
        assert output.startswith("error: params.yaml: " + words)
        assert output.count("\n") == 1


def test_missing_inputs_are_named_with_the_stage_that_makes_them(trainable: Project) -> None:
    (trainable.folder / "models/judge.safetensors").unlink()
    assert "`dvc repro judge` makes it" in trainable.python("pipeline.train", expect=1)
    (trainable.folder / "data/mnist/train-labels-idx1-ubyte").write_bytes(b"nonsense")
    output = trainable.python("pipeline.train", expect=1)
    assert "train-labels-idx1-ubyte" in output
    assert "dvc repro fetch" in output
    assert "Traceback" not in output
