"""The pictures of a search. Its colours are those of `pipeline.plots.training`."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axis import Axis
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from ganverdict.curves import BLUE, GREEN, GREY, ORANGE, SKY
from ganverdict.plot import WIDTH, log_scale
from pipeline.plots.training import save

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
        status, reason: what the verdict called it, and why it ended as it did; "" if not known.
        epochs, fds: what was measured; fd as it was, not smoothed.
        best_epoch, best_fd: the best stopping point and its smoothed fd, if there is one; a trial
            without one has a `best_fd` that only says that it was bad.
    """

    number: int
    outcome: str
    status: str
    reason: str
    lr_g: float
    lr_d: float
    epochs: Sequence[int]
    fds: Sequence[float]
    best_epoch: int | None
    best_fd: float | None
    onset_epoch: int | None
    epochs_trained: float

    @property
    def ratio(self) -> float:
        """lr_d / lr_g."""
        return self.lr_d / self.lr_g

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
        importances: by parameter, adding up to one; {}: not known.
    """

    curves: Sequence[TrialCurve]
    best: int | None
    epochs: Mapping[str, float]
    importances: Mapping[str, float]


def draw(folder: Path, plots: SearchPlots) -> None:
    """Write all pictures that the trials so far give something for."""
    trials = plots.curves
    if not trials:
        return
    best = next((trial for trial in trials if trial.number == plots.best), None)
    pictures = {
        "curves": curves(trials, best),
        "map": rates_map(trials, best),
        "best_epoch": best_epoch(trials),
        "history": history(trials),
        "cost": _bars(plots.epochs, "epochs", BLUE, lambda epochs: f"{epochs:,.0f}"),
    }
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


def rates_map(trials: Sequence[TrialCurve], best: TrialCurve | None) -> Figure:
    """Best fd over the rates; shaded is where the nearest trial went wrong."""
    figure = Figure(figsize=(WIDTH, 4.8), layout="constrained")
    axis = figure.subplots()
    x, y = np.array([[math.log10(t.lr_g), math.log10(t.ratio)] for t in trials]).T
    values = np.array([min(trial.fds, default=np.nan) for trial in trials])
    bad = np.array([trial.went_wrong for trial in trials])
    edges = [(v.min() - 0.15, v.max() + 0.15) for v in (x, y)]
    grid = np.meshgrid(*(np.linspace(*edge, 160) for edge in edges))
    distance = (grid[0][..., None] - x) ** 2 + (grid[1][..., None] - y) ** 2
    axis.pcolormesh(
        10 ** grid[0],
        10 ** grid[1],
        bad[distance.argmin(-1)].astype(float),
        cmap=ListedColormap(["white", "#f6ddd0"]),
        vmin=0,
        vmax=1,
        shading="nearest",
    )
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    norm = LogNorm(low, max(high, low * 1.01))
    for chosen, marker, label in ((~bad, "o", "no onset"), (bad, "X", "went wrong")):
        if chosen.any():
            points = axis.scatter(
                10 ** x[chosen],
                10 ** y[chosen],
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
    _rates(bar.ax.yaxis)
    if best is not None:
        label = f"best: trial {best.number}"
        axis.plot(best.lr_g, best.ratio, "o", mfc="none", markersize=17, color="black", label=label)
    axis.set(xscale="log", yscale="log", xlabel="lr_g", ylabel="lr_d / lr_g")
    _rates(axis.xaxis)
    _rates(axis.yaxis)
    axis.grid(visible=False)
    figure.legend(loc="outside upper left", ncols=3)
    return figure


def best_epoch(trials: Sequence[TrialCurve]) -> Figure:
    """The best stopping point against either rate, of trials that were not cut."""
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    kept = [t for t in trials if t.outcome != "pruned" and t.best_epoch]
    for axis, name in zip(axes, ("lr_g", "lr_d"), strict=True):
        for bad, colour, marker in ((False, GREEN, "o"), (True, ORANGE, "X")):
            some = [t for t in kept if t.went_wrong == bad]
            epochs = [t.best_epoch for t in some]
            label = ("went wrong" if bad else "no onset") if name == "lr_g" else None
            rates = [getattr(t, name) for t in some]
            axis.plot(rates, epochs, marker, color=colour, markersize=8, alpha=0.8, label=label)
        axis.set(xscale="log", xlabel=name)
        _rates(axis.xaxis)
        axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].set_ylabel("best epoch")
    figure.legend(loc="outside upper left", ncols=2)
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


def _rates(axis: Axis) -> None:
    """Plain numbers on a logarithmic axis, as many in each decade as there is room for."""
    low, high = axis.get_view_interval()
    steps = (1.0, 3.0) if high / low > 50 else (1.0, 2.0, 5.0)
    axis.set_major_locator(LogLocator(subs=steps, numticks=12))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(NullFormatter())
