"""The evaluations of a run: have the samples declined, and have they come back?

One measure counts, the metric (fd, FID, KID: lower is better); others may confirm a decline.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ganverdict.confirming import OTHERS, Rule, Typical
from ganverdict.evaluations import Evaluation, Values
from ganverdict.improving import Improvement
from ganverdict.thresholds import Thresholds

Rules = dict[tuple[str, str], Rule]
"""By measure and name: the ways in which an evaluation is bad."""


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
        values: the metric's values, and which of them it cannot have.
        improvement: which evaluation is the best, and for how long there has been nothing better.
    """

    def __init__(self, params: Thresholds, metric: str) -> None:
        self.evaluations: list[Evaluation] = []
        self.last_step = -math.inf
        self.decline: Decline | None = None
        self.excursions: list[tuple[Decline, Evaluation]] = []
        self.values = Values(params, metric)
        self.improvement = Improvement(params, self.values.metric)
        self._params = params
        self._runs: dict[tuple[str, str], list[Evaluation]] = {}
        self._good_since_decline = 0
        self._typical: dict[str, Typical] = {}

    @property
    def metric(self) -> str:
        """The measure that counts."""
        return self.values.metric.name

    def go_by(self, metric: str) -> None:
        """Name the measure that counts, before it has had a value."""
        self.values = Values(self._params, metric)
        self.improvement = Improvement(self._params, self.values.metric)

    def add(
        self, step: float, epoch: float | None, measures: Mapping[str, float], held: bool
    ) -> None:
        """Take the next evaluation; `held`: whether any state holds."""
        self.last_step = step
        evaluation = self.values.evaluation(step, epoch, measures)
        if evaluation is None:
            return
        bad = self._bad(evaluation, held)
        self.evaluations.append(evaluation)
        for measure in OTHERS.keys() & evaluation.measures.keys():
            self._typical.setdefault(measure, Typical()).add(evaluation.measures[measure])
        is_best = evaluation.value is not None and self.improvement.add(evaluation)
        # Another measure than the metric may still be bad.
        if is_best and not self._is_still_bad(bad):
            self._come_back(evaluation)
        self._follow(bad, evaluation)
        if evaluation.value is not None:
            self._out_of_patience(held)
        if self.decline is not None and self.decline.confirmed is not evaluation:
            self._good_since_decline = 0 if bad else self._good_since_decline + 1
            if self._healed():
                self._come_back(evaluation)

    def _is_still_bad(self, bad: Rules) -> bool:
        told_by = self.decline.measure if self.decline else None
        return any(rule.measure == told_by for rule in bad.values())

    def _follow(self, bad: Rules, evaluation: Evaluation) -> None:
        """Go on with the runs of evaluations that are bad; end those that this one is not in."""
        for key in [key for key in self._runs if key not in bad and self._tells(evaluation, key)]:
            del self._runs[key]
        for key, rule in bad.items():
            run = self._runs.setdefault(key, [])
            run.append(evaluation)
            if len(self.evaluations) >= self._params.first_evaluation:
                self._confirm(rule, run)

    def _come_back(self, evaluation: Evaluation) -> None:
        """End a decline, if there is one: it was an excursion."""
        if self.decline is not None:
            self.excursions.append((self.decline, evaluation))
            self.decline, self._good_since_decline = None, 0

    def _healed(self) -> bool:
        """Whether the latest evaluations are as good as the best, but for luck, for long."""
        improvement, count = self.improvement, self._params.patience
        if self._good_since_decline < count or improvement.best is None:
            return False
        recent = float(np.median([e.value for e in improvement.known[-count:]]))
        least = max(improvement.luck(held=True), self._params.plateau_change)
        return not improvement.is_worse(recent, least)

    @property
    def recovered(self) -> bool:
        """Whether the latest evaluations after a decline were not bad."""
        return self._good_since_decline >= self._params.stall_evaluations

    def _confirm(self, rule: Rule, run: list[Evaluation]) -> None:
        if self.decline is not None or len(run) < rule.wanted or self.improvement.is_noise():
            return
        if rule.rising and run[-1].measures[rule.measure] <= run[0].measures[rule.measure]:
            return
        words = f"{rule.words} and stayed there for {len(run)} evaluations"
        self.decline = Decline(rule.measure, run[0], run[-1], words)

    def _out_of_patience(self, held: bool) -> None:
        """A slow decline: long nothing better, and by now clearly worse."""
        params, improvement = self._params, self.improvement
        known, since = improvement.known, improvement.since_best
        wanted: float = params.patience
        if not held:
            wanted = max(wanted, params.patience_share * improvement.before_best)
        if self.decline is not None or since < wanted or improvement.is_noise():
            return
        lately = 5 if held else max(5, since // 2)
        recent = float(np.median([e.value for e in known[-lately:]]))
        # Where a state explains it, less evidence is enough, but what may be luck is none.
        least = max(improvement.luck(held), params.plateau_change if held else params.flat_change)
        if not improvement.is_worse(recent, least):
            return
        base = improvement.base()
        worse = f"{recent / base - 1:.0%} worse" if base > 0 else "worse"
        words = f"{self.metric} has had nothing better for {since} evaluations and is {worse}"
        self.decline = Decline(self.metric, known[-since], known[-1], words)

    def _bad(self, evaluation: Evaluation, held: bool) -> Rules:
        """The ways in which an evaluation is bad, against the best of those before it."""
        found = Rules()
        if evaluation.value is not None and self.improvement.best is not None:
            found |= self._worse(evaluation, evaluation.value, held)
        for measure, judge in OTHERS.items():
            value = evaluation.measures.get(measure)
            before = self._typical.get(measure)
            if value is not None and before is not None:
                for name, rule in judge(value, before, self._params).items():
                    found[measure, name] = rule
        return found

    def _worse(self, evaluation: Evaluation, value: float, held: bool) -> Rules:
        """The ways in which the metric's value is bad."""
        params, improvement = self._params, self.improvement
        base = improvement.base()
        measured = base + max(params.sigmas * evaluation.sigma, improvement.scatter())
        long = max(5.0, params.patience_share * improvement.before_best)
        ways = (
            # What is several times worse is no wobble.
            ("collapse", params.collapse_factor, 0.0, 2.0),
            ("decline", params.decline_factor, self._wobbled("decline", held), 3.0),
            ("worse", params.worse_factor, self._wobbled("worse", held), long),
        )
        times = value / base if base > 0 else math.inf
        words = f"{self.metric} rose to {times:.3g} times its best"
        return {
            (self.metric, name): Rule(self.metric, wanted, words)
            for name, factor, least, wanted in ways
            if value > max(factor * base, measured, least)
        }

    def _wobbled(self, name: str, held: bool) -> float:
        """What the metric may come to by luck, told by the evaluations before a run of bad ones."""
        if held:
            return 0.0
        before = len(self.improvement.known) - len(self._runs.get((self.metric, name), ()))
        return self.improvement.base() * (1 + self.improvement.luck(before=before))

    def _tells(self, evaluation: Evaluation, key: tuple[str, str]) -> bool:
        """Whether an evaluation says anything of a rule's measure."""
        if key[0] == self.metric:
            return evaluation.value is not None
        return key[0] in evaluation.measures
