from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ganverdict import windows
from ganverdict.signals import SIGNALS
from ganverdict.windows import Window, Windows

Array = NDArray[np.float64]
D_LOSS = SIGNALS.index("d_loss")


def rows(values: Array) -> Array:
    """D's loss alone."""
    table = np.full((len(values), len(SIGNALS)), np.nan)
    table[:, D_LOSS] = values
    return table


def closed(steps: Array, length: float | None, coarsen: bool = False) -> list[Window]:
    return Windows(length, coarsen).add(steps, rows(np.arange(len(steps), dtype=np.float64)))


def spans(found: list[Window]) -> list[tuple[float, float, int]]:
    return [(window.start, window.end, window.rows) for window in found]


@pytest.mark.parametrize(("stride", "count"), [(1, 52), (13, 4), (50, 1), (52, 1), (100, 1)])
def test_rows_at_any_distance_fill_windows_of_about_the_length(stride: int, count: int) -> None:
    steps = np.arange(stride, 20 * 468 + 1, stride, dtype=np.float64)
    found = closed(steps, 52.0)
    assert np.median([window.rows for window in found]) == count
    # Every row lies in one window, and the last row closes the last of them or waits.
    assert sum(window.rows for window in found) in (len(steps), len(steps) - found[-1].rows)
    assert all(window.end - window.start < 52 for window in found)


def test_nine_windows_are_an_epoch_and_close_with_its_last_row() -> None:
    steps = np.arange(1, 469, dtype=np.float64)
    found = closed(steps, 52.0)
    assert spans(found)[0] == (1, 52, 52)
    assert spans(found)[-1] == (417, 468, 52)
    assert len(found) == 9


def test_one_row_a_window_where_no_length_is_given() -> None:
    assert spans(closed(np.array([1.0, 2.0, 7.0]), None)) == [(1, 1, 1), (2, 2, 1), (7, 7, 1)]


def test_a_changed_interval_changes_how_many_rows_a_window_has_and_not_its_length() -> None:
    steps = np.concatenate([np.arange(10, 1001, 10), np.arange(1001, 2001)]).astype(np.float64)
    found = closed(steps, 100.0)
    assert [window.rows for window in found[:9]] == [10] * 9
    assert {window.rows for window in found[11:-1]} == {100}


def test_a_gap_closes_the_window_before_it() -> None:
    steps = np.array([1.0, 2, 3, 4, 500, 501, 502])
    assert spans(closed(steps, 10.0))[0] == (1, 4, 4)


irregular = st.lists(st.integers(1, 90), min_size=2, max_size=150)


@settings(max_examples=60)
@given(
    irregular,
    st.sampled_from([None, 1.0, 7.5, 52.0]),
    st.booleans(),
    st.lists(st.integers(0, 150), max_size=8),
)
def test_windows_are_the_same_however_rows_are_cut_and_never_look_ahead(
    gaps: list[int], length: float | None, coarsen: bool, cuts: list[int]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "_MANY", 8)
        steps = np.cumsum(gaps).astype(np.float64)
        whole = spans(closed(steps, length, coarsen))
        places = sorted({min(cut, len(steps)) for cut in cuts} | {0, len(steps)})
        streaming, found = Windows(length, coarsen), []
        for start, end in pairwise(places):
            found += streaming.add(steps[start:end], rows(steps[start:end]))
            assert spans(found) == whole[: len(found)]
        assert spans(found) == whole
        # They hold the rows in order, each once.
        assert sum(window.rows for window in found) <= len(steps)
        flat = [edge for window in found for edge in (window.start, window.end)]
        assert flat == sorted(flat)


def test_windows_of_a_long_log_double() -> None:
    found = closed(np.arange(1, 1024 * 10 + 512 * 20 + 5 * 40 + 1, dtype=np.float64), 10.0, True)
    assert [window.rows for window in found] == [10] * 1024 + [20] * 512 + [40] * 5


def test_rows_that_are_windows_double_too_also_one_by_one() -> None:
    steps = np.arange(5, 5 * 1300, 5, dtype=np.float64)
    batch = spans(closed(steps, None, True))
    assert [count for _, _, count in batch] == [1] * 1024 + [2] * ((len(steps) - 1024) // 2)
    streaming, found = Windows(None, True), []
    for step in steps:
        found += streaming.add(np.array([step]), rows(np.array([step])))
    assert spans(found) == batch


def test_without_leave_to_coarsen_windows_stay_what_they_are() -> None:
    found = closed(np.arange(1, 20_001, dtype=np.float64), 10.0)
    assert {window.rows for window in found} == {10}


def test_a_median_is_that_of_the_finite_values_and_nan_without_any() -> None:
    table = rows(np.array([1.0, np.nan, 5.0, np.inf, 2.0, 4.0]))
    (window,) = Windows(6.0, False).add(np.arange(1.0, 7.0), table)
    assert window.median("d_loss") == 3.0
    assert np.isnan(window.median("g_loss"))


def test_constant_is_to_the_last_digit_and_without_gaps() -> None:
    def constant(*values: float) -> bool:
        (window,) = Windows(3.0, False).add(np.arange(1.0, 4.0), rows(np.array(values)))
        return bool(window.constant[D_LOSS])

    assert constant(0.7, 0.7, 0.7)
    assert not constant(0.7, 0.7, 0.7 + 1e-15)
    assert not constant(0.7, np.nan, 0.7)


def test_a_jump_of_steps_does_not_swallow_what_follows() -> None:
    steps = np.arange(5000.0)
    steps[1024:] += 1e6
    assert len(closed(steps, None, True)) > 2000
