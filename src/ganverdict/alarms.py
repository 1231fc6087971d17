"""The signals of a run, iteration by iteration: which of them warn, and when."""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ganverdict.charts import Chart
from ganverdict.thresholds import Thresholds

Array = NDArray[np.float64]

# Each signal's name in words, and whether its rise (1) or its fall (-1) is a warning.
_SIGNALS: dict[str, tuple[str, int]] = {
    "d_grad_norm": ("the gradient norm of D", 1),
    "g_grad_norm": ("the gradient norm of G", 1),
    "d_update_ratio": ("the update ratio of D", 1),
    "g_update_ratio": ("the update ratio of G", 1),
    "g_loss": ("the loss of G", 1),
    "d_loss": ("the loss of D", -1),
    "d_real": ("mean D(x)", 0),
    "d_fake": ("mean D(G(z))", 0),
}
SIGNALS = tuple(_SIGNALS)
"""Per iteration: gradient norms, norms of steps over norms of weights, losses, D's mean answers."""

CHARTED = tuple(name for name, (_, direction) in _SIGNALS.items() if direction)
"""The signals whose change is a warning; D's answers only tell saturation."""

SATURATIONS = {
    "saturated": "D was sure of everything (D(x) over {real:g}, D(G(z)) under {fake:g})",
    "fooled": "D took everything for real (D(x) and D(G(z)) over {real:g})",
}
"""The ways in which D's answers stop telling anything, in words."""

_REAL, _FAKE = SIGNALS.index("d_real"), SIGNALS.index("d_fake")
_MIN_ROWS = 5  # of a window, where logs keep few iterations


@dataclass(frozen=True)
class Alarm:
    """A warning, known at `step` and not before: by a signal, or one of `SATURATIONS`."""

    step: int
    signal: str
    words: str


class Alarms:
    """Takes iterations as they come, and warns.

    `raised` are the warnings so far, `failure` a signal that is not finite, after which nothing is
    watched any more. `seen` names the signals given.
    """

    def __init__(self, params: Thresholds, steps_per_epoch: int) -> None:
        self.raised: list[Alarm] = []
        self.failure: Alarm | None = None
        self.seen: set[str] = set()
        self.last_step = -1
        self._params = params
        self._steps_per_epoch = steps_per_epoch
        self._steps = np.empty(0, dtype=np.int64)  # rows that do not fill a window yet
        self._rows = np.empty((0, len(SIGNALS)))
        self._window_rows = 0  # known once two rows tell how many steps lie between them
        self._charts: dict[str, Chart] = {}
        self._saturations: dict[str, deque[float]] = {}  # shares of the windows of the last epoch
        self._holding: dict[str, Alarm] = {}

    @property
    def saturated(self) -> Alarm | None:
        """The warning of a saturation that still holds."""
        return next(iter(self._holding.values()), None)

    def add(self, steps: ArrayLike, signals: Mapping[str, ArrayLike]) -> list[Alarm]:
        """Take the next iterations; return the alarms they raise, a hard failure included.

        `steps` [n] increase, from chunk to chunk too; `signals` maps names of `SIGNALS` to [n].
        Masked elements of a masked array are missing; NaN and infinity are values, and fatal.
        Raises ValueError for anything else.
        """
        numbers = self._checked(steps)
        rows, missing = _table(signals, len(numbers))
        if not len(numbers):
            return []
        self.last_step = int(numbers[-1])
        if self.failure is not None:
            return []
        self.seen.update(name for i, name in enumerate(SIGNALS) if not missing[:, i].all())
        broken = ~np.isfinite(rows) & ~missing
        end = int(broken.any(axis=1).argmax()) if broken.any() else len(rows)
        rows[missing] = np.nan
        self._steps = np.concatenate([self._steps, numbers[:end]])
        self._rows = np.concatenate([self._rows, rows[:end]])
        raised = self._close_windows()
        self.raised += raised
        if end < len(rows):
            name = SIGNALS[int(broken[end].argmax())]
            words = f"{_SIGNALS[name][0]} is not finite"
            self.failure = Alarm(int(numbers[end]), name, words)
            return [*raised, self.failure]
        return raised

    def _checked(self, steps: ArrayLike) -> NDArray[np.int64]:
        numbers = np.asarray(steps)
        if numbers.ndim != 1 or (len(numbers) and numbers.dtype.kind not in "iu"):
            raise ValueError("steps must be a one-dimensional array of whole numbers")
        numbers = numbers.astype(np.int64)
        late = np.flatnonzero(np.diff(numbers, prepend=self.last_step) <= 0)
        if len(late):
            raise ValueError(f"steps must increase from 0 on, and {numbers[late[0]]} does not")
        return numbers

    def _close_windows(self) -> list[Alarm]:
        if not self._window_rows:
            if len(self._steps) < 2:
                return []
            self._set_window(int(self._steps[1] - self._steps[0]))
        count = len(self._steps) // self._window_rows
        used = count * self._window_rows
        ends = self._steps[:used].reshape(count, self._window_rows)[:, -1]
        windows = self._rows[:used].reshape(count, self._window_rows, len(SIGNALS))
        self._steps, self._rows = self._steps[used:], self._rows[used:]
        real, fake = (windows[..., index] for index in (_REAL, _FAKE))
        high, low = self._params.saturated_real, self._params.saturated_fake
        fakes = {"saturated": fake < low, "fooled": fake > high}
        shares = {name: ((real > high) & answer).mean(axis=1) for name, answer in fakes.items()}
        raised: list[Alarm] = []
        for row, (end, medians) in enumerate(zip(ends, _medians(windows), strict=True)):
            raised += self._chart_alarms(int(end), medians)
            for name, share in shares.items():
                raised += self._saturation_alarms(int(end), name, float(share[row]))
        return raised

    def _set_window(self, stride: int) -> None:
        """Fix the rows of a window and the windows of an epoch; logs may keep every 10th step."""
        self._window_rows = max(round(self._params.window / stride), _MIN_ROWS)
        per_epoch = max(round(self._steps_per_epoch / (self._window_rows * stride)), 1)
        self._charts = {name: Chart(self._params, per_epoch, _SIGNALS[name][1]) for name in CHARTED}
        self._saturations = {name: deque(maxlen=per_epoch) for name in SATURATIONS}

    def _chart_alarms(self, step: int, medians: Array) -> list[Alarm]:
        """Alarms of one window, the strongest first."""
        raised = []
        for name, chart in self._charts.items():
            value = float(medians[SIGNALS.index(name)])
            peak = None if math.isnan(value) else chart.add(value)
            if peak is not None:
                what, direction = _SIGNALS[name]
                amount = f"{peak:.1f}" if peak < 100 else "over 100"
                change = f"rose {amount} deviations above"
                if direction < 0:
                    change = f"fell {amount} deviations below"
                words = f"{what} {change} the last {self._params.history_epochs:g} epochs"
                raised.append((peak, Alarm(step, name, words)))
        return [alarm for _, alarm in sorted(raised, key=lambda pair: -pair[0])]

    def _saturation_alarms(self, step: int, name: str, share: float) -> list[Alarm]:
        shares, params = self._saturations[name], self._params
        shares.append(share)
        full = len(shares) == shares.maxlen
        if not full or np.mean(shares) < params.saturated_share:
            self._holding.pop(name, None)
            return []
        if name in self._holding or step < params.burn_in_epochs * self._steps_per_epoch:
            return []
        words = SATURATIONS[name].format(real=params.saturated_real, fake=params.saturated_fake)
        alarm = Alarm(step, name, f"{words} for {params.saturated_share:.0%} of an epoch")
        self._holding[name] = alarm
        return [alarm]


def _table(signals: Mapping[str, ArrayLike], length: int) -> tuple[Array, NDArray[np.bool_]]:
    """Values [length, signals] and where they are missing."""
    rows = np.full((length, len(SIGNALS)), np.nan)
    missing = np.ones(rows.shape, dtype=np.bool_)
    for name, values in signals.items():
        if name not in SIGNALS:
            raise ValueError(f"unknown signal {name}; there are {', '.join(SIGNALS)}")
        array: np.ma.MaskedArray[Any, Any] = np.ma.asarray(values)
        if array.shape != (length,):
            raise ValueError(f"{name} has shape {array.shape}, but there are {length} steps")
        rows[:, SIGNALS.index(name)] = np.ma.getdata(array)
        missing[:, SIGNALS.index(name)] = np.ma.getmaskarray(array)
    return rows, missing


def _medians(windows: Array) -> Array:
    """Medians [count, signals] of windows [count, rows, signals]; NaN is missing."""
    if not np.isnan(windows).any():
        return np.asarray(np.median(windows, axis=1))
    # Sorting puts NaN last; the middle of those before them is the median.
    ordered, known = np.sort(windows, axis=1), np.isfinite(windows).sum(axis=1, keepdims=True)
    low, high = (known - 1).clip(0) // 2, known // 2
    pair = [np.take_along_axis(ordered, index, axis=1)[:, 0] for index in (low, high)]
    return np.where(known[:, 0] > 0, (pair[0] + pair[1]) / 2, np.nan)
