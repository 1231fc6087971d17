"""The rule that the project kept checkpoints by before: what the present one is compared with."""

import numpy as np
from numpy.typing import ArrayLike


def earliest_within_one_error(fds: ArrayLike, sigmas: ArrayLike, before: int) -> int:
    """The row that the old rule keeps, of fd [n] by epoch and its standard errors [n].

    Of the first `before` rows (1 to n, those before the onset) the earliest whose fd, smoothed by a
    median of three, is within one standard error of the lowest smoothed one.
    """
    values = np.asarray(fds, dtype=np.float64)[:before]
    smooth = np.array([np.median(values[max(row - 1, 0) : row + 2]) for row in range(len(values))])
    lowest = int(smooth.argmin())
    within = smooth <= smooth[lowest] + np.asarray(sigmas, dtype=np.float64)[lowest]
    return int(within.argmax())
