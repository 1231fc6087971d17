"""The evaluations of a run: have the samples declined, and where were they at their best?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganverdict.thresholds import Thresholds

Array = NDArray[np.float64]

MEASURES = ("fd", "fd_sigma", "class_kl", "coverage", "min_share")
"""fd; its standard deviation over noise banks; KL of the digits drawn; coverage in [0, 1]; the
rarest digit's share over its true share. Any subset."""


@dataclass(frozen=True)
class Evaluation:
    """What was measured at a step; measures that are not finite are left out."""

    epoch: int
    step: int
    measures: dict[str, float]


@dataclass(frozen=True)
class Decline:
    """Samples became worse at `first`, which `confirmed` made certain."""

    measure: str
    first: Evaluation
    confirmed: Evaluation
    words: str


@dataclass(frozen=True)
class Stop:
    """The best stopping point, its smoothed fd, and the fd's 95 % interval where it is known."""

    epoch: int
    step: int
    fd: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class _Finding:
    """A measure that is bad at one evaluation, and whether that is enough by itself."""

    measure: str
    words: str
    value: float
    enough: bool


class Quality:
    """Takes evaluations as they come; `decline` is set when samples have certainly become worse.

    Everything is relative to the run's own best so far: a generator that was never good has not
    declined. Before `first_step` evaluations are remembered and confirm nothing.
    """

    def __init__(self, params: Thresholds, first_step: int) -> None:
        self.evaluations: list[Evaluation] = []
        self.decline: Decline | None = None
        self._params = params
        self._first_step = first_step
        self._runs: dict[str, list[tuple[Evaluation, float]]] = {}
        self._good_since_decline = 0

    @property
    def recovered(self) -> bool:
        """Whether the latest evaluations after a decline were as good as before it."""
        return self._good_since_decline >= self._params.confirm_evaluations

    def series(self, measure: str) -> Array:
        """The measure's values so far, evaluations without it left out."""
        values = [e.measures[measure] for e in self.evaluations if measure in e.measures]
        return np.array(values, dtype=np.float64)

    def add(self, evaluation: Evaluation) -> None:
        """Take the next evaluation."""
        findings = self._findings(evaluation)
        self.evaluations.append(evaluation)
        bad = {finding.measure for finding in findings}
        for measure in self._runs.keys() - bad:
            if measure in evaluation.measures:
                del self._runs[measure]
        for finding in findings:
            run = self._runs.setdefault(finding.measure, [])
            run.append((evaluation, finding.value))
            if self.decline is None and evaluation.step > self._first_step:
                self._confirm(finding, run)
        if self.decline is not None and evaluation.measures:
            self._good_since_decline = 0 if bad else self._good_since_decline + 1

    def _confirm(self, finding: _Finding, run: list[tuple[Evaluation, float]]) -> None:
        words, (first, first_value), (last, value) = finding.words, run[0], run[-1]
        if not finding.enough:
            if len(run) < self._params.confirm_evaluations:
                return
            if finding.measure == "class_kl" and value <= first_value and len(run) > 1:
                return  # high, but not rising
            words += f" and stayed there for {len(run)} evaluations"
        self.decline = Decline(finding.measure, first, last, words)

    def _findings(self, evaluation: Evaluation) -> list[_Finding]:
        """What is bad at this evaluation, against the best of those before it."""
        params, measures, found = self._params, evaluation.measures, []
        fds = self.series("fd")
        if "fd" in measures and len(fds):
            fd, best = measures["fd"], float(_trailing_median(fds).min())
            sigmas = params.fd_sigmas * self._fd_noise(fds, best)
            times = fd / best if best > 0 else math.inf
            words = "fd doubled" if 2 <= times < 2.2 else f"fd rose to {times:.3g} times its best"
            if fd > max(params.fd_factor * best, best + sigmas):
                once = fd > max(params.fd_factor_once * best, best + sigmas)
                found.append(_Finding("fd", words, fd, once))
        kls = self.series("class_kl")
        if "class_kl" in measures and len(kls):
            kl, best = measures["class_kl"], float(_trailing_median(kls).min())
            if kl > max(params.class_kl, params.class_kl_factor * best):
                words = f"class_kl rose to {kl:.2g}"
                found.append(_Finding("class_kl", words, kl, kl > params.class_kl_once))
        coverages = self.series("coverage")
        if "coverage" in measures and len(coverages):
            coverage, best = measures["coverage"], float(_trailing_median(coverages).max())
            if coverage < params.coverage_factor * best:
                words = f"coverage fell to {coverage / best:.0%} of its best"
                found.append(_Finding("coverage", words, coverage, True))
        shares = self.series("min_share")
        if "min_share" in measures and len(shares):
            share, best = measures["min_share"], float(_trailing_median(shares).max())
            # A digit that was never drawn has not been lost: twice the limit is "was drawn".
            if share < params.min_share and best >= 2 * params.min_share:
                words = f"the rarest digit fell to {share:.0%} of its true share"
                found.append(_Finding("min_share", words, share, True))
        return found

    def _fd_noise(self, fds: Array, best: float) -> float:
        """Standard deviation of one fd: that of resampling, or of its wobble if that is larger."""
        reported = self.series("fd_sigma")
        # A decline under way is not wobble; and fewer than five values tell too little of it.
        calm = fds[: len(fds) - len(self._runs.get("fd", []))]
        wobble = relative_wobble(calm) * best if len(calm) >= 5 else 0.0
        return max(float(reported[-1]) if len(reported) else 0.0, wobble)

    def best_before(self, step: float | None) -> Stop | None:
        """Return the best stopping point before `step` (None: of all evaluations)."""
        return best_stop(self.evaluations, step)


def best_stop(
    evaluations: Sequence[Evaluation], before: float | None, from_epoch: int = 0
) -> Stop | None:
    """Return the best stopping point before step `before` (None: of all), `from_epoch` or later.

    It is the earliest evaluation whose fd, smoothed by a median of three, is within one standard
    error of the smallest. Smoothing hides a single bad evaluation between good ones, but its
    weights are what would be kept: one whose own fd lies over two standard errors above its
    smoothed fd does not count.
    """
    known = [e for e in evaluations if "fd" in e.measures]
    known = [e for e in known if before is None or e.step < before]
    allowed = np.array([e.epoch >= from_epoch for e in known])
    if not allowed.any():
        return None
    fds = np.array([e.measures["fd"] for e in known])
    smooth = median_of_three(fds)
    # A median of three varies two thirds as much as one value.
    wobble = 2 / 3 * relative_wobble(fds) if len(fds) >= 3 else math.nan
    measured = [e.measures.get("fd_sigma", math.nan) for e in known]
    errors = np.where(np.isnan(measured), wobble * smooth, measured)
    margin = float(np.nan_to_num(errors[np.where(allowed, smooth, np.inf).argmin()]))
    sound = np.where(allowed & (fds <= smooth + 2 * margin), smooth, np.inf)
    if not np.isfinite(sound).any():
        sound = np.where(allowed, smooth, np.inf)
    chosen = int((sound <= sound.min() + margin).argmax())
    fd, reach = float(smooth[chosen]), 1.96 * float(errors[chosen])
    interval = None if math.isnan(reach) else (max(fd - reach, 0.0), fd + reach)
    return Stop(known[chosen].epoch, known[chosen].step, fd, interval)


def median_of_three(values: Array) -> Array:
    """Running median of three; at both ends Tukey's rule (Exploratory Data Analysis, 1977, 7B).

    That is the median of the value, its smoothed neighbour, and where the smoothed neighbours
    point: a steady fall keeps its end, a single low value at the end is not believed.
    """
    smooth = values.astype(np.float64)
    if len(values) < 3:
        return smooth
    smooth[1:-1] = np.median([values[:-2], values[1:-1], values[2:]], axis=0)
    inner = smooth.copy()
    for end, near, far in ((0, 1, 2), (-1, -2, -3)):
        pointed = 3 * inner[near] - 2 * inner[far]
        smooth[end] = np.median([values[end], inner[near], pointed])
    return smooth


def _trailing_median(values: Array) -> Array:
    """Median of each value and the two before it: a best that a single lucky value cannot set."""
    if len(values) < 3:
        return np.array([np.median(values)])
    return np.asarray(np.median([values[:-2], values[1:-1], values[2:]], axis=0))


def relative_wobble(values: Sequence[float] | Array) -> float:
    """Relative deviation of single values from their neighbours' line; 0 if there are too few.

    From second differences of logarithms, which a steady fall leaves at zero; their variance is
    six times that of one value. The median makes it deaf to a few jumps.
    """
    positive = np.array([value for value in values if value > 0])
    if len(positive) < 3:
        return 0.0
    return float(1.4826 * np.median(np.abs(np.diff(np.log(positive), n=2))) / math.sqrt(6))
