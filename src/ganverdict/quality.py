"""The evaluations of a run: have the samples declined, and which of them were the best?

One measure counts, the metric (fd, FID, KID: lower is better). The lowest value of it plus its
deviation is kept: an epoch's weights are better or worse than the next one's, and smoothing would
throw that away. Whether training should go on is another question, answered by how long there has
been nothing better, against how long it took to get there.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganverdict.confirming import OTHERS, Rule, Typical
from ganverdict.metrics import metric_named
from ganverdict.thresholds import Thresholds
from ganverdict.wobble import is_odd, relative_wobble

Array = NDArray[np.float64]

MEASURES = ("fd", "fd_sigma", "class_kl", "coverage", "min_share")
"""What the pipeline gives: the metric; its standard deviation over noise banks; KL of the digits
drawn; coverage in [0, 1]; the rarest digit's share over its true share."""

ASSUMED_NOISE = 0.01
"""The relative deviation of a metric that comes without one."""

_EVALUATIONS_TO_SEE_WAVES = 16  # what neighbours share, their differences do not show
_LONGEST_WAVE = 5
_ENOUGH = 300  # values tell a wobble; a log may have a hundred thousand
_DECADES = 3  # a jump over so many, and back, is the metric's doing
_HIGHEST_KID = 1.0
_LATELY = 10  # values of the metric; of so many, two that it cannot have are too many
_TO_TELL_INTERVAL = 20  # evaluations
_MOST_TO_SEE_A_FALL = 30
_OF_A_MEDIAN = 1.25  # its deviation is so many times that of a mean


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


@dataclass(frozen=True)
class Decline:
    """Samples became worse at `first`, which `confirmed` made certain."""

    measure: str
    first: Evaluation
    confirmed: Evaluation
    words: str


class Quality:
    """Takes evaluations as they come.

    Attributes:
        evaluations: those with the metric, or another measure that can confirm a decline.
        last_step: of what was given last, whatever it held.
        decline: set while samples have certainly become worse and have not come back.
        excursions: declines that ended in a new best, or in samples that were as good for long.
        not_numbers: evaluations of the metric that were NaN or infinite.
        broken: steps and values of the metric that it cannot have.
    """

    def __init__(self, params: Thresholds, metric: str) -> None:
        self.evaluations: list[Evaluation] = []
        self.last_step = -math.inf
        self.decline: Decline | None = None
        self.excursions: list[tuple[Decline, Evaluation]] = []
        self.broken: list[tuple[float, float]] = []
        self.not_numbers = 0
        self.metric = ""
        self._params = params
        self._known: list[Evaluation] = []  # those with a value
        self._best = -1  # place among the known
        self._material = -1  # the latest that was better by `plateau_change`
        self._material_value = math.inf
        self._lowest = self._second = math.inf  # values
        self._runs: dict[tuple[str, str], list[Evaluation]] = {}
        self._good_since_decline = 0
        self._typical: dict[str, Typical] = {}
        self._lately_broken: deque[bool] = deque(maxlen=_LATELY)
        self._no_numbers: list[float] = []  # steps of the latest evaluations running that were none
        self._numbers = 0  # running, before these
        self._longest_gap = 0  # between numbers
        self.go_by(metric)

    def go_by(self, metric: str) -> None:
        """Name the measure that counts. Raises ValueError once it has had a value."""
        if self._known:
            raise ValueError(f"evaluations are judged by {self.metric} already")
        self.metric, self._known_of_it = metric, metric_named(metric)

    def add(
        self, step: float, epoch: float | None, measures: Mapping[str, float], held: bool
    ) -> None:
        """Take the next evaluation; `held`: whether any state holds."""
        evaluation = self._read(step, epoch, measures)
        if evaluation is None:
            return
        value = evaluation.value
        bad = self._bad(evaluation, held)
        self.evaluations.append(evaluation)
        for measure in OTHERS.keys() & evaluation.measures.keys():
            self._typical.setdefault(measure, Typical()).add(evaluation.measures[measure])
        if value is not None:
            self._rank(evaluation, {rule.measure for rule in bad.values()})
        for key in [key for key in self._runs if key not in bad and self._tells(evaluation, key)]:
            del self._runs[key]
        for key, rule in bad.items():
            run = self._runs.setdefault(key, [])
            run.append(evaluation)
            if len(self.evaluations) >= self._params.first_evaluation:
                self._confirm(rule, run)
        if value is not None:
            self._out_of_patience(held)
        if self.decline is not None and self.decline.confirmed is not evaluation:
            self._good_since_decline = 0 if bad else self._good_since_decline + 1
            if self._healed():
                self.excursions.append((self.decline, evaluation))
                self.decline, self._good_since_decline = None, 0

    def _read(
        self, step: float, epoch: float | None, measures: Mapping[str, float]
    ) -> Evaluation | None:
        """What was measured; None where nothing of it tells how good samples are."""
        self.last_step = step
        if self.metric in measures:
            if math.isfinite(measures[self.metric]):
                self._longest_gap = max(self._longest_gap, len(self._no_numbers))
                self._numbers = 1 if self._no_numbers else self._numbers + 1
                self._no_numbers.clear()
            else:
                self._no_numbers.append(step)
                self.not_numbers += 1
        finite = {name: float(v) for name, v in measures.items() if math.isfinite(v)}
        value = self._believed(step, finite.pop(self.metric, None))
        sigma = finite.pop(f"{self.metric}_sigma", None)
        if value is None and OTHERS.keys().isdisjoint(finite):
            return None
        is_given = sigma is not None
        if sigma is None:
            sigma = ASSUMED_NOISE * abs(value or 0.0)
        return Evaluation(step, epoch, value, max(sigma, 0.0), is_given, finite)

    def _healed(self) -> bool:
        """Whether the latest evaluations are as good as the best, but for luck, for long."""
        count = self._params.patience
        if self._good_since_decline < count or self.best is None:
            return False
        recent, base = float(np.median([e.value for e in self._known[-count:]])), self._base()
        return recent <= base + max(self._luck(held=True), self._params.plateau_change) * abs(base)

    def is_new_best(self, evaluation: Evaluation) -> bool:
        """Whether an evaluation of the metric was better than all before it."""
        before = (e.bound for e in self._known if e.step < evaluation.step)
        return evaluation.bound < min(before, default=math.inf)

    # What is kept.

    @property
    def best(self) -> Evaluation | None:
        """The evaluation whose weights to keep, of all so far."""
        return self._known[self._best] if self._known else None

    @property
    def latest(self) -> Evaluation | None:
        """The latest evaluation of the metric."""
        return self._known[-1] if self._known else None

    @property
    def since_best(self) -> int:
        """Evaluations of the metric since the best."""
        return len(self._known) - 1 - self._best

    @property
    def recovered(self) -> bool:
        """Whether the latest evaluations after a decline were not bad."""
        return self._good_since_decline >= self._params.stall_evaluations

    # What went wrong.

    @property
    def plateau(self) -> str:
        """In words that there has been nothing better for long; else empty."""
        since = len(self._known) - 1 - self._material
        if not self._known or since < self._longest_plateau(self._params.plateau_share):
            return ""
        if self._still_falls(self._material):
            return ""
        change = f"{self._params.plateau_change:.0%}"
        return f"{self.metric} has not improved by {change} in the last {since} evaluations"

    @property
    def plateau_ends(self) -> int:
        """How many evaluations more a plateau may last before training should end."""
        since = len(self._known) - 1 - self._material
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
        steps = np.array([e.step for e in self._known[:_TO_TELL_INTERVAL]])
        if len(steps) < 3:
            return 0.0
        return max(float(steps[0] / np.median(np.diff(steps))) - 1, 0.0)

    @property
    def never_learned(self) -> str:
        """In words that the metric never left its start or the level of noise; else empty."""
        count = len(self._known)
        if count < self._params.patience or not self._is_noise():
            return ""
        # What fell at first only has stopped.
        if self._still_falls(count // 3, 2) or self._still_falls(-_LATELY, 2):
            return ""
        words = f"{self.metric} was {self._lowest:.4g} at its best in {count} evaluations"
        return f"{words}, little but noise"

    @property
    def metric_broken(self) -> str:
        """In words that the metric has of late had values that it cannot have; else empty."""
        if self._is_no_number():
            count = len(self._no_numbers)
            return f"{self.metric} has been no number in the last {count} evaluations"
        lately = sum(self._lately_broken)
        if lately < 2 and 5 * lately <= len(self._lately_broken) - lately:
            return ""
        return self.first_broken

    @property
    def broken_since(self) -> float:
        """The step of the first of these values."""
        return self._no_numbers[0] if self._is_no_number() else self.broken[0][0]

    def _is_no_number(self) -> bool:
        """Whether it is none any more; a log may say so of every row that was not evaluated."""
        least = self._params.stall_evaluations
        gone = len(self._no_numbers) >= max(least, 2 * self._longest_gap)
        return gone and self._numbers >= least

    @property
    def first_broken(self) -> str:
        """In words the first value that the metric cannot have; empty where there is none."""
        if not self.broken:
            return ""
        step, value = self.broken[0]
        return f"{self.metric} is {value:.3g} at step {step:,.10g}, which it cannot be"

    def flat_since(self, step: float) -> int:
        """Evaluations after `step`, where the metric has hardly improved in them; else 0."""
        place = next((i for i, e in enumerate(self._known) if e.step >= step), None)
        if place is None or not self._known[place + 1 :] or self._still_falls(place):
            return 0
        return 0 if self._improved(place, len(self._known)) else len(self._known) - 1 - place

    def improved_until(self, step: float) -> bool:
        """Whether the metric had improved before `step` came."""
        return self._improved(0, sum(e.step <= step for e in self._known))

    def _improved(self, place: int, end: int) -> bool:
        """Whether an evaluation from after `place` to before `end` is better than all up to it."""
        lowest = min((e.value or 0.0 for e in self._known[: place + 1]), default=0.0)
        after = min((e.value or 0.0 for e in self._known[place + 1 : end]), default=math.inf)
        return after <= lowest - self._params.flat_change * abs(lowest)

    # How it is told.

    def _believed(self, step: float, value: float | None) -> float | None:
        """The value, unless the metric cannot have it."""
        if value is None or (value == 0 and self._known_of_it.never_zero):
            return None
        negative = value < 0 and not self._known_of_it.about_nothing
        others = [e.value for e in self._known[-5:] if e.value is not None and e.value > 0]
        # An estimate that is about nothing at its best has no decades to jump over.
        jump = bool(others) and value > 10**_DECADES * float(np.median(others))
        jump &= not self._known_of_it.about_nothing
        broken = negative or jump or value > 1e12
        self._lately_broken.append(broken)
        if broken:
            self.broken.append((step, value))
        return None if broken else value

    def _rank(self, evaluation: Evaluation, bad: set[str]) -> None:
        """Place an evaluation of the metric; a new best ends a decline, unless what told of that
        is still among the `bad` measures."""
        self._known.append(evaluation)
        place = len(self._known) - 1
        if self._best < 0 or evaluation.bound < self._known[self._best].bound:
            self._best = place
            if self.decline is not None and self.decline.measure not in bad:
                self.excursions.append((self.decline, evaluation))
                self.decline, self._good_since_decline = None, 0
        value = evaluation.value
        assert value is not None
        self._second = min(self._second, max(self._lowest, value))
        self._lowest = min(self._lowest, value)
        change = self._params.plateau_change * abs(self._material_value)
        if self._material < 0 or value < self._material_value - change:
            self._material, self._material_value = place, value

    def _is_noise(self) -> bool:
        """Whether the best samples are little but noise: there is nothing to decline from."""
        level = self._known_of_it.noise_level
        if level is None or not self._known:
            return False
        start = self._known[0].value or 0.0
        if self._lowest < level or (self._known_of_it.about_nothing and start > _HIGHEST_KID):
            return False
        fell = self._lowest / start if start > 0 else 1.0
        return fell >= 0.8 or (fell >= 0.6 and self._lowest >= 2 * level)

    def _still_falls(self, place: int, deviations: float = 1.0) -> bool:
        """Whether the evaluations from `place` on fall, by what their wobble lets be told.

        A fall by half of what counts as better, between the medians of the first third and of the
        last: as many evaluations again will make it better. What comes back to a best of before
        is none.
        """
        values = [e.value or 0.0 for e in self._known[place:]]
        if self._best < len(self._known) - len(values):
            return False
        third = max(len(values) // 3, 1)
        first, last = (float(np.median(part)) for part in (values[:third], values[-third:]))
        deviation = deviations * _OF_A_MEDIAN * self.wobble * math.sqrt(2 / third)
        return last < first - max(deviation, self._params.plateau_change / 2) * abs(first)

    def _confirm(self, rule: Rule, run: list[Evaluation]) -> None:
        if self.decline is not None or len(run) < rule.wanted or self._is_noise():
            return
        if rule.rising and run[-1].measures[rule.measure] <= run[0].measures[rule.measure]:
            return
        words = f"{rule.words} and stayed there for {len(run)} evaluations"
        self.decline = Decline(rule.measure, run[0], run[-1], words)

    def _out_of_patience(self, held: bool) -> None:
        """A slow decline: long nothing better, and by now clearly worse."""
        params, since = self._params, self.since_best
        wanted = (
            params.patience if held else max(params.patience, params.patience_share * self._best)
        )
        if self.decline is not None or since < wanted or self.best is None or self._is_noise():
            return
        lately = 5 if held else max(5, since // 2)
        recent = float(np.median([e.value for e in self._known[-lately:]]))
        # Where a state explains it, less evidence is enough, but what may be luck is none.
        least = max(self._luck(held), params.plateau_change if held else params.flat_change)
        base = self._base()
        if recent <= base + least * abs(base):
            return
        words = f"{self.metric} has had nothing better for {since} evaluations"
        words += f" and is {recent / base - 1:.0%} worse" if base > 0 else " and is worse"
        first = self._known[self._best + 1]
        self.decline = Decline(self.metric, first, self._known[-1], words)

    @property
    def wobble(self) -> float:
        """Relative deviation of one evaluation of the metric from its neighbours' line."""
        values = self._lately()
        if len(values) < 5:
            return 0.05
        # A steep fall at the start may hide how much the rest wobbles.
        return max(relative_wobble(values), relative_wobble(values[-15:]))

    def _scatter(self) -> float:
        """What an estimate that is about nothing at its best, as a KID, may lie above the lowest.

        Its deviation is not relative; the lowest is lucky, as `_luck` says.
        """
        if not self._known_of_it.about_nothing or len(self._known) < 5:
            return 0.0
        values = np.array([e.value or 0.0 for e in self._known[-15:]])
        deviation = float(1.4826 * np.median(np.abs(np.diff(values, 2))) / math.sqrt(6))
        return (self._params.sigmas + math.sqrt(2 * math.log(len(self._known)))) * deviation

    def _lately(self) -> list[float]:
        """The latest values, as many as the wobble is told from."""
        return [e.value for e in self._known[-_ENOUGH:] if e.value is not None]

    def _luck(self, held: bool = False) -> float:
        """What the latest may lie above the lowest, relatively, where nothing has changed.

        The lowest of n values without a trend is about sqrt(2 ln n) deviations under their level.
        Where a state holds (`held`) nothing is asked beyond that, and no waves are looked for.
        """
        values = self._lately()
        count, wobble = max(len(self._known), 2), self.wobble
        if not held:
            if count >= _EVALUATIONS_TO_SEE_WAVES:
                wobble = max(wobble, relative_wobble(values, min(count // 6, _LONGEST_WAVE)))
            wobble *= 1 + 1 / math.sqrt(count)  # it may be larger than few values tell
        beyond = 0.5 if held else self._params.wobbles
        lies = (beyond + math.sqrt(2 * math.log(count))) * wobble
        return math.expm1(min(lies, 700.0))  # what is beyond it has no number

    def _base(self) -> float:
        """The best value; where it is next to nothing, a hundredth of the start."""
        assert self.best is not None
        assert self.best.value is not None
        first = max(self._best - 3, 0)
        around = [e.value or 0.0 for e in self._known[first : self._best + 4]]
        best = self._second if is_odd(around, self._best - first) else self.best.value
        return max(best, 0.01 * float(np.median([e.value for e in self._known[:3]])))

    def _bad(self, evaluation: Evaluation, held: bool) -> dict[tuple[str, str], Rule]:
        """The ways in which an evaluation is bad, against the best of those before it."""
        params, found = self._params, dict[tuple[str, str], Rule]()
        value = evaluation.value
        if value is not None and self._known:
            base, best = self._base(), self._best
            measured = base + max(params.sigmas * evaluation.sigma, self._scatter())
            wobbled = base * (1 + (0 if held else self._luck()))
            times = value / base if base > 0 else math.inf
            words = f"{self.metric} rose to {times:.3g} times its best"
            waits = (
                # What is several times worse is no wobble.
                ("collapse", params.collapse_factor, measured, 2.0),
                ("decline", params.decline_factor, max(measured, wobbled), 3.0),
                (
                    "worse",
                    params.worse_factor,
                    max(measured, wobbled),
                    max(5.0, params.patience_share * best),
                ),
            )
            for name, factor, least, wanted in waits:
                if value > max(factor * base, least):
                    found[self.metric, name] = Rule(self.metric, wanted, words)
        for measure, judge in OTHERS.items():
            value = evaluation.measures.get(measure)
            before = self._typical.get(measure)
            if value is not None and before is not None:
                for name, rule in judge(value, before, params).items():
                    found[measure, name] = rule
        return found

    def _tells(self, evaluation: Evaluation, key: tuple[str, str]) -> bool:
        """Whether an evaluation says anything of a rule's measure."""
        if key[0] == self.metric:
            return evaluation.value is not None
        return key[0] in evaluation.measures
