"""Measures beside the metric that confirm a decline: the digits' KL, coverage, the rarest share."""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass

from ganverdict.thresholds import Thresholds

_SOME_COVERAGE = 0.1  # of less, a share says nothing


@dataclass(frozen=True)
class Rule:
    """A way to be bad: `wanted` evaluations running make it certain."""

    measure: str
    wanted: float
    words: str
    rising: bool = False


class Typical:
    """The lowest and the highest median of three values running: no lucky one can set these."""

    def __init__(self) -> None:
        self.lowest = self.highest = math.nan
        self._latest: list[float] = []

    def add(self, value: float) -> None:
        """Take the next value; of fewer than three the median is all that there is."""
        first = len(self._latest) < 3
        self._latest = [*self._latest[-2:], value]
        median = statistics.median(self._latest)
        self.lowest = median if first else min(self.lowest, median)
        self.highest = median if first else max(self.highest, median)


def _class_kl(value: float, before: Typical, params: Thresholds) -> dict[str, Rule]:
    best = before.lowest
    found = {}
    if value > max(params.class_kl, params.class_kl_factor * best):
        words = f"class_kl rose to {value:.2g}"
        found["rising"] = Rule("class_kl", 3, words, rising=True)
        if value > params.class_kl_once:
            found["once"] = Rule("class_kl", 2, words)
    return found


def _coverage(value: float, before: Typical, params: Thresholds) -> dict[str, Rule]:
    best = before.highest
    if best < _SOME_COVERAGE or value >= params.coverage_factor * best:
        return {}
    return {"": Rule("coverage", 2, f"coverage fell to {value / best:.0%} of its best")}


def _min_share(value: float, before: Typical, params: Thresholds) -> dict[str, Rule]:
    best = before.highest
    # A digit that was never drawn has not been lost: twice the limit is "was drawn".
    if value >= params.min_share or best < 2 * params.min_share:
        return {}
    return {"": Rule("min_share", 2, f"the rarest digit fell to {value:.0%} of its true share")}


OTHERS: dict[str, Callable[[float, Typical, Thresholds], dict[str, Rule]]] = {
    "class_kl": _class_kl,
    "coverage": _coverage,
    "min_share": _min_share,
}
"""In which ways a value of each is bad, against the values before."""
