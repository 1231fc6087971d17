"""The picture of a verdict: losses, gradient norms and fd by step, with what was concluded."""

import textwrap
from collections.abc import Sequence
from typing import IO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from ganverdict.monitor import Verdict
from pipeline.plots.training import BLUE, GREEN, GREY, ORANGE, WIDTH, bands, log_scale
from pipeline.store.columns import Columns


def draw_verdict(file: IO[bytes], steps: Columns, epochs: Columns | None, verdict: Verdict) -> None:
    """Write a PNG. `steps` and `epochs` are as `assess` takes them."""
    norms = [name for name in ("d_grad_norm", "g_grad_norm") if name in steps]
    measured = epochs is not None and "fd" in epochs
    panels = 1 + bool(norms) + measured
    figure = Figure(figsize=(WIDTH, 1.2 + 2.0 * panels), layout="constrained")
    axes = figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0].tolist()
    _signals(axes[0], steps, ["d_loss", "g_loss"], "loss")
    if norms:
        _signals(axes[1], steps, norms, "gradient norm")
    if epochs is not None and measured:
        _fd(axes[-1], epochs, verdict)
    _mark(axes, verdict)
    axes[-1].set_xlabel("step")
    axes[-1].xaxis.set_major_formatter(EngFormatter(sep=""))
    last = float(steps["step"][-1])
    axes[-1].set_xlim(0, last * 1.01)
    words = textwrap.fill(f"{verdict.status}: {verdict.reason}", 108)
    figure.suptitle(words, x=0.01, ha="left", fontsize=10)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=len(labels))
    figure.savefig(file, format="png", metadata={"Software": None})


def _signals(axis: Axes, steps: Columns, names: Sequence[str], words: str) -> None:
    """The middle of each stretch as a line, its extremes as a band."""
    values: list[float] = []
    for name in names:
        curve = bands(np.asarray(steps["step"]), steps[name])
        player, colour = ("D", ORANGE) if name.startswith("d_") else ("G", BLUE)
        axis.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.2, linewidth=0)
        axis.plot(curve.x, curve.middle, color=colour, label=player)
        values += curve.middle.compressed().tolist()
    usual = float(np.median(np.abs(values))) if values else 0.0
    if values and min(values) > 0:
        log_scale(axis)
    elif usual and max(np.abs(values)) > 50 * usual:  # zeros or other people's negative losses
        axis.set_yscale("symlog", linthresh=usual)
    axis.set_ylabel(words)


def _fd(axis: Axes, epochs: Columns, verdict: Verdict) -> None:
    fd = np.ma.masked_invalid(epochs["fd"])
    axis.plot(epochs["step"], fd, "o-", color=GREEN, markersize=3 if len(fd) <= 100 else 0)
    if verdict.best_step is not None and verdict.fd is not None:
        early = verdict.best_step < 0.4 * epochs["step"][-1]  # its words go where there is room
        axis.plot(verdict.best_step, verdict.fd, "*", color="black", markersize=12, zorder=3)
        axis.annotate(
            f"{verdict.fd:.3g} (median of three)",
            (verdict.best_step, verdict.fd),
            (8 if early else -8, -16),
            textcoords="offset points",
            ha="left" if early else "right",
            fontsize=9,
        )
        axis.margins(y=0.25)
    if fd.count() and fd.min() > 0:
        log_scale(axis)
    axis.set_ylabel("fd (lower is better)")


def _mark(axes: list[Axes], verdict: Verdict) -> None:
    """Upright lines through all panels; what comes after the onset is shaded."""
    marks = {
        f"best stop: epoch {verdict.best_epoch}": (verdict.best_step, "-"),
        "alarm": (verdict.alarm_step, ":"),
        f"onset: epoch {verdict.onset_epoch}": (verdict.onset_step, "--"),
    }
    if verdict.onset_step is not None and verdict.alarm_step == verdict.onset_step:
        marks[f"alarm and onset: epoch {verdict.onset_epoch}"] = marks.pop(
            f"onset: epoch {verdict.onset_epoch}"
        )
        del marks["alarm"]
    for axis in axes:
        for words, (step, style) in marks.items():
            if step is not None:
                axis.axvline(step, color="black", linestyle=style, linewidth=1.2, label=words)
        if verdict.onset_step is not None:
            axis.axvspan(verdict.onset_step, axis.get_xlim()[1] * 2, color=GREY, alpha=0.1)
