"""The stage `train` in several processes: started, ended, killed, continued, refused."""

import csv
import json
import shutil
import signal
import socket
import time
from pathlib import Path
from subprocess import Popen
from typing import Any

import psutil
import pytest
import torch
from ruamel.yaml import YAML

import dcgan.processes
from pipeline import fetch, judge, train
from pipeline.base.params import flat
from tests.commands import enter, refusal, run_stages, status_of
from tests.project import REPOSITORY, Project
from tests.searches import SHIPPED

pytestmark = pytest.mark.slow  # processes that import everything

EPOCHS, STEPS_PER_EPOCH = 5, 30
STEPS = EPOCHS * STEPS_PER_EPOCH


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("processes") / "clone")
    # The epochs' ends are of two kinds, and all processes are to be at the same kind.
    train: dict[str, float] = {"epochs": EPOCHS, "steps_per_epoch": STEPS_PER_EPOCH, "raw_every": 2}
    # At the rates of a real training rounding alone, which Adam makes much of where gradients are
    # next to nothing, takes another course within a few steps.
    train |= {"lr_d": 1e-5, "lr_g": 1e-5}
    project.set_params({"train": train})
    project.set_params({"runtime": {"precision": "fp32"}})
    run_stages(project.folder, fetch, judge)
    return project


@pytest.fixture
def project(prepared: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    enter(prepared.folder, monkeypatch)
    return prepared


def signals(project: Project) -> list[dict[str, float]]:
    with (project.folder / "reports/steps.csv").open(newline="") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    return rows


def epochs_with_raw() -> list[int]:
    with Path("reports/epochs.csv").open(newline="") as file:
        return [int(row["epoch"]) for row in csv.DictReader(file) if row["fd_raw"]]


def started(project: Project, *command: str) -> Popen[str]:
    """A training that has saved a new state."""

    def newest() -> list[int]:
        return [file.stat().st_mtime_ns for file in project.folder.glob("checkpoints/*/state.pt")]

    before = newest()
    process = project.start(*command)
    while newest() == before:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    return process


def ranks(process: Popen[str]) -> list[psutil.Process]:
    """By their number."""
    of_it = psutil.Process(process.pid).children()
    found = sorted(
        (int(child.environ()["RANK"]), child) for child in of_it if "RANK" in child.environ()
    )
    return [child for _, child in found]


def half_written(project: Project) -> list[Path]:
    """What has its final name and is not whole."""
    bad = []
    for file in project.folder.glob("checkpoints/*/state.pt"):
        try:
            torch.load(file, weights_only=True)
        except Exception:
            bad.append(file)
    return bad


def test_interrupted_killed_and_continued_by_other_numbers_it_is_one_run_and_one_training(
    project: Project,
) -> None:
    assert status_of(train.main) == 0
    alone = signals(project)
    names = [folder.name for folder in Path("checkpoints").iterdir()]
    shutil.rmtree("checkpoints")
    Path("reports/stop.json").unlink()

    here = ("python", "-m", "pipeline.train")
    project.set_params({"runtime": {"processes": 2}})
    process = started(project, *here)
    of_it = ranks(process)
    assert len(of_it) == 2
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 128 + signal.SIGTERM, said
    assert said.count("error: ") == said.count("error: interrupted at step") == 1, said
    assert "Traceback" not in said

    # A rank dies: the other one, which cannot go on without it, ends as well, and so does all.
    project.set_params({"runtime": {"processes": 4}})
    process = started(project, *here)
    of_it = ranks(process)
    of_it[1].kill()
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 128 + signal.SIGKILL, said
    assert "process 1 of 4 was ended by SIGKILL; the same command continues" in said
    assert "Traceback" not in said
    assert not any(rank.is_running() for rank in of_it)
    assert half_written(project) == []
    assert not Path("reports/stop.json").exists()

    # Killed, the launcher leaves no rank at work.
    process = started(project, "torchrun", "--nproc-per-node", "2", "-m", "pipeline.train")
    of_it = ranks(process)
    process.kill()
    process.communicate(timeout=240)  # the pipe is open as long as a rank is there
    psutil.wait_procs(of_it, timeout=60)
    assert not any(rank.is_running() for rank in of_it)

    project.run("torchrun", "--nproc-per-node", "2", "-m", "pipeline.train")
    assert [folder.name for folder in Path("checkpoints").iterdir()] == names
    key = json.loads(Path("checkpoints", names[0], "run.json").read_text())["key"]
    (run,) = project.query("select run_uuid from tags where value = ?", key)
    assert project.query("select status from runs where run_uuid = ?", run) == ["FINISHED"]
    sql = "select value from tags where key = 'processes' and run_uuid = ?"
    assert project.query(sql, run) == ["2"]
    sql = "select step from metrics where key = 'train/d_loss' and run_uuid = ? order by step"
    assert project.query(sql, run) == list(range(1, STEPS + 1))
    for row, expected in zip(signals(project), alone, strict=True):
        assert row == pytest.approx(expected, rel=2e-3)
    assert epochs_with_raw() == [2, 4]
    stop = json.loads(Path("reports/stop.json").read_text())
    assert stop["best_epoch"] in range(1, EPOCHS + 1)


def test_the_number_of_processes_is_no_part_of_a_run() -> None:
    assert "runtime.processes" not in flat(SHIPPED)
    assert "runtime.threads" in flat(SHIPPED)
    stages = YAML(typ="safe", pure=True).load(REPOSITORY / "dvc.yaml")["stages"]
    others = {"runtime.device", "runtime.threads", "runtime.precision"}
    for name, stage in stages.items():
        of_runtime = {key for key in stage["params"] if key.startswith("runtime")}
        assert of_runtime in (set(), others), name


@pytest.mark.parametrize(
    ("change", "gpus", "words"),
    [
        ({"runtime": {"processes": 3}}, 0, "16 images cannot be shared out evenly among 3 proc"),
        ({"runtime": {"processes": 32}}, 0, "16 images cannot be shared out evenly among 32 proc"),
        ({"runtime": {"processes": 0}}, 0, "runtime.processes: 0 is not allowed"),
        ({"runtime": {"processes": 4}}, 1, "4 processes want a GPU each, but torch sees 1 here"),
    ],
)
def test_processes_that_cannot_be_are_one_line_and_status_2(
    project: Project,
    change: dict[str, dict[str, Any]],
    gpus: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    before = Path("params.yaml").read_bytes()
    project.set_params(change)
    try:
        assert words in refusal(capsys, train.main, status=2)
    finally:
        Path("params.yaml").write_bytes(before)


@pytest.mark.parametrize("local_rank", ["0", "1"])
def test_a_meeting_place_that_cannot_be_reached_is_one_line_of_each_machine(
    project: Project,
    local_rank: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(dcgan.processes, "_MEET_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    of_rank = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": local_rank}
    for name, value in (of_rank | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("pipeline.base.cli.end_with_launcher", lambda: None)
    keep = signal.getsignal(signal.SIGINT)
    try:
        assert status_of(train.main) == 2
    finally:
        signal.signal(signal.SIGINT, keep)
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(said) == (local_rank == "0")
    for line in said:
        assert f"the processes did not meet at 127.0.0.1:{port}" in line
