"""Does bf16 train as good a generator as fp32?

    python -m benchmarks.precision                   # about ten minutes on two cores

Needs the judge (`dvc repro judge`). The default recipe, shortened, over several seeds in each
precision, two processes of one thread. One JSON line a training, then a table of fd by epoch:
`apart` is the difference of the two means in standard errors, by the spread between seeds. Within 2
the two cannot be told apart.
"""

import dataclasses
import itertools
import math
import multiprocessing
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.command import Parser, at_least
from benchmarks.contestants import PRECISIONS, Precision
from benchmarks.timing import Row, machine, rounded, show, table
from dcgan.measuring import measure_epoch
from dcgan.runtime import configure
from dcgan.training import GanState, fit
from pipeline.base.cli import load_params, progress_bar, run
from pipeline.store.data import load_data
from pipeline.store.weights import load_meter


class Task(NamedTuple):
    """A training to be made."""

    precision: Precision
    seed: int
    epochs: int


class Curve(NamedTuple):
    """fd at every epoch's end of one training."""

    precision: Precision
    seed: int
    fds: list[float]


def train(task: Task) -> Curve:
    """Train once, and measure in the precision of training, as the pipeline does."""
    params = load_params()
    runtime = dataclasses.replace(params.runtime, device="cpu", threads=1, precision=task.precision)
    device = configure(runtime)
    wanted = dataclasses.replace(params.train, seed=task.seed, epochs=task.epochs, sample_every=0)
    data, meter, state = load_data(), load_meter(params.measure, device), GanState(wanted, device)
    curve = Curve(task.precision, task.seed, [])
    for _ in fit(state, data.train_images, wanted, runtime, train_labels=data.train_labels):
        metrics = measure_epoch(meter, state, data, wanted.loss, runtime)
        curve.fds.append(metrics["fd"])
    return curve


def compare(curves: Sequence[Curve]) -> list[Row]:
    """A row for each epoch: mean and range in each precision, and how far the means are apart."""
    found: list[Row] = []
    for epoch in range(min(len(curve.fds) for curve in curves)):
        row: Row = {"epoch": epoch + 1}
        means, variances = [], []
        for name in PRECISIONS:
            fds = [curve.fds[epoch] for curve in curves if curve.precision == name]
            means.append(statistics.mean(fds))
            variances.append(statistics.variance(fds) / len(fds))
            row[name] = rounded(means[-1])
            row[f"{name} from"], row[f"{name} to"] = rounded(min(fds)), rounded(max(fds))
        row["apart"] = rounded(abs(means[0] - means[1]) / math.sqrt(sum(variances)))
        found.append(row)
    return found


def main() -> None:
    parser = Parser("precision", __doc__)
    parser.add_argument(
        "--seeds", type=at_least(2), default=3, help="of each precision, at least 2 (default 3)"
    )
    parser.add_argument("--epochs", type=at_least(1), default=4, help="of each (default 4)")
    arguments = parser.parse_args()
    show(machine())
    seeds = range(1, arguments.seeds + 1)
    order = itertools.product(seeds, PRECISIONS)
    tasks = [Task(precision, seed, arguments.epochs) for seed, precision in order]
    curves = []
    with (
        progress_bar(total=len(tasks), desc="trainings") as bar,
        multiprocessing.get_context("spawn").Pool(2) as pool,
    ):
        for curve in pool.imap_unordered(train, tasks, chunksize=1):
            show(curve._asdict())
            curves.append(curve)
            bar.update()
    print("\n" + table(compare(curves)))


if __name__ == "__main__":
    run(main)
