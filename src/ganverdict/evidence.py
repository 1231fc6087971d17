"""What speaks for a state that holds, and from when to when it did.

Each kind of evidence has `holds`, `since` (where the windows or measurements began that made it
certain) and `until` (where those began that speak against it).
"""

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from ganverdict.families import CHANCE


class Evidence:
    """An e-detector in CUSUM form (Shin, Ramdas, Rinaldo 2203.03532).

    A bad window multiplies the evidence by 1/2 + 1/(2 share), another one halves it: a fair bet
    where windows are bad with probability `share` given the past. Then the average number of
    windows to a false alarm is at least `limit`. It holds from the limit on until it is below 1.

    Attributes:
        windows: how many there have been since it began.
    """

    def __init__(self, share: float, limit: float) -> None:
        self._gain, self._limit = 0.5 + 0.5 / share, limit
        self._value = 0.0
        self.holds = False
        self.since = self.until = math.nan
        self.windows = 0

    def forget(self, step: float) -> None:
        """Begin anew at `step`, where what was bad so far speaks for nothing that comes."""
        self._value, self.holds, self.until = 0.0, False, step

    def add(self, bad: bool, start: float, weight: float = 1) -> bool:
        """Take a window that begins at step `start`; return whether the evidence now suffices.

        A bad one counts for `weight` of them.
        """
        if self._value < 1:
            self.since, self.windows = start, 0
        self.windows += 1
        if self._value == self._limit:
            self.until = start
        grown = max(self._value, 1) * (self._gain**weight if bad else 0.5)
        self._value = min(grown, self._limit)
        held, self.holds = self.holds, self._value >= (1 if self.holds else self._limit)
        return self.holds and not held


class Running:
    """A state told by few and dear measurements: so many bad ones running, until as many are not.

    Where a measurement is bad with probability p given the past, the average number of them to a
    false alarm is at least p ** -wanted.
    """

    def __init__(self, wanted: int) -> None:
        self._wanted, self._count = wanted, 0  # running ones that speak against what is told
        self.holds = False
        self.since = self.until = math.nan

    def add(self, bad: bool, step: float) -> None:
        """Take a measurement made at `step`."""
        if bad is self.holds:
            self._count = 0
            return
        if not self._count:
            self.since, self.until = (step, self.until) if bad else (self.since, step)
        self._count += 1
        if self._count == self._wanted:
            self.holds, self._count = bad, 0


class AtChance:
    """D's loss against what a constant answer costs, by every level that there is: which one counts
    may be told late, and is then certain as soon.

    It holds where windows are above the level more often than chance makes them (`Evidence`), or
    where their mean is not under it (`Mean`): a loss that scatters about its level evenly, as a
    hinge of answers within 1 does, has no windows too many above.
    """

    def __init__(self, limit: float, most: float) -> None:
        """Over `most` times the level a loss has other terms, and its level tells nothing."""
        self._most = most
        self._signs = {
            level: Evidence(0.5, limit) for level in CHANCE.values() if level is not None
        }
        self._mean = Mean(most)
        self._level = math.nan
        self.near = dict.fromkeys(self._signs, 0)
        """By level, the latest windows running with a loss within 1 % of it."""

    def add(self, loss: float, start: float, apart: bool) -> None:
        """Take D's loss in the window that begins at step `start`; `apart`: its answers to real and
        to generated images are, so that the loss has other terms, too."""
        for level, evidence in self._signs.items():
            above = (1 - _AS_PRINTED) * level < loss < self._most * level
            evidence.add(above and not apart, start)
            self.near[level] = self.near[level] + 1 if abs(loss / level - 1) < _NEAR else 0
        self._mean.add(loss, start, apart)
        if not math.isnan(self._level):
            self._mean.judge(self._level)

    def go_by(self, level: float) -> bool:
        """Take the level of the family; whether that is another one than before."""
        if level == self._level:
            return False
        self._level = level
        self._mean.holds = False
        self._mean.judge(level)
        return True

    def forget(self, step: float) -> None:
        """Begin anew at `step`."""
        for evidence in self._holding():
            evidence.forget(step)

    def _holding(self) -> list["Evidence | Mean"]:
        signs = self._signs.get(self._level)
        return [evidence for evidence in (signs, self._mean) if evidence and evidence.holds]

    @property
    def holds(self) -> bool:
        """Whether D is at chance."""
        return bool(self._holding())

    @property
    def since(self) -> float:
        """Where the windows began that made it certain."""
        return min((evidence.since for evidence in self._holding()), default=math.nan)

    @property
    def until(self) -> float:
        """Where those began that speak against it."""
        signs = self._signs.get(self._level)
        both = [evidence.until for evidence in (signs, self._mean) if evidence]
        return max((step for step in both if not math.isnan(step)), default=math.nan)

    @property
    def windows(self) -> int:
        """How many there have been since it began."""
        return max((evidence.windows for evidence in self._holding()), default=0)


class Mean:
    """The mean of the latest windows is not under a level, and certainly not by 0.75 % of it.

    It holds until the latest quarter of them is under the level by five standard errors. In the
    project's trainings single windows of a D that gains 1 % wobble by 1 to 2 %.
    """

    def __init__(self, most: float) -> None:
        self._most = most
        self._latest: deque[tuple[float, float]] = deque(maxlen=_TO_KNOW_A_MEAN)  # start, loss
        self.holds = False
        self.since = self.until = math.nan
        self.windows = 0

    def forget(self, step: float) -> None:
        """Begin anew at `step`."""
        self._latest.clear()
        self.holds, self.until = False, step

    def add(self, loss: float, start: float, apart: bool) -> None:
        """Take the loss in the window that begins at step `start`; none where `apart`."""
        self.windows += 1
        if apart:
            self.forget(start)
        else:
            self._latest.append((start, loss))

    def judge(self, level: float) -> None:
        """Tell by the windows so far."""
        if len(self._latest) < _TO_KNOW_A_MEAN:
            return
        starts, losses = zip(*self._latest, strict=True)
        edges = 1 - np.array(losses) / level
        lately = edges[-_TO_KNOW_A_MEAN // 4 :]
        # It is asked at every window: three errors are had by accident soon.
        has_edge = lately.mean() > 5 * _error(lately)
        if self.holds and has_edge:
            self.holds, self.until = False, starts[-len(lately)]
        elif not (self.holds or has_edge):
            known = edges.mean() + 2 * _error(edges) < _KNOWN_TO
            self.holds = bool(known and 1 - self._most < edges.mean() <= 0)
            self.since, self.windows = starts[0], len(starts)


def _error(values: NDArray[np.float64]) -> float:
    """The standard error of the mean of [n] values."""
    return float(values.std(ddof=1)) / math.sqrt(len(values))


# What is printed as 0.693 is at ln 2. Of healthy trainings at most 3 % of the windows are so near
# below it, also of those whose D is just under chance by design (0.691 to 0.692).
_AS_PRINTED = 0.001
_NEAR = 0.01
_TO_KNOW_A_MEAN = 128  # windows
_KNOWN_TO = 0.0075  # of the level
