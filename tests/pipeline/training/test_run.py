"""A training run in this process, real and tiny, the tracker taken away."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dcgan import training as training_signals
from dcgan.judge import Judge
from dcgan.measuring import Meter, reference
from dcgan.training import Report, fit
from ganverdict import Monitor, Verdict
from ganverdict import signals as verdict_signals
from pipeline.base.params import Params
from pipeline.store import checkpoints
from pipeline.store.checkpoints import Checkpoints
from pipeline.store.columns import read_csv
from pipeline.store.weights import load_generator
from pipeline.training import run as training_run
from pipeline.training.run import TrainingRun
from tests.searches import SHIPPED
from tests.small import CPU, FP32, MEASURE, digits, same, train_params

DATA = digits(train=200, test=120)
JUDGE = Judge().eval()
METER = Meter(JUDGE, reference(JUDGE, DATA, MEASURE), MEASURE)
EPOCHS, LENGTH = 4, train_params().steps_per_epoch
STEPS = EPOCHS * LENGTH


class Told:
    """Takes the tracker's place; keeps the steps of the pictures, and of each metric."""

    def __init__(self, _key: str, _term: int) -> None:
        self.pictures: list[int] = []
        self.steps: dict[str, list[int]] = {}

    def image(self, _key: str, step: int, *_: object) -> None:
        self.pictures.append(step)

    def metrics(self, names: Iterable[str], steps: Sequence[int], *_: object) -> None:
        for name in names:
            self.steps.setdefault(name, []).extend(steps)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", tmp_path)
    monkeypatch.setattr(training_run, "TrackedRun", Told)
    monkeypatch.setattr(training_run, "system_metrics", dict)


def params(**changes: Any) -> Params:
    train = train_params(**{"epochs": EPOCHS, "stop": "at_onset", **changes})
    return dataclasses.replace(SHIPPED, runtime=FP32, measure=MEASURE, train=train)


def training(name: str = "a", **changes: Any) -> TrainingRun:
    return TrainingRun(params(**changes), DATA, METER, Checkpoints(name), CPU)


def trained(before_step: Callable[[int], bool] = lambda _: True, **changes: Any) -> TrainingRun:
    run = training(**changes)
    for _ in run.go_on(before_step):
        pass
    return run


def onset_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Have the monitor confirm an onset with the evaluation of a step."""
    plain = Monitor.verdict

    def verdict(self: Monitor) -> Verdict:
        evaluations = self._quality.evaluations
        found = bool(evaluations) and evaluations[-1].step >= step
        onset = {"status": "onset", "end": "end", "onset_step": step} if found else {}
        return dataclasses.replace(plain(self), **onset)  # type: ignore[arg-type]

    monkeypatch.setattr(Monitor, "verdict", verdict)


def not_finite_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Have a training give a NaN at a step, as a training that diverges does."""

    def failing(*arguments: Any) -> Iterator[Report]:
        for report in fit(*arguments):
            row = step - report.first_step
            if not 0 <= row < len(report.signals):
                yield report
                continue
            report.signals[row, 1] = nan
            yield dataclasses.replace(report, failed_step=step, failed_signal="g_loss")
            return

    monkeypatch.setattr(training_run, "fit", failing)


def test_a_run_whose_epochs_are_all_done_is_complete_also_when_it_is_looked_at_again() -> None:
    assert trained().ended == "complete"
    assert training().ended == "complete"


def test_a_run_that_is_told_to_wait_is_paused_and_goes_on_to_its_end() -> None:
    assert training().ended == "paused"
    assert trained(lambda step: step < LENGTH + 3).ended == "paused"
    assert trained().ended == "complete"
    assert training().state.step == STEPS


def test_an_onset_ends_a_run_that_is_to_stop_at_it_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    onset_at(monkeypatch, 2 * LENGTH)
    stopped = trained()
    assert (stopped.ended, stopped.state.step) == ("onset", 2 * LENGTH)
    assert training().ended == "onset"
    assert trained(name="b", stop="never").ended == "complete"


def test_an_onset_that_the_last_epoch_confirms_leaves_the_run_complete(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    onset_at(monkeypatch, STEPS)
    assert trained().ended == "complete"


@pytest.mark.parametrize("step", [1, LENGTH + 3, STEPS])
def test_a_failed_step_is_the_end_whatever_the_verdict_says(
    monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """With an onset before it the verdict's word is `onset`, and the run is no less at its end."""
    onset_at(monkeypatch, LENGTH)
    not_finite_at(monkeypatch, step)
    run = trained(stop="never")
    assert run.ended == "diverged"
    assert run.history.saved_step == step
    assert run.verdict.status == ("diverged" if step < LENGTH else "onset")


def test_no_picture_is_told_of_a_failed_step(monkeypatch: pytest.MonkeyPatch) -> None:
    onset_at(monkeypatch, LENGTH)
    not_finite_at(monkeypatch, 2 * LENGTH + 3)
    run = trained(stop="never", sample_every=4)
    assert run.ended == "diverged"
    assert isinstance(run.tracked, Told)
    assert run.tracked.pictures == run.history.grid_steps == [4, 6, 8, 12]


@pytest.mark.parametrize("conditional", [False, True])
def test_an_interrupted_run_goes_on_bit_for_bit(conditional: bool) -> None:
    """With every kind of draw: dropout, both batches of noise, digits drawn with replacement."""
    changes: dict[str, Any] = {
        "conditional": conditional,
        "g_dropout": 0.4,
        "d_dropout": 0.4,
        "average_images": 20,
        "sample_every": 4,
    }
    whole = trained(name="whole", **changes)
    trained(lambda step: step < LENGTH + 3, name="parts", **changes)
    parts = trained(name="parts", **changes)
    assert parts.ended == whole.ended == "complete"
    assert same(whole.state.state_dict(), parts.state.state_dict())
    assert same(whole.history.signals, parts.history.signals)
    assert all(("as_asked" in row) == conditional for row in parts.history.epochs)
    generator, _ = load_generator(parts.checkpoints.generator(EPOCHS))
    assert generator.conditional == conditional


def test_a_run_is_assessed_anew_from_its_checkpoint_and_nothing_is_trained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Other thresholds, or other code of `ganverdict`, say now that it went wrong, and when."""
    whole = trained(sample_every=4)
    assert whole.ended == "complete"
    with monkeypatch.context() as patch:
        onset_at(patch, 2 * LENGTH)
        stopped = trained(name="stopped", sample_every=4)
        patch.setattr(training_run, "fit", lambda *_: iter([]))  # gives nothing
        again = trained(sample_every=4)
    assert again.ended == stopped.ended == "onset"
    assert again.verdict == stopped.verdict != whole.verdict
    for run in (again, stopped):
        for row in run.history.epochs:
            del row["seconds"]
        run.history.time_ms, run.history.times_ms, run.history.seconds = 0, [], 0.0
    assert same(vars(again.history), vars(stopped.history))
    assert training(sample_every=4).ended == "complete"  # what is left out is not lost


@pytest.mark.parametrize(
    ("every", "epochs"), [(0, []), (1, [1, 2, 3, 4]), (2, [2, 4]), (3, [3]), (5, [])]
)
def test_fd_raw_is_measured_and_told_every_so_many_epochs_and_missing_from_the_others(
    tmp_path: Path, every: int, epochs: list[int]
) -> None:
    run = trained(average_images=8, raw_every=every)
    assert isinstance(run.tracked, Told)
    assert [row["epoch"] for row in run.history.epochs if "fd_raw" in row] == epochs
    assert run.tracked.steps.get("eval/fd_raw", []) == [epoch * LENGTH for epoch in epochs]
    assert run.tracked.steps["eval/fd"] == [epoch * LENGTH for epoch in range(1, EPOCHS + 1)]
    run.history.write_epochs(tmp_path / "epochs.csv")
    columns = read_csv(tmp_path / "epochs.csv", ("epoch", "fd", "fd_raw", "seconds"))
    assert columns["fd"].count() == columns["seconds"].count() == EPOCHS
    assert ("fd_raw" in columns) == bool(epochs)
    if epochs:
        there = ~np.ma.getmaskarray(columns["fd_raw"])
        assert columns["epoch"][there].tolist() == epochs


def test_how_often_fd_raw_is_measured_changes_nothing_else() -> None:
    often, seldom = trained(average_images=8), trained(name="b", average_images=8, raw_every=3)
    assert same(often.state.state_dict(), seldom.state.state_dict())
    assert often.verdict == seldom.verdict
    for one, other in zip(often.history.epochs, seldom.history.epochs, strict=True):
        kept = {**one, "seconds": other["seconds"]}
        assert other == {name: kept[name] for name in other}


def test_the_verdict_knows_every_signal_that_training_records() -> None:
    """Two packages, neither of which imports the other."""
    assert {*training_signals.SIGNALS} <= {*verdict_signals.SIGNALS}


def test_a_run_tells_its_verdict_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(Told, "describe", lambda _, text: told.append(text), raising=False)
    run = trained()
    run.close("FINISHED")
    assert told[0].startswith(f"**{run.verdict.status}**: {run.verdict.reason}\n")
    best = run.history.epochs[int(run.verdict.best_epoch or 0) - 1]
    assert f"epoch {best['epoch']}, step {best['step']}" in told[0]
    assert f"{best['fd']:.4g}" in told[0]
    not_finite_at(monkeypatch, 1)
    failed = trained(name="failed")
    failed.close("FAILED")
    assert told[1].startswith(f"**diverged**: {failed.verdict.reason}\n")
    assert "Best stopping point: unknown" in told[1]
    assert "\n\nTraining: go on" in told[0]
    assert f"\n\nTraining: end the training: {failed.verdict.end_reason}\n" in told[1]
