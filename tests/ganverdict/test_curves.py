import numpy as np

from ganverdict.curves import MAX_POINTS, bands


def test_bands_keep_every_extreme_in_few_points() -> None:
    values = 100 + np.random.default_rng(0).normal(size=70_201)
    values[[0, 31_313, 70_200]] = 150, 30, 160
    curve = bands(np.arange(1, 70_202), values)
    assert len(curve.x) <= MAX_POINTS
    assert curve.low.min() == 30
    assert [curve.high[0], curve.high[-1], curve.high.max()] == [150, 160, 160]
    assert (curve.low <= curve.middle).all()
    assert (curve.middle <= curve.high).all()
    assert np.abs(curve.middle - 100).max() < 0.5
    assert (np.diff(curve.x) > 0).all()


def test_a_short_curve_is_shown_as_it_is() -> None:
    x, values = np.arange(1, 8), np.array([3.0, 1, 4, 1, 5, 9, 2])
    curve = bands(x, values)
    for part in (curve.low, curve.middle, curve.high):
        assert part.tolist() == values.tolist()
    assert curve.x.tolist() == x.tolist()


def test_values_that_are_not_finite_or_missing_are_gaps_and_spoil_no_neighbour() -> None:
    values = np.ma.masked_array(
        [1, np.nan, 3, np.inf, np.nan, -np.inf, 7, 99], mask=[False] * 7 + [True]
    )
    curve = bands(np.arange(8), values, points=4)
    assert curve.high.tolist() == [1, 3, None, 7]
    assert curve.low.tolist() == [1, 3, None, 7]
