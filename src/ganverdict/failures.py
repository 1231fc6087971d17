"""Values that are not finite: where they began, and whether training overcame them."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ganverdict.signals import LOSSES, SIGNALS, TABLE

Array = NDArray[np.float64]

_ROWS_TO_OVERCOME = 5  # finite ones, and at least as many as were not
_OFTEN = 3  # runs of values that are not finite, each followed by one that is
_MOST_ROWS = 20  # a norm that is not finite for longer, beside losses that are, is no norm
_SKIPPED_ROWS = 4  # running, that a scaler may skip beside losses that are finite


@dataclass
class Failure:
    """A run of values of one signal that are not finite, from `step` on for `rows` rows."""

    signal: str
    step: float
    rows: int = 1
    finite_rows: int = 0  # since
    running: int = 1  # the latest of them
    before: tuple[int, ...] = ()  # how many were running each time before, of this signal
    leading: bool = False  # whether there had been no finite value yet
    has_nan: bool = False  # a scaler sees gradients that are infinite

    @property
    def words(self) -> str:
        return f"{TABLE[self.signal].words} is not finite"

    @property
    def believed(self) -> bool:
        """Whether it is training that failed: mixed precision skips steps with infinite norms, and
        a loss that was overcome again and again (of a network that takes only every fifth step, or
        under a scaler) may be so once more."""
        if self.is_usual and self.running <= 2 * max(self.before):
            return False
        if self.signal in LOSSES:
            return True
        first = not self.before and (self.leading or self.has_nan)
        few = 0 if first else _SKIPPED_ROWS
        return few < self.rows <= _MOST_ROWS

    @property
    def is_usual(self) -> bool:
        """Whether the signal has often been so before, and finite again."""
        return len(self.before) >= _OFTEN


@dataclass
class Failures:
    """Takes rows as they come."""

    _overcome: list[Failure] = field(default_factory=list)
    _open: dict[str, Failure] = field(default_factory=dict)
    _before: dict[str, list[int]] = field(default_factory=dict)  # lengths of runs by signal
    _begun: set[str] = field(default_factory=set)  # signals that have been finite

    @property
    def lasting(self) -> Failure | None:
        """The earliest run that training has not overcome.

        A norm is part of the failure where a loss fails, too.
        """
        failing = self._open.values()
        fails = any(failure.believed and failure.signal in LOSSES for failure in failing)
        believed = [
            failure
            for failure in failing
            if failure.believed
            or (fails and failure.signal not in LOSSES and failure.rows <= _MOST_ROWS)
        ]
        return min(believed, key=lambda failure: failure.step, default=None)

    @property
    def no_norms(self) -> list[Failure]:
        """Norms that are not finite any more, beside losses that are: no failure by themselves."""
        return [f for f in self._open.values() if f.signal not in LOSSES and f.rows > _MOST_ROWS]

    @property
    def overcome(self) -> list[Failure]:
        """The runs after which training went on, by step."""
        return sorted(self._overcome, key=lambda failure: failure.step)

    def add(self, steps: Array, rows: Array, missing: NDArray[np.bool_]) -> None:
        """Take rows [n, len(SIGNALS)] at `steps` [n]; what is missing is neither."""
        broken = ~np.isfinite(rows) & ~missing
        concerned = {*np.flatnonzero(broken.any(axis=0)).tolist()}
        concerned |= {SIGNALS.index(name) for name in self._open}
        for index in sorted(concerned):
            for row in np.flatnonzero(~missing[:, index]).tolist():
                value = float(rows[row, index])
                self._add(SIGNALS[index], float(steps[row]), value)
        finite = (np.isfinite(rows) & ~missing).any(axis=0)
        self._begun |= {SIGNALS[index] for index in np.flatnonzero(finite).tolist()}

    def _add(self, name: str, step: float, value: float) -> None:
        broken = not math.isfinite(value)
        failure = self._open.get(name)
        before = self._before.setdefault(name, [])
        if broken and failure is None:
            self._open[name] = Failure(
                name, step, before=tuple(before), leading=name not in self._begun
            )
        elif broken and failure is not None:
            if failure.finite_rows:
                before.append(failure.running)
                failure.before, failure.running = tuple(before), 0
            failure.rows += 1
            failure.running += 1
            failure.finite_rows = 0
        elif failure is not None:
            failure.finite_rows += 1
            if failure.finite_rows >= self._wanted(failure):
                before.append(failure.running)
                self._overcome.append(self._open.pop(name))
        if not broken:
            self._begun.add(name)
        elif math.isnan(value):
            self._open[name].has_nan = True

    def _wanted(self, failure: Failure) -> int:
        """How many finite rows running say that training has overcome it."""
        if failure.signal not in LOSSES or failure.is_usual:
            return 1
        return _ROWS_TO_OVERCOME if failure.leading else max(_ROWS_TO_OVERCOME, failure.rows)
