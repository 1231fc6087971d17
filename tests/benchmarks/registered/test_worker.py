"""Registered trainings in this process: real and tiny."""

import csv
import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import untracked
from benchmarks.registered import runs as runs_module
from benchmarks.registered import worker
from benchmarks.registered.registration import Group, Registration
from benchmarks.registered.runs import Run, refuse_other_records, runs
from benchmarks.registered.worker import Job, work
from dcgan.judge import Judge
from dcgan.measuring import Meter, reference
from dcgan.training import Report, fit
from pipeline.base.cli import UserError
from pipeline.store import checkpoints
from tests.searches import SHIPPED
from tests.small import CPU, FP32, MEASURE, digits, train_params

DATA = digits(train=200, test=120)
EPOCHS, LENGTH = 3, 60
ALL = Group("all", "healthy", (11, 12), None, train_params(epochs=EPOCHS, steps_per_epoch=LENGTH))
FEW = dataclasses.replace(ALL, name="few", kind="few", seeds=(21,), digits=12)
PLAN = Path("plan.yaml")
REGISTRATION = Registration(PLAN, FP32, MEASURE, 99, 1, (ALL, FEW), (), "none", "digest")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    judge = Judge().eval()
    meter = Meter(judge, reference(judge, DATA, MEASURE), MEASURE)
    (tmp_path / "judge").write_bytes(b"judge")
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", tmp_path / "checkpoints")
    for module in (worker, runs_module):
        monkeypatch.setattr(module, "JUDGE", tmp_path / "judge")
    monkeypatch.setattr(worker, "load_data", lambda: DATA)
    monkeypatch.setattr(worker, "load_meter", lambda *_: meter)
    monkeypatch.setattr(worker, "set_up", lambda _: CPU)
    monkeypatch.setattr("dcgan.mnist.data_hash", lambda _: "hash")
    return tmp_path


def job(root: Path, group: Group = ALL) -> Job:
    return Job(Run(group, group.seeds[0], root), REGISTRATION, SHIPPED)


def rows(run: Run) -> list[dict[str, str]]:
    """epochs.csv without what is about time."""
    with (run.folder / "epochs.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def facts(run: Run) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run.folder / "run.json").read_text())
    return content


def test_a_run_killed_again_and_again_leaves_the_record_of_one_that_nobody_interrupted(
    root: Path,
) -> None:
    plain, killed = job(root / "plain", FEW), job(root / "killed", FEW)
    work(plain, lambda _: True)
    (root / "checkpoints").rename(root / "elsewhere")
    for last in (LENGTH + 2, LENGTH + 5, 2 * LENGTH + 1):
        work(killed, lambda step, last=last: step < last)  # type: ignore[misc]
        assert not killed.run.is_done
    assert killed.run.epochs == 2
    work(killed, lambda _: True)
    assert killed.run.is_done
    assert rows(killed.run) == rows(plain.run)
    signals = [(one.run.folder / "signals.csv").read_bytes() for one in (killed, plain)]
    assert signals[0] == signals[1]
    assert facts(killed.run) | {"seconds": 0} == facts(plain.run) | {"seconds": 0}


def test_a_record_says_what_it_is_of_and_keeps_no_weights(root: Path) -> None:
    one = job(root)
    work(one, lambda _: True)
    told = facts(one.run)
    assert (told["registration"], told["group"], told["seed"]) == ("digest", "all", 11)
    assert told["train"]["seed"] == 11
    assert told["verdict"]["best_epoch"] in (1, 2, 3)
    assert {file.name for file in one.run.folder.iterdir()} == {
        "run.json",
        "epochs.csv",
        "signals.csv",
    }
    assert not list((root / "checkpoints").rglob("*.pt"))


def test_fd_is_measured_on_a_second_noise_bank_too(root: Path) -> None:
    one, other = job(root), job(root / "other")
    other = dataclasses.replace(
        other, registration=dataclasses.replace(REGISTRATION, fresh_seed=MEASURE.seed)
    )
    work(one, lambda step: step <= LENGTH)
    (root / "checkpoints").rename(root / "elsewhere")
    work(other, lambda step: step <= LENGTH)
    assert one.run.epochs == 1
    assert all(row["fd_fresh"] != row["fd"] for row in rows(one.run))
    assert all(row["fd_fresh"] == row["fd"] for row in rows(other.run))
    assert [row["fd"] for row in rows(one.run)] == [row["fd"] for row in rows(other.run)]


def test_few_digits_are_all_that_g_and_d_see(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def counting(*arguments: Any) -> Iterator[Report]:
        seen.append(len(arguments[1]))
        yield from fit(*arguments)

    monkeypatch.setattr(untracked, "fit", counting)
    for group in (FEW, ALL):
        work(job(root, group), lambda _: False)
    assert seen == [12, 200]


def test_a_run_that_breaks_down_has_come_to_its_end_and_is_diverged(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*arguments: Any) -> Iterator[Report]:
        for report in fit(*arguments):
            if report.epoch == 2:
                report.signals[1] = math.nan
                failed = report.first_step + 1
                yield dataclasses.replace(report, failed_step=failed, failed_signal="d_loss")
                return
            yield report

    monkeypatch.setattr(untracked, "fit", failing)
    one = job(root)
    work(one, lambda _: True)
    assert one.run.is_done
    verdict = facts(one.run)["verdict"]
    assert (verdict["status"], verdict["onset_step"]) == ("diverged", LENGTH + 2)


def test_a_record_that_cannot_be_continued_stays_as_it_is(root: Path) -> None:
    one = job(root)
    work(one, lambda step: step < LENGTH + 1)
    before = {file: file.read_bytes() for file in one.run.folder.iterdir()}
    (root / "checkpoints").rename(root / "elsewhere")
    with pytest.raises(UserError, match=r"has 1 epochs .* move it away"):
        work(one, pytest.fail)  # type: ignore[arg-type]
    assert {file: file.read_bytes() for file in one.run.folder.iterdir()} == before


def test_a_record_of_another_registration_is_refused(root: Path) -> None:
    one = job(root)
    work(one, lambda step: step < 1)
    every = runs(REGISTRATION, root)
    refuse_other_records(every, REGISTRATION)
    other = dataclasses.replace(REGISTRATION, digest="other")
    with pytest.raises(UserError, match="all-11: made under another registration"):
        refuse_other_records(every, other)


def test_runs_are_a_seed_of_every_group_after_the_other_and_can_be_chosen() -> None:
    def named(only: str | None) -> list[str]:
        return [run.name for run in runs(REGISTRATION, Path("x"), only)]

    assert named(None) == ["all-11", "few-21", "all-12"]
    assert named("healthy") == named("all") == ["all-11", "all-12"]
    assert named("few-21") == ["few-21"]
    with pytest.raises(UserError, match="--only most: no such trainings; there are joint, "):
        named("most")
