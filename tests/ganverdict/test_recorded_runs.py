"""The verdict on logs of real trainings.

As `benchmarks.validate_verdict --csv` wrote them: one held-out seed;
failures injected after epoch 8 of 468 iterations; every 13th iteration is kept. `joint` and
`frozen` are what `make replicate` recorded of the blog post's recipe at width 8, seed 1; nothing
was injected there.
"""

import pytest

from ganverdict.alarms import SIGNALS
from ganverdict.monitor import Verdict, assess
from ganverdict.quality import MEASURES
from pipeline.base.cli import load_params
from pipeline.store.columns import read_csv
from tests.project import REPOSITORY

RECORDED = REPOSITORY / "tests/recorded"
EPOCH = 468
INJECTED = 8 * EPOCH


def verdict(kind: str, alone: tuple[str, ...] = SIGNALS) -> Verdict:
    steps = read_csv(RECORDED / f"{kind}_steps.csv", ("step", *alone), {})
    epochs = read_csv(RECORDED / f"{kind}_epochs.csv", ("epoch", "step", *MEASURES), {})
    return assess(steps, epochs, load_params().stability)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("healthy", "stable"),
        ("rate", "onset"),
        ("g_frozen", "stall"),
        ("one_digit", "onset"),
        ("nan", "diverged"),
        ("joint", "silent"),
        ("frozen", "stable"),
    ],
)
def test_each_recorded_failure_is_told_for_what_it_is(kind: str, status: str) -> None:
    assert verdict(kind).status == status


@pytest.mark.parametrize("kind", ["rate", "one_digit"])
def test_an_injected_failure_is_found_within_an_epoch_and_the_best_is_before_it(kind: str) -> None:
    found = verdict(kind)
    assert found.onset_step is not None
    assert INJECTED < found.onset_step <= INJECTED + EPOCH
    assert found.best_epoch == 8


def test_the_joint_update_turns_for_the_worse_and_the_frozen_one_does_not() -> None:
    joint, frozen = verdict("joint"), verdict("frozen")
    assert (joint.best_epoch, joint.onset_epoch, joint.confirm_epoch) == (30, 32, 34)
    assert frozen.best_epoch == 60
    assert verdict("joint", ("d_loss", "g_loss")).best_epoch == 30


def test_a_value_that_is_not_finite_is_found_at_its_step() -> None:
    found = verdict("nan")
    assert found.onset_step == INJECTED + 1 + 2 * 137  # of seed 2
    assert found.best_epoch == 8


def test_losses_alone_warn_of_the_rates_that_jumped() -> None:
    found = verdict("rate", ("d_loss", "g_loss"))
    assert found.status == "onset"
    assert found.signal in ("d_loss", "g_loss")
