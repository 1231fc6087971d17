"""Evaluations of a run's samples: what was measured, as far as the metric can be believed."""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ganverdict.confirming import OTHERS
from ganverdict.metrics import metric_named
from ganverdict.thresholds import Thresholds

MEASURES = ("fd", "fd_sigma", "class_kl", "coverage", "min_share")
"""What the pipeline gives: the metric; its standard deviation over noise banks; KL of the digits
drawn; coverage in [0, 1]; the rarest digit's share over its true share."""

ASSUMED_NOISE = 0.01
"""The relative deviation of a metric that comes without one."""

_DECADES = 3  # a jump over so many, and back, is the metric's doing
_LATELY = 10  # values of the metric; of so many, two that it cannot have are too many
_BEFORE = 5  # values that a jump is told from


@dataclass(frozen=True)
class Evaluation:
    """What was measured at a step.

    Attributes:
        value: of the metric; None where it was not measured, or cannot be what it says.
        sigma: its standard deviation.
        is_given: whether that came with it; else it is assumed.
        measures: the others.
    """

    step: float
    epoch: float | None
    value: float | None
    sigma: float
    is_given: bool
    measures: Mapping[str, float]

    @property
    def bound(self) -> float:
        """The value plus its deviation: what is kept is where this is lowest."""
        return math.inf if self.value is None else self.value + self.sigma


class Values:
    """The metric's values as they come, and which of them it cannot have.

    Attributes:
        metric: what is known of it by its name.
        not_numbers: evaluations of it that were NaN or infinite.
        broken: steps and values that it cannot have.
    """

    def __init__(self, params: Thresholds, metric: str) -> None:
        self.metric = metric_named(metric)
        self.not_numbers = 0
        self.broken: list[tuple[float, float]] = []
        self._params = params
        self._before: deque[float] = deque(maxlen=_BEFORE)
        self._lately_broken: deque[bool] = deque(maxlen=_LATELY)
        self._no_numbers: list[float] = []  # steps of the latest evaluations running that were none
        self._numbers = 0  # running, before these
        self._longest_gap = 0  # between numbers

    def evaluation(
        self, step: float, epoch: float | None, measures: Mapping[str, float]
    ) -> Evaluation | None:
        """What was measured next; None where nothing of it tells how good samples are."""
        metric = self.metric.name
        if metric in measures:
            if math.isfinite(measures[metric]):
                self._longest_gap = max(self._longest_gap, len(self._no_numbers))
                self._numbers = 1 if self._no_numbers else self._numbers + 1
                self._no_numbers.clear()
            else:
                self._no_numbers.append(step)
                self.not_numbers += 1
        finite = {name: float(v) for name, v in measures.items() if math.isfinite(v)}
        value = self._believed(step, finite.pop(metric, None))
        sigma = finite.pop(f"{metric}_sigma", None)
        if value is None and OTHERS.keys().isdisjoint(finite):
            return None
        is_given = sigma is not None
        if sigma is None:
            sigma = ASSUMED_NOISE * abs(value or 0.0)
        return Evaluation(step, epoch, value, max(sigma, 0.0), is_given, finite)

    @property
    def metric_broken(self) -> str:
        """In words that the metric has of late had values that it cannot have; else empty."""
        if self._is_no_number():
            count = len(self._no_numbers)
            return f"{self.metric.name} has been no number in the last {count} evaluations"
        lately = sum(self._lately_broken)
        if lately < 2 and 5 * lately <= len(self._lately_broken) - lately:
            return ""
        return self.first_broken

    @property
    def broken_since(self) -> float:
        """The step of the first of these values."""
        return self._no_numbers[0] if self._is_no_number() else self.broken[0][0]

    @property
    def leaves_gaps(self) -> bool:
        """Whether it was none for long between numbers: logs say so of rows not evaluated, too."""
        return self._longest_gap >= self._params.stall_evaluations

    def _is_no_number(self) -> bool:
        """Whether it is none any more, for longer than where it was not evaluated."""
        least = self._params.stall_evaluations
        gone = len(self._no_numbers) >= max(least, 2 * self._longest_gap)
        return gone and self._numbers >= least

    @property
    def first_broken(self) -> str:
        """In words the first value that the metric cannot have; empty where there is none."""
        if not self.broken:
            return ""
        step, value = self.broken[0]
        return f"{self.metric.name} is {value:.3g} at step {step:,.10g}, which it cannot be"

    def _believed(self, step: float, value: float | None) -> float | None:
        """The value, unless the metric cannot have it."""
        if value is None or (value == 0 and self.metric.never_zero):
            return None
        negative = value < 0 and not self.metric.about_nothing
        others = [earlier for earlier in self._before if earlier > 0]
        # An estimate that is about nothing at its best has no decades to jump over.
        jump = bool(others) and value > 10**_DECADES * float(np.median(others))
        jump &= not self.metric.about_nothing
        broken = negative or jump or value > 1e12
        self._lately_broken.append(broken)
        if broken:
            self.broken.append((step, value))
            return None
        self._before.append(value)
        return value
