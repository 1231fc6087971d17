"""The verdict on logs of real trainings.

As `benchmarks.validate_verdict --csv` wrote them: one held-out seed;
failures injected after epoch 8 of 468 iterations; every 13th iteration is kept. `joint` and
`frozen` are what `make replicate` recorded of the blog post's recipe at width 8, seed 1; nothing
was injected there.
"""

from pathlib import Path

import pytest

from ganverdict.monitor import assess
from ganverdict.signals import SIGNALS
from ganverdict.verdict import Verdict
from tests.recorded_logs import read_run

RECORDED = Path("tests/recorded")
EPOCH = 468
INJECTED = 8 * EPOCH


def verdict(kind: str, alone: tuple[str, ...] = SIGNALS) -> Verdict:
    steps, epochs = read_run(RECORDED / f"{kind}_steps.csv", RECORDED / f"{kind}_epochs.csv", alone)
    return assess(steps, epochs, steps_per_epoch=EPOCH)


@pytest.mark.parametrize(
    ("kind", "status", "end"),
    [
        ("healthy", "stable", "go_on"),
        ("rate", "onset", "roll_back"),
        ("g_frozen", "stall", "go_on"),  # only six epochs: patience is not lost yet
        ("one_digit", "onset", "roll_back"),
        ("nan", "diverged", "roll_back"),
        ("joint", "onset", "roll_back"),
        ("frozen", "stable", "go_on"),
    ],
)
def test_each_recorded_failure_is_told_for_what_it_is(kind: str, status: str, end: str) -> None:
    found = verdict(kind)
    assert (found.status, found.end) == (status, end)


@pytest.mark.parametrize("kind", ["rate", "one_digit"])
def test_an_injected_failure_is_found_within_an_epoch_and_the_best_is_before_it(kind: str) -> None:
    found = verdict(kind)
    assert found.onset_step is not None
    assert INJECTED < found.onset_step <= INJECTED + EPOCH
    assert found.best_epoch == 8


def test_the_joint_update_turns_for_the_worse_and_the_frozen_one_does_not() -> None:
    joint, frozen = verdict("joint"), verdict("frozen")
    assert (joint.signal, joint.onset_epoch, joint.confirm_epoch) == ("at_chance", 32, 34)
    # Announced 19 evaluations before it was certain; the lowest of all 60 is kept.
    assert (joint.lead, joint.best_epoch) == (19, 26)
    assert joint.loss == frozen.loss == "bce_mean"
    assert frozen.best_epoch == 60


def test_losses_alone_with_their_family_announce_the_joint_update_too() -> None:
    alone = ("d_loss", "g_loss")
    steps, epochs = read_run(RECORDED / "joint_steps.csv", RECORDED / "joint_epochs.csv", alone)
    found = assess(steps, epochs, steps_per_epoch=EPOCH, loss="bce_mean")
    assert (found.status, found.signal) == ("onset", "at_chance")
    # The family need not be told: a D that cannot tell images apart shows it.
    inferred = assess(steps, epochs, steps_per_epoch=EPOCH)
    assert (inferred.status, inferred.signal) == ("onset", "at_chance")
    assert (inferred.loss, inferred.loss_source) == ("bce_mean", "inferred")
    # Positive losses may be of several families where D does tell images apart.
    steps, epochs = read_run(RECORDED / "healthy_steps.csv", RECORDED / "healthy_epochs.csv", alone)
    unknown = assess(steps, epochs, steps_per_epoch=EPOCH)
    assert unknown.loss is None
    assert any("family of the loss" in words for words in unknown.unknown)


def test_a_value_that_is_not_finite_is_found_at_its_step() -> None:
    found = verdict("nan")
    assert found.onset_step == INJECTED + 1 + 2 * 137  # of seed 2
    assert found.best_epoch == 8


def test_losses_alone_warn_of_the_rates_that_jumped() -> None:
    found = verdict("rate", ("d_loss", "g_loss"))
    assert found.status == "onset"
    assert found.signal in ("d_loss", "g_loss")
