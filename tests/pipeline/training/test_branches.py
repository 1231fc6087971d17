"""Runs that roll back, real and tiny; how good an epoch is, and when one declines, is told."""

import contextlib
import copy
import dataclasses
from collections.abc import Callable, Iterator
from math import nan
from pathlib import Path
from typing import Any

import pytest

from dcgan.judge import Judge
from dcgan.measuring import Meter, reference
from dcgan.params import TrainParams
from dcgan.probing import PROBED
from dcgan.training import Report, fit
from ganverdict import Monitor, Verdict
from ganverdict.verdict import HeldState
from pipeline.base.cli import UserError
from pipeline.base.params import Params
from pipeline.store import checkpoints
from pipeline.store.checkpoints import Checkpoints, run_hash
from pipeline.training import run as training_run
from pipeline.training.branches import branch, in_words, on_branch
from pipeline.training.run import TrainingRun
from tests.searches import SHIPPED
from tests.small import CPU, FP32, MEASURE, digits, same, train_params

DATA = digits(train=200, test=120)
JUDGE = Judge().eval()
METER = Meter(JUDGE, reference(JUDGE, DATA, MEASURE), MEASURE)
LENGTH = train_params().steps_per_epoch
FDS = [9.0, 5.0, 5.1, 5.2, 5.1, 5.2, 5.1, 5.2]  # the second epoch is the best
BEST, DECLINED = 2 * LENGTH, 4 * LENGTH
CHANGES: dict[str, Any] = {
    "epochs": len(FDS),
    "stop": "rollback",
    "g_dropout": 0.4,
    "d_dropout": 0.4,
    "average_images": 20,
    "sample_every": 4,
    "optimizer": "adam",
    "r1_every": 2,
}


class Told:
    """Takes the tracker's place; keeps the tags."""

    def __init__(self, _key: str, _term: int) -> None:
        self.kept: dict[str, object] = {}

    def tags(self, values: dict[str, object]) -> None:
        self.kept |= values

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", tmp_path)
    monkeypatch.setattr(training_run, "TrackedRun", Told)
    monkeypatch.setattr(training_run, "system_metrics", dict)


@pytest.fixture(autouse=True)
def fds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What each epoch's fd is, whatever was trained."""
    told = list(FDS)

    def measured(_: Meter, state: Any, *__: object) -> dict[str, float]:
        fd = told[state.step // LENGTH - 1]
        rest = {"fd_sigma": 0.01, "class_kl": 0.0, "coverage": 1.0, "min_share": 1.0}
        return {"fd": fd, **rest, **dict.fromkeys(PROBED, 0.5)}

    monkeypatch.setattr(training_run, "measure_epoch", measured)
    return told


def declines(monkeypatch: pytest.MonkeyPatch, step: int, *states: HeldState) -> None:
    """Have every evaluation from a step on confirm a decline."""
    plain = Monitor.verdict

    def verdict(self: Monitor) -> Verdict:
        evaluations = self._quality.evaluations
        found = bool(evaluations) and evaluations[-1].step >= step
        onset = {"status": "onset", "end": "roll_back", "onset_step": step, "states": states}
        return dataclasses.replace(plain(self), **(onset if found else {}))  # type: ignore[arg-type]

    monkeypatch.setattr(Monitor, "verdict", verdict)


def params(**changes: Any) -> Params:
    train = train_params(**{**CHANGES, **changes})
    return dataclasses.replace(SHIPPED, runtime=FP32, measure=MEASURE, train=train)


def training(name: str = "a", **changes: Any) -> TrainingRun:
    return TrainingRun(params(**changes), DATA, METER, Checkpoints(name), CPU)


def trained(before_step: Callable[[int], bool] = lambda _: True, **changes: Any) -> TrainingRun:
    run = training(**changes)
    run.begin("", "", {})
    for _ in run.go_on(before_step):
        pass
    return run


def states_of(run: TrainingRun) -> dict[int, Any]:
    """Train; the state after each report, by its last step."""
    found = {}
    for _ in run.go_on():
        found[run.history.saved_step] = copy.deepcopy(run.state.state_dict())
    return found


def recorded(run: TrainingRun) -> dict[str, Any]:
    """All that a run keeps, but for the clock."""
    epochs = [{k: v for k, v in row.items() if k != "seconds"} for row in run.history.epochs]
    times = {"time_ms": 0, "times_ms": [], "seconds": 0.0}
    return {**vars(run.history), "epochs": epochs, **times}


def without_step(state: dict[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in state.items() if name != "step"}


# What a return is.


def test_a_decline_goes_back_to_the_best_state_bit_for_bit_and_steps_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    declines(monkeypatch, DECLINED)
    run = training(rollbacks=1)
    states = states_of(run)
    assert states[DECLINED]["step"] == DECLINED
    assert same(without_step(states[DECLINED]), without_step(states[BEST]))
    before = states[DECLINED - LENGTH + 2]
    assert not same(without_step(states[DECLINED]), without_step(before))
    assert run.ended == "onset"  # one epoch later, when it may not go back again
    assert run.state.step == DECLINED + LENGTH
    assert len(run.history.signals) == DECLINED + LENGTH
    assert [row["branch"] for row in run.history.epochs] == [0, 0, 0, 0, 1]
    assert [row["epoch"] for row in run.history.epochs] == [1, 2, 3, 4, 5]


def test_from_there_on_it_is_a_training_of_that_state_with_half_the_rates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    declines(monkeypatch, DECLINED)
    run = training(rollbacks=1, sample_every=0)
    states = states_of(run)
    rates = {"lr_d": train_params().lr_d / 2, "lr_g": train_params().lr_g / 2}
    again = training(name="by hand", sample_every=0).state
    again.load_state_dict({**states[BEST], "step": DECLINED})
    by_hand = dataclasses.replace(params(sample_every=0, **rates).train, epochs=5)
    for _ in fit(again, DATA.train_images, by_hand, FP32):
        pass
    assert same(again.state_dict(), states[DECLINED + LENGTH])


def test_it_goes_back_so_often_and_then_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    declines(monkeypatch, DECLINED)
    for rollbacks in (1, 2, 3):
        run = trained(name=f"of {rollbacks}", rollbacks=rollbacks)
        begun = [row["step"] for row in run.history.branches]
        assert begun == [DECLINED + i * LENGTH for i in range(rollbacks)]
        assert [row["best_step"] for row in run.history.branches] == [BEST] * rollbacks
        wanted = [train_params().lr_d / 2**i for i in range(1, rollbacks + 1)]
        assert [row["lr_d"] for row in run.history.branches] == wanted
        assert run.ended == "onset"
        assert run.state.step == DECLINED + rollbacks * LENGTH


def test_the_last_epoch_is_the_last_whatever_it_confirms(monkeypatch: pytest.MonkeyPatch) -> None:
    declines(monkeypatch, len(FDS) * LENGTH)
    run = trained()
    assert run.ended == "complete"
    assert run.history.branches == []


@pytest.mark.parametrize("stop", ["at_onset", "never"])
def test_no_other_run_goes_back_or_keeps_a_state_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stop: str
) -> None:
    declines(monkeypatch, DECLINED)
    run = trained(stop=stop)
    assert run.ended == {"at_onset": "onset", "never": "complete"}[stop]
    assert "branch" not in run.history.epochs[0]
    assert "branches" not in run.answer
    assert not (tmp_path / "a/best.pt").exists()


def test_the_best_epoch_of_all_branches_is_kept(
    monkeypatch: pytest.MonkeyPatch, fds: list[float]
) -> None:
    declines(monkeypatch, DECLINED)
    worse = trained(name="worse", rollbacks=1)
    assert (worse.verdict.best_epoch, worse.verdict.best_step) == (2, BEST)
    fds[4] = 4.0
    better = trained(name="better", rollbacks=2)
    assert better.verdict.best_epoch == 5
    assert [row["best_step"] for row in better.history.branches] == [BEST, 5 * LENGTH]


def test_patience_after_a_return_goes_by_all_epochs_that_led_to_the_best(
    monkeypatch: pytest.MonkeyPatch, fds: list[float]
) -> None:
    """Epochs 1 to 3 and 6 led to the best, the latter after a first return."""
    fds[:] = [9.0, 5.0, 4.0, 5.0, 5.0, 3.0, 3.3, 3.3, 3.2]
    told: list[list[tuple[float, float | None]]] = []
    plain = Monitor.verdict

    def verdict(self: Monitor) -> Verdict:
        seen = [(e.step / LENGTH, e.value) for e in self._quality.evaluations]
        told.append(seen)
        onset = {"status": "onset", "end": "roll_back", "onset_step": 1}
        found = bool(seen) and seen[-1][0] in (5, 8)
        return dataclasses.replace(plain(self), **(onset if found else {}))  # type: ignore[arg-type]

    monkeypatch.setattr(Monitor, "verdict", verdict)
    run = trained(rollbacks=2, epochs=9, stop="rollback")
    assert [row["best_step"] for row in run.history.branches] == [3 * LENGTH, 6 * LENGTH]
    path = [(1.0, 9.0), (2.0, 5.0), (3.0, 4.0), (6.0, 3.0)]
    assert path in told
    assert [*path, (9.0, fds[-1])] == told[-1]


def test_what_the_digits_were_before_a_return_ends_nothing_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Coverage had been lost for epochs when fd was at its best."""
    told = {1: 0.9, 2: 0.9, 3: 0.9, 4: 0.9, 5: 0.9, 6: 0.9, 7: 0.2, 8: 0.2}
    falls = dict(enumerate([9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0], start=1))

    def measured(_: Meter, state: Any, *__: object) -> dict[str, float]:
        epoch = min(state.step // LENGTH, 8)
        rest = {"fd_sigma": 0.01, "class_kl": 0.0, "coverage": told[epoch], "min_share": 1.0}
        return {"fd": falls[epoch], **rest, **dict.fromkeys(PROBED, 0.5)}

    monkeypatch.setattr(training_run, "measure_epoch", measured)
    run = trained(rollbacks=1, epochs=10)
    (begun,) = run.history.branches
    assert (begun["step"], begun["best_step"]) == (8 * LENGTH, 8 * LENGTH)
    assert run.ended == "complete"


# Failed steps.


def not_finite_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
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


def test_a_run_that_diverged_goes_back_and_on_from_the_failed_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    not_finite_at(monkeypatch, DECLINED - 3)
    run = trained()
    (begun,) = run.history.branches
    assert (begun["step"], begun["best_step"]) == (DECLINED - 3, BEST)
    assert run.ended == "complete"
    assert run.history.signals.isfinite().all(dim=1).tolist().count(False) == 1
    assert len(run.history.epochs) == len(FDS)
    again = training()
    assert again.ended == "complete"
    assert same(again.state.state_dict(), run.state.state_dict())


def test_a_run_that_diverged_before_anything_was_measured_has_nothing_to_go_back_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    not_finite_at(monkeypatch, 3)
    run = trained()
    assert (run.ended, run.history.branches) == ("diverged", [])


# Resuming.


@pytest.mark.parametrize(
    "kills",
    [
        [BEST + 1],
        [DECLINED - 1],
        [DECLINED],
        [DECLINED + 1],
        [DECLINED + LENGTH],
        [DECLINED + LENGTH + 3],
        range(1, 6 * LENGTH, 5),
    ],
)
def test_a_run_killed_anywhere_goes_on_bit_for_bit(
    monkeypatch: pytest.MonkeyPatch, kills: list[int]
) -> None:
    declines(monkeypatch, DECLINED)
    whole = trained(name="whole")
    for kill in kills:
        trained(lambda step, kill=kill: step != kill, name="parts")  # type: ignore[misc]
    parts = trained(name="parts")
    assert parts.ended == whole.ended == "onset"
    assert len(parts.history.branches) == 2
    assert parts.verdict == whole.verdict
    assert same(parts.state.state_dict(), whole.state.state_dict())
    assert same(recorded(parts), recorded(whole))


@pytest.mark.parametrize("step", [BEST, DECLINED, DECLINED + LENGTH])
@pytest.mark.parametrize("where", ["save", "save_best", "_track"])
def test_a_run_killed_while_it_keeps_its_states_goes_on_bit_for_bit(
    monkeypatch: pytest.MonkeyPatch, step: int, where: str
) -> None:
    declines(monkeypatch, DECLINED)
    whole, parts = trained(name="whole"), training(name="parts")
    owner: Any = TrainingRun if where == "_track" else Checkpoints

    with monkeypatch.context() as patch:

        def killed(*_: object) -> None:
            if parts.history.saved_step == step:
                raise KeyboardInterrupt
            kept(*_)

        kept = getattr(owner, where)
        patch.setattr(owner, where, killed)
        with contextlib.suppress(KeyboardInterrupt):
            states_of(parts)
    parts = trained(name="parts")
    assert same(parts.state.state_dict(), whole.state.state_dict())
    assert same(recorded(parts), recorded(whole))


def test_a_state_to_go_back_to_that_is_of_another_step_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    declines(monkeypatch, DECLINED)
    trained(lambda step: step < DECLINED - 1)
    Checkpoints("a").save_best({"step": BEST - 1})
    with pytest.raises(UserError, match=r"best\.pt: corrupt, or not a checkpoint; delete .*state"):
        trained()


def test_a_run_that_rolls_back_is_another_one_with_other_thresholds(tmp_path: Path) -> None:
    judge = tmp_path / "judge"
    judge.touch()

    def name(stop: str, patience: int) -> str:
        stability = dataclasses.replace(SHIPPED.stability, patience=patience)
        return run_hash(dataclasses.replace(params(stop=stop), stability=stability), CPU, "", judge)

    assert name("rollback", 8) != name("rollback", 9)
    assert name("never", 8) == name("never", 9)


# Which way on, and how it is told.


@pytest.mark.parametrize(
    ("state", "until", "r1_gamma", "wanted"),
    [
        (None, None, 0.0, (0.5, 0.0)),
        ("at_chance", None, 0.0, (1.0, 1.0)),
        ("memorising", None, 0.0, (1.0, 1.0)),
        ("memorising", 5.0, 0.0, (0.5, 0.0)),  # it has passed
        ("memorising", None, 2.0, (0.5, 2.0)),  # R1 did not help
        ("vanished", None, 0.0, (0.5, 0.0)),
    ],
)
def test_r1_is_put_on_where_it_helps_and_else_rates_are_halved(
    state: str | None, until: float | None, r1_gamma: float, wanted: tuple[float, float]
) -> None:
    states = (HeldState(state, "", 1, 2, until),) if state else ()
    train = train_params(lr_d=0.01, lr_g=0.02, r1_gamma=r1_gamma)
    begun = branch(train, states, 30, {"epoch": 2, "step": 12, "fd": 5.0})
    factor, gamma = wanted
    changed = {"lr_d": 0.01 * factor, "lr_g": 0.02 * factor, "r1_gamma": gamma}
    place = {"step": 30, "best_epoch": 2, "best_step": 12}
    assert begun == {**place, **changed, "freeze_discriminator": True}
    assert on_branch(train, [begun]) == dataclasses.replace(train, **changed)  # type: ignore[arg-type]
    assert on_branch(train, []) == train


@pytest.mark.parametrize(
    ("state", "until", "frozen"),
    [("at_chance", None, True), ("fooled", None, True), ("at_chance", 5.0, False),
     ("memorising", None, False), ("vanished", None, False)],
)  # fmt: skip
def test_the_joint_update_ends_where_d_cannot_tell_images_apart(
    state: str, until: float | None, frozen: bool
) -> None:
    train = train_params(freeze_discriminator=False)
    begun = branch(train, [HeldState(state, "", 1, 2, until)], 30, {"epoch": 2, "step": 12})
    on = on_branch(train, [begun])
    assert on.freeze_discriminator is frozen
    same_but_for_it = dataclasses.replace(on, freeze_discriminator=False) == train
    assert same_but_for_it is frozen  # one thing is done otherwise
    assert f"freeze_discriminator {str(frozen).lower()}" in in_words(begun)


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_from_there_on_it_is_a_training_of_that_state_with_d_frozen(
    monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    declines(monkeypatch, DECLINED, HeldState("at_chance", "", 1, 2, None))
    own: dict[str, Any] = {"sample_every": 0, "optimizer": optimizer}
    states = states_of(training(rollbacks=1, freeze_discriminator=False, **own))
    best = copy.deepcopy(states[BEST])
    # The optimiser of a run that was frozen from its start has G's weights alone: the first ones.
    of_g = best["g_optimizer"]
    (group,) = of_g["param_groups"]
    again = training(name="by hand", **own).state
    group["params"] = group["params"][: len(again.g_weights)]
    of_g["state"] = {number: of_g["state"][number] for number in group["params"]}
    again.load_state_dict({**best, "step": DECLINED})
    for _ in fit(
        again, DATA.train_images, dataclasses.replace(params(**own).train, epochs=5), FP32
    ):
        pass
    after = states[DECLINED + LENGTH]
    for name in ("generator", "discriminator", "averaged", "d_optimizer"):
        assert same(again.state_dict()[name], after[name]), name


def test_r1_comes_first_and_lower_rates_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    declines(monkeypatch, DECLINED, HeldState("at_chance", "", 1, 2, None))
    seen: list[TrainParams] = []

    def watched(state: Any, images: Any, train: TrainParams, *others: Any) -> Iterator[Report]:
        seen.append(train)
        return fit(state, images, train, *others)

    monkeypatch.setattr(training_run, "fit", watched)
    trained()
    lr = train_params().lr_d
    assert [(train.lr_d, train.r1_gamma) for train in seen] == [(lr, 0), (lr, 1), (lr / 2, 1)]


def test_every_return_is_told_in_tags_and_with_the_verdict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    declines(monkeypatch, DECLINED)
    run = trained()
    assert isinstance(run.tracked, Told)
    assert list(run.tracked.kept) == ["branch/1", "branch/2"]
    first = str(run.tracked.kept["branch/1"])
    assert first.startswith(f"rolled back at step {DECLINED} to epoch 2, step {BEST}; from there")
    assert run.answer["branches"] == run.history.branches
    assert f"Rolled back: at step {DECLINED} to epoch 2, step {BEST}" in run._description()
    # Looked at again, it tells the same.
    again = training()
    again.begin("", "", {})
    assert isinstance(again.tracked, Told)
    assert again.tracked.kept == run.tracked.kept
