"""The curves of a run, as plot and report draw them: which there are, and in few points.

Colours are Okabe and Ito's, which colour-blind eyes tell apart; blue is always the generator,
orange the discriminator, green what is measured on samples.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ganverdict.assessment import Assessment
from ganverdict.families import CHANCE
from ganverdict.log import Columns
from ganverdict.verdict import Verdict
from ganverdict.words import place

BLUE, ORANGE, GREEN, SKY, GREY = "#0072B2", "#D55E00", "#009E73", "#56B4E9", "#666666"
MAX_POINTS = 300  # of a curve
_EVALUATIONS = 2000  # of a curve of evaluations, which are shown one by one

Numbers = NDArray[Any]  # float or int; missing ones may be masked
Masked = np.ma.MaskedArray[Any, np.dtype[np.float64]]
Scale = Literal["log", "symlog", "linear"]


@dataclass(frozen=True)
class Bands:
    """A long curve in few points: the middle and the extremes of each window, [k] each."""

    x: Masked
    low: Masked
    middle: Masked
    high: Masked


@dataclass(frozen=True)
class Curve:
    """A line of a panel; `single`: each of its points is one measurement."""

    label: str
    colour: str
    bands: Bands
    single: bool


@dataclass(frozen=True)
class Panel:
    """Curves that share an axis.

    Attributes:
        name: `metric`, `losses`, `answers`, `norms` or `measures`.
        title: what the axis shows.
        scale: of the axis; `symlog` is for values of both signs over many sizes.
        usual: the size of usual values, above 0 for `symlog`.
        level: a value that the panel is read against and its words, where there is one.
    """

    name: str
    title: str
    curves: tuple[Curve, ...]
    scale: Scale
    usual: float
    level: tuple[float, str] | None = None


@dataclass(frozen=True)
class Mark:
    """A step that the verdict names: `best`, `alarm`, `onset` or `confirmed`."""

    name: str
    words: str
    step: float


_SIGNALS: tuple[tuple[str, str, tuple[tuple[str, str, str], ...]], ...] = (
    ("losses", "loss", (("d_loss", "D", ORANGE), ("g_loss", "G", BLUE))),
    ("answers", "mean answer of D", (("d_real", "real", GREEN), ("d_fake", "generated", SKY))),
    (
        "answers",
        "mean score of D",
        (("d_score_real", "real", GREEN), ("d_score_fake", "generated", SKY)),
    ),
    (
        "answers",
        "D's loss, held out",
        (("d_loss_train", "training images", ORANGE), ("d_loss_test", "held-out images", SKY)),
    ),
    ("answers", "sign of D on real images", (("d_sign_real", "real", GREEN),)),
    ("norms", "gradient norm", (("d_grad_norm", "D", ORANGE), ("g_grad_norm", "G", BLUE))),
    ("norms", "update ratio", (("d_update_ratio", "D", ORANGE), ("g_update_ratio", "G", BLUE))),
)
_MEASURES = (
    ("class KL", (("class_kl", "class KL", GREEN),)),
    ("share", (("coverage", "coverage", GREEN), ("min_share", "rarest class", SKY))),
    ("share", (("precision", "precision", GREEN), ("recall", "recall", SKY))),
)
_WIDE = 50  # times the usual value: an axis that shows both must not be linear


def panels(assessment: Assessment, points: int = MAX_POINTS) -> list[Panel]:
    """The panels of a run, those of samples first; its signals are the pair's of the verdict."""
    log, verdict = assessment.log, assessment.verdict
    found = []
    if log.metric is not None:
        colours = ((log.metric, log.metric, GREEN),)
        title = f"{log.metric} (lower is better)"
        found.append(_panel("metric", title, colours, log.evaluations, points))
    columns = log.pairs.get(assessment.pair, {})
    for name, title, wanted in _SIGNALS:
        level = _chance(verdict) if name == "losses" else None
        found.append(_panel(name, title, wanted, columns, points, level))
    for title, measures in _MEASURES:
        found.append(_panel("measures", title, measures, log.evaluations, points))
    return [panel for panel in found if panel is not None]


def marks(assessment: Assessment) -> list[Mark]:
    """What the verdict names, by step; those at one step are one mark."""
    verdict, unit = assessment.verdict, assessment.log.unit
    steps: Mapping[str, float | None] = {
        "best": verdict.best_step,
        "alarm": verdict.alarm_step,
        "onset": verdict.onset_step,
        "confirmed": verdict.confirm_step,
    }
    together: dict[float, list[str]] = {}
    for name, step in steps.items():
        if step is not None:
            together.setdefault(step, []).append(name)
    found = []
    for step, names in together.items():
        first = "onset" if "onset" in names else names[0]
        found.append(Mark(first, f"{' and '.join(names)}: {place(unit, step)}", step))
    return sorted(found, key=lambda mark: mark.step)


def span(assessment: Assessment) -> tuple[float, float]:
    """The first and the last step of what was read; they differ."""
    log = assessment.log
    steps = [columns["step"] for columns in (*log.pairs.values(), log.evaluations) if columns]
    ends = [float(s[place]) for s in steps if len(s) for place in (0, -1)]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def bands(x: Numbers, values: Numbers, points: int = MAX_POINTS) -> Bands:
    """Cut [n] values into at most `points` windows. What is not finite is masked, and a gap."""
    size = max(math.ceil(len(values) / points), 1)
    padding = (0, -len(values) % size)
    kept = np.pad(np.ma.filled(values, np.nan).astype(float), padding, constant_values=np.nan)
    windows = np.ma.masked_invalid(kept.reshape(-1, size))
    places = np.pad(x.astype(float), padding, mode="edge").reshape(-1, size)
    return Bands(
        np.ma.asarray(places.mean(1)),
        windows.min(axis=1),
        np.ma.median(windows, axis=1),  # type: ignore[no-untyped-call]
        windows.max(axis=1),
    )


def _panel(
    name: str,
    title: str,
    wanted: Iterable[tuple[str, str, str]],
    columns: Columns,
    points: int,
    level: tuple[float, str] | None = None,
) -> Panel | None:
    """The panel of those columns that hold a number; None where there are none."""
    curves = []
    for column, label, colour in wanted:
        if column not in columns:
            continue
        steps, values = np.asarray(columns["step"]), np.ma.masked_invalid(columns[column])
        known = ~np.ma.getmaskarray(values)
        single = name in ("metric", "measures")
        if single:  # evaluations of others lie between; a line joins them
            steps, values = steps[known], values[known]
        # So large a number has no place beside the others, and no axis can reach it.
        values = np.ma.masked_where(np.abs(values) > 1e150, values)
        if values.count():
            most = max(points, _EVALUATIONS) if single else points
            curves.append(Curve(label, colour, bands(steps, values, most), single))
    if not curves:
        return None
    scale, usual = _scale([curve.bands.middle for curve in curves])
    if title in ("mean answer of D", "share"):
        scale = "linear"
    return Panel(name, title, tuple(curves), scale, usual, level)


def _scale(middles: Sequence[Masked]) -> tuple[Scale, float]:
    values = np.concatenate([middle.compressed() for middle in middles])
    usual = float(np.median(np.abs(values)))
    if values.min() > 0:
        return "log", usual
    if usual and np.abs(values).max() > _WIDE * usual:  # zeros or other people's negative losses
        return "symlog", usual
    return "linear", usual


def decade_ticks(low: float, high: float) -> tuple[float, ...]:
    """The ticks within a decade of a logarithmic axis: more where decades in view are few."""
    decades = math.log10(high / low)
    ticks: dict[float, tuple[float, ...]] = {
        0.5: (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0),
        1.0: (1.0, 1.5, 2.0, 3.0, 5.0, 7.0),
        2.0: (1.0, 2.0, 5.0),
        3.5: (1.0, 3.0),
    }
    return next((steps for most, steps in ticks.items() if decades < most), (1.0,))


def _chance(verdict: Verdict) -> tuple[float, str] | None:
    level = CHANCE.get(verdict.loss or "")
    return None if level is None else (level, f"D at chance: {level:.3g}")
