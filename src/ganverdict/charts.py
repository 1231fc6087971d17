"""An alarm for one signal: has it left its own recent past upwards, for longer than a moment?"""

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from ganverdict.thresholds import Thresholds

Array = NDArray[np.float64]

_TINY = float(np.finfo(np.float64).tiny)


class Chart:
    """A one-sided CUSUM (Page 1954) of one signal's window medians against the recent past.

    `direction` is 1 where a rise is a warning and -1 where a fall is; below, "up" means that way.

    Each window is compared with the windows of the past `history_epochs`, without the latest
    `recent_epochs`, so that a change is not soon part of what it is compared with.
    """

    def __init__(self, params: Thresholds, windows_per_epoch: int, direction: int) -> None:
        self._params = params
        self._direction = direction
        self._per_epoch = windows_per_epoch
        self._recent = round(params.recent_epochs * windows_per_epoch)
        least = self._recent + params.min_windows
        self._needed = max(round(params.burn_in_epochs * windows_per_epoch), least)
        history = max(round(params.history_epochs * windows_per_epoch), least)
        self._past: deque[float] = deque(maxlen=max(history, self._needed))
        self._sum = 0.0
        self._peak = 0.0
        self.compares = False  # whether the latest window had a past to be compared with
        self.leans = False  # whether its sum is at least half of what alarms

    def add(self, value: float) -> float | None:
        """Take the next window's median (finite). An alarm is the largest deviation that led to it.

        After an alarm the sum starts again, so a change that lasts alarms again until it has
        become the past.
        """
        alarm: float | None = None
        self.leans = False
        self.compares = len(self._past) >= self._needed
        if self.compares:
            past = np.array(self._past)[: len(self._past) - self._recent]
            least = self._params.min_deviation
            level, past, floor = _comparable(value, past, least)
            level, past = self._direction * level, self._direction * past
            away = deviations(past, level, self._recent + 1, self._per_epoch, floor)
            # One wild window is not a change: it may add this much and no more.
            self._sum += min(away, self._params.max_deviations) - self._params.cusum_slack
            self._peak = max(self._peak, away)
            self.leans = self._sum > self._params.cusum_limit / 2
            if self._sum > self._params.cusum_limit:
                alarm = self._peak
            if alarm is not None or self._sum <= 0:
                self._sum = self._peak = 0.0
        self._past.append(value)
        return alarm


def _comparable(value: float, past: Array, min_deviation: float) -> tuple[float, Array, float]:
    """Positive signals by their logarithm; and the least deviation. The answer has no units."""
    if value > 0 and past.min() > 0:
        return float(np.log(value)), np.log(past), min_deviation
    return value, past, min_deviation * _median(np.abs(past))


def deviations(past: Array, value: float, ahead: int, block: int, least: float) -> float:
    """How many deviations `value` lies above what `past` [n] led one to expect `ahead` windows on.

    Healthy training is not stationary, and a plain median and MAD cry wolf: a steady climb
    without any noise is for ever 1.65 deviations above the middle of its past. Therefore
    - a climb of the past is expected to go on. A fall is not: where it levels out is no rise;
    - the deviation is the larger of the windows' own MAD and of the spread between blocks
      (epochs), scaled as if windows were independent. Slow waves and autocorrelation are in the
      second only (the batch-means estimate of a long-run variance);
    - it is at least `least`, for signals that hardly vary.
    """
    count = len(past)
    half = count // 2
    climb = (_median(past[-half:]) - _median(past[:half])) / (count - half)
    slope = max(climb, 0.0)
    level = past - slope * np.arange(count)
    middle = _median(level)
    spread = 1.4826 * _median(np.abs(level - middle))
    blocks = count // block
    if blocks > 2:
        parts = level[count - blocks * block :].reshape(blocks, block)
        means = np.add.reduce(parts, axis=1) / block
        # Middle and slope were fitted: two degrees of freedom are gone.
        means -= np.add.reduce(means) / blocks  # what mean() does, without its detours
        between = math.sqrt(float(np.add.reduce(means * means)) / (blocks - 2) * block)
        spread = max(spread, between)
    away = value - (middle + slope * (count - 1 + ahead))
    spread = max(spread, least, _TINY)
    return min(max(away / spread, -1e6), 1e6)


def _median(values: Array) -> float:
    """Median of [n]; several times faster than numpy's for the few values of a past."""
    ordered, count = np.sort(values), len(values)
    return float(ordered[(count - 1) // 2] + ordered[count // 2]) / 2
