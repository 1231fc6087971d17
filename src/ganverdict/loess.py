"""A smooth curve through evaluations: how long to train with another seed."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def loess(x: ArrayLike, y: ArrayLike, span: int = 12) -> Array:
    """Locally linear regression with tricube weights (Cleveland 1979) of y [n] at rising x [n].

    Each fit takes the nearest `span` points, or all where there are fewer. An epoch chosen on one
    seed loses less on another one by this curve's minimum than by the lowest value: what makes one
    evaluation better than its neighbours is that seed's own.
    """
    places, values = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    count = len(places)
    if count < 3:
        return values.copy()
    smooth = np.empty(count)
    for i, place in enumerate(places):
        around = slice(max(i - span, 0), i + span + 1)  # the nearest are among these
        away, near = places[around] - place, values[around]
        distance = np.abs(away)
        reach = np.sort(distance)[min(span, count) - 1] * 1.0001
        weight = (1 - (distance / reach).clip(0, 1) ** 3) ** 3
        weight /= weight.sum()
        mean, level = float(weight @ away), float(weight @ near)
        spread = float(weight @ (away - mean) ** 2)
        slope = float(weight @ ((away - mean) * (near - level))) / spread if spread else 0.0
        smooth[i] = level - slope * mean
    return smooth


def minimum(x: ArrayLike, y: ArrayLike, span: int = 12) -> int:
    """The place of the lowest point of the smooth curve; of log y, where all y are positive."""
    values = np.asarray(y, dtype=np.float64)
    return int(np.argmin(loess(x, np.log(values) if (values > 0).all() else values, span)))
