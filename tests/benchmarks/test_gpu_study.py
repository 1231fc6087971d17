"""The study through the real command, where only torch's packages are: tiny, and on a CPU."""

import csv
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gpu_study
from pipeline import replicate
from pipeline.replication.records import epochs_done, read_facts
from tests.bare import bare_path
from tests.commands import enter, refusal, status_of
from tests.project import REPOSITORY, Project

EPOCHS, LENGTH = 5, 40
TINY = {"width": 2, "epochs": EPOCHS, "steps_per_epoch": LENGTH, "batch_size": 4}
RUNS = {"joint-1", "frozen-1"}


class Bare:
    """A small clone, and its digits, in which a bare Python runs the benchmarks."""

    def __init__(self, folder: Path) -> None:
        self.project = Project(folder / "project")
        self.digits = folder / "project-digits"
        self.path = bare_path(folder / "bare")
        file = self.project.folder / "pipeline/recipes/blog.yaml"
        text = file.read_text(encoding="utf-8")
        for name, value in TINY.items():
            text, count = re.subn(rf"(?m)^{name}: .*$", f"{name}: {value}", text)
            assert count == 1
        file.write_text(text, encoding="utf-8")

    def command(self, script: str, *options: str) -> tuple[str, ...]:
        return ("python", f"benchmarks/{script}.py", "--device", "cpu", *options)

    def study(self, *options: str, expect: int = 0) -> str:
        command = self.command("gpu_study", "--data", str(self.digits), "--seeds=1", *options)
        return self.project.run(*command, expect=expect, PYTHONPATH=self.path)

    def started(self, *options: str) -> "subprocess.Popen[str]":
        command = self.command("gpu_study", "--data", str(self.digits), "--seeds=1", *options)
        return self.project.start(*command, PYTHONPATH=self.path)

    def record(self, folder: str, run: str) -> Path:
        return self.project.folder / folder / run


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Bare:
    return Bare(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def studied(bare: Bare) -> Bare:
    """All runs trained into `whole`, uninterrupted."""
    bare.study("--folder=whole", "--workers=2")
    return bare


def content(folder: Path) -> dict[str, Any]:
    """A record without what is about time."""
    facts = json.loads((folder / "run.json").read_text())
    with (folder / "epochs.csv").open(newline="") as file:
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
    pictures = {file.name: file.read_bytes() for file in folder.glob("*.png")}
    signals = (folder / "signals.csv").read_bytes()
    return {"facts": facts | {"seconds": 0}, "rows": rows, "signals": signals, **pictures}


@pytest.mark.slow
def test_the_bare_python_lacks_what_it_should(bare: Bare) -> None:
    lacking = ("psutil", "ruamel", "safetensors", "tqdm", "tabulate", "mlflow")
    code = "from importlib.util import find_spec as f; import torchvision, PIL, yaml; print(*[n for"
    code += f" n in {lacking} if f(n) is None])"
    told = bare.project.run("python", "-c", code, PYTHONPATH=bare.path)
    assert tuple(told.split()) == lacking


@pytest.mark.slow
def test_gpu_speed_runs_there(bare: Bare) -> None:
    options = ("--width=2", "--batches", "4", "--seconds=0.01")
    told = bare.project.run(*bare.command("gpu_speed", *options), PYTHONPATH=bare.path)
    assert "| eager bf16" in told


@pytest.mark.slow
def test_a_plan_is_timed_and_trains_nothing(bare: Bare) -> None:
    told = bare.study("--dry-run", "--workers=2", "--folder=planned")
    assert f"2 runs of {EPOCHS} epochs, 0 of them done" in told
    assert {line.split(":")[0] for line in told.splitlines() if "iterations/s" in line} == RUNS
    assert f"{2 * EPOCHS} epochs left, about " in told
    assert not (bare.project.folder / "planned").exists()
    assert {path.name for path in (bare.project.folder / "checkpoints/gpu").iterdir()} == {"judge"}


@pytest.mark.slow
def test_a_study_ended_in_the_middle_leaves_the_records_of_one_that_nobody_ended(
    studied: Bare,
) -> None:
    process = studied.started("--folder=ended")
    file = studied.record("ended", "joint-1")
    while not epochs_done(file):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    process.terminate()
    told, _ = process.communicate(timeout=120)
    assert process.returncode == 143, told
    assert told.endswith("error: interrupted; the same command continues\n")
    assert "Traceback" not in told
    assert epochs_done(file) < EPOCHS
    assert any((studied.project.folder / "checkpoints/gpu").glob("joint-1-*/state.pt"))
    studied.study("--folder=ended", "--workers=2")
    for run in RUNS:
        assert content(studied.record("ended", run)) == content(studied.record("whole", run))
    kept = {path.name for path in (studied.project.folder / "checkpoints/gpu").iterdir()}
    assert kept == {"judge"}


@pytest.mark.slow
def test_the_replication_reads_the_records(
    studied: Bare, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clone = studied.project.folder
    enter(clone, monkeypatch)
    monkeypatch.setattr("pipeline.replication.runs._RECIPES", clone / "pipeline/recipes")
    assert status_of(replicate.main, "--dry-run", "--folder=whole") == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    assert {line.split()[0] for line in lines} >= RUNS
    folder = clone / "whole"
    result = json.loads((folder / "result.json").read_text())
    assert [row["recipe"] for row in result["runs"]] == ["joint", "frozen"]
    assert set(result["answers"]) == {"joint", "frozen"}  # so both are whole
    pictures = ("fd", "losses", "gradients", "grids")
    assert all((folder / f"{name}.png").exists() for name in pictures)


@pytest.mark.slow
def test_a_record_is_of_what_the_replication_would_train_at_that_size(
    studied: Bare, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"width": TINY["width"], "epochs": EPOCHS}
    code = f"""
from dataclasses import replace
from pathlib import Path
from pipeline.base.cli import load_params
from pipeline.replication.records import read_facts
from pipeline.replication.runs import Run, differences
params = load_params()
params = replace(params, replicate=replace(params.replicate, **{sizes}))
for recipe in ("joint", "frozen"):
    run = Run(recipe, 1, Path("whole"))
    kept = read_facts(run.folder)
    print(differences(kept, run.facts_by(kept["judge"], params)))
"""
    assert studied.project.run("python", "-c", code) == "[]\n[]\n"


@pytest.mark.slow
def test_records_by_another_judge_are_refused_and_stay_as_they_are(studied: Bare) -> None:
    file = studied.record("other", "joint-1") / "run.json"
    file.parent.mkdir(parents=True)
    facts = read_facts(studied.record("whole", "joint-1"))
    assert facts is not None
    file.write_text(json.dumps(facts | {"judge": "another"}))
    told = studied.study("--folder=other", expect=1)
    assert told.splitlines()[-1] == (
        "error: other/joint-1: made with another judge, whose fd is of another scale; it stays as "
        "it is, and --folder other-2 makes the study anew beside it"
    )
    assert json.loads(file.read_text())["judge"] == "another"
    assert [path.name for path in file.parent.parent.iterdir()] == ["joint-1"]


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (("--device=cpu", "--data=nowhere"), 1, "nowhere/train-images-idx3-ubyte: missing; --data"),
        (("--workers=0",), 2, "--workers: 0: must be a whole number from 1 to 64"),
        (("--seconds=soon",), 2, "--seconds: soon: must be a whole number from 1 to"),
    ],
)
def test_what_is_wrong_is_one_line(
    capsys: pytest.CaptureFixture[str], options: tuple[str, ...], status: int, said: str
) -> None:
    assert said in refusal(capsys, gpu_study.main, *options, status=status)


def test_a_machine_without_a_gpu_is_told_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert "torch sees no GPU here; --device cpu" in refusal(capsys, gpu_study.main)


def test_help_imports_nothing_heavy() -> None:
    code = """
import runpy, sys
sys.argv = ["gpu_study", "--help"]
try:
    runpy.run_path("benchmarks/gpu_study.py", run_name="__main__")
finally:
    print({"torch", "PIL", "scipy"} & {*sys.modules})
"""
    asked = [sys.executable, "-c", code]
    told = subprocess.run(asked, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert told.stdout.startswith("usage: python benchmarks/gpu_study.py ")
    assert told.stdout.endswith("\nset()\n")
