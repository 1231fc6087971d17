"""One run in this process, the tracker taken away; training is real and tiny, or scripted."""

import dataclasses
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dcgan.judge import Judge
from dcgan.measuring import Meter, reference
from dcgan.training import Report, fit
from ganverdict import Monitor, Verdict
from pipeline.base.cli import UserError
from pipeline.replication import worker
from pipeline.replication.runs import Run
from pipeline.replication.worker import Job, work
from pipeline.store import checkpoints
from pipeline.training import run as training_run
from tests.searches import SHIPPED
from tests.small import CPU, FP32, MEASURE, digits, train_params

DATA = digits(train=200, test=120)
EPOCHS, LENGTH = 3, train_params().steps_per_epoch


class Silent:
    """Takes the tracker's place; keeps how runs ended."""

    ends: list[str] = []  # noqa: RUF012

    def __init__(self, _key: str, _term: int) -> None: ...

    def end(self, status: str) -> None:
        self.ends.append(status)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    judge = Judge().eval()
    meter = Meter(judge, reference(judge, DATA, MEASURE), MEASURE)
    (tmp_path / "judge").write_bytes(b"judge")
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", tmp_path / "checkpoints")
    for module in ("worker", "runs"):
        monkeypatch.setattr(f"pipeline.replication.{module}.JUDGE", tmp_path / "judge")
    monkeypatch.setattr(worker, "load_data", lambda: DATA)
    monkeypatch.setattr(worker, "load_meter", lambda *_: meter)
    monkeypatch.setattr(worker, "set_up", lambda _: CPU)
    monkeypatch.setattr("dcgan.mnist.data_hash", lambda _: "hash")
    monkeypatch.setattr("pipeline.tracking.provenance.tags", dict)
    monkeypatch.setattr(training_run, "TrackedRun", Silent)
    monkeypatch.setattr(training_run, "system_metrics", dict)
    monkeypatch.setattr(Silent, "ends", [])
    train = train_params(epochs=EPOCHS)
    params = dataclasses.replace(SHIPPED, runtime=FP32, measure=MEASURE, train=train)
    monkeypatch.setattr(Run, "params", lambda _, params: params)
    return Job(Run("joint", 1, tmp_path), params)


def facts(job: Job) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((job.run.folder / "run.json").read_text())
    return content


def files(job: Job) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in job.run.folder.iterdir()}


def test_a_record_says_from_the_start_what_it_is_of_and_its_verdict_at_the_end(job: Job) -> None:
    work(job, lambda step: step < LENGTH + 2)
    assert facts(job)["train"]["epochs"] == EPOCHS
    assert not job.run.is_done()
    work(job, lambda _: True)
    assert job.run.is_done()
    assert facts(job)["verdict"]["best_epoch"]
    assert Silent.ends == ["KILLED", "FINISHED"]
    assert len((job.run.folder / "epochs.csv").read_text().splitlines()) == EPOCHS + 1


def test_a_run_that_breaks_down_after_an_onset_has_come_to_its_end(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Monitor.verdict

    def onset(self: Monitor) -> Verdict:
        return dataclasses.replace(plain(self), status="onset", onset_step=2, onset_epoch=1)

    def failing(*arguments: Any) -> Iterator[Report]:
        for report in fit(*arguments):
            if report.step > LENGTH:
                report.signals[1] = math.nan
                failed = report.first_step + 1
                yield dataclasses.replace(report, failed_step=failed, failed_signal="d_loss")
                return
            yield report

    monkeypatch.setattr(Monitor, "verdict", onset)
    monkeypatch.setattr(training_run, "fit", failing)
    work(job, lambda _: True)
    assert job.run.is_done()
    assert facts(job)["verdict"]["status"] == "onset"
    assert Silent.ends == ["FAILED"]


def test_a_record_that_cannot_be_continued_stays_as_it_is(job: Job, tmp_path: Path) -> None:
    """Its pictures would stay beside another run's metrics, and its metrics would be lost."""
    work(job, lambda step: step < 2 * LENGTH + 2)
    before = files(job)
    assert "grid-001.png" in before
    (tmp_path / "checkpoints").rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="has 2 epochs of a run whose checkpoint is not here"):
        work(job, pytest.fail)  # type: ignore[arg-type]
    assert files(job) == before
