import math

import pytest

from pipeline.base.interval import interval


def test_the_interval_is_students() -> None:
    mean, low, high = interval([1.0, 2.0, 3.0])
    assert mean == 2.0
    # t for 5 % above, 2 degrees of freedom, is 2.92 (any table); the deviation of a mean 1/sqrt(3).
    assert high - mean == pytest.approx(2.91999 / math.sqrt(3), rel=1e-5)
    assert mean - low == pytest.approx(high - mean)


def test_what_cannot_be_negative_has_no_interval_below_zero() -> None:
    assert interval([0.0, 0.0, 3.0])[1] == 0.0
