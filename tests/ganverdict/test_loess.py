import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganverdict.loess import loess, minimum


def test_a_line_is_its_own_smooth_curve_also_where_points_are_irregular() -> None:
    x = np.cumsum(np.random.default_rng(0).uniform(0.1, 5, 60))
    np.testing.assert_allclose(loess(x, 3 - 0.5 * x), 3 - 0.5 * x, atol=1e-9)


def test_it_is_the_weighted_regression_that_cleveland_defines() -> None:
    rng = np.random.default_rng(1)
    x, y = np.arange(40.0), rng.standard_normal(40)
    place, span = 17, 12
    distance = np.abs(x - x[place])
    weight = (1 - (distance / (np.sort(distance)[span - 1] * 1.0001)).clip(0, 1) ** 3) ** 3
    line = np.polynomial.Polynomial.fit(x, y, 1, w=np.sqrt(weight), domain=[-1, 1])
    assert loess(x, y, span)[place] == pytest.approx(line(x[place]))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_of_fewer_than_three_points_nothing_is_smoothed(count: int) -> None:
    values = np.arange(count, dtype=np.float64)
    assert loess(values, values).tolist() == values.tolist()


def test_the_minimum_is_that_of_the_curve_and_not_a_lucky_point() -> None:
    x = np.arange(1.0, 41)
    curve = 20 + 0.1 * (x - 22) ** 2
    curve[4] = 1.0
    assert abs(minimum(x, curve) - 21) <= 2


def test_the_minimum_of_a_short_curve_is_no_end_of_a_line() -> None:
    falls_and_rises = np.array([160.0, 140.0, 110.0, 180.0, 260.0, 330.0, 400.0])
    assert minimum(np.arange(7.0), falls_and_rises) == 2


@given(
    st.lists(st.floats(1.0, 1e4), min_size=3, max_size=40),
    st.floats(1e-6, 1e6),
)
def test_units_do_not_matter(values: list[float], factor: float) -> None:
    x = np.arange(len(values), dtype=np.float64)
    one, other = (np.exp(loess(x, np.log(np.array(values) * f))) for f in (1.0, factor))
    np.testing.assert_allclose(one * factor, other, rtol=1e-6)


def test_values_that_are_not_positive_are_taken_as_they_are() -> None:
    assert minimum(np.arange(5.0), np.array([4.0, 1, -2, 1, 4]), span=3) == 2
