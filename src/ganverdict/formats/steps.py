"""Steps that go back, start anew, or count something else than the losses' steps."""

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ganverdict.formats.table import Floats

_START = 0.02  # a start within this share of the run so far is one from the beginning
_START_OF_FILE = 0.1  # the same, where another file begins
_BEGINNING = 50  # rows of it, whose median distance is its interval
_FEWEST = 3  # rows before a start anew that make a run of their own
_SMALL = 50  # evaluations at most so many steps apart, far from the losses' end, count epochs


def restarts(steps: Floats, begins: Collection[int] = ()) -> list[int]:
    """The indices in `steps` [n] where a run starts from the beginning.

    Steps that go back to a later place are those of a resumed run, and one step that is out of
    place is none at all. `begins` are indices of the first rows of files: there a run may start
    a little later than the one before, or at its own first interval.
    """
    back = np.flatnonzero(np.diff(steps) < 0) + 1
    if not len(back):
        return []
    if len(back) > 0.05 * len(steps) and len(back) > 5 and not _sawtooth(steps, back):
        return []  # out of order altogether
    places: list[int] = []
    begin = 0
    for place in back:
        if steps[place - 1] > steps[place] and _alone(steps, int(place)):
            continue
        segment = steps[begin:place]
        first, top = float(segment[0]), float(segment.max())
        limit = first + max(_START * (top - first), _interval(segment))
        if place in begins:
            own = _interval(steps[place : place + _BEGINNING])
            limit = max(limit, first + _START_OF_FILE * (top - first), own)
        if steps[place] <= limit and len(segment) >= _FEWEST:
            places.append(int(place))
            begin = int(place)
    return places


def _interval(steps: Floats) -> float:
    """The median distance of steps."""
    distances = np.diff(steps)
    return float(np.median(distances)) if len(distances) else 0.0


def _alone(steps: Floats, place: int) -> bool:
    """Whether one step only is out of place: the next goes on where the one before was."""
    return place + 1 < len(steps) and steps[place + 1] > steps[place - 1]


def _sawtooth(steps: Floats, back: NDArray[np.int64]) -> bool:
    """Whether each way back leads to about the same place."""
    landed = steps[back]
    return bool(np.ptp(landed) <= 0.1 * max(np.ptp(steps), 1e-300))


def mended(
    steps: Floats, lines: Floats | NDArray[np.int64]
) -> tuple[NDArray[np.int64] | None, list[str]]:
    """The order in which `steps` [n] are strictly increasing, and what was done; None: they are.

    `lines` [n] are where they stand.
    Where steps go back the later rows count, from the step to which they went back.
    """
    if len(steps) < 2:
        return None, []
    differences = np.diff(steps)
    if np.all(differences > 0):
        return None, []
    notes = []
    order = np.arange(len(steps))
    back = np.flatnonzero(differences < 0)
    if len(back) > 0.9 * len(differences):
        order = order[::-1]
        notes.append("the newest rows stand first: read backwards")
    elif len(back) > 0.05 * len(steps) and len(back) > 5:
        order = np.argsort(steps, kind="stable")
        notes.append("rows are out of order: sorted by step")
    elif len(back):
        single = [int(b) + 1 for b in back if _alone(steps, int(b) + 1)]
        order = np.delete(order, single)
        if single:
            notes.append(
                f"step {_step(steps[single[0]])} is out of place: skipped"
                + (f", and {len(single) - 1} more" if len(single) > 1 else "")
            )
        notes += [
            f"steps go back from {_step(steps[b])} to {_step(steps[b + 1])} (line"
            f" {lines[b + 1]:,}): the later rows count"
            for b in back[:3]
            if int(b) + 1 not in single
        ]
    ahead = steps[order]
    again = int(np.count_nonzero(np.diff(ahead) == 0))
    if again:
        notes.append(f"{again:,} of {len(steps):,} rows have the step of the next: the last counts")
    least = np.minimum.accumulate(ahead[::-1])[::-1]
    keep = np.append(ahead[:-1] < least[1:], True)
    return order[keep], notes


def _step(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,g}"


@dataclass
class Align:
    """Puts evaluations on the steps of the losses.

    `unit`, `last` and `first` are the losses' unit and steps, None where there are no losses;
    `per_epoch` their steps an epoch, where the log tells.
    """

    unit: str
    last: float | None
    first: float | None
    per_epoch: float | None
    notes: list[str] = field(default_factory=list)

    def evaluations(
        self, steps: Floats, unit: str, epochs: Floats, per_epoch: float | None
    ) -> Floats:
        """`steps` [m] of evaluations, counted in `unit`, in the losses' unit.

        `epochs` [m] are theirs where known, else NaN; `per_epoch` is by their own log.
        """
        if self.last is None or not len(steps):
            self.unit, self.per_epoch = unit, per_epoch
            return steps
        if unit == "epoch" and self.unit != "epoch":
            return self._from_epochs(steps)
        if self._are_epochs(steps, unit):
            self.notes.append("the evaluations' steps count epochs")
            return self._from_epochs(steps)
        if unit == self.unit:
            self.per_epoch = self.per_epoch or (per_epoch if unit != "epoch" else None)
            return steps
        if self.unit == "epoch" and per_epoch and np.isfinite(epochs).all():
            return epochs
        return self._by_another_unit(steps, unit)

    def _by_another_unit(self, steps: Floats, unit: str) -> Floats:
        if {unit, self.unit} == {"kimg", "image"}:
            return steps * 1000 if unit == "kimg" else steps / 1000
        if "row" in (unit, self.unit) and self._reach_the_same(steps):
            if self.unit == "row":
                self.notes.append("rows are numbered, as the evaluations' steps are")
            return steps
        return self._by_ends(steps, unit)

    def _reach_the_same(self, steps: Floats) -> bool:
        assert self.last is not None
        return bool(0.5 * self.last <= steps[-1] <= 1.01 * self.last)

    def _are_epochs(self, steps: Floats, unit: str) -> bool:
        """Whether steps that are called so are too few and too near each other to be steps."""
        if self.unit == "epoch" or unit not in ("iteration", "row") or len(steps) < 2:
            return False
        assert self.last is not None
        if np.any(steps != np.floor(steps)) or steps[0] < 0:
            return False
        distances = np.diff(steps)
        near = float(np.median(distances)) <= _SMALL and steps[-1] <= 0.2 * self.last
        return bool(near and steps[0] <= max(1.0, float(distances.max())))

    def _from_epochs(self, epochs: Floats) -> Floats:
        """Steps at which epochs end."""
        assert self.last is not None
        assert self.first is not None
        begin = min(self.first, 1.0) - 1.0 if self.first in (0.0, 1.0) else 0.0
        total = self.last - begin
        highest = float(epochs.max())
        shift = 0.0
        per_epoch = self.per_epoch
        if per_epoch is None:
            if epochs.min() == 0 and not (
                _whole(total / max(highest, 1)) and not _whole(total / (highest + 1))
            ):
                shift = 1.0
            per_epoch = total / max(highest + shift, 1.0)
            self.notes.append(
                f"evaluations are given by epoch: {per_epoch:,.6g} steps each, as if the last"
                " stood at the end of the losses"
            )
        else:
            if epochs.min() == 0 and (highest + 1) * per_epoch <= total * 1.01 + 1:
                shift = 1.0
            self.notes.append(
                f"evaluations are given by epoch: {per_epoch:,.6g} steps each, as the log tells"
            )
        if shift:
            self.notes.append("epochs count from 0, each evaluated at its end")
        self.per_epoch = per_epoch
        return begin + (epochs + shift) * per_epoch

    def _by_ends(self, steps: Floats, unit: str) -> Floats:
        """Steps of another unit, as if the last evaluation stood at the end of the losses."""
        assert self.last is not None
        if steps[-1] <= 0:
            return steps
        factor = self.last / float(steps[-1])
        self.notes.append(
            f"losses count by {self.unit}, evaluations by {unit}: put as if both ended together"
        )
        return steps * factor


def _whole(value: float) -> bool:
    return abs(value - round(value)) < 1e-6
