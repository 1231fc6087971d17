"""Rows of a log, however they lie, as windows: medians over a stretch of steps."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ganverdict.signals import SIGNALS

Array = NDArray[np.float64]

_MANY = 1024


class Window(NamedTuple):
    """One point that is watched.

    Attributes:
        start: the step of its first row.
        end: the step of its last row.
        medians: [len(SIGNALS)], NaN where a signal has no finite value in it.
        constant: [len(SIGNALS)], whether all its rows hold one finite value, to the last digit.
        rows: how many there are.
    """

    start: float
    end: float
    medians: Array
    constant: NDArray[np.bool_]
    rows: int

    def median(self, name: str) -> float:
        """The median of the signal `name`, NaN where there is none."""
        return float(self.medians[SIGNALS.index(name)])


class Windows:
    """Takes rows as they come and closes windows of `length` steps; None: each row is a window.

    A window is closed by the row after which the next one, at the distance of the last, lies beyond
    it. So the interval of a log may be anything and may change, and nothing after a row decides
    when its window closes. With `coarsen` the windows of a long log grow: after the first 1,024 two
    and two are one, and whenever there have been 512 of these, twice as many.
    """

    def __init__(self, length: float | None, coarsen: bool) -> None:
        self._length, self._coarsen = length, coarsen
        self._origin: float | None = None
        self._before: float | None = None  # the step before those that wait
        self._steps: Array = np.empty(0)  # of rows that do not fill a window yet
        self._rows: Array = np.empty((0, len(SIGNALS)))
        self._closed = 0
        self._merged = 1  # how many are one

    def add(self, steps: Array, rows: Array) -> list[Window]:
        """Take rows [n, len(SIGNALS)] at increasing `steps` [n]; return the windows they close."""
        self._steps = np.concatenate([self._steps, steps])
        self._rows = np.concatenate([self._rows, rows])
        closed: list[Window] = []
        while True:
            ends = self._ends()
            if self._coarsen:
                ends = ends[self._merged - 1 :: self._merged][: _MANY - self._closed]
            start = 0
            for end in ends.tolist():
                closed.append(_window(self._steps[start:end], self._rows[start:end]))
                start = end
            if start:
                self._before = float(self._steps[start - 1])
                self._steps, self._rows = self._steps[start:], self._rows[start:]
                self._closed += len(ends)
            if not self._coarsen or self._closed < _MANY:
                return closed
            self._merged, self._closed = 2 * self._merged, _MANY // 2

    def _ends(self) -> NDArray[np.intp]:
        """The rows [k] of those that wait before which a window ends."""
        steps = self._steps
        if self._length is None:
            return np.arange(1, len(steps) + 1)
        if self._origin is None:
            self._origin = float(steps[0])
        known = steps[0] if self._before is None else self._before
        gaps = np.diff(steps, prepend=known)
        bucket = np.floor((steps - self._origin) / self._length)
        following = np.floor((steps + gaps - self._origin) / self._length)
        new = np.append(bucket[1:] > bucket[:-1], False)
        return np.flatnonzero((following > bucket) | new) + 1


def _window(steps: Array, rows: Array) -> Window:
    table = np.where(np.isfinite(rows), rows, np.nan)
    low, high = table.min(axis=0), table.max(axis=0)  # NaN where any value is missing
    return Window(float(steps[0]), float(steps[-1]), _medians(table), low == high, len(table))


def _medians(table: Array) -> Array:
    """Medians [signals] of [rows, signals]; NaN is missing."""
    if len(table) == 1:
        return np.asarray(table[0])
    ordered, known = np.sort(table, axis=0), np.isfinite(table).sum(axis=0)
    columns = np.arange(table.shape[1])
    low, high = (known - 1).clip(0) // 2, (known // 2).clip(max=len(table) - 1)
    values = (ordered[low, columns] + ordered[high, columns]) / 2
    return np.where(known > 0, values, np.nan)
