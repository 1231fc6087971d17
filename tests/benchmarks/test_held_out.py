"""The command: its plan, what it refuses, and a tiny registration through real processes."""

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks import held_out
from benchmarks.registered.registration import FILE, read_registration
from pipeline import fetch, judge
from pipeline.base.cli import UserError
from tests.commands import enter, refusal, run_stages
from tests.project import REPOSITORY, Project


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)


def command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["held_out", *map(str, arguments)])
    held_out.main()


def json_rows(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def test_a_dry_run_tells_plan_cost_and_what_is_open_and_trains_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "records"
    command(monkeypatch, "--dry-run", "--only", "digits-500", "--folder", folder)
    output = capsys.readouterr().out
    assert "7801, 7802" in output
    assert "0 of 2" in output
    assert "hours of one core" in output
    first, group, *asked = json_rows(output)
    assert first["registration"] == read_registration().digest
    assert (group["group"], group["runs"], group["of"]) == ("digits-500", 0, 2)
    assert {row["endpoint"]: row["met"] for row in asked} == {"memorising": None, "regret": None}
    assert not folder.exists()


def test_no_run_begins_before_the_present_verdict_is_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_out, "verdict_digest", lambda _: "another")
    monkeypatch.setattr(held_out, "_train", pytest.fail)
    with pytest.raises(UserError, match=r"registers another verdict .* --register"):
        command(monkeypatch, "--folder", tmp_path / "records")


def test_nothing_is_registered_anew_once_a_run_has_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "frozen-7404").mkdir()
    monkeypatch.setattr(held_out, "register", pytest.fail)
    with pytest.raises(UserError, match="frozen-7404: a run has begun"):
        command(monkeypatch, "--register", "--only", "joint", "--folder", tmp_path)


@pytest.mark.parametrize("workers", ["0", "-1"])
def test_no_workers_are_one_line(workers: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=f"--workers {workers}: must be at least 1"):
        command(monkeypatch, "--workers", workers)


EPOCHS, STEPS = 2, 30
RECORDS = Path("reports/held_out")
TINY = """
runtime: {device: cpu, threads: 1, precision: fp32}
measure: {seed: 0, num_samples: 200, num_training_samples: 200, num_neighbour_samples: 100}
fresh_seed: 9
settled_epochs: 1
groups:
  joint:
    kind: joint
    seeds: [101]
    train: &train {TRAIN, freeze_discriminator: false}
  few:
    kind: few
    seeds: [102]
    digits: 30
    train: {<<: *train, freeze_discriminator: true}
endpoints:
  called_wrong: {kind: all, statistic: share, at_most: 1, words: any}
verdict: none
"""


@pytest.mark.slow
def test_trainings_interrupted_and_continued_are_whole_and_assessed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = Project(tmp_path / "clone")
    run_stages(project.folder, fetch, judge)
    default = vars(read_registration(REPOSITORY / FILE).groups[0].train)
    size = {"width": 2, "batch_size": 8, "epochs": EPOCHS, "steps_per_epoch": STEPS}
    train = {**default, **size}
    del train["seed"], train["freeze_discriminator"]
    text = ", ".join(f"{key}: {value}" for key, value in train.items())
    (project.folder / FILE).write_text(TINY.replace("TRAIN", text))

    enter(project.folder, monkeypatch)
    assert "registers another verdict" in refusal(capsys, held_out.main)
    command(monkeypatch, "--register")
    process = project.start("python", "-m", "benchmarks.held_out")
    while not list((project.folder / RECORDS).glob("*/epochs.csv")):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 128 + signal.SIGTERM, output
    assert "Traceback" not in output

    rows = json_rows(project.python("benchmarks.held_out"))
    assert rows[0]["as_registered"] is True
    (asked,) = [row for row in rows if row.get("group") == "all"]
    assert (asked["runs"], asked["of"], asked["met"]) == (2, 2, True)
    for name in ("joint-101", "few-102"):
        lines = (project.folder / RECORDS / name / "epochs.csv").read_text().splitlines()
        assert [line.split(",")[0] for line in lines[1:]] == [str(e + 1) for e in range(EPOCHS)]

    before = {file: file.read_bytes() for file in (project.folder / RECORDS).rglob("*.*")}
    command(monkeypatch)  # has nothing left to do
    registration = project.folder / FILE
    registration.write_text(registration.read_text().replace("at_most: 1", "at_most: 0"))
    assert "made under another registration" in refusal(capsys, held_out.main)
    assert {file: file.read_bytes() for file in before} == before
