"""The pictures of a study: fd, losses and gradients of every run; grids of the first seed."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from pipeline.plots.training import BLUE, GREEN, GREY, ORANGE, WIDTH, Numbers, log_scale
from pipeline.replication.report import ORIGINAL_EPOCH, Record

_COLOURS = {"joint": ORANGE, "frozen": BLUE, "stabilised": GREEN}
_EPOCHS = "epoch (of 468 iterations)"
_SETTLED = 7  # epochs, after which losses move by hundredths
_WORDS = {"joint": "joint update", "frozen": "D frozen", "stabilised": "stabilised"}


def fds(records: Sequence[Record]) -> Figure:
    """fd by epoch of every run; a star where the verdict stops, a cross where it sees an onset, a
    triangle where a signal warns."""
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    axis = figure.subplots()
    for record in records:
        epoch, fd = record.epochs["epoch"], record.epochs["fd"]
        _line(axis, record, epoch, fd)
        _marks(axis, record, epoch, fd)
    log_scale(axis)
    axis.axvline(ORIGINAL_EPOCH, color=GREY, linestyle=":", linewidth=1.2)
    axis.set(xlabel=_EPOCHS, ylabel="FD-MNIST (lower is better)", xlim=(0, None))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(figure, axis)
    return figure


def losses(records: Sequence[Record]) -> Figure:
    """Both losses by epoch, medians over windows, at the scale of what comes after the first few
    epochs; marks as in `fds`."""
    names = {"d_loss": "d_loss (nats)", "g_loss": "g_loss (nats)"}
    figure = _signals(records, names)
    for axis, name in zip(figure.axes, names, strict=True):
        series = [np.ma.filled(record.signals[name], np.nan) for record in records]
        settled = [y[_epochs(record) > _SETTLED] for record, y in zip(records, series, strict=True)]
        values = np.concatenate([*settled, [np.log(2)]])
        if len(values) > 1:
            low, high = np.nanmin(values), np.nanmax(values)
            axis.set_ylim(low - 0.1 * (high - low), high + 0.1 * (high - low))
        axis.axhline(np.log(2), color=GREY, linestyle=":", linewidth=1)
    return figure


def gradients(records: Sequence[Record]) -> Figure:
    """Both gradient norms by epoch, medians over windows; marks as in `fds`."""
    names = {"d_grad_norm": "gradient norm of D", "g_grad_norm": "gradient norm of G"}
    figure = _signals(records, names)
    for axis in figure.axes:
        log_scale(axis)
    return figure


def _signals(records: Sequence[Record], names: Mapping[str, str]) -> Figure:
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    axes = figure.subplots(2, 1, sharex=True)
    for axis, (signal, words) in zip(axes, names.items(), strict=True):
        for record in records:
            epoch, values = _epochs(record), record.signals[signal]
            _line(axis, record, epoch, values)
            _marks(axis, record, epoch, values)
        axis.axvline(ORIGINAL_EPOCH, color=GREY, linestyle=":", linewidth=1.2)
        axis.set_ylabel(words)
    axes[-1].set(xlabel=_EPOCHS, xlim=(0, None))
    axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(figure, axes[0])
    return figure


def grids(records: Sequence[Record]) -> Figure:
    """A row for each run, a column for each epoch that the second text shows."""
    epochs = sorted({epoch for record in records for epoch in record.grids})
    shape = (len(records), len(epochs))
    figure = Figure(figsize=(WIDTH, WIDTH / 2 * shape[0] / shape[1] + 0.3), layout="compressed")
    axes = figure.subplots(*shape, squeeze=False)
    for record, row in zip(records, axes, strict=True):
        for epoch, axis in zip(epochs, row, strict=True):
            axis.set(xticks=[], yticks=[])
            axis.grid(visible=False)
            for spine in axis.spines.values():
                spine.set_visible(False)
            if epoch in record.grids:
                with Image.open(record.grids[epoch]) as picture:
                    axis.imshow(np.asarray(picture), vmin=0, vmax=255)
        row[0].set_ylabel(_WORDS[record.recipe], fontsize=9)
    for epoch, axis in zip(epochs, axes[0], strict=True):
        axis.set_title(f"epoch {epoch}")
    return figure


def _epochs(record: Record) -> Numbers:
    """The time of each row of signals, in epochs."""
    return np.asarray(record.signals["step"], dtype=np.float64) / record.epoch_length


def _line(axis: Axes, record: Record, x: Numbers, y: Numbers) -> None:
    colour, words = _COLOURS[record.recipe], _WORDS[record.recipe]
    axis.plot(x, y, color=colour, linewidth=1.3, alpha=0.85, label=words)


def _marks(axis: Axes, record: Record, x: Numbers, y: Numbers) -> None:
    """On a curve: where to stop, where it went wrong, and where a signal warned."""
    verdict = record.verdict
    marks: list[tuple[float | None, str, int, str]]
    marks = [(verdict.best_epoch, "*", 10, "stop"), (verdict.onset_epoch, "X", 8, "onset")]
    marks += [(alarm.step / record.epoch_length, "v", 6, "alarm") for alarm in record.alarms]
    for epoch, mark, size, words in marks:
        if epoch is not None:
            row = int(np.abs(x - epoch).argmin())
            axis.plot(x[row], y[row], mark, color="black", markersize=size, zorder=4, label=words)


def _legend(figure: Figure, axis: Axes) -> None:
    handles, labels = axis.get_legend_handles_labels()
    known = dict(zip(reversed(labels), reversed(handles), strict=True))  # one for all seeds
    words = [label for label in (*_WORDS.values(), "stop", "onset", "alarm") if label in known]
    handles = [known[label] for label in words]
    figure.legend(handles, words, loc="outside upper left", ncols=len(words))
