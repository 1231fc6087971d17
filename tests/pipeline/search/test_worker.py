"""One trial in this process, the tracker taken away; training is real and tiny, or scripted."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dcgan.judge import Judge
from dcgan.measuring import Meter, reference
from dcgan.training import Report, fit
from ganverdict import Monitor, Verdict
from pipeline.base.space import Recipe
from pipeline.search import worker
from pipeline.search.study import Request, TrialResult
from pipeline.search.worker import NOTHING_FD, Job, Trainer
from pipeline.store import checkpoints
from pipeline.training import run as training_run
from tests.searches import SHIPPED, tune_params
from tests.small import CPU, FP32, MEASURE, digits, train_params

DATA = digits(train=200, test=120)
EPOCHS = 4


class Silent:
    """Takes the tracker's place; keeps how runs ended and their tags."""

    runs: list["Silent"] = []  # noqa: RUF012

    def __init__(self, key: str, _term: int) -> None:
        self.kept: dict[str, object] = {"key": key}
        self.runs.append(self)

    def begin(self, name: str, _: object, tags: dict[str, str], parent: str) -> None:
        self.kept |= {"name": name, "parent": parent, **tags}

    def tags(self, values: dict[str, object]) -> None:
        self.kept |= values

    def end(self, status: str) -> None:
        self.kept["end"] = status

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


class Told(Trainer):
    """A trainer whose study knows of each trial's end at once."""

    def train(self, request: Request) -> TrialResult:
        result = super().train(request)
        self.clear_away(result.outcome)
        return result


@pytest.fixture
def trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trainer:
    judge = Judge().eval()
    (tmp_path / "judge").write_bytes(b"judge")
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", tmp_path / "checkpoints")
    monkeypatch.setattr(worker, "JUDGE", tmp_path / "judge")
    monkeypatch.setattr("pipeline.tracking.provenance.tags", dict)
    monkeypatch.setattr(training_run, "TrackedRun", Silent)
    monkeypatch.setattr(training_run, "system_metrics", dict)
    monkeypatch.setattr(Silent, "runs", [])
    return made(judge, "resource")


def made(judge: Judge, mode: str) -> Trainer:
    params = dataclasses.replace(
        SHIPPED,
        runtime=FP32,
        measure=MEASURE,
        train=train_params(),
        tune=tune_params(epochs={"min": 2, "max": EPOCHS, "mode": mode}),
    )
    job = Job(params, "", "sweep", 9, "the sweep", "hash")
    meter = Meter(judge, reference(judge, DATA, MEASURE), MEASURE)
    return Told(job, "uid", DATA, meter, CPU, lambda _: True)


def rates(lr_g: float, lr_d: float) -> Recipe:
    return {"lr_g": lr_g, "lr_d": lr_d}


def requested(cut_at: int = 0, number: int = 0, **changes: Any) -> tuple[Request, dict[int, float]]:
    """A request, and what the pruner is told; it cuts at an epoch, if that is given."""
    best_so_far: dict[int, float] = {}

    def should_prune(epoch: int, best: float) -> bool:
        best_so_far[epoch] = best
        return epoch == cut_at

    plain = Request(number, 0, rates(0.001, 0.002), EPOCHS, None, should_prune)
    return dataclasses.replace(plain, **changes), best_so_far


def scripted(monkeypatch: pytest.MonkeyPatch, fds: list[float]) -> None:
    """Have each epoch's fd be as written, whatever was trained."""

    def measured(_: Meter, state: Any, *__: object) -> dict[str, float]:
        epoch = state.step // train_params().steps_per_epoch
        rest = {"fd_sigma": 0.0, "class_kl": 0.0, "coverage": 1.0, "min_share": 1.0}
        rest |= {"d_loss_train": 0.5, "d_loss_test": 0.5}
        return {"fd": fds[epoch - 1], **rest}

    monkeypatch.setattr(training_run, "measure_epoch", measured)


def onset_from(monkeypatch: pytest.MonkeyPatch, step: int, known_at: int) -> None:
    """Have the monitor find an onset at `step` once it has seen step `known_at`."""
    judged = Monitor.verdict

    def verdict(self: Monitor) -> Verdict:
        plain = judged(self)
        if self._quality.evaluations and self._quality.evaluations[-1].step >= known_at:
            onset = {"status": "onset", "end": "end", "onset_step": step, "onset_epoch": 3}
            return dataclasses.replace(plain, **onset, reason="bad")  # type: ignore[arg-type]
        return plain

    monkeypatch.setattr(Monitor, "verdict", verdict)


def failing_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Have the signals of a step be not finite."""

    def failing(*arguments: Any) -> Iterator[Report]:
        for report in fit(*arguments):
            if not report.first_step <= step <= report.step:
                yield report
                continue
            report.signals[step - report.first_step] = math.nan
            yield dataclasses.replace(report, failed_step=step, failed_signal="d_loss")
            return

    monkeypatch.setattr(training_run, "fit", failing)


def test_a_whole_trial_best_so_far_the_best_so_far_and_is_worth_its_best(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, [1.0, 9.0, 8.0, 6.0])
    request, best_so_far = requested()
    result = trainer.train(request)
    assert result.outcome == "complete"
    assert [*best_so_far] == [2, 3, 4]  # none before the first epoch that is allowed
    assert [*best_so_far.values()] == sorted(best_so_far.values(), reverse=True)
    assert result.value == best_so_far[4]
    assert result.facts["best_epoch"] >= 2
    assert result.facts["fd"] == [[1, 1.0], [2, 9.0], [3, 8.0], [4, 6.0]]
    (run,) = Silent.runs
    assert (run.kept["outcome"], run.kept["end"]) == ("complete", "FINISHED")
    assert (run.kept["parent"], run.kept["trial"]) == ("the sweep", "0")


def test_rates_and_length_are_those_asked_for_and_seeds_too(trainer: Trainer) -> None:
    request, _ = requested(recipe=rates(0.5, 0.25), epochs=3, seed=77)
    train = trainer.train_params(request)
    assert (train.lr_g, train.lr_d, train.epochs, train.seed) == (0.5, 0.25, 3, 77)
    assert trainer.train_params(requested()[0]).seed == trainer.job.params.train.seed
    assert train.width == trainer.job.params.train.width


def test_any_key_is_trained_as_asked_for(trainer: Trainer) -> None:
    recipe: Recipe = {"width": 4, "loss": "relativistic", "freeze_discriminator": False}
    train = trainer.train_params(requested(recipe=recipe)[0])
    assert {key: getattr(train, key) for key in recipe} == recipe
    assert train.lr_g == trainer.job.params.train.lr_g
    assert trainer.train(requested(recipe=recipe)[0]).outcome == "complete"


def test_a_cut_trial_ends_at_once_and_keeps_the_best_it_had(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, [9.0, 8.0, 7.0, 1.0])
    request, best_so_far = requested(cut_at=3)
    result = trainer.train(request)
    assert (result.outcome, result.facts["epochs_trained"]) == ("pruned", 3)
    assert result.value == best_so_far[3]
    assert Silent.runs[0].kept["end"] == "FINISHED"


def test_a_confirmed_onset_ends_a_trial_with_the_best_that_it_had(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    length = train_params().steps_per_epoch
    scripted(monkeypatch, [9.0, 5.0, 6.0, 1.0])
    onset_from(monkeypatch, step=2 * length + 1, known_at=3 * length)
    request, best_so_far = requested()
    result = trainer.train(request)
    assert result.outcome == "onset"
    assert result.facts["epochs_trained"] == 3
    assert (result.value, result.facts["best_epoch"]) == (5.0, 2)
    # What it had stays its best, so that others are compared with it at later epochs too.
    assert best_so_far[4] == 5.0
    assert Silent.runs[0].kept["reason"] == "bad"


def test_a_trial_that_breaks_down_is_finite_and_named(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, best_so_far = requested(recipe=rates(1e30, 1e30))
    result = trainer.train(request)
    assert result.outcome == "diverged"
    assert result.value == NOTHING_FD
    assert "not finite" in result.facts["reason"]
    assert [*best_so_far.values()] == [NOTHING_FD] * len(best_so_far)
    assert Silent.runs[0].kept["end"] == "FAILED"


def test_an_error_closes_the_tracked_run_with_its_reason(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Iterator[Report]:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(training_run, "fit", broken)
    with pytest.raises(RuntimeError):
        trainer.train(requested()[0])
    kept = Silent.runs[0].kept
    assert (kept["outcome"], kept["end"]) == ("failed", "FAILED")
    assert "out of memory" in str(kept["reason"])


def test_an_interrupted_trial_continues_from_its_checkpoint_to_the_same_end(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trainer.train(requested()[0])
    length = train_params().steps_per_epoch
    trainer.may_go_on = lambda step: step < 2 * length + 3
    assert trainer.train(requested()[0]).outcome == "interrupted"
    assert Silent.runs[1].kept["end"] == "KILLED"
    trained: list[int] = []

    def count(step: int) -> bool:
        trained.append(step)
        return True

    trainer.may_go_on = count
    request, best_so_far = requested(number=5)
    again = trainer.train(request)
    assert trained == list(range(2 * length, EPOCHS * length))
    assert [*best_so_far] == [2, 3, 4]
    for name in ("fd", "best_epoch", "status", "epochs_trained"):
        assert again.facts[name] == whole.facts[name]
    assert again.value == whole.value
    assert Silent.runs[1].kept["key"] == Silent.runs[2].kept["key"]


def test_a_resumed_trial_is_cut_where_the_pruner_now_cuts_it(trainer: Trainer) -> None:
    length = train_params().steps_per_epoch
    trainer.may_go_on = lambda step: step < 3 * length + 1
    assert trainer.train(requested()[0]).outcome == "interrupted"
    trainer.may_go_on = pytest.fail  # type: ignore[assignment]
    request, best_so_far = requested(cut_at=2)
    result = trainer.train(request)
    assert (result.outcome, result.facts["epochs_trained"]) == ("pruned", 3)
    assert [*best_so_far] == [2, 3]  # the others are compared with all that it did


def test_a_resumed_trial_that_had_come_to_its_end_is_complete_whatever_the_pruner_says(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(training_run.TrainingRun, "close", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            trainer.train(requested()[0])
    result = trainer.train(requested(cut_at=2)[0])
    assert (result.outcome, result.facts["epochs_trained"]) == ("complete", EPOCHS)


def test_no_state_leaks_from_trial_to_trial(trainer: Trainer) -> None:
    def fds(**changes: Any) -> object:
        return trainer.train(requested(**changes)[0]).facts["fd"]

    alone = fds()
    assert fds(origin=1, recipe=rates(0.1, 0.1)) != alone
    assert fds(origin=2) == alone


def test_a_search_trial_leaves_no_checkpoint_and_a_confirming_one_its_generators(
    trainer: Trainer, tmp_path: Path
) -> None:
    Trainer.train(trainer, requested()[0])
    assert list((tmp_path / "checkpoints").glob("tune/**/*.*"))  # the study may not know yet
    trainer.clear_away("complete")
    assert not list((tmp_path / "checkpoints").glob("tune/**/*.*"))
    result = trainer.train(requested(seed=5)[0])
    kept = checkpoints.Checkpoints(result.facts["checkpoint"])
    assert all(kept.generator(epoch).exists() for epoch in range(1, EPOCHS + 1))


def test_the_plain_way_trains_one_length_through_onsets_and_is_worth_its_end(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = made(Judge().eval(), "sampled")
    length = train_params().steps_per_epoch
    scripted(monkeypatch, [1.0, 5.0, 6.0, 7.0])
    onset_from(monkeypatch, step=length + 1, known_at=2 * length)
    request, _ = requested(epochs=3)
    result = plain.train(request)
    assert result.outcome == "complete"
    assert (result.facts["epochs_trained"], result.facts["best_epoch"]) == (3, 3)
    assert result.value == 6.0


def test_a_sampled_length_that_breaks_down_after_an_onset_is_at_its_end(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampled = made(Judge().eval(), "sampled")
    length = train_params().steps_per_epoch
    onset_from(monkeypatch, step=length + 1, known_at=2 * length)
    failing_at(monkeypatch, 2 * length + 3)
    result = sampled.train(requested()[0])
    assert result.outcome == "diverged"
    assert result.facts["status"] == "onset"
    assert result.value is not None
    assert Silent.runs[0].kept["end"] == "FAILED"
