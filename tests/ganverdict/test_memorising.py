"""What evaluations of D on held-out images do to the verdict on a run."""

import numpy as np
import pytest

from ganverdict.monitor import assess, fed_monitor
from ganverdict.verdict import Verdict
from tests.synthetic_runs import EPOCH, PARAMS, Columns

EPOCHS, TURN = 32, 16


def run(memorises_from: int | None, until: int = 99) -> tuple[Columns, Columns]:
    """D's losses below chance; fd falls until epoch 16, then rises by 1 % an epoch."""
    rng = np.random.default_rng(0)
    step = np.arange(1, EPOCHS * EPOCH + 1)
    losses = {name: 0.6 + 0.01 * rng.standard_normal(len(step)) for name in ("d_loss", "g_loss")}
    epoch = np.arange(1.0, EPOCHS + 1)
    fd = np.where(epoch <= TURN, 24 - epoch, 8 * 1.01 ** (epoch - TURN))
    fd *= np.exp(0.003 * rng.standard_normal(EPOCHS))
    first = memorises_from or 999
    test = np.where((epoch >= first) & (epoch < until), 0.65, 0.57)
    measures = {"fd": fd, "d_loss_train": np.full(EPOCHS, 0.55), "d_loss_test": test}
    return {"step": step, **losses}, {"step": epoch * EPOCH, "epoch": epoch, **measures}


def verdict(last: int = EPOCHS, memorises_from: int | None = None, until: int = 99) -> Verdict:
    steps, evaluations = run(memorises_from, until)
    steps = {name: values[: last * EPOCH] for name, values in steps.items()}
    evaluations = {name: values[:last] for name, values in evaluations.items()}
    return assess(steps, evaluations, PARAMS, steps_per_epoch=EPOCH, loss="bce_mean")


def test_memorising_announces_the_decline_and_ends_patience() -> None:
    told = verdict(memorises_from=7)
    assert (told.status, told.signal, told.end) == ("onset", "memorising", "roll_back")
    assert (told.alarm_step, told.best_epoch) == (9 * EPOCH, TURN)
    assert told.onset_epoch == TURN + 1
    (state,) = told.states
    assert (state.name, state.since, state.raised) == ("memorising", 7 * EPOCH, 9 * EPOCH)
    assert "by heart" in told.reason
    # What explains the decline makes it certain; without it, it is not within these epochs.
    assert told.confirm_epoch is not None
    assert verdict().confirm_epoch is None
    assert told.remedies[0].words.startswith("augmentation")


def test_a_state_that_has_passed_explains_nothing_that_comes_after() -> None:
    passed = verdict(memorises_from=2, until=6)
    assert passed.states[0].until == 6 * EPOCH
    assert passed.signal != "memorising"


def test_memorising_alone_is_no_end_of_a_run_whose_samples_improve() -> None:
    for last in range(4, TURN + 1):
        told = verdict(last, memorises_from=2)
        assert (told.end, told.went_wrong) == ("go_on", False)
        assert [state.name for state in told.states] == ["memorising"]


@pytest.mark.parametrize("last", [8, 9, 15, 22])
def test_what_is_said_at_an_epoch_depends_on_nothing_after_it(last: int) -> None:
    steps, evaluations = run(memorises_from=7)
    whole = fed_monitor(steps, evaluations, PARAMS, steps_per_epoch=EPOCH, loss="bce_mean")
    before = [a for a in whole.alarms if a.step <= last * EPOCH]
    told = verdict(last, memorises_from=7)
    assert any(a.signal == "memorising" for a in before) is (last >= 9)
    assert any(state.name == "memorising" for state in told.states) is (last >= 9)


def test_without_a_family_it_is_said_that_memorising_cannot_be_told() -> None:
    steps, evaluations = run(7)
    del steps["g_loss"]  # with which D's would tell the family
    told = assess(steps, evaluations, PARAMS, steps_per_epoch=EPOCH)
    assert told.loss is None
    assert any("training images by heart" in words for words in told.unknown)
    del evaluations["d_loss_train"]
    less = assess(steps, evaluations, PARAMS, steps_per_epoch=EPOCH)
    assert not any("training images by heart" in words for words in less.unknown)
