"""A run of the study in this process: real and tiny."""

import dataclasses
import json
import time
from pathlib import Path

import pytest
import torch

from benchmarks.study import worker
from benchmarks.study.judge import KeptJudge
from benchmarks.study.worker import Job, work
from dcgan.judge import Judge
from dcgan.measuring import Meter, reference
from pipeline.base.cli import UserError
from pipeline.replication.records import GRID_EPOCHS, epochs_done
from pipeline.replication.runs import Run
from pipeline.store import checkpoints
from tests.idx import write_idx_dataset
from tests.searches import SHIPPED
from tests.small import FP32, MEASURE, digits, train_params

DATA = digits(train=200, test=120)
EPOCHS, LENGTH = 12, 6


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    judge = Judge().eval()
    (tmp_path / "judge").write_bytes(b"judge")
    kept = KeptJudge(
        "name", Meter(judge, reference(judge, DATA, MEASURE), MEASURE), tmp_path / "judge"
    )
    monkeypatch.setattr(worker, "kept_judge", lambda *_: kept)
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", tmp_path / "checkpoints")
    train = train_params(epochs=EPOCHS, steps_per_epoch=LENGTH)
    params = dataclasses.replace(SHIPPED, runtime=FP32, measure=MEASURE, train=train)
    monkeypatch.setattr(Run, "params", lambda *_: params)
    data = write_idx_dataset(tmp_path / "digits", train=200, test=120)
    return Job(Run("joint", 1, tmp_path / "records"), params, data, None)


def saved(tmp_path: Path) -> dict[str, object]:
    (file,) = (tmp_path / "checkpoints/gpu").glob("joint-1-*/state.pt")
    content: dict[str, object] = torch.load(file, weights_only=True)
    return content


def test_when_the_time_is_up_the_epoch_under_way_is_trained_to_its_end(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []

    def count(step: int) -> bool:
        steps.append(step)
        return True

    timed = dataclasses.replace(job, deadline=1000.0)
    monkeypatch.setattr(time, "time", lambda: 999.0 if len(steps) < LENGTH + 2 else 1001.0)
    work(timed, count)
    assert epochs_done(job.run.folder) == 2
    assert not job.run.is_done()
    work(job, lambda _: True)
    assert job.run.is_done()


def test_a_late_job_begins_nothing(job: Job) -> None:
    work(dataclasses.replace(job, deadline=1.0), lambda _: True)
    assert epochs_done(job.run.folder) == 0


def test_a_record_names_its_judge_and_where_it_was_made(job: Job) -> None:
    work(job, lambda step: step < LENGTH + 1)
    facts = json.loads((job.run.folder / "run.json").read_text())
    assert (facts["judge"], facts["device"], facts["precision"]) == ("name", "cpu", "fp32")


def test_a_checkpoint_keeps_the_pictures_that_a_record_shows_and_no_others(
    job: Job, tmp_path: Path
) -> None:
    work(job, lambda step: step <= 11 * LENGTH)
    history = saved(tmp_path)["history"]
    assert isinstance(history, dict)
    shown = [epoch for epoch in GRID_EPOCHS if epoch <= 11]
    assert [step // LENGTH for step in history["grid_steps"]] == shown
    assert len(history["grids"]) == len(shown)
    work(job, lambda _: True)
    pictures = sorted(file.name for file in job.run.folder.glob("*.png"))
    assert pictures == ["grid-001.png", "grid-010.png"]
    assert not list((tmp_path / "checkpoints/gpu").glob("joint-1-*"))


def test_a_full_memory_is_one_line(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(worker, "Training", full)
    with pytest.raises(UserError, match="memory is full; try fewer --workers"):
        work(job, lambda _: True)
