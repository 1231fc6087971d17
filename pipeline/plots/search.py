"""The pictures of a search. Its colours are those of `pipeline.plots.training`."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from ganverdict.curves import BLUE, GREEN, GREY, ORANGE, SKY
from ganverdict.plot import WIDTH, log_scale
from pipeline.base.space import Recipe, Space
from pipeline.plots.along import ACROSS, UP, Along, along, most_important
from pipeline.plots.training import save

Numbers = NDArray[np.float64]
_LETTERS = 32  # of the choices of a dimension that have room beside each other
_WENT_WRONG = ("onset", "diverged")
LOOKS = {
    "complete": (SKY, 0.9, "to its end"),
    "pruned": (GREY, 0.5, "cut"),
    "onset": (ORANGE, 0.7, "went wrong"),
    "diverged": (ORANGE, 0.7, "went wrong"),
}
"""Colour, opacity and words of a trial's curve, by its outcome."""


@dataclass(frozen=True)
class TrialCurve:
    """A trial, as pictures and pages show it.

    Attributes:
        outcome: complete, pruned, onset, diverged or failed; on a page also waiting, running or
            killed.
        recipe: values of the keys searched; {}: not known yet.
        status, reason: what the verdict called it, and why it ended as it did; "" if not known.
        epochs, fds: what was measured.
        best_epoch, best_fd: the best stopping point and its fd, if there is one; a trial
            without one has a `best_fd` that only says that it was bad.
    """

    number: int
    outcome: str
    status: str
    reason: str
    recipe: Recipe
    epochs: Sequence[int]
    fds: Sequence[float]
    best_epoch: int | None
    best_fd: float | None
    onset_epoch: int | None
    epochs_trained: float

    @property
    def went_wrong(self) -> bool:
        """Whether it ended by an onset or a step that was not finite."""
        return self.outcome in _WENT_WRONG


@dataclass(frozen=True)
class SearchPlots:
    """What there is to draw.

    Attributes:
        best: the number of the best trial.
        epochs: trained, and what the same stopping points would have cost, by what was done.
        importances: by dimension, adding up to one; {}: not known.
        space: what was searched.
    """

    curves: Sequence[TrialCurve]
    best: int | None
    epochs: Mapping[str, float]
    importances: Mapping[str, float]
    space: Space


def draw(folder: Path, plots: SearchPlots) -> None:
    """Write all pictures that the trials so far give something for."""
    trials = plots.curves
    if not trials:
        return
    best = next((trial for trial in trials if trial.number == plots.best), None)
    pictures = {
        "curves": curves(trials, best),
        "best_fd": best_fd(trials, best, plots.space),
        "best_epoch": best_epoch(trials, plots.space),
        "history": history(trials),
        "cost": _bars(plots.epochs, "epochs", BLUE, lambda epochs: f"{epochs:,.0f}"),
    }
    axes = most_important(plots.space, plots.importances)
    if len(axes) == 2:
        pictures["map"] = space_map(trials, best, axes[0], axes[1], whole=len(plots.space) == 2)
    if plots.importances:
        pictures["importances"] = _bars(
            plots.importances, "share of the importance", GREEN, lambda share: f"{share:.0%}"
        )
    for name, figure in pictures.items():
        save(figure, folder / f"{name}.png")


def curves(trials: Sequence[TrialCurve], best: TrialCurve | None) -> Figure:
    """fd by epoch of every trial; where it was cut, where it went wrong, and the winner."""
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    axis = figure.subplots()
    labelled = set()
    for trial in trials:
        colour, alpha, name = LOOKS.get(trial.outcome, (GREY, 0.5, trial.outcome))
        epochs, fds = trial.epochs, trial.fds
        label = None if name in labelled else name
        labelled.add(name)
        axis.plot(epochs, fds, color=colour, alpha=alpha, linewidth=1.1, label=label)
        if trial.outcome == "pruned":
            axis.plot(epochs[-1:], fds[-1:], "|", color=GREY)
        if trial.went_wrong:
            axis.plot(epochs[-1:], fds[-1:], "x", color=ORANGE, markersize=7)
            if trial.onset_epoch is not None and trial.onset_epoch in epochs:
                fd = fds[epochs.index(trial.onset_epoch)]
                axis.plot(trial.onset_epoch, fd, "o", mfc="none", color=ORANGE, markersize=6)
    if best is not None:
        label = f"best: trial {best.number}"
        axis.plot(best.epochs, best.fds, color=BLUE, linewidth=2.6, label=label)
        stop, stop_fd = best.best_epoch, best.best_fd
        if stop is not None and stop_fd is not None:
            label = f"epoch {stop}, fd {stop_fd:.3g}"
            axis.plot(stop, stop_fd, "*", color="black", markersize=13, zorder=5, label=label)
    log_scale(axis)
    axis.set(xlabel="epoch", ylabel="FD-MNIST (lower is better)")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside upper left", ncols=3)
    return figure


def space_map(
    trials: Sequence[TrialCurve], best: TrialCurve | None, across: Along, up: Along, whole: bool
) -> Figure:
    """Best fd over two dimensions.

    Where they are the `whole` space, one of numbers, it is shaded where the nearest trial went
    wrong. Otherwise trials that lie side by side here may be far apart.
    """
    figure = Figure(figsize=(WIDTH, 4.8), layout="constrained")
    axis = figure.subplots()
    x = np.array([across.place(trial.recipe, trial.number, ACROSS) for trial in trials])
    y = np.array([up.place(trial.recipe, trial.number, UP) for trial in trials])
    values = np.array([min(trial.fds, default=np.nan) for trial in trials])
    bad = np.array([trial.went_wrong for trial in trials])
    _lay_out(axis, "x", across, x)
    _lay_out(axis, "y", up, y)
    if whole and not (across.names or up.names):
        _shade(axis, x, y, bad)
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (1.0, 1.0)
    norm = LogNorm(low, max(high, low * 1.01))
    for chosen, marker, label in ((~bad, "o", "no onset"), (bad, "X", "went wrong")):
        if chosen.any():
            points = axis.scatter(
                x[chosen],
                y[chosen],
                c=values[chosen],
                cmap="viridis_r",
                norm=norm,
                marker=marker,
                s=90,
                edgecolors="black",
                linewidths=0.6,
                label=label,
                zorder=3,
            )
    bar = figure.colorbar(points, ax=axis, label="best fd of the trial")
    _plain(bar.ax.yaxis)
    if best is not None:
        at = across.place(best.recipe, best.number, ACROSS), up.place(best.recipe, best.number, UP)
        label = f"best: trial {best.number}"
        axis.plot(*at, "o", mfc="none", markersize=17, color="black", label=label)
    axis.grid(visible=False)
    figure.legend(loc="outside upper left", ncols=3)
    return figure


def _shade(axis: Axes, x: Numbers, y: Numbers, bad: NDArray[np.bool_]) -> None:
    """Shade where the nearest trial, as far as the picture shows, went wrong."""
    to_shares = axis.transScale + axis.transLimits  # a distance across counts like one up
    ends = [(0.0, 1.0)] * 2
    grid = np.stack(np.meshgrid(*(np.linspace(*end, 160) for end in ends)), -1)
    places = to_shares.transform(np.column_stack([x, y]))
    distance = ((grid[:, :, None] - places) ** 2).sum(-1)
    corners = to_shares.inverted().transform(grid.reshape(-1, 2)).reshape(grid.shape)
    axis.pcolormesh(
        corners[..., 0],
        corners[..., 1],
        bad[distance.argmin(-1)].astype(float),
        cmap=ListedColormap(["white", "#f6ddd0"]),
        vmin=0,
        vmax=1,
        shading="nearest",
    )


def best_fd(trials: Sequence[TrialCurve], best: TrialCurve | None, space: Space) -> Figure:
    """The best fd of each trial along each dimension."""
    figure, axes = _slices(space)
    for axis, dimension in axes:
        for name, group in _by_kind(trials).items():
            colour, marker = _MARKS[name]
            kept = [(t, t.best_fd) for t in group if t.best_epoch and t.best_fd is not None]
            x = [dimension.place(trial.recipe, trial.number) for trial, _ in kept]
            fds = [fd for _, fd in kept]
            axis.plot(x, fds, marker, color=colour, markersize=8, alpha=0.8, label=name)
        if best is not None and best.best_fd is not None:
            x = [dimension.place(best.recipe, best.number)]
            label = f"best: trial {best.number}"
            axis.plot(x, [best.best_fd], "*", color="black", markersize=13, zorder=5, label=label)
        log_scale(axis)
        _lay_out(axis, "x", dimension, np.array([dimension.place(t.recipe) for t in trials]))
    return _told(figure, axes, "best fd")


def best_epoch(trials: Sequence[TrialCurve], space: Space) -> Figure:
    """The best stopping point along each dimension, of trials that were not cut."""
    figure, axes = _slices(space)
    groups = _by_kind([t for t in trials if t.outcome != "pruned" and t.best_epoch])
    for axis, dimension in axes:
        for name, group in groups.items():
            colour, marker = _MARKS[name]
            x = [dimension.place(trial.recipe, trial.number) for trial in group]
            epochs = [trial.best_epoch or 0 for trial in group]
            axis.plot(x, epochs, marker, color=colour, markersize=8, alpha=0.8, label=name)
        axis.yaxis.set_major_locator(MaxNLocator(integer=True))
        _lay_out(axis, "x", dimension, np.array([dimension.place(t.recipe) for t in trials]))
    return _told(figure, axes, "best epoch")


_MARKS = {"no onset": (GREEN, "o"), "went wrong": (ORANGE, "X"), "cut": (GREY, "|")}


def _by_kind(trials: Sequence[TrialCurve]) -> dict[str, list[TrialCurve]]:
    found: dict[str, list[TrialCurve]] = {}
    for trial in trials:
        kind = "went wrong" if trial.went_wrong else "no onset"
        found.setdefault("cut" if trial.outcome == "pruned" else kind, []).append(trial)
    return found


def _slices(space: Space) -> tuple[Figure, list[tuple[Axes, Along]]]:
    """A panel for each dimension, two side by side."""
    dimensions = along(space)
    rows = math.ceil(len(dimensions) / 2)
    figure = Figure(figsize=(WIDTH, 0.8 + 2.6 * rows), layout="constrained")
    columns = min(len(dimensions), 2)
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False).flatten().tolist()
    for unused in axes[len(dimensions) :]:
        unused.remove()
    return figure, list(zip(axes, dimensions, strict=False))


def _told(figure: Figure, axes: Sequence[tuple[Axes, Along]], what: str) -> Figure:
    for axis, _ in axes[::2]:
        axis.set_ylabel(what)
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside upper left", ncols=4)
    return figure


def history(trials: Sequence[TrialCurve]) -> Figure:
    """Each trial's fd and the best so far, by epochs trained: what was known at what cost."""
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    axis = figure.subplots()
    spent = np.cumsum([trial.epochs_trained for trial in trials])
    values = np.array([np.nan if t.best_fd is None else t.best_fd for t in trials])
    cut = np.array([trial.outcome == "pruned" for trial in trials])
    best = np.fmin.accumulate(np.where(cut, np.nan, values))
    axis.plot(spent[cut], values[cut], "|", color=GREY, markersize=9, label="cut")
    axis.plot(spent[~cut], values[~cut], "o", color=SKY, label="trials")
    axis.step(spent, best, where="post", color=BLUE, linewidth=2, label="best so far")
    log_scale(axis)
    axis.set(xlabel="epochs trained by the search", ylabel="best fd")
    figure.legend(loc="outside upper left", ncols=3)
    return figure


def _bars(
    values: Mapping[str, float], label: str, colour: str, show: Callable[[float], str]
) -> Figure:
    figure = Figure(figsize=(WIDTH, 0.9 + 0.5 * len(values)), layout="constrained")
    axis = figure.subplots()
    drawn = axis.barh(list(values), list(values.values()), color=colour, height=0.6)
    axis.bar_label(drawn, [show(value) for value in values.values()], padding=4)
    axis.invert_yaxis()
    axis.margins(x=0.12)
    axis.grid(visible=False, axis="y")
    axis.set_xlabel(label)
    return figure


def _lay_out(axes: Axes, side: Literal["x", "y"], dimension: Along, places: Numbers) -> None:
    """Give a side of a picture the scale, the limits and the ticks of a dimension."""
    axis = axes.xaxis if side == "x" else axes.yaxis
    axis.set_label_text(dimension.label)
    limits = axes.set_xlim if side == "x" else axes.set_ylim
    names = dimension.names
    if names:
        crowded = side == "x" and sum(map(len, names)) > _LETTERS
        axis.set_ticks(range(len(names)), names, rotation=30 if crowded else 0)
        limits(-0.5, len(names) - 0.5)
        return
    low, high = float(places.min()), float(places.max())
    if dimension.log:
        axes.set(**{f"{side}scale": "log"})
        room = max((high / low) ** 0.08, 1.2)
        limits(low / room, high * room)
        _plain(axis)
        return
    room = max(0.08 * (high - low), 0.02 * abs(high), 1e-12)
    limits(low - room, high + room)
    axis.set_major_locator(MaxNLocator(5, integer=dimension.whole))


def _plain(axis: Axis) -> None:
    """Plain numbers on a logarithmic axis, as many in each decade as there is room for."""
    low, high = axis.get_view_interval()
    steps = (1.0, 3.0) if high / low > 50 else (1.0, 2.0, 5.0)
    axis.set_major_locator(LogLocator(subs=steps, numticks=12))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(NullFormatter())
