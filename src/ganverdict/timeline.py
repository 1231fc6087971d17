"""What a run counts by: its steps in words for people, and the epochs that they lie in."""

import bisect
import math

from ganverdict.quality import Quality


class Timeline:
    """The steps of one run.

    Args:
        unit: what a step counts.
        steps_per_epoch: the length of an epoch, where there is one.
        quality: the evaluations so far, whose epochs are known.
    """

    def __init__(self, unit: str, steps_per_epoch: float | None, quality: Quality) -> None:
        self.steps_per_epoch = steps_per_epoch
        self._unit, self._quality = unit, quality

    def at(self, step: float | None) -> str:
        """A step for people, by what the log counts: "step 4,000", "epoch 12", "4,800 kimg"."""
        number = "" if step is None else f"{step:,.10g}"
        if self._unit in ("epoch", "row"):
            return f"{self._unit} {number}"
        unit = "images" if self._unit == "image" else self._unit
        return f"step {number}" if unit == "iteration" else f"{number} {unit}"

    def place(self, step: float) -> str:
        """A step for people, by its epoch where that is known."""
        epoch = self.epoch_of(step)
        return self.at(step) if epoch is None else f"epoch {epoch:g}"

    def epoch_of(self, step: float | None) -> float | None:
        """Return the epoch that `step` lies in, where epochs are known."""
        if step is None:
            return None
        known = [e for e in self._quality.evaluations if e.epoch is not None]
        place = bisect.bisect_right(known, step, key=lambda e: e.step)
        before = known[place - 1] if place else None
        if before is not None and before.step == step:
            return whole(before.epoch)
        if self.steps_per_epoch is None:
            return None
        if before is not None:
            since = math.ceil((step - before.step) / self.steps_per_epoch)
            return math.floor(before.epoch or 0.0) + since
        if known:  # epochs may count from 0
            until = math.floor((known[0].step - step) / self.steps_per_epoch)
            return math.floor(known[0].epoch or 0.0) - until
        return max(math.ceil(step / self.steps_per_epoch), 1)


def whole(number: float | None) -> float | None:
    """An int where the number is one, as logs count."""
    return int(number) if number is not None and number == int(number) else number
