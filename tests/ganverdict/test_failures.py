from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ganverdict.failures import Failures
from ganverdict.signals import LOSSES, SIGNALS

Array = NDArray[np.float64]


def fed(gaps: tuple[int, ...] = (), **signals: list[float]) -> Failures:
    """Rows at steps 1, 2, ...; `gaps`, rows by index, have no values."""
    count = len(next(iter(signals.values())))
    rows = np.zeros((count, len(SIGNALS)))
    gone = np.ones(rows.shape, dtype=np.bool_)
    for name, values in signals.items():
        rows[:, SIGNALS.index(name)] = values
        gone[:, SIGNALS.index(name)] = False
    gone[list(gaps)] = True
    failures = Failures()
    failures.add(np.arange(1.0, count + 1), rows, gone)
    return failures


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("signal", LOSSES)
def test_a_loss_that_is_not_finite_is_a_failure_from_its_step_on(signal: str, value: float) -> None:
    failure = fed((), **{signal: [1.0, 1.0, value, value]}).lasting
    assert failure is not None
    assert (failure.signal, failure.step, failure.rows) == (signal, 3, 2)


def test_what_training_overcomes_is_told_and_not_lasting() -> None:
    failures = fed(d_loss=[1.0, NAN, 1.0, 1.0, 1.0, 1.0, 1.0])
    assert failures.lasting is None
    assert [(f.signal, f.step, f.rows) for f in failures.overcome] == [("d_loss", 2, 1)]
    assert fed(d_loss=[1.0, NAN, 1.0, 1.0, 1.0, 1.0]).lasting is not None  # not yet


def test_as_many_finite_rows_as_there_were_others_overcome_them() -> None:
    assert fed(g_loss=[1.0] + [NAN] * 10 + [1.0] * 9).lasting is not None
    assert fed(g_loss=[1.0] + [NAN] * 10 + [1.0] * 10).lasting is None


def test_what_was_not_there_from_the_first_has_not_failed() -> None:
    """A loss that is switched on later is NaN until then."""
    assert fed(d_loss=[NAN] * 200 + [1.0] * 4).lasting is not None
    assert fed(d_loss=[NAN] * 200 + [1.0] * 5).lasting is None


def test_what_is_not_finite_again_and_again_is_usual() -> None:
    """A G that takes every fifth step, a scaler that skips some: but not for good."""
    every_fifth = ([NAN] * 4 + [1.0]) * 30
    assert fed(g_loss=every_fifth).lasting is None
    assert fed(g_loss=[*every_fifth, *[NAN] * 8]).lasting is None
    assert fed(g_loss=[*every_fifth, *[NAN] * 9]).lasting is not None
    skipped = [1.0] * 20 + ([INF] + [1.0] * 30) * 3
    assert fed(d_loss=[*skipped, INF]).lasting is None
    assert fed(d_loss=[*skipped, INF, INF, INF]).lasting is not None


def test_losses_that_are_finite_now_and_then_have_not_been_overcome() -> None:
    failure = fed(d_loss=[1.0, NAN, 1.0, NAN, 1.0, 1.0, NAN, 1.0]).lasting
    assert failure is not None
    assert (failure.step, failure.rows) == (2, 3)


def test_the_earliest_of_several_counts() -> None:
    failure = fed(d_loss=[1.0, 1.0, NAN], g_loss=[1.0, NAN, NAN]).lasting
    assert failure is not None
    assert (failure.signal, failure.step) == ("g_loss", 2)


def test_norms_that_mixed_precision_skips_are_no_failure_beside_finite_losses() -> None:
    now_and_then = [INF if i % 50 == 0 else 1.0 for i in range(500)]
    failures = fed(d_loss=[1.0] * 500, g_grad_norm=now_and_then)
    assert failures.lasting is None
    for_ever = fed(d_loss=[1.0] * 50, g_grad_norm=[INF] * 50)
    assert for_ever.lasting is None  # a norm that is never one is not believed


def test_norms_that_are_no_number_are_a_failure_at_once() -> None:
    assert fed(d_loss=[1.0] * 3, d_grad_norm=[1.0, INF, INF]).lasting is None
    failure = fed(d_loss=[1.0] * 3, d_grad_norm=[1.0, INF, NAN]).lasting
    assert failure is not None
    assert failure.step == 2


def test_norms_that_stay_infinite_for_some_rows_are_a_failure_until_then() -> None:
    failure = fed(d_loss=[1.0] * 10, d_grad_norm=[1.0] * 5 + [INF] * 5).lasting
    assert failure is not None
    assert (failure.signal, failure.step) == ("d_grad_norm", 6)


def test_missing_rows_are_neither_finite_nor_not() -> None:
    failures = fed(gaps=(2, 3, 4), d_loss=[1.0, NAN, 1.0, 1.0, 1.0, 1.0, 1.0])
    assert failures.lasting is not None
    assert failures.lasting.finite_rows == 2
    assert fed(gaps=(1,), d_loss=[1.0, NAN, 1.0]).lasting is None


@given(
    st.lists(st.sampled_from([1.0, NAN, INF]), min_size=1, max_size=40),
    st.lists(st.integers(0, 40), max_size=5),
)
def test_failures_are_the_same_however_rows_are_cut(values: list[float], cuts: list[int]) -> None:
    whole = fed(d_loss=values)
    rows = np.full((len(values), len(SIGNALS)), np.nan)
    rows[:, SIGNALS.index("d_loss")] = values
    gone = np.ones(rows.shape, dtype=np.bool_)
    gone[:, SIGNALS.index("d_loss")] = False
    failures, steps = Failures(), np.arange(1.0, len(values) + 1)
    places = sorted({min(cut, len(values)) for cut in cuts} | {0, len(values)})
    for start, end in pairwise(places):
        failures.add(steps[start:end], rows[start:end], gone[start:end])
    assert failures == whole


def test_a_norm_is_part_of_a_failure_that_a_loss_shows() -> None:
    """By itself a norm of few rows may be of steps that a scaler skipped."""
    norms = [1.0, INF, 1.0, INF, INF]
    assert fed(d_grad_norm=norms, d_loss=[1.0] * 5).lasting is None
    assert fed(d_grad_norm=norms[2:], d_loss=[1.0] * 3).lasting is None
    assert fed(d_grad_norm=[*norms, INF, INF, INF], d_loss=[1.0] * 8).lasting is not None
    failure = fed(d_grad_norm=norms, d_loss=[1.0, 1.0, 1.0, 1.0, NAN]).lasting
    assert failure is not None
    assert (failure.signal, failure.step) == ("d_grad_norm", 4)


def test_what_was_overcome_is_told_by_step_however_rows_come() -> None:
    failures = fed(d_loss=[1.0] * 4 + [NAN] + [1.0] * 9, g_loss=[1.0, NAN] + [1.0] * 12)
    assert [failure.step for failure in failures.overcome] == [2, 5]
