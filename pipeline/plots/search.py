"""The pictures of a search. Its colours are those of `pipeline.plots.training`."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axis import Axis
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from pipeline.plots.training import BLUE, GREEN, GREY, ORANGE, SKY, WIDTH, log_scale, save
from pipeline.search.confirmation import curve
from pipeline.search.result import Findings
from pipeline.search.study import Known

BAD = ("onset", "diverged")


def draw(folder: Path, found: Findings) -> None:
    """Write all pictures that the trials so far give something for."""
    trials = [trial for trial in found.trials if trial.finished and trial.facts.get("fd")]
    if not trials:
        return
    pictures = {
        "curves": curves(trials, found.best),
        "map": rates_map(trials, found.best),
        "best_epoch": best_epoch(trials),
        "history": history(trials),
        "cost": cost(found),
    }
    if found.importances:
        pictures["importances"] = importances(found)
    for name, figure in pictures.items():
        save(figure, folder / f"{name}.png")


def curves(trials: Sequence[Known], best: Known | None) -> Figure:
    """fd by epoch of every trial; where it was cut, where it went wrong, and the winner."""
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    axis = figure.subplots()
    looks = {"pruned": (GREY, 0.5, "cut"), "complete": (SKY, 0.9, "to its end")}
    looks |= {"onset": (ORANGE, 0.7, "went wrong"), "diverged": (ORANGE, 0.7, "went wrong")}
    labelled = set()
    for trial in trials:
        colour, alpha, words = looks.get(trial.outcome, (GREY, 0.5, trial.outcome))
        epochs, fds = _course(trial)
        label = None if words in labelled else words
        labelled.add(words)
        axis.plot(epochs, fds, color=colour, alpha=alpha, linewidth=1.1, label=label)
        if trial.outcome == "pruned":
            axis.plot(epochs[-1:], fds[-1:], "|", color=GREY)
        if trial.outcome in BAD:
            axis.plot(epochs[-1:], fds[-1:], "x", color=ORANGE, markersize=7)
            onset = trial.facts.get("onset_epoch")
            if onset in epochs:
                place = epochs.index(onset)
                axis.plot(onset, fds[place], "o", mfc="none", color=ORANGE, markersize=6)
    if best is not None:
        epochs, fds = _course(best)
        axis.plot(epochs, fds, color=BLUE, linewidth=2.6, label=f"best: trial {best.number}")
        smooth = curve(best)
        stop = int(best.facts["best_epoch"])
        fd = smooth.get(stop, best.value or 0.0)
        words = f"epoch {stop}, fd {best.value:.3g}"
        axis.plot(stop, fd, "*", color="black", markersize=13, zorder=5, label=words)
    log_scale(axis)
    axis.set(xlabel="epoch", ylabel="FD-MNIST (lower is better)")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside upper left", ncols=3)
    return figure


def rates_map(trials: Sequence[Known], best: Known | None) -> Figure:
    """Best fd over the rates; shaded is where the nearest trial went wrong."""
    figure = Figure(figsize=(WIDTH, 4.8), layout="constrained")
    axis = figure.subplots()
    x, y = np.array([[math.log10(t.lr_g), math.log10(t.ratio)] for t in trials]).T
    values = np.array([min((fd for fd in _course(t)[1]), default=np.nan) for t in trials])
    bad = np.array([trial.outcome in BAD for trial in trials])
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
    for chosen, marker, words in ((~bad, "o", "no onset"), (bad, "X", "went wrong")):
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
                label=words,
                zorder=3,
            )
    bar = figure.colorbar(points, ax=axis, label="best fd of the trial")
    _rates(bar.ax.yaxis)
    if best is not None:
        words = f"best: trial {best.number}"
        axis.plot(best.lr_g, best.ratio, "o", mfc="none", markersize=17, color="black", label=words)
    axis.set(xscale="log", yscale="log", xlabel="lr_g", ylabel="lr_d / lr_g")
    _rates(axis.xaxis)
    _rates(axis.yaxis)
    axis.grid(visible=False)
    figure.legend(loc="outside upper left", ncols=3)
    return figure


def best_epoch(trials: Sequence[Known]) -> Figure:
    """The best stopping point against either rate, of trials that were not cut."""
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    kept = [t for t in trials if t.outcome != "pruned" and t.facts.get("best_epoch")]
    for axis, name in zip(axes, ("lr_g", "lr_d"), strict=True):
        for bad, colour, marker in ((False, GREEN, "o"), (True, ORANGE, "X")):
            some = [t for t in kept if (t.outcome in BAD) == bad]
            epochs = [t.facts["best_epoch"] for t in some]
            label = ("went wrong" if bad else "no onset") if name == "lr_g" else None
            rates = [getattr(t, name) for t in some]
            axis.plot(rates, epochs, marker, color=colour, markersize=8, alpha=0.8, label=label)
        axis.set(xscale="log", xlabel=name)
        _rates(axis.xaxis)
        axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].set_ylabel("best epoch")
    figure.legend(loc="outside upper left", ncols=2)
    return figure


def history(trials: Sequence[Known]) -> Figure:
    """Each trial's fd and the best so far, by epochs trained: what was known at what cost."""
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    axis = figure.subplots()
    spent = np.cumsum([float(trial.facts.get("epochs_trained", 0)) for trial in trials])
    values = np.array([t.value if t.value is not None else np.nan for t in trials])
    cut = np.array([trial.outcome == "pruned" for trial in trials])
    best = np.fmin.accumulate(np.where(cut, np.nan, values))
    axis.plot(spent[cut], values[cut], "|", color=GREY, markersize=9, label="cut")
    axis.plot(spent[~cut], values[~cut], "o", color=SKY, label="trials")
    axis.step(spent, best, where="post", color=BLUE, linewidth=2, label="best so far")
    log_scale(axis)
    axis.set(xlabel="epochs trained by the search", ylabel="best fd")
    figure.legend(loc="outside upper left", ncols=3)
    return figure


def cost(found: Findings) -> Figure:
    """Epochs trained, beside what the same stopping points cost without stopping early."""
    spent = found.cost
    bars = {
        "this search": spent.trained,
        "every trial to its horizon": spent.horizon,
        "every stopping point a run": spent.singly,
    }
    return _bars(bars, "epochs", BLUE, lambda value: f"{value:,.0f}")


def importances(found: Findings) -> Figure:
    """How much each parameter matters."""
    return _bars(dict(found.importances), "share of the importance", GREEN, lambda v: f"{v:.0%}")


def _bars(
    values: dict[str, float], words: str, colour: str, show: Callable[[float], str]
) -> Figure:
    figure = Figure(figsize=(WIDTH, 0.9 + 0.5 * len(values)), layout="constrained")
    axis = figure.subplots()
    drawn = axis.barh(list(values), list(values.values()), color=colour, height=0.6)
    axis.bar_label(drawn, [show(value) for value in values.values()], padding=4)
    axis.invert_yaxis()
    axis.margins(x=0.12)
    axis.grid(visible=False, axis="y")
    axis.set_xlabel(words)
    return figure


def _course(trial: Known) -> tuple[list[int], list[float]]:
    rows = [(int(epoch), float(fd)) for epoch, fd in trial.facts["fd"] if fd is not None]
    return [epoch for epoch, _ in rows], [fd for _, fd in rows]


def _rates(axis: Axis) -> None:
    """Plain numbers on a logarithmic axis, as many in each decade as there is room for."""
    low, high = axis.get_view_interval()
    steps = (1.0, 3.0) if high / low > 50 else (1.0, 2.0, 5.0)
    axis.set_major_locator(LogLocator(subs=steps, numticks=12))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(NullFormatter())
