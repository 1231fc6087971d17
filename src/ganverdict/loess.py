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
    index = np.arange(count)[:, None] + np.arange(-span, span + 1)  # the nearest are among these
    inside, index = (index >= 0) & (index < count), index.clip(0, count - 1)
    away, near = places[index] - places[:, None], values[index]
    distance = np.where(inside, np.abs(away), np.inf)
    reach = np.sort(distance, axis=1)[:, [min(span, count) - 1]] * 1.0001
    weight = (1 - (distance / reach).clip(0, 1) ** 3) ** 3
    weight /= weight.sum(axis=1, keepdims=True)
    mean, level = (weight * away).sum(axis=1), (weight * near).sum(axis=1)
    apart = away - mean[:, None]
    spread = (weight * apart**2).sum(axis=1)
    slope = (weight * apart * (near - level[:, None])).sum(axis=1)
    slope = np.divide(slope, spread, out=np.zeros(count), where=spread > 0)
    return np.asarray(level - slope * mean)


def minimum(x: ArrayLike, y: ArrayLike, span: int = 12) -> int:
    """The place of the lowest point of the smooth curve; of log y, where all y are positive.

    Each fit takes half of the points at most: one line through all of a short log has its lowest
    point at an end.
    """
    values = np.asarray(y, dtype=np.float64)
    span = min(span, max(len(values) // 2, 3))
    return int(np.argmin(loess(x, np.log(values) if (values > 0).all() else values, span)))
