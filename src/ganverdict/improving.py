"""How good the samples were: which are the best, and for how long there has been nothing better."""

import math

import numpy as np

from ganverdict.evaluations import Evaluation
from ganverdict.metrics import Metric
from ganverdict.thresholds import Thresholds
from ganverdict.wobble import is_odd, relative_wobble

_EVALUATIONS_TO_SEE_WAVES = 16  # what neighbours share, their differences do not show
_LONGEST_WAVE = 5
_NEAR = 2.0  # times the best: beyond it a wave is not, but a fall from the start
_ENOUGH = 300  # values tell a wobble; a log may have a hundred thousand
_HIGHEST_KID = 1.0
_LATELY = 10  # evaluations
_TO_TELL_INTERVAL = 20  # evaluations
_MOST_TO_SEE_A_FALL = 30
_OF_A_MEDIAN = 1.25  # its deviation is so many times that of a mean


class Improvement:
    """The evaluations of one metric. The lowest of its value plus its deviation is the best.

    An epoch's weights are better or worse than the next one's, and smoothing would throw that away.
    Whether to go on is another question, answered by how long there has been nothing better,
    against how long it took to get there.

    Attributes:
        known: those with a value.
        values: of these.
    """

    def __init__(self, params: Thresholds, metric: Metric) -> None:
        self.metric = metric
        self.known: list[Evaluation] = []
        self.values: list[float] = []
        self._params = params
        self._best = -1  # place among the known
        self._material = -1  # the latest that was better by `plateau_change`
        self._material_value = math.inf
        self._lowest = self._second = math.inf  # values

    def add(self, evaluation: Evaluation) -> bool:
        """Take the next evaluation that has a value; return whether it is the best."""
        value = evaluation.value
        assert value is not None
        self.known.append(evaluation)
        self.values.append(value)
        place = len(self.known) - 1
        is_best = self._best < 0 or evaluation.bound < self.known[self._best].bound
        if is_best:
            self._best = place
        self._second = min(self._second, max(self._lowest, value))
        self._lowest = min(self._lowest, value)
        change = self._params.plateau_change * abs(self._material_value)
        if self._material < 0 or value < self._material_value - change:
            self._material, self._material_value = place, value
        return is_best

    def is_new_best(self, evaluation: Evaluation) -> bool:
        """Whether an evaluation of the metric was better than all before it."""
        before = (e.bound for e in self.known if e.step < evaluation.step)
        return evaluation.bound < min(before, default=math.inf)

    @property
    def best(self) -> Evaluation | None:
        """The evaluation whose weights to keep, of all so far."""
        return self.known[self._best] if self.known else None

    @property
    def latest(self) -> Evaluation | None:
        """The latest evaluation of the metric."""
        return self.known[-1] if self.known else None

    @property
    def since_best(self) -> int:
        """Evaluations of the metric since the best."""
        return len(self.known) - 1 - self._best

    @property
    def before_best(self) -> int:
        """Evaluations before the best."""
        return max(self._best, 0)

    @property
    def plateau(self) -> str:
        """In words that there has been nothing better for long; else empty."""
        since = len(self.known) - 1 - self._material
        if not self.known or since < self._longest_plateau(self._params.plateau_share):
            return ""
        if self._still_falls(self._material):
            return ""
        change = f"{self._params.plateau_change:.0%}"
        return f"{self.metric.name} has not improved by {change} in the last {since} evaluations"

    @property
    def plateau_ends(self) -> int:
        """How many evaluations more a plateau may last before training should end."""
        since = len(self.known) - 1 - self._material
        longest = self._longest_plateau(self._params.plateau_end_share)
        return max(longest - since, self._to_see_a_fall() - since, 0)

    def _longest_plateau(self, share: float) -> int:
        """Evaluations that may go by without a better one, as many as came before by a share."""
        before = self._material + self._before_the_log()
        return math.ceil(max(self._params.plateau_evaluations, share * before))

    def _to_see_a_fall(self) -> int:
        """Evaluations in which `_still_falls` sees half of what counts as better, but no more than
        anybody waits for."""
        of_one = _OF_A_MEDIAN * self.wobble / (self._params.plateau_change / 2)
        return math.ceil(min(6 * of_one**2, _MOST_TO_SEE_A_FALL))

    def _before_the_log(self) -> float:
        """Evaluations for which training had gone on where the log begins: it may be resumed."""
        steps = np.array([e.step for e in self.known[:_TO_TELL_INTERVAL]])
        if len(steps) < 3:
            return 0.0
        return max(float(steps[0] / np.median(np.diff(steps))) - 1, 0.0)

    @property
    def never_learned(self) -> str:
        """In words that the metric never left its start or the level of noise; else empty."""
        count = len(self.known)
        if count < self._params.patience or not self.is_noise():
            return ""
        # What fell at first only has stopped.
        if self._still_falls(count // 3, 2) or self._still_falls(-_LATELY, 2):
            return ""
        words = f"{self.metric.name} was {self._lowest:.4g} at its best in {count} evaluations"
        return f"{words}, little but noise"

    def is_noise(self) -> bool:
        """Whether the best samples are little but noise: there is nothing to decline from."""
        level = self.metric.noise_level
        if level is None or not self.known:
            return False
        start = self.values[0]
        if self._lowest < level or (self.metric.about_nothing and start > _HIGHEST_KID):
            return False
        fell = self._lowest / start if start > 0 else 1.0
        return fell >= 0.8 or (fell >= 0.6 and self._lowest >= 2 * level)

    def flat_since(self, step: float) -> int:
        """Evaluations after `step`, where the metric has hardly improved in them; else 0."""
        place = next((i for i, e in enumerate(self.known) if e.step >= step), None)
        if place is None or not self.known[place + 1 :] or self._still_falls(place):
            return 0
        return 0 if self._improved(place, len(self.known)) else len(self.known) - 1 - place

    def improved_until(self, step: float) -> bool:
        """Whether the metric had improved before `step` came."""
        return self._improved(0, sum(e.step <= step for e in self.known))

    def _improved(self, place: int, end: int) -> bool:
        """Whether an evaluation from after `place` to before `end` is better than all up to it."""
        lowest = min(self.values[: place + 1], default=0.0)
        after = min(self.values[place + 1 : end], default=math.inf)
        return after <= lowest - self._params.flat_change * abs(lowest)

    def _still_falls(self, place: int, deviations: float = 1.0) -> bool:
        """Whether the evaluations from `place` on fall, by what their wobble lets be told.

        A fall by half of what counts as better, between the medians of the first third and of the
        last: as many evaluations again will make it better. What comes back to a best of before
        is none.
        """
        values = self.values[place:]
        if self._best < len(self.known) - len(values):
            return False
        third = max(len(values) // 3, 1)
        first, last = (float(np.median(part)) for part in (values[:third], values[-third:]))
        deviation = deviations * _OF_A_MEDIAN * self.wobble * math.sqrt(2 / third)
        return last < first - max(deviation, self._params.plateau_change / 2) * abs(first)

    @property
    def wobble(self) -> float:
        """Relative deviation of one evaluation of the metric from its neighbours' line."""
        values = self.values[-_ENOUGH:]
        if len(values) < 5:
            return 0.05
        # A steep fall at the start may hide how much the rest wobbles.
        return max(relative_wobble(values), relative_wobble(values[-15:]))

    def luck(self, held: bool = False, before: int | None = None) -> float:
        """What the latest may lie above the lowest, relatively, where nothing has changed.

        The lowest of n values without a trend is about sqrt(2 ln n) deviations under their level.
        Where a state holds (`held`) nothing is asked beyond that, and no waves are looked for. They
        are looked for in all values, or in those `before` a run of bad ones, since the fall from
        the start: both look like waves themselves.
        """
        end = len(self.values) if before is None else before
        values = self.values[max(end - _ENOUGH, 0) : end]
        if before is not None:
            values = self._near_the_best(values)
        count, wobble = max(len(self.known), 2), self.wobble
        if not held:
            if len(values) >= _EVALUATIONS_TO_SEE_WAVES:
                apart = min(len(values) // 6, _LONGEST_WAVE)
                wobble = max(wobble, relative_wobble(values, apart))
            wobble *= 1 + 1 / math.sqrt(count)  # it may be larger than few values tell
        beyond = 0.5 if held else self._params.wobbles
        lies = (beyond + math.sqrt(2 * math.log(count))) * wobble
        return math.expm1(min(lies, 700.0))  # what is beyond it has no number

    def _near_the_best(self, values: list[float]) -> list[float]:
        """The latest values without a break that are under so many times the best."""
        limit = _NEAR * self.base()
        far = [place for place, value in enumerate(values) if value > limit]
        return values[far[-1] + 1 :] if far else values

    def base(self) -> float:
        """The best value; where it is next to nothing, a hundredth of the start."""
        first = max(self._best - 3, 0)
        around = self.values[first : self._best + 4]
        best = self._second if is_odd(around, self._best - first) else self.values[self._best]
        return max(best, 0.01 * float(np.median(self.values[:3])))

    def is_worse(self, value: float, by: float) -> bool:
        """Whether a value is above the best by more than a share of it."""
        base = self.base()
        return value > base + by * abs(base)

    def scatter(self) -> float:
        """What an estimate that is about nothing at its best, as a KID, may lie above the lowest.

        Its deviation is not relative; the lowest is lucky, as `luck` says.
        """
        if not self.metric.about_nothing or len(self.known) < 5:
            return 0.0
        bends = np.diff(self.values[-15:], 2)
        deviation = float(1.4826 * np.median(np.abs(bends)) / math.sqrt(6))
        return (self._params.sigmas + math.sqrt(2 * math.log(len(self.known)))) * deviation
