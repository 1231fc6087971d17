"""fd against seconds of training: when a threshold is met, and who comes there how much sooner."""

import math
import statistics
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from benchmarks.timing import Row, rounded
from ganverdict.curves import BLUE, GREEN, GREY, ORANGE, SKY
from ganverdict.plot import WIDTH, log_scale

THRESHOLDS = (10.0, 5.0, 2.0, 1.0)  # of fd
COLOURS = {"default": BLUE, "plain port": ORANGE, "pytorch/examples": GREEN, "keras": SKY}

Points = Sequence[tuple[float, float]]
"""Seconds and fd of a training, by time."""
Curves = Mapping[tuple[str, int], Points]
"""By contestant and seed."""


def seconds_to(points: Points, threshold: float) -> float:
    """When fd first came to the threshold; infinite where it never did.

    Between two measurements the curve is a straight line of the picture, both axes logarithmic.
    """
    before: tuple[float, float] | None = None
    for seconds, fd in points:
        if fd <= threshold:
            if before is None or math.isinf(before[1]):
                return seconds
            share = math.log(before[1] / threshold) / math.log(before[1] / fd)
            return before[0] * math.exp(share * math.log(seconds / before[0]))
        before = seconds, fd
    return math.inf


def quantile(values: Sequence[float], share: float) -> float:
    """As `statistics.quantiles` does, inclusive; infinite values are those beyond the limit.

    One that would lie between a finite and an infinite value is beyond it as well.
    """
    ordered = sorted(values)
    whole, rest = divmod(share * (len(ordered) - 1), 1)
    low = ordered[int(whole)]
    if not rest or math.isinf(low):
        return low
    return low + rest * (ordered[int(whole) + 1] - low)


def compare(curves: Curves) -> list[Row]:
    """A row for each contestant and threshold.

    `default_sooner` is how many times as long as the default it takes, the median over the seeds in
    which the default comes there; where a contestant does not, its time is all that it was trained
    for, and the row says `at_least`.
    """
    rows = []
    for name in dict.fromkeys(name for name, _ in curves):
        mine = {seed: points for (other, seed), points in curves.items() if other == name}
        for threshold in THRESHOLDS:
            times = {seed: seconds_to(points, threshold) for seed, points in mine.items()}
            ratios, bound = [], False
            for seed, taken in times.items():
                default = seconds_to(curves.get(("default", seed), ()), threshold)
                if name != "default" and default < math.inf:
                    bound |= taken == math.inf
                    ratios.append(min(taken, mine[seed][-1][0]) / default)
            q1, median, q3 = (quantile([*times.values()], share) for share in (0.25, 0.5, 0.75))
            rows.append(
                {
                    "section": "time to quality",
                    "contestant": name,
                    "fd": threshold,
                    "reached": sum(taken < math.inf for taken in times.values()),
                    "of": len(times),
                    "trained_s": rounded(min(points[-1][0] for points in mine.values())),
                    "seconds": _within(median),
                    "seconds_q1": _within(q1),
                    "seconds_q3": _within(q3),
                    "default_sooner": rounded(statistics.median(ratios)) if ratios else None,
                    "at_least": bound if ratios else None,
                }
            )
    return rows


def _within(seconds: float) -> float | None:
    """None: not within the limit."""
    return rounded(seconds) if seconds < math.inf else None


def draw(curves: Curves, clock: str) -> Figure:
    """fd against seconds of training, a line a seed; dotted are the thresholds."""
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    axis = figure.subplots()
    for threshold in THRESHOLDS:
        axis.axhline(threshold, color=GREY, linestyle=":", linewidth=0.8)
    named = set()
    for (name, _), points in curves.items():
        label = None if name in named else name
        named.add(name)
        seconds, fds = zip(*points, strict=True)
        axis.plot(seconds, fds, color=COLOURS[name], linewidth=1.1, alpha=0.8, label=label)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    log_scale(axis)
    axis.set(xlabel=f"seconds of training ({clock} time)", ylabel="FD-MNIST (lower is better)")
    axis.legend()
    return figure
