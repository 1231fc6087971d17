"""The signals of a run as they come: which of them warn, when, and which states hold."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ganverdict.charts import Chart
from ganverdict.failures import Failures
from ganverdict.families import Family, infer
from ganverdict.signals import CHARTED, HELD_OUT, SIGNALS, TABLE
from ganverdict.states import State, States
from ganverdict.thresholds import Thresholds
from ganverdict.windows import Window, Windows

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Alarm:
    """A warning, known at `step` and not before: by a signal, or by a state that holds."""

    step: float
    signal: str
    words: str
    state: State | None = None

    @property
    def tells(self) -> bool:
        """Whether it is worth telling by itself, where nothing came of it.

        Not a state that holds, which is told as what is, not as what was.
        """
        return self.state is None or (self.state.until is not None and not self.passed_early)

    @property
    def passed_early(self) -> bool:
        """Whether it is of a state of the burn-in, where D is often far ahead for a while."""
        return self.state is not None and self.state.early and self.state.until is not None

    def waits(self, since: float) -> bool:
        """Whether it still waits for samples: a change that came, or a state that held, from
        `since` on."""
        if self.state is None:
            return self.step >= since
        return self.state.released is None or self.state.released >= since


class Alarms:
    """Takes rows as they come, and warns.

    Attributes:
        raised: the warnings so far, by step.
        failures: values that are not finite.
        states: those that hold, and those that did.
        family: the loss's, given or inferred from the windows so far.
        windows: how many windows each signal has had.
        charted: how many of them a chart compared with its past.
        charted_from: the step of the first of these.
        ahead: the first alarm of a fall of D's loss within an epoch of which G's loss rose, too:
            a discriminator too small to be sure of everything shows so that G stands still.
    """

    def __init__(
        self,
        params: Thresholds,
        length: float | None,
        windows_per_epoch: int,
        coarsen: bool,
        family: Family | None,
    ) -> None:
        self.raised: list[Alarm] = []
        self.failures = Failures()
        self.family = family
        self.last_step = -math.inf
        self.rows = 0
        self.windows = dict.fromkeys(SIGNALS, 0)
        self.charted = 0
        self.charted_from: float | None = None
        self.ahead: Alarm | None = None
        self._params = params
        self._windows = Windows(length, coarsen)
        self._charts = {
            name: Chart(params, windows_per_epoch, TABLE[name].warning) for name in CHARTED
        }
        self.states = States(params, round(params.burn_in_epochs * windows_per_epoch))
        self._per_epoch = windows_per_epoch
        self._has_epochs = windows_per_epoch == 1 or not coarsen
        self._fell: tuple[int, Alarm] | None = None  # D's loss: at which window, latest
        self._rose = -math.inf  # G's loss: at which window, latest
        self._medians: list[Array] = []  # until the family is known
        self._look_at = 1  # of so many

    def add(self, steps: ArrayLike, signals: Mapping[str, ArrayLike]) -> list[Alarm]:
        """Take the next rows; return the alarms they raise.

        `steps` [n] increase, from chunk to chunk too; `signals` maps names of `SIGNALS` to [n].
        Masked elements of a masked array are missing; NaN and infinity are values.
        Raises ValueError for anything else.
        """
        numbers = self._checked(steps)
        rows, missing = _table(signals, len(numbers))
        if not len(numbers):
            return []
        self.last_step = float(numbers[-1])
        self.rows += len(numbers)
        self.failures.add(numbers, rows, missing)
        rows[missing] = np.nan
        raised: list[Alarm] = []
        for window in self._windows.add(numbers, rows):
            raised += self._watch(window)
        self.raised += raised
        return raised

    def add_held_out(self, step: float, measures: Mapping[str, float]) -> None:
        """Take what an evaluation at `step` measured of D on training and held-out images."""
        train, test = (measures.get(name, math.nan) for name in HELD_OUT)
        self.raised += map(state_alarm, self.states.add_held_out(step, train, test, self.family))

    @property
    def seen(self) -> tuple[str, ...]:
        """The signals that have had a window."""
        return tuple(name for name, count in self.windows.items() if count)

    def _checked(self, steps: ArrayLike) -> Array:
        numbers = np.asarray(steps, dtype=np.float64)
        if numbers.ndim != 1 or not np.isfinite(numbers).all():
            raise ValueError("steps must be a one-dimensional array of finite numbers")
        late = np.flatnonzero(np.diff(numbers, prepend=self.last_step) <= 0)
        if len(late):
            raise ValueError(f"steps must increase, and {numbers[late[0]]:g} does not")
        return numbers

    def _watch(self, window: Window) -> list[Alarm]:
        """Alarms of one window: charts, the strongest first, then states."""
        for name, known in zip(SIGNALS, np.isfinite(window.medians), strict=True):
            self.windows[name] += bool(known)
        self._tell_family(window)
        found, charted = [], False
        for name, chart in self._charts.items():
            value = window.median(name)
            if math.isnan(value):
                chart.leans = False
                continue
            peak = chart.add(value)
            charted |= chart.compares
            if peak is not None:
                found.append((peak, Alarm(window.end, name, self._words(name, peak))))
        if charted:
            self.charted += 1
            self.charted_from = window.start if self.charted_from is None else self.charted_from
        raised = [alarm for _, alarm in sorted(found, key=lambda pair: -pair[0])]
        self._watch_both(raised)
        return [*raised, *map(state_alarm, self.states.add(window, self.family))]

    def _watch_both(self, raised: list[Alarm]) -> None:
        """Whether D pulls ahead: its loss fell, and about then the loss of G rose."""
        place = self.windows["d_loss"]
        fallen = next((alarm for alarm in raised if alarm.signal == "d_loss"), None)
        if fallen is not None:
            self._fell = place, fallen
        if self._charts["g_loss"].leans:
            self._rose = place
        if self._fell is not None and self.ahead is None:
            when, alarm = self._fell
            self.ahead = alarm if abs(when - self._rose) <= self._per_epoch else None

    def _tell_family(self, window: Window) -> None:
        told = self.family is not None and self.family.source != "inferred"
        if told or len(self._medians) > 1000:
            return
        self._medians.append(window.medians)
        if len(self._medians) >= self._look_at:  # again when there are a quarter more
            self._look_at = math.ceil(1.25 * len(self._medians))
            columns = np.array(self._medians).T
            known = {n: c for n, c in zip(SIGNALS, columns, strict=True) if np.isfinite(c).any()}
            # More windows may prove another one: a critic's loss begins above zero.
            self.family = infer(known) or self.family

    def _words(self, name: str, peak: float) -> str:
        signal = TABLE[name]
        amount = f"{peak:.1f}" if peak < 100 else "over 100"
        change = f"rose {amount} deviations above"
        if signal.warning < 0:
            change = f"fell {amount} deviations below"
        past = f"{self._params.history_epochs:g} epochs"
        if not self._has_epochs:
            past = f"{round(self._params.history_epochs * self._per_epoch)} windows"
        return f"{signal.words} {change} the last {past}"


def state_alarm(state: State) -> Alarm:
    """The warning that a state holds."""
    return Alarm(state.raised, state.name, state.words, state)


def _table(signals: Mapping[str, ArrayLike], length: int) -> tuple[Array, NDArray[np.bool_]]:
    """Values [length, signals] and where they are missing."""
    rows = np.full((length, len(SIGNALS)), np.nan)
    missing = np.ones(rows.shape, dtype=np.bool_)
    for name, values in signals.items():
        if name not in SIGNALS:
            raise ValueError(f"unknown signal {name}; there are {', '.join(SIGNALS)}")
        array: np.ma.MaskedArray[Any, Any] = np.ma.asarray(values)
        if array.dtype == object:  # None says that there is none
            gone = np.array([value is None for value in array.flat]).reshape(array.shape)
            array = np.ma.array(np.where(gone, np.nan, array), mask=gone, dtype=np.float64)
        if array.shape != (length,):
            raise ValueError(f"{name} has shape {array.shape}, but there are {length} steps")
        rows[:, SIGNALS.index(name)] = np.ma.getdata(array)
        missing[:, SIGNALS.index(name)] = np.ma.getmaskarray(array)
    return rows, missing
