"""How much evaluations wobble, and which of them was measured otherwise than its neighbours."""

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_FAR_BELOW, _AS_BEFORE = 0.75, 1.1  # times its neighbours


def relative_wobble(values: list[float] | Array, apart: int = 1) -> float:
    """Relative deviation of values from the line of those `apart`; 0 if there are too few.

    From second differences of logarithms, which a steady fall leaves at zero; their variance is
    six times that of one value. The median makes it deaf to a few jumps. Over more than neighbours
    a curve bends by itself; what all of it bends is not counted.
    """
    positive = np.array([value for value in values if value > 0])
    if len(positive) < 2 * apart + 1:
        return 0.0
    logs = np.log(positive)
    bends = logs[2 * apart :] - 2 * logs[apart:-apart] + logs[: -2 * apart]
    if apart > 1:
        bends = bends - np.median(bends)
    return float(1.4826 * np.median(np.abs(bends)) / math.sqrt(6))


def is_odd(values: list[float], place: int) -> bool:
    """Whether a value is far below what came before it, and what comes after is not above that.

    One that is followed by the line before it was measured otherwise than its neighbours.
    """
    if place < 2 or place + 1 >= len(values):
        return False
    earlier, latest, value = values[place - 2 : place + 1]
    before = min(values[max(place - 3, 0) : place])
    after = float(np.median(values[place + 1 : place + 4]))
    expected = before * min(latest / earlier, 1.0) if earlier > 0 else before
    return value < _FAR_BELOW * min(expected, after) and after <= _AS_BEFORE * before
