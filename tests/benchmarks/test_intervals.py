import pytest

from benchmarks.intervals import share_interval


def test_none_of_twelve_may_still_be_one_of_five() -> None:
    low, high = share_interval(0, 12)
    assert low == 0
    assert (1 - high) ** 12 == pytest.approx(0.05)  # as rare as it may be to see none


def test_all_of_twelve_is_none_of_twelve_mirrored() -> None:
    assert share_interval(12, 12) == pytest.approx([1 - b for b in share_interval(0, 12)[::-1]])


def test_a_share_lies_inside_and_more_runs_narrow_it() -> None:
    few, many = share_interval(3, 10), share_interval(30, 100)
    assert few[0] < many[0] < 0.3 < many[1] < few[1]
