"""The pictures of a replication: fd, losses and gradients of every run; grids of one seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from ganverdict.curves import BLUE, GREEN, GREY, ORANGE, Numbers
from ganverdict.plot import WIDTH, log_scale

_COLOURS = {"joint": ORANGE, "frozen": BLUE, "stabilised": GREEN}
_EPOCHS = "epoch (of 468 iterations)"
_SETTLED = 7  # epochs, after which losses move by hundredths
_LABELS = {"joint": "joint update", "frozen": "D frozen", "stabilised": "stabilised"}


@dataclass(frozen=True)
class RunCurves:
    """One run.

    Attributes:
        epochs, fds: [m], what was measured.
        signal_epochs: [n], the time of each row of `signals` in epochs, with fractions.
        signals: medians over windows by name, [n] each; missing ones may be masked.
        stop, onset: epochs by the verdict; None: there is none.
        alarms: epochs, with fractions.
        grids: a picture's file by epoch.
    """

    recipe: str
    epochs: Numbers
    fds: Numbers
    signal_epochs: Numbers
    signals: Mapping[str, Numbers]
    stop: float | None
    onset: float | None
    alarms: Sequence[float]
    grids: Mapping[int, Path]


def fds(runs: Sequence[RunCurves], marked_epoch: float) -> Figure:
    """fd by epoch of every run; a star where the verdict stops, a cross where it sees an onset, a
    triangle where a signal warns. A dotted line is where the original saw its best pictures."""
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    axis = figure.subplots()
    for run in runs:
        _line(axis, run, run.epochs, run.fds)
        _marks(axis, run, run.epochs, run.fds)
    log_scale(axis)
    axis.axvline(marked_epoch, color=GREY, linestyle=":", linewidth=1.2)
    axis.set(xlabel=_EPOCHS, ylabel="FD-MNIST (lower is better)", xlim=(0, None))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(figure, axis)
    return figure


def losses(runs: Sequence[RunCurves], marked_epoch: float) -> Figure:
    """Both losses by epoch, medians over windows, at the scale of what comes after the first few
    epochs; marks as in `fds`."""
    names = {"d_loss": "d_loss (nats)", "g_loss": "g_loss (nats)"}
    figure = _signals(runs, names, marked_epoch)
    for axis, name in zip(figure.axes, names, strict=True):
        series = [np.ma.filled(run.signals[name], np.nan) for run in runs]
        settled = [y[run.signal_epochs > _SETTLED] for run, y in zip(runs, series, strict=True)]
        values = np.concatenate([*settled, [np.log(2)]])
        if len(values) > 1:
            low, high = np.nanmin(values), np.nanmax(values)
            axis.set_ylim(low - 0.1 * (high - low), high + 0.1 * (high - low))
        axis.axhline(np.log(2), color=GREY, linestyle=":", linewidth=1)
    return figure


def gradients(runs: Sequence[RunCurves], marked_epoch: float) -> Figure:
    """Both gradient norms by epoch, medians over windows; marks as in `fds`."""
    names = {"d_grad_norm": "gradient norm of D", "g_grad_norm": "gradient norm of G"}
    figure = _signals(runs, names, marked_epoch)
    for axis in figure.axes:
        log_scale(axis)
    return figure


def _signals(runs: Sequence[RunCurves], names: Mapping[str, str], marked_epoch: float) -> Figure:
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    axes = figure.subplots(2, 1, sharex=True)
    for axis, (signal, label) in zip(axes, names.items(), strict=True):
        for run in runs:
            _line(axis, run, run.signal_epochs, run.signals[signal])
            _marks(axis, run, run.signal_epochs, run.signals[signal])
        axis.axvline(marked_epoch, color=GREY, linestyle=":", linewidth=1.2)
        axis.set_ylabel(label)
    axes[-1].set(xlabel=_EPOCHS, xlim=(0, None))
    axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(figure, axes[0])
    return figure


def grids(runs: Sequence[RunCurves]) -> Figure:
    """A row for each run, a column for each epoch that the blog post shows."""
    epochs = sorted({epoch for run in runs for epoch in run.grids})
    shape = (len(runs), len(epochs))
    figure = Figure(figsize=(WIDTH, WIDTH / 2 * shape[0] / shape[1] + 0.3), layout="compressed")
    axes = figure.subplots(*shape, squeeze=False)
    for run, row in zip(runs, axes, strict=True):
        for epoch, axis in zip(epochs, row, strict=True):
            axis.set(xticks=[], yticks=[])
            axis.grid(visible=False)
            for spine in axis.spines.values():
                spine.set_visible(False)
            if epoch in run.grids:
                with Image.open(run.grids[epoch]) as picture:
                    axis.imshow(np.asarray(picture), vmin=0, vmax=255)
        row[0].set_ylabel(_LABELS[run.recipe], fontsize=9)
    for epoch, axis in zip(epochs, axes[0], strict=True):
        axis.set_title(f"epoch {epoch}")
    return figure


def _line(axis: Axes, run: RunCurves, x: Numbers, y: Numbers) -> None:
    colour, label = _COLOURS[run.recipe], _LABELS[run.recipe]
    axis.plot(x, y, color=colour, linewidth=1.3, alpha=0.85, label=label)


def _marks(axis: Axes, run: RunCurves, x: Numbers, y: Numbers) -> None:
    """On a curve: where to stop, where it went wrong, and where a signal warned."""
    marks: list[tuple[float | None, str, int, str]]
    marks = [(run.stop, "*", 10, "stop"), (run.onset, "X", 8, "onset")]
    marks += [(epoch, "v", 6, "alarm") for epoch in run.alarms]
    for epoch, mark, size, label in marks:
        if epoch is not None:
            row = int(np.abs(x - epoch).argmin())
            axis.plot(x[row], y[row], mark, color="black", markersize=size, zorder=4, label=label)


def _legend(figure: Figure, axis: Axes) -> None:
    handles, labels = axis.get_legend_handles_labels()
    known = dict(zip(reversed(labels), reversed(handles), strict=True))  # one for all seeds
    labels = [label for label in (*_LABELS.values(), "stop", "onset", "alarm") if label in known]
    handles = [known[label] for label in labels]
    figure.legend(handles, labels, loc="outside upper left", ncols=len(labels))
