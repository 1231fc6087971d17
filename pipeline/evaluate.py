"""Stage `evaluate`: all metrics of best and last generator, pictures and page of the run."""

import math
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from pipeline.base.cli import (
    Parser,
    corrupt,
    load_params,
    progress_bar,
    read_json,
    run,
    write_json,
    write_whole,
)

if __name__ == "__main__":  # --help and wrong options first: the imports below take seconds
    run(Parser("evaluate", __doc__).parse_args)

import numpy as np
import torch
from numpy.typing import NDArray
from tabulate import tabulate
from torch import Tensor

from dcgan.measuring import Meter, by_digit
from dcgan.mnist import NUM_CLASSES, Mnist, data_hash
from dcgan.networks import Generator
from dcgan.probing import PROBED
from dcgan.sampling import asked_digits, generate, noise_bank, to_bytes
from pipeline.base.device import set_up
from pipeline.base.folders import folder_whole
from pipeline.base.params import flat
from pipeline.base.paths import DATA, JUDGE_REPORT, METRICS, PAGE, PLOTS
from pipeline.pages.origin import Origin
from pipeline.pages.run.digits import Digits
from pipeline.pages.run.page import page
from pipeline.plots import training as plots
from pipeline.store.data import load_data
from pipeline.store.outcome import Outcome, read_outcome
from pipeline.store.weights import load_meter
from pipeline.tracking import provenance
from pipeline.tracking.description import description
from pipeline.tracking.run import TrackedRun

Metrics = dict[str, float]

_PARTS, _PARTS_OF_DIGITS = 11, 2  # two generators, eight pictures, the animation; two pictures
_SHOWN_EPOCHS = (1, 10, 30)  # and the last, as in the original text
_SHOWN_SAMPLES = 12
_SHOWN_NEIGHBOURS = 4
_COMPARED = 500  # samples and test digits that are compared with the training digits


def main() -> None:
    Parser("evaluate", __doc__).parse_args()
    params = load_params()
    scale = read_scale()
    outcome = read_outcome()
    tracked = TrackedRun(outcome.run_key)
    data = load_data()
    device = set_up(params.runtime)
    meter = load_meter(params.measure, device)
    conditional = outcome.best[0].conditional
    parts = _PARTS + (_PARTS_OF_DIGITS if conditional else 0)
    with progress_bar(total=parts, desc="evaluate", unit="part") as bar:
        best, samples = measure(meter, *outcome.best)
        digits = asked_for(meter, outcome.best[0], samples, data)
        bar.update()
        last, _ = measure(meter, *outcome.last)
        bar.update()
        with folder_whole(PLOTS) as folder:
            shares = meter.against.share.cpu().numpy()
            drawn = [
                pictures(outcome, scale, best, shares, samples, data),
                () if digits is None else pictures_of_digits(digits),
            ]
            for name, figure in chain(*drawn):
                plots.save(figure, folder / f"{name}.png")
                bar.update()
            animate(outcome, folder / "progress.gif")
            bar.update()
    known = by_metric(scale, best)
    rows = [{"metric": name, **values} for name, values in known.items()]
    found = {"best": as_json(best), "last": as_json(last), "scale": rows}
    write_json(METRICS, found | ({} if digits is None else {"digits": digits.rows}))
    origin = Origin(provenance.tags(), data_hash(DATA), flat(params))
    real = data.test_images[: outcome.grids.shape[1]].numpy()
    with write_whole(PAGE) as file:
        file.write(page(outcome, origin, best, known, real, digits))
    print(table(best, last, scale, params.measure.num_samples))
    print(f"{PAGE} tells more, as do {METRICS} and the pictures in {PLOTS}")
    text = description(
        outcome.verdict,
        f"{params.measure.num_samples:,} samples",
        best,
        known,
        "Pictures: *Artifacts*, `plots`, and `images`: samples of the same noise again and again.",
    )
    track(tracked, best, last, text)


def read_scale() -> dict[str, Metrics]:
    """What each metric is for known sets of images, as the judge's stage measured them."""
    measured = read_json(JUDGE_REPORT, "judge")
    needed = {"fd", "class_kl", *(f"share_{digit}" for digit in range(NUM_CLASSES))}
    try:
        scale: dict[str, Metrics] = {row.pop("set"): row for row in measured["scale"]}
        if scale and all(needed <= set(metrics) for metrics in scale.values()):
            return scale
    except (KeyError, TypeError, AttributeError):
        pass
    raise corrupt(JUDGE_REPORT, "judge")


def measure(meter: Meter, generator: Generator, about: Mapping[str, Any]) -> tuple[Metrics, Tensor]:
    """All metrics that are finite, after epoch and step, and the images that they are of."""
    generator.to(meter.against.mean.device)
    images = meter.samples(generator, meter.params.num_samples)
    asked = asked_digits(generator, len(images))
    metrics = {"epoch": about["epoch"], "step": about["step"], **meter.full(images, asked)}
    return {name: value for name, value in metrics.items() if math.isfinite(value)}, images


def asked_for(meter: Meter, generator: Generator, samples: Tensor, data: Mnist) -> Digits | None:
    """How well each digit is drawn that was asked for; None of a generator that cannot be asked."""
    asked = asked_digits(generator, len(samples))
    if asked is None:
        return None
    noise = noise_bank(meter.params.seed, _SHOWN_SAMPLES, generator.latent_dim, asked.device)
    every = torch.arange(NUM_CLASSES, device=asked.device).repeat_interleave(len(noise))
    images = to_bytes(generate(generator, noise.repeat(NUM_CLASSES, 1), every)).squeeze(1).cpu()
    grid = images.numpy().reshape(NUM_CLASSES, len(noise), *images.shape[1:])
    return Digits(by_digit(meter, samples, asked, data), grid)


def pictures_of_digits(digits: Digits) -> Iterator[tuple[str, plots.Figure]]:
    """Each digit in a row, and which are mixed up."""
    yield "digits", plots.rows_of(digits.grid)
    if digits.rows:
        yield "asked", plots.asked(digits.rows)


def pictures(
    outcome: Outcome,
    scale: Mapping[str, Metrics],
    best: Metrics,
    shares: NDArray[np.float64],
    samples: Tensor,
    data: Mnist,
) -> Iterator[tuple[str, plots.Figure]]:
    """Name and figure of each picture, one drawn at a time."""
    course = plots.Course(
        outcome.steps,
        outcome.epochs,
        best["epoch"],
        outcome.verdict["alarm_step"],
        outcome.verdict["onset_step"],
        [begun["step"] for begun in outcome.verdict.get("branches", ())],
    )
    yield "losses", plots.losses(course)
    yield "gradients", plots.gradients(course)
    yield "fd", plots.quality(course, scale)
    if course.epochs.keys() >= {*PROBED}:  # records of before have none of them
        yield "discriminator", plots.discriminator(course)
    shown = (*_SHOWN_EPOCHS, outcome.epochs["epoch"][-1])
    steps = [epoch * course.steps_per_epoch for epoch in shown]
    indices = plots.nearest(outcome.grid_steps, steps)
    titles = [f"epoch {outcome.grid_steps[i] / course.steps_per_epoch:.3g}" for i in indices]
    grids = outcome.grids[indices]
    yield "epochs", plots.side_by_side(dict(zip(titles, grids, strict=True)))
    (index,) = plots.nearest(outcome.grid_steps, [best["step"]])
    grid = outcome.grids[index]
    yield (
        "best",
        plots.side_by_side(
            {
                f"samples, best epoch ({best['epoch']})": grid,
                "real digits (test set)": data.test_images[: len(grid)].numpy(),
            }
        ),
    )
    seen = np.array(as_json(best)["shares"])
    yield "classes", plots.classes(seen, shares)
    yield "neighbours", _neighbours(to_bytes(samples[:_COMPARED]).squeeze(1).cpu(), data)


def _neighbours(samples: Tensor, data: Mnist) -> plots.Figure:
    distances, indices = nearest_pixels(samples, data.train_images, _SHOWN_NEIGHBOURS)
    of_test, _ = nearest_pixels(data.test_images[:_COMPARED], data.train_images, 1)
    caption = (
        f"distance to the nearest (black 0, white 1); median of {len(samples)} samples "
        f"{distances[:, 0].median():.1f}, of {len(of_test)} test digits {of_test.median():.1f}"
    )
    return plots.neighbours(
        samples[:_SHOWN_SAMPLES].numpy(),
        data.train_images[indices[:_SHOWN_SAMPLES]].numpy(),
        distances[:_SHOWN_SAMPLES, 0].numpy(),
        caption,
    )


def nearest_pixels(images: Tensor, among: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Distances [n, k] from images uint8 [n, 28, 28] to the nearest `among`, and their indices.

    Euclidean, of pixels from 0 to 1; the nearest first.
    """
    queries = images.flatten(1).float().div(255)
    parts = [
        torch.cdist(queries, part.flatten(1).float().div(255)) for part in torch.split(among, 5000)
    ]
    distances, indices = torch.cat(parts, dim=1).topk(min(k, len(among)), largest=False)
    return distances, indices


def animate(outcome: Outcome, path: Path) -> None:
    """How the images of the fixed noise came to be."""
    chosen = plots.frame_choice(len(outcome.grids))
    length = outcome.epochs["step"][0] / outcome.epochs["epoch"][0]
    steps = outcome.grid_steps[chosen]
    labels = [f"iteration {step:,}, epoch {step / length:.1f}" for step in steps.tolist()]
    plots.animation(path, outcome.grids[chosen], labels)


def as_json(metrics: Metrics) -> dict[str, Any]:
    """The metrics as metrics.json has them: the shares are a list, which DVC's tables leave out."""
    shares = [metrics[f"share_{digit}"] for digit in range(NUM_CLASSES)]
    plain = {name: value for name, value in metrics.items() if not name.startswith("share_")}
    return {**plain, "shares": shares}


def by_metric(scale: Mapping[str, Metrics], metrics: Metrics) -> dict[str, Metrics]:
    """The scale turned round: for each metric but the shares, what it is for the known sets."""
    return {
        name: {known: values[name] for known, values in scale.items() if name in values}
        for name in metrics
        if name not in ("epoch", "step") and not name.startswith("share_")
    }


def table(best: Metrics, last: Metrics, scale: Mapping[str, Metrics], num_samples: int) -> str:
    """The metrics of both generators with the scale beside them, as text."""
    columns = {"best": best, "last": last, **scale}
    titles = [f"{num_samples:,} samples", *(name.replace("_", " ") for name in columns)]
    rows = [
        [name, *(_number(metrics.get(name)) for metrics in columns.values())]
        for name in best
        if not name.startswith("share_") and name != "step"
    ]
    sides = ["left"] + ["right"] * len(columns)
    text = tabulate(rows, titles, tablefmt="plain", disable_numparse=True, colalign=sides)
    return str(text)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def track(tracked: TrackedRun, best: Metrics, last: Metrics, text: str) -> None:
    """Add everything to the run that was trained, as far as the tracker can be reached."""
    for group, metrics in (("final", best), ("last", last)):
        values = {name: value for name, value in metrics.items() if name != "step"}
        tracked.final_metrics(group, int(metrics["step"]), values)
    for file in (METRICS, PAGE):
        tracked.artifact(file, "reports")
    for picture in sorted(PLOTS.iterdir()):
        tracked.artifact(picture, "plots")
    tracked.describe(text)
    tracked.flush(at_once=True)


if __name__ == "__main__":
    run(main)
