"""The pictures of a run, in the look of the verdict's plot, which all pictures have."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ganverdict.curves import BLUE, GREEN, GREY, ORANGE, SKY, Bands, Masked, Numbers, bands
from ganverdict.plot import STYLE, WIDTH, log_scale, plain_ticks
from pipeline.base.tiles import tile

MAX_FRAMES = 40  # of an animation
_MIXED_UP = 0.001  # a share of samples that is written into its cell

mpl.rcParams.update({**STYLE, "image.cmap": "gray"})

Floats = NDArray[np.float64]
Grid = NDArray[np.uint8]


@dataclass(frozen=True)
class Course:
    """A run over time.

    Attributes:
        steps: "step" and the signals of training, [n] each.
        epochs: "epoch", "step" and the metrics of samples, [m] each, at least one.
        best_epoch: whose generator was kept.
        alarm_step, onset_step: when it began to go wrong, by the verdict; None: it did not.
        returns: the steps at which it went back to an earlier state.
    """

    steps: Mapping[str, Numbers]
    epochs: Mapping[str, Numbers]
    best_epoch: float
    alarm_step: int | None = None
    onset_step: int | None = None
    returns: Sequence[float] = ()

    @property
    def steps_per_epoch(self) -> float:
        """Iterations in an epoch."""
        return float(self.epochs["step"][0] / self.epochs["epoch"][0])


def nearest(available: NDArray[np.int64], wanted: Sequence[float]) -> list[int]:
    """For each wanted number the index of the nearest available one, each index once, in order."""
    indices = [int(np.abs(available - number).argmin()) for number in wanted]
    return sorted(dict.fromkeys(indices), key=lambda index: int(available[index]))


def save(figure: Figure, path: Path) -> None:
    """Write a PNG."""
    figure.savefig(path, metadata={"Software": None})


def losses(course: Course) -> Figure:
    """Both losses over what the discriminator answers, by epoch."""
    figure, (upper, lower) = _panels(4.9, (3, 2))
    curves = [
        _signal(upper, course, "d_loss", ORANGE, "discriminator"),
        _signal(upper, course, "g_loss", BLUE, "generator"),
    ]
    _log_scale_around(upper, curves)
    upper.axhline(math.log(2), color=GREY, linewidth=1, linestyle=(0, (1, 2)))
    _note(upper, math.log(2), "ln 2")
    upper.set_ylabel("loss (nats)")
    _signal(lower, course, "d_real", GREEN, "real digits")
    _signal(lower, course, "d_fake", SKY, "samples")
    lower.set(ylim=(0, 1), ylabel="mean answer of D", yticks=[0, 0.5, 1])
    lower.legend(ncols=2, loc="lower left", bbox_to_anchor=(-0.01, 0.96), borderpad=0)
    _by_epoch(figure, course)
    return figure


def gradients(course: Course) -> Figure:
    """Gradient norms, and how far each step moves the weights, by epoch."""
    figure, axes = _panels(4.9, (1, 1))
    labels = {"grad_norm": "gradient norm", "update_ratio": "update ratio"}
    for axis, (signal, label) in zip(axes, labels.items(), strict=True):
        curves = [
            _signal(axis, course, f"d_{signal}", ORANGE, "discriminator"),
            _signal(axis, course, f"g_{signal}", BLUE, "generator"),
        ]
        _log_scale_around(axis, curves)
        axis.set_ylabel(label)
    _by_epoch(figure, course)
    return figure


def quality(course: Course, scale: Mapping[str, Mapping[str, float]]) -> Figure:
    """Frechet distance and class divergence by epoch, with the known sets that lie in range."""
    epochs = course.epochs
    figure, (upper, lower) = _panels(5.6, (3, 2))
    averaged = "fd_raw" in epochs
    if averaged:
        measured = ~np.ma.getmaskarray(epochs["fd_raw"])  # every few epochs only; see `raw_every`
        x, raw = epochs["epoch"][measured], _finite(epochs["fd_raw"][measured])
        upper.plot(x, raw, "o-", color=SKY, markersize=3, label="as trained")
    name = "averaged weights" if averaged else "samples"
    sigma = epochs["fd_sigma"]
    _dots(upper, epochs["epoch"], epochs["fd"], name)
    upper.fill_between(
        epochs["epoch"],
        _positive(epochs["fd"] - sigma),
        _positive(epochs["fd"] + sigma),
        color=GREEN,
        alpha=0.25,
        linewidth=0,
    )
    upper.set_ylabel("FD-MNIST (lower is better)")
    _dots(lower, epochs["epoch"], epochs["class_kl"], None)
    lower.set_ylabel("class KL (nats)")
    for axis, metric in ((upper, "fd"), (lower, "class_kl")):
        log_scale(axis)
        _scale_lines(axis, {known: metrics[metric] for known, metrics in scale.items()})
    _by_epoch(figure, course)
    return figure


def discriminator(course: Course) -> Figure:
    """What D knows, and how large its weights have grown, by epoch."""
    epochs = course.epochs
    figure, (upper, lower) = _panels(4.9, (1, 1))
    for name, colour, label in (
        ("d_loss_train", ORANGE, "training digits"),
        ("d_loss_test", SKY, "held-out digits"),
    ):
        upper.plot(epochs["epoch"], _positive(epochs[name]), color=colour, label=label)
    log_scale(upper)
    upper.axhline(math.log(2), color=GREY, linewidth=1, linestyle=(0, (1, 2)))
    _note(upper, math.log(2), "ln 2")
    upper.set_ylabel("loss of D (nats)")
    layers = [name for name in epochs if name.startswith("d_singular_")]
    for place, name in enumerate(layers):
        shade = 0.35 + 0.65 * place / max(len(layers) - 1, 1)
        values, label = _positive(epochs[name]), name.removeprefix("d_singular_")
        lower.plot(epochs["epoch"], values, color=BLUE, alpha=shade, label=label)
    norms = _positive(epochs["d_weight_norm"])
    lower.plot(epochs["epoch"], norms, color="black", label="norm of all weights")
    log_scale(lower)
    lower.set_ylabel("singular value, norm")
    lower.legend(ncols=6, loc="lower left", bbox_to_anchor=(-0.01, 0.96), borderpad=0, fontsize=9)
    _by_epoch(figure, course)
    return figure


def side_by_side(pictures: Mapping[str, Grid], columns: int = 8) -> Figure:
    """Grids of images, uint8 [N, 28, 28] under a title each."""
    height = WIDTH / len(pictures) + 0.27
    figure = Figure(figsize=(WIDTH, height), layout="compressed")
    axes = figure.subplots(1, len(pictures), squeeze=False)[0]
    for axis, (title, images) in zip(axes, pictures.items(), strict=True):
        _picture(axis, tile(images, columns))
        axis.set_title(title)
    return figure


def classes(seen: Floats, true: Floats) -> Figure:
    """Shares of the ten digits, [10] each: bars of what the judge sees, marks of what is true."""
    figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    axis = figure.subplots()
    digits = np.arange(len(seen))
    axis.bar(digits, seen, width=0.7, color=BLUE, label="samples, as the judge sees them")
    axis.hlines(true, digits - 0.45, digits + 0.45, color="black", label="training digits")
    axis.set(xlabel="digit", ylabel="share", xticks=digits)
    axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axis.grid(visible=False, axis="x")
    bars, lines = axis.containers[0], axis.collections[0]
    figure.legend(handles=[bars, lines], loc="outside upper left", ncols=2)
    return figure


def asked(rows: Sequence[Mapping[str, float]]) -> Figure:
    """Which digits the judge reads where which were asked for, and how near each is to real ones.

    `rows` are those of `dcgan.measuring.by_digit`.
    """
    digits = [f"{row['digit']:g}" for row in rows]
    figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    read = np.array([[row[f"read_{digit}"] for digit in range(10)] for row in rows])
    # The root makes a pair that is mixed up in one of a hundred images a shade of its own.
    left.imshow(np.sqrt(read), cmap="Greys", vmin=0, vmax=1, aspect="auto")
    for (row, column), share in np.ndenumerate(read):
        if share >= _MIXED_UP:
            shade = "white" if share > 0.3 else "black"
            text = f"{100 * share:.1f}".removesuffix(".0")
            left.text(column, row, text, ha="center", va="center", fontsize=8, color=shade)
    left.set(xticks=range(10), yticks=range(len(rows)), yticklabels=digits)
    left.set(xlabel="read by the judge", ylabel="asked for")
    left.set_title("share of samples, %", loc="left")
    left.grid(visible=False)
    places = np.arange(len(rows))
    right.barh(places, [row["fd"] for row in rows], height=0.7, color=GREEN, label="samples")
    tests = [row["fd_test"] for row in rows]
    right.vlines(tests, places - 0.45, places + 0.45, color="black", label="test digits")
    right.set(yticks=places, yticklabels=digits, ylim=(len(rows) - 0.5, -0.5))
    right.set(xlabel="fd within the digit (lower is better)")
    right.grid(visible=False, axis="y")
    right.legend(ncols=2, loc="lower left", bbox_to_anchor=(-0.03, 0.98), borderpad=0)
    return figure


def rows_of(images: Grid) -> Figure:
    """Images uint8 [rows, columns, 28, 28] in their places."""
    count, columns = images.shape[:2]
    figure = Figure(figsize=(WIDTH, WIDTH * count / columns + 0.1), layout="compressed")
    _picture(figure.subplots(), tile(images.reshape(-1, *images.shape[2:]), columns))
    return figure


def neighbours(samples: Grid, nearest_digits: Grid, distances: Floats, caption: str) -> Figure:
    """Samples over the training digits that are nearest to them.

    Args:
        samples: uint8 [n, 28, 28].
        nearest_digits: uint8 [n, k, 28, 28], the nearest first.
        distances: [n], from each sample to its nearest.
        caption: what the distances are worth.
    """
    n, k = nearest_digits.shape[:2]
    figure = Figure(figsize=(WIDTH, WIDTH / n * (k + 1) + 0.85), layout="constrained")
    upper, lower = figure.subplots(2, 1, height_ratios=(28, 30 * k - 2))
    _picture(upper, tile(samples, n))
    upper.set_title("samples, not selected", loc="left")
    _picture(lower, tile(nearest_digits.swapaxes(0, 1).reshape(-1, 28, 28), n))
    lower.set_title("their nearest training digits, by pixels", loc="left")
    lower.set_xticks(np.arange(n) * 30 + 14, [f"{value:.1f}" for value in distances])
    lower.tick_params(length=0)
    lower.set_xlabel(caption)
    return figure


def animation(path: Path, frames: Grid, labels: Sequence[str], milliseconds: int = 160) -> None:
    """Write a GIF of grids [F, N, 28, 28], a label under each; it rests on the last one."""
    font = ImageFont.load_default(size=16)
    pages = []
    for grid, label in zip(frames, labels, strict=True):
        picture = Image.fromarray(tile(grid)).resize((476, 476), Image.Resampling.NEAREST)
        page = Image.new("L", (476, 504))
        page.paste(picture)
        ImageDraw.Draw(page).text((4, 481), label, fill=255, font=font)
        pages.append(_in_few_greys(page))
    rests = [milliseconds] * (len(pages) - 1) + [2500]
    pages[0].save(path, "GIF", save_all=True, append_images=pages[1:], duration=rests, loop=0)


def frame_choice(available: int, most: int = MAX_FRAMES) -> list[int]:
    """Which of so many pictures to show: first and last, and more of the early ones."""
    roots = np.linspace(0, math.sqrt(available - 1), most)
    return sorted({round(root**2) for root in roots.tolist()})


def _in_few_greys(page: Image.Image, levels: int = 16) -> Image.Image:
    """One small palette for all frames: no flicker, a third of the bytes."""
    few = Image.fromarray((np.asarray(page) // (256 // levels)).astype(np.uint8))
    few.putpalette([255 * level // (levels - 1) for level in range(levels) for _ in "rgb"])
    return few


def _panels(height: float, ratios: tuple[int, int]) -> tuple[Figure, tuple[Axes, Axes]]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=ratios)
    return figure, (upper, lower)


def _signal(axis: Axes, course: Course, name: str, colour: str, label: str) -> Bands:
    curve = bands(course.steps["step"] / course.steps_per_epoch, course.steps[name])
    axis.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.2, linewidth=0)
    axis.plot(curve.x, curve.middle, color=colour, label=label)
    return curve


def _log_scale_around(axis: Axes, curves: Sequence[Bands]) -> None:
    """A logarithmic axis that shows the curves; single iterations far from them may leave it."""
    axis.set_yscale("log")
    middles = [float(y) for curve in curves for y in _positive(curve.middle).compressed()]
    if middles:
        low, high = axis.get_ylim()
        axis.set_ylim(max(low, min(middles) / 3), min(high, max(middles) * 3))
    log_scale(axis)


def _dots(axis: Axes, x: Numbers, values: Numbers, label: str | None) -> None:
    size = 4 if len(x) <= 60 else 0
    axis.plot(x, _positive(values), "o-", color=GREEN, markersize=size, label=label)


def _by_epoch(figure: Figure, course: Course) -> None:
    """What all curves of a run share: the axis of time, the marks of the verdict, the legend."""
    length = course.steps_per_epoch
    places = {("best", "-"): course.best_epoch}
    if course.onset_step is not None:
        places["onset", "--"] = course.onset_step / length
    if course.alarm_step is not None and course.alarm_step != course.onset_step:
        places["alarm", ":"] = course.alarm_step / length
    upper, lower = figure.axes
    for axis in (upper, lower):
        for (mark, style), place in places.items():
            label = f"{mark}: epoch {math.ceil(place)}"
            axis.axvline(place, color="black", linestyle=style, linewidth=1.2, label=label)
        for step in course.returns:
            label = f"rolled back: epoch {math.ceil(step / length)}"
            axis.axvline(step / length, color=GREY, linestyle="-.", linewidth=1.2, label=label)
    lower.set_xlabel(f"epoch (of {length:,.0f} iterations)")
    last = max(float(course.epochs["epoch"][-1]), float(course.steps["step"][-1]) / length)
    lower.set_xlim(0, last * 1.01)
    handles, labels = upper.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside upper left",
        ncols=len(labels),
        fontsize=10,
        columnspacing=1.2,
        handlelength=1.6,
    )


def _scale_lines(axis: Axes, known: Mapping[str, float]) -> None:
    """Lines for the sets that lie within the axis, and always for the test digits."""
    low, high = axis.get_ylim()
    low = min([low, *(value / 1.5 for name, value in known.items() if name == "test" and value)])
    axis.set_ylim(low, high)
    plain_ticks(axis)
    notes: list[tuple[float, str]] = []
    for name, value in sorted(known.items(), key=lambda item: item[1]):
        if not low < value < high:
            continue
        axis.axhline(value, color=GREY, linewidth=1, linestyle=(0, (1, 2)))
        label = name.replace("_", " ")
        # Two lines too near for two notes share one, which is the taller the more there are in it.
        height = 0.04 * (2 + notes[-1][1].count("\n")) if notes else 0.0
        if notes and math.log(value / notes[-1][0]) < height * math.log(high / low):
            notes[-1] = (math.sqrt(value * notes[-1][0]), f"{label},\n{notes[-1][1]}")
        else:
            notes.append((value, label))
    for value, text in notes:
        _note(axis, value, text)


def _note(axis: Axes, value: float, text: str) -> None:
    axis.annotate(
        text,
        (1, value),
        (4, 0),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        va="center",
        fontsize=9,
        color=GREY,
    )


def _picture(axis: Axes, pixels: Grid) -> None:
    axis.imshow(pixels, vmin=0, vmax=255)
    axis.set(xticks=[], yticks=[])
    axis.grid(visible=False)
    for spine in axis.spines.values():
        spine.set_visible(False)


def _finite(values: Numbers) -> Masked:
    return np.ma.masked_invalid(values)


def _positive(values: Numbers) -> Masked:
    """For a logarithmic axis: the rest is a gap."""
    return np.ma.masked_less_equal(_finite(values), 0)
