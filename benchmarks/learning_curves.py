"""Record real learning curves for `benchmarks.replay_search`: fd by epoch over a map of rates.

    python -m benchmarks.learning_curves

Needs the judge (`dvc repro judge`). Each training's rows are added to
benchmarks/learning_curves.csv as it ends, so an interrupted command goes on where it was. The rates
reach from too slow to failing.

Epochs are short here (80 iterations at width 4), so that the whole map takes tens of minutes. What
a search has to cope with is the same: curves that cross, turn for the worse, or break down.
"""

import csv
import dataclasses
import functools
import io
import itertools
import multiprocessing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.command import Parser, at_least
from benchmarks.recipes import recipe
from dcgan.measuring import Meter, measure_epoch
from dcgan.mnist import Mnist
from dcgan.params import TrainParams
from dcgan.runtime import configure
from dcgan.training import GanState, fit
from ganverdict.evaluations import MEASURES
from pipeline.base.cli import load_params, progress_bar, run, write_whole
from pipeline.base.params import Params
from pipeline.store.data import load_data
from pipeline.store.weights import load_meter

TABLE = Path("benchmarks/learning_curves.csv")
COLUMNS = (
    "recipe",  # frozen: D frozen in G's step; joint: the original script's update of both
    "lr_g",
    "ratio",  # lr_d / lr_g
    "seed",
    "epoch",
    *MEASURES,  # fd is of the weights that count, the averaged ones; empty after a failure
)
RECIPES = ("frozen", "joint")
GENERATOR_RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
RATIOS = (0.1, 0.4, 1.5, 6.0)
SEEDS = (1, 2)
EPOCHS = 15
STEPS_PER_EPOCH = 80
NUM_SAMPLES = 1000

Row = dict[str, str]


class Training(NamedTuple):
    """What tells one training of the map from the others."""

    recipe: str
    lr_g: float
    ratio: float
    seed: int

    @classmethod
    def of(cls, row: Mapping[str, str]) -> "Training":
        """The training that a row of the table is of."""
        return cls(row["recipe"], float(row["lr_g"]), float(row["ratio"]), int(row["seed"]))


def trainings() -> list[Training]:
    """All of the map; a seed after the other, so that a table cut short is a map of fewer seeds."""
    order = itertools.product(SEEDS, RECIPES, GENERATOR_RATES, RATIOS)
    return [Training(recipe, lr_g, ratio, seed) for seed, recipe, lr_g, ratio in order]


def read_table(path: Path = TABLE) -> list[Row]:
    """The rows recorded so far."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write_table(rows: list[Row]) -> None:
    """Write the rows in the order of the map, whole or not at all."""
    order = {training: number for number, training in enumerate(trainings())}
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(sorted(rows, key=lambda row: (order[Training.of(row)], int(row["epoch"]))))
    with write_whole(TABLE) as file:
        file.write(text.getvalue().encode())


def train_params(base: TrainParams, training: Training) -> TrainParams:
    """The recipe `base`, narrow, with the rates of `training`; one dropout for the whole map."""
    return dataclasses.replace(
        base,
        seed=training.seed,
        width=4,
        epochs=EPOCHS,
        steps_per_epoch=STEPS_PER_EPOCH,
        sample_every=0,
        lr_g=training.lr_g,
        lr_d=training.lr_g * training.ratio,
        d_dropout=0.2,
        average_images=STEPS_PER_EPOCH * base.batch_size,
        freeze_discriminator=training.recipe == "frozen",
        stop="never",
    )


@functools.cache
def _prepared() -> tuple[Params, Mnist, Meter]:
    """What all trainings of a process share; its thread count is set on the way."""
    params = load_params()
    configure(dataclasses.replace(params.runtime, device="cpu", threads=1))
    meter = load_meter(params.measure, torch.device("cpu")).smaller(NUM_SAMPLES)
    return params, load_data(), meter


def record(training: Training) -> list[Row]:
    """Train once; a row for each epoch, the last one without metrics if it failed."""
    params, data, meter = _prepared()
    train = train_params(recipe("classic"), training)
    state = GanState(train, torch.device("cpu"))
    rows = []
    for report in fit(
        state, data.train_images, train, params.runtime, train_labels=data.train_labels
    ):
        epoch = -(-report.step // STEPS_PER_EPOCH)
        measures: dict[str, float] = {}
        if report.failed_step is None:
            metrics = measure_epoch(meter, state, data, train.loss, params.runtime)
            measures = {name: metrics[name] for name in MEASURES}
        row = {**training._asdict(), "epoch": epoch, **measures}
        rows.append({name: _cell(row.get(name)) for name in COLUMNS})
    return rows


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def record_all(workers: int) -> Iterator[list[Row]]:
    """The rows of each training that the table lacks, as it ends."""
    known = {Training.of(row) for row in read_table()}
    left = [training for training in trainings() if training not in known]
    context = multiprocessing.get_context("spawn")
    with context.Pool(min(workers, max(len(left), 1))) as pool:
        yield from pool.imap_unordered(record, left, chunksize=1)


def main() -> None:
    parser = Parser("learning_curves", __doc__)
    parser.add_argument(
        "--workers", type=at_least(1), default=2, help="processes of one thread each"
    )
    arguments = parser.parse_args()
    rows = read_table()
    done = len({Training.of(row) for row in rows})
    with progress_bar(total=len(trainings()), initial=done, desc="trainings") as bar:
        for recorded in record_all(arguments.workers):
            rows += recorded
            write_table(rows)
            bar.update()
    print(f"{TABLE}: {len(rows):,} epochs of {len(trainings())} trainings")


if __name__ == "__main__":
    run(main)
