"""When was a GAN at its best, and when did it go wrong? Numbers in as they come, a verdict out.

Feed a `Monitor` during training, or give whole series to `assess`; the answers are the same.
Signals warn (`ganverdict.alarms`), evaluations confirm (`ganverdict.quality`), and from both the
verdict follows (`ganverdict.judging`).
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ganverdict.alarms import Alarm, Alarms
from ganverdict.evaluations import MEASURES
from ganverdict.families import FAMILIES, Family
from ganverdict.judging import Judge
from ganverdict.metrics import judged_measures, judged_name, metric_of
from ganverdict.quality import Quality
from ganverdict.signals import HELD_OUT
from ganverdict.thresholds import Thresholds
from ganverdict.timeline import Timeline
from ganverdict.verdict import Verdict

Columns = Mapping[str, ArrayLike]

UNITS = ("iteration", "epoch", "kimg", "image", "row")
"""What steps may count."""

_BLOCK = 16_384  # rows of a long log that are looked at together


class Monitor:
    """Streaming verdict on one run. Its answer at a step depends on nothing after that step.

    Args:
        thresholds: what it goes by.
        steps_per_epoch: the length of an epoch, where there is one; windows are parts of it.
        loss: the family of the loss (`ganverdict.families.FAMILIES`); None: told by the numbers.
        loss_source: how that family is known, `given` or `known`.
        unit: what a step counts. Windows of iterations have a length; of anything else ("epoch",
            "kimg", "row") each row is a window.
        metric: the measure that counts; one that is better the higher it is, as the Inception
            Score, is judged by its reciprocal. Its deviation is `<metric>_sigma` or `_std`. None:
            of those that the first evaluation has, an FD, an FID, a KID or an Inception Score.

    Attributes:
        metric: the same, once it is known.
    """

    def __init__(
        self,
        thresholds: Thresholds | None = None,
        *,
        steps_per_epoch: float | None = None,
        loss: str | None = None,
        loss_source: str = "given",
        unit: str = "iteration",
        metric: str | None = None,
    ) -> None:
        if unit not in UNITS:
            raise ValueError(f"unknown unit {unit!r}; there are {', '.join(UNITS)}")
        if steps_per_epoch is not None and not 1 <= steps_per_epoch < math.inf:
            raise ValueError(f"steps_per_epoch must be at least 1, not {steps_per_epoch}")
        if loss is not None and loss not in FAMILIES:
            raise ValueError(
                f"unknown loss {loss}; there are {', '.join(FAMILIES)}: a `sum` adds the halves "
                "of D's loss, a `mean` is half of that"
            )
        params = thresholds or Thresholds()
        parts = 1 if unit == "epoch" else params.windows_per_epoch
        length: float | None = None
        if unit == "iteration":
            length = steps_per_epoch / parts if steps_per_epoch else params.window
        family = Family(loss, loss_source) if loss else None
        coarsen = steps_per_epoch is None
        self._alarms = Alarms(params, length, parts, coarsen, family)
        self.metric = metric
        self._quality = Quality(params, judged_name(metric or "fd"))
        timeline = Timeline(unit, steps_per_epoch, self._quality)
        self._judge = Judge(params, self._alarms, self._quality, timeline)

    @property
    def alarms(self) -> tuple[Alarm, ...]:
        """Return the warnings so far, by step."""
        return tuple(self._alarms.raised)

    def log(self, step: float, **signals: float) -> list[Alarm]:
        """Take one iteration, each signal a number; return the alarms it raises."""
        return self.add_steps([step], {name: [value] for name, value in signals.items()})

    def evaluate(self, step: float, epoch: float | None = None, **measures: float) -> Verdict:
        """Take one evaluation, each measure a number; return the verdict so far."""
        return self.add_evaluation(step, measures, epoch)

    def add_steps(self, steps: ArrayLike, signals: Columns) -> list[Alarm]:
        """Take the next rows; return the alarms they raise.

        `steps` [n] increase, from chunk to chunk too; `signals` maps names of
        `ganverdict.signals.SIGNALS` to [n], any subset; masked elements are missing, NaN and
        infinity are values. Raises ValueError for anything else.
        """
        numbers, evaluated = np.asarray(steps), self._quality.last_step
        if numbers.size and numbers.flat[0] <= evaluated:
            raise ValueError(
                f"steps must not go back: {numbers.flat[0]:g} came after the evaluation of step "
                f"{evaluated:g}"
            )
        return self._alarms.add(numbers, signals)

    def add_evaluation(
        self, step: float, measures: Mapping[str, float], epoch: float | None = None
    ) -> Verdict:
        """Take an evaluation made after iteration `step`; return the verdict so far.

        `measures` maps the metric's name and any others to values; one that is not finite counts
        as missing. Iterations up to `step` are given before it, later ones after it; steps
        increase. Raises ValueError for anything else, and where none of them can count.
        """
        self._take_evaluation(step, measures, epoch)
        return self.verdict()

    def _take_evaluation(
        self, step: float, measures: Mapping[str, float], epoch: float | None
    ) -> None:
        if not math.isfinite(step) or step <= self._quality.last_step:
            raise ValueError(f"steps of evaluations must increase, and {step:g} does not")
        if step < self._alarms.last_step:
            raise ValueError(f"the evaluation of step {step:g} came after later steps")
        self._settle(measures)
        self._alarms.add_held_out(float(step), measures)
        held = bool(self._alarms.states.holding)
        epoch = epoch if epoch is not None and math.isfinite(epoch) else None
        judged = judged_measures(self.metric, measures) if self.metric else measures
        self._quality.add(float(step), epoch, judged, held)
        self._judge.note_decline()

    def _settle(self, measures: Mapping[str, float]) -> None:
        """Find the measure that counts, where none was named."""
        if self.metric is not None:
            return
        self.metric = metric_of(measures)
        if self.metric is not None:
            self._quality.go_by(judged_name(self.metric))
        elif measures and measures.keys().isdisjoint((*MEASURES, *HELD_OUT)):
            first = next(iter(measures))
            raise ValueError(
                f"{first!r} is not known to tell how good samples are, as an FD, an FID, a KID and "
                f"an Inception Score do; name the measure that counts: metric={first!r}, say"
            )

    def verdict(self) -> Verdict:
        """Return the verdict on what was seen so far."""
        return self._judge.verdict()


def assess(
    steps: Mapping[str, ArrayLike] | None,
    evaluations: Mapping[str, ArrayLike] | None,
    thresholds: Thresholds | None = None,
    **options: Any,
) -> Verdict:
    """Assess whole series: the verdict of a `Monitor` fed with them in order.

    `steps` has "step" and any signals, `evaluations` has "step", perhaps "epoch", and any measures,
    all [n]; either may be None. `options` are those of `Monitor`. Raises ValueError as it does.
    """
    return fed_monitor(steps, evaluations, thresholds, **options).verdict()


def fed_monitor(
    steps: Mapping[str, ArrayLike] | None,
    evaluations: Mapping[str, ArrayLike] | None,
    thresholds: Thresholds | None = None,
    **options: Any,
) -> Monitor:
    """Return the monitor behind `assess`, for whoever also wants its alarms."""
    numbers, columns = _by_step("steps", steps)
    evaluated, measures = _by_step("evaluations", evaluations)
    epochs = measures.pop("epoch", None)
    monitor = Monitor(thresholds, **options)

    def feed(start: int, end: int) -> None:
        for block in range(start, end, _BLOCK):
            rows = slice(block, min(block + _BLOCK, end))
            monitor.add_steps(numbers[rows], {name: v[rows] for name, v in columns.items()})

    start = 0
    for row, end in enumerate(np.searchsorted(numbers, evaluated, side="right").tolist()):
        feed(start, end)
        start = end
        values = {name: float(v[row]) for name, v in measures.items() if v[row] is not np.ma.masked}
        known = epochs is not None and epochs[row] is not np.ma.masked
        epoch = float(epochs[row]) if epochs is not None and known else None
        monitor._take_evaluation(float(evaluated[row]), values, epoch)
    feed(start, len(numbers))
    return monitor


def _by_step(what: str, series: Mapping[str, ArrayLike] | None) -> tuple[Any, dict[str, Any]]:
    """The steps [n] of whole series, and the others [n]. Raises ValueError where they are not."""
    columns: dict[str, Any] = {n: np.ma.asarray(values) for n, values in (series or {}).items()}
    if not columns:
        return np.ma.asarray([]), columns
    if "step" not in columns:
        raise ValueError(f"{what} have no 'step'")
    numbers = columns.pop("step")
    if numbers.dtype.kind not in "iuf" or np.ma.is_masked(numbers):
        raise ValueError(f"{what}: each 'step' must be a number")
    for name, values in columns.items():
        if values.shape != numbers.shape:
            raise ValueError(f"{what}: {name} has shape {values.shape}, but 'step' {numbers.shape}")
    return numbers, columns
