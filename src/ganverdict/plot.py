"""The picture of a verdict: the curves of a run by step, with what was concluded."""

import io
import math
import textwrap
import warnings
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, MaxNLocator

from ganverdict.assessment import Assessment
from ganverdict.curves import GREEN, GREY, Curve, Mark, Panel, decade_ticks, marks, panels, span
from ganverdict.verdict import HeldState
from ganverdict.words import plain

STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "font.size": 11,
    "grid.color": "#e8e8e8",
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "savefig.dpi": 150,
    "svg.hashsalt": "ganverdict",
    "xtick.color": GREY,
    "xtick.labelcolor": "black",
    "ytick.color": GREY,
    "ytick.labelcolor": "black",
}
"""The look of every figure."""

WIDTH = 8.0  # inches; at 150 dots an inch a README shows it a little smaller than it is

_LINES = {"best": "-", "alarm": ":", "onset": "--", "confirmed": "-."}
_MOST_MARKERS = 100  # points of a curve that are shown one by one
_MOST_STATES = 6
_BEHIND = {"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.5}  # words on curves


def draw(assessment: Assessment, kind: str) -> bytes:
    """The picture as a file of `kind` png, svg or pdf."""
    shown = [panel for panel in panels(assessment) if panel.name != "measures"]
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a font has no glyph for everything in a name
        figure = Figure(figsize=(WIDTH, 1.3 + 1.9 * max(len(shown), 1)), layout="constrained")
        axes = figure.subplots(max(len(shown), 1), 1, sharex=True, squeeze=False)[:, 0].tolist()
        for axis, panel in zip(axes, shown, strict=False):
            _draw_panel(axis, panel)
            if panel.name == "metric":
                _star(axis, assessment)
                _shade_excursions(axis, assessment.verdict.excursions)
            if panel.name == "losses":
                _shade(axis, assessment.verdict.states[:_MOST_STATES], span(assessment))
        _mark(axes, marks(assessment), assessment)
        axes[-1].set_xlabel(assessment.log.unit)
        axes[-1].xaxis.set_major_locator(MaxNLocator(steps=[1, 2, 2.5, 5, 10], integer=True))
        axes[-1].xaxis.set_major_formatter(EngFormatter(sep=""))
        low, high = span(assessment)
        axes[-1].set_xlim(low, high + 0.01 * (high - low))
        figure.suptitle(_title(assessment), x=0.01, ha="left", fontsize=10)
        handles, labels = axes[0].get_legend_handles_labels()
        lines = [(h, words) for h, words in zip(handles, labels, strict=True) if ":" in words]
        if lines:
            figure.legend(*zip(*lines, strict=True), loc="outside lower left", ncols=2, fontsize=9)
        file = io.BytesIO()
        figure.savefig(file, format=kind, metadata=_METADATA[kind])
    return file.getvalue()


# Without the program's name and the time, so that the same verdict gives the same file.
_METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "svg": {"Creator": None, "Date": None},
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
}


def log_scale(axis: Axes) -> None:
    """A logarithmic axis whose ticks are plain numbers."""
    axis.set_yscale("log")
    low, high = axis.get_ylim()
    if low <= 0:  # nothing to show, or nothing above zero
        low, high = 0.1, 10
        axis.set_ylim(low, high)
    if high / low < 5:  # little happens, and should look so
        middle = math.sqrt(low * high)
        low, high = middle / math.sqrt(5), middle * math.sqrt(5)
        axis.set_ylim(low, high)
    plain_ticks(axis)


def plain_ticks(axis: Axes) -> None:
    """Ticks of a logarithmic axis as plain numbers, more of them where decades are few."""
    steps = decade_ticks(*axis.get_ylim())
    axis.yaxis.set_major_locator(LogLocator(subs=steps, numticks=12))
    axis.yaxis.set_major_formatter(FuncFormatter(_plain_number))
    axis.yaxis.set_minor_locator(LogLocator(subs=()))


def _plain_number(value: float, _: float | None) -> str:
    return f"{value:g}"


def _draw_panel(axis: Axes, panel: Panel) -> None:
    if panel.scale == "symlog":  # before anything is drawn: margins are then those of this scale
        axis.set_yscale("symlog", linthresh=panel.usual)
        # Decades far below the usual lie at zero, and their numbers would lie on one another.
        least = panel.usual / 3
        axis.yaxis.set_major_formatter(
            FuncFormatter(lambda v, _: "" if 0 < abs(v) < least else _plain_number(v, None))
        )
    for curve in panel.curves:
        _draw_curve(axis, curve)
    if panel.level is not None:
        value, words = panel.level
        axis.axhline(value, color=GREY, linewidth=1, linestyle=(0, (1, 2)))
        axis.annotate(
            words,
            (1, value),
            (-2, 3),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="right",
            fontsize=8,
            color=GREY,
            bbox=_BEHIND,
        )
    if panel.scale == "log":
        log_scale(axis)
    axis.set_ylabel(_text(textwrap.fill(panel.title, 24)))
    if len(panel.curves) > 1:
        axis.legend(
            ncols=2, loc="lower right", bbox_to_anchor=(1.01, 0.97), borderpad=0, fontsize=9
        )


def _draw_curve(axis: Axes, curve: Curve) -> None:
    found, size = curve.bands, 3.0 if len(curve.bands.x) <= _MOST_MARKERS else 0.0
    if not curve.single:
        axis.fill_between(
            found.x, found.low, found.high, color=curve.colour, alpha=0.2, linewidth=0
        )
    # A single row is no line.
    marker = "o" if curve.single or len(found.x) < 3 else ""
    label = _text(curve.label)
    axis.plot(
        found.x, found.middle, marker=marker, markersize=size, color=curve.colour, label=label
    )


def _star(axis: Axes, assessment: Assessment) -> None:
    """The checkpoint to keep, and its value where there is room for it."""
    verdict, (low, high) = assessment.verdict, span(assessment)
    if verdict.best_step is None or verdict.best_value is None:
        return
    early = verdict.best_step < (low + high) / 2
    axis.plot(verdict.best_step, verdict.best_value, "*", color="black", markersize=11, zorder=3)
    axis.annotate(
        f"{verdict.best_value:.4g}",
        (verdict.best_step, verdict.best_value),
        (8 if early else -8, -14),
        textcoords="offset points",
        ha="left" if early else "right",
        fontsize=9,
    )
    axis.margins(y=0.25)
    if axis.get_yscale() == "log":
        log_scale(axis)


def _shade_excursions(axis: Axes, excursions: Sequence[tuple[float, float]]) -> None:
    """Declines that samples came back from."""
    for since, until in excursions:
        axis.axvspan(since, until, color=GREEN, alpha=0.12, linewidth=0)
        axis.annotate(
            "came back",
            (since, 1),
            (3, -10),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            fontsize=8,
            bbox=_BEHIND,
        )


def _shade(axis: Axes, states: Sequence[HeldState], whole: tuple[float, float]) -> None:
    """Each state from where it began to where it was over, under its name."""
    for row, state in enumerate(states):
        end = whole[1] if state.until is None else state.until
        axis.axvspan(state.since, end, color=GREY, alpha=0.1, linewidth=0)
        axis.annotate(
            state.name.replace("_", " "),
            (state.since, 1),
            (3, -10 - 10 * row),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            fontsize=8,
            bbox=_BEHIND,
        )


def _mark(axes: Sequence[Axes], found: Sequence[Mark], assessment: Assessment) -> None:
    """Upright lines through all panels; what comes after the onset is shaded.

    Where states are shaded, those say from where on.
    """
    for axis in axes:
        for mark in found:
            style = _LINES[mark.name]
            axis.axvline(mark.step, color="black", linestyle=style, linewidth=1.1, label=mark.words)
    onset, end = assessment.verdict.onset_step, span(assessment)[1]
    if assessment.verdict.went_wrong and onset is not None and not assessment.verdict.states:
        for axis in axes:
            axis.axvspan(onset, end, color=GREY, alpha=0.1, linewidth=0, zorder=0)


def _title(assessment: Assessment) -> str:
    verdict = assessment.verdict
    name = assessment.log.name
    name = name if len(name) <= 100 else f"...{name[-97:]}"
    pair = f" ({assessment.pair})" if len(assessment.pairs) > 1 else ""
    words = textwrap.wrap(f"{verdict.status}: {verdict.reason}", 108)
    return "\n".join(_text(line) for line in [name + pair, *words])


def _text(text: str) -> str:
    """Text as it stands: names are no formulae."""
    return "\n".join(plain(line) for line in text.split("\n")).replace("$", r"\$")
