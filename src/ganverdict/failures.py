"""Values that are not finite: where they began, and whether training overcame them."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ganverdict.signals import LOSSES, SIGNALS, TABLE

Array = NDArray[np.float64]

_ROWS_TO_OVERCOME = 5  # finite ones, and at least as many as were not
_ROWS_TO_BELIEVE = 20  # a norm that is not finite for longer, beside losses that are, is no norm


@dataclass
class Failure:
    """A run of values of one signal that are not finite, from `step` on for `rows` rows."""

    signal: str
    step: float
    rows: int = 1
    finite_rows: int = 0  # since

    @property
    def words(self) -> str:
        return f"{TABLE[self.signal].words} is not finite"

    @property
    def believed(self) -> bool:
        """Whether it is training that failed: mixed precision skips steps with infinite norms."""
        return self.signal in LOSSES or self.rows <= _ROWS_TO_BELIEVE


@dataclass
class Failures:
    """Takes rows as they come. `overcome` are the runs after which training went on, by step."""

    overcome: list[Failure] = field(default_factory=list)
    _open: dict[str, Failure] = field(default_factory=dict)

    @property
    def lasting(self) -> Failure | None:
        """The earliest run that training has not overcome."""
        believed = [failure for failure in self._open.values() if failure.believed]
        return min(believed, key=lambda failure: failure.step, default=None)

    def add(self, steps: Array, rows: Array, missing: NDArray[np.bool_]) -> None:
        """Take rows [n, len(SIGNALS)] at `steps` [n]; what is missing is neither."""
        broken = ~np.isfinite(rows) & ~missing
        concerned = {*np.flatnonzero(broken.any(axis=0)).tolist()}
        concerned |= {SIGNALS.index(name) for name in self._open}
        for index in sorted(concerned):
            for row in np.flatnonzero(~missing[:, index]).tolist():
                self._add(SIGNALS[index], float(steps[row]), bool(broken[row, index]))

    def _add(self, name: str, step: float, broken: bool) -> None:
        failure = self._open.get(name)
        if broken:
            if failure is None:
                self._open[name] = Failure(name, step)
            else:
                failure.rows += 1
                failure.finite_rows = 0
        elif failure is not None:
            failure.finite_rows += 1
            wanted = max(_ROWS_TO_OVERCOME, failure.rows) if name in LOSSES else 1
            if failure.finite_rows >= wanted:
                self.overcome.append(self._open.pop(name))
