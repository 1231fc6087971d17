"""Does it pay to go back to the best epoch and on from there, instead of ending?

    python -m benchmarks.rollback             (or --quick, to see that it works)

Needs the judge (`dvc repro judge`). Each recipe trains twice with each seed for the same number of
iterations: `never` goes on whatever happens, `rollback` goes back (`train.stop`). Up to its first
return the latter is bit for bit the run that `at_onset` ends there, so it tells all of what ending
keeps. Compared is fd of the kept weights on samples of a noise that no epoch was chosen by.

Interrupted, the same command goes on where it was; a finished run is kept in .validation/rollback.
Runs are tracked as any other. Prints one JSON line per run, then one per recipe.
"""

import dataclasses
import functools
import itertools
import json
import multiprocessing
import shutil
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.command import Parser, at_least
from benchmarks.recipes import default_params, recipe
from dcgan.mnist import Mnist, data_hash
from dcgan.params import TrainParams
from dcgan.runtime import configure
from pipeline.base.cli import progress_bar, run, write_json
from pipeline.base.params import Params
from pipeline.base.paths import DATA, JUDGE
from pipeline.store.checkpoints import Checkpoints, run_hash
from pipeline.store.data import load_data
from pipeline.store.weights import load_generator, load_meter
from pipeline.training.run import TrainingRun

RECORDS = Path(".validation/rollback")
RECIPES = ("joint", "search", "classic", "few")
"""The original's joint update; that at the rates that a search found for it, which declines within
40 epochs; the recipe classic; that with few digits, which D memorises."""
SEARCHED = {"lr_d": 0.001044, "lr_g": 0.0009225}  # as in benchmarks/held_out.yaml
FEW_DIGITS = 3000
SEEDS = [1, 2, 3, 4, 5]
STOPS = ("never", "rollback")

Row = dict[str, Any]


class Task(NamedTuple):
    """One training: `size` holds the values of `train` that tell how large and long it is."""

    recipe: str
    seed: int
    stop: str
    size: tuple[tuple[str, int], ...]

    @property
    def train(self) -> TrainParams:
        """Its parameters."""
        own: dict[str, Any] = {"seed": self.seed, "stop": self.stop, "sample_every": 0}
        own |= dict(self.size)
        if self.recipe == "joint":
            return recipe("blog", freeze_discriminator=False, **own)
        if self.recipe == "search":
            return recipe("classic", freeze_discriminator=False, **SEARCHED, **own)
        return recipe("classic", **own)


@functools.cache
def _prepared() -> tuple[Params, Mnist, str]:
    """What all trainings of a process share; its thread count is set on the way."""
    params = default_params()
    runtime = dataclasses.replace(params.runtime, device="cpu", threads=1)
    configure(runtime)
    return dataclasses.replace(params, runtime=runtime), load_data(), data_hash(DATA)


def train(task: Task) -> list[Row]:
    """Train once, from where it was, unless that was done before; the run's rows."""
    params, data, digest = _prepared()
    params = dataclasses.replace(params, train=task.train)
    if task.recipe == "few":
        images, labels = data.train_images[:FEW_DIGITS], data.train_labels[:FEW_DIGITS]
        data, digest = dataclasses.replace(data, train_images=images, train_labels=labels), "few"
    device = torch.device("cpu")
    name = f"{task.recipe}-{task.seed}-{task.stop}-{run_hash(params, device, digest, JUDGE)}"
    record = RECORDS / f"{name}.json"
    if record.exists():
        rows: list[Row] = json.loads(record.read_text(encoding="utf-8"))
        return rows
    checkpoints = Checkpoints(f"rollback/{name}")
    with checkpoints.alone():
        meter = load_meter(params.measure, device)
        training = TrainingRun(params, data, meter, checkpoints, device)
        training.begin(f"rollback-{task.recipe}-{task.seed}-{task.stop}", digest, {})
        for _ in training.go_on():
            pass
        training.close("FAILED" if training.ended == "diverged" else "FINISHED")
        rows = _rows(task, training)
    write_json(record, rows)
    shutil.rmtree(checkpoints.folder)
    return rows


def _rows(task: Task, training: TrainingRun) -> list[Row]:
    """What the run kept, and where it was to go back, what it would have kept had it ended."""
    history, branches = training.history, training.history.branches
    told = {"recipe": task.recipe, "seed": task.seed}
    kept = training.best()
    rows = [
        {**told, "rule": task.stop, "steps": history.saved_step}
        | _kept(training, None if kept is None else kept["epoch"])
        | {"returns": [branch["step"] for branch in branches], "ended": training.ended}
        | {"status": training.verdict.status}
    ]
    if task.stop == "rollback":
        ended = branches[0] if branches else None
        end = {"rule": "end", "steps": ended["step"] if ended else history.saved_step}
        rows.append({**rows[0], **end, "returns": []})
        if ended:
            rows[1] |= _kept(training, ended["best_epoch"])
    return rows


def _kept(training: TrainingRun, epoch: float | None) -> Row:
    """fd of an epoch's generator as it was measured, and of ten thousand other samples."""
    if epoch is None:
        return {"epoch": None, "fd": None, "fd_fresh": None}
    row = next(row for row in training.history.epochs if row["epoch"] == epoch)
    generator, _ = load_generator(training.checkpoints.generator(int(epoch)))
    measure = training.params.measure
    fresh = load_meter(dataclasses.replace(measure, seed=measure.seed + 1), torch.device("cpu"))
    fd = fresh.fd(fresh.samples(generator, measure.num_samples))
    return {"epoch": epoch, "fd": round(row["fd"], 4), "fd_fresh": round(fd, 4)}


def compare(rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    """A row for each recipe: mean fd that each rule keeps, and the others' beside ending's."""
    found = []
    for name in dict.fromkeys(row["recipe"] for row in rows):
        kept: dict[str, dict[int, float]] = {"end": {}, "never": {}, "rollback": {}}
        for row in rows:
            if row["recipe"] == name and row["fd_fresh"] is not None:
                kept[row["rule"]][row["seed"]] = row["fd_fresh"]
        seeds = sorted(set.intersection(*map(set, kept.values())))
        line: Row = {"recipe": name, "seeds": len(seeds)}
        for rule, by_seed in kept.items():
            values = [by_seed[seed] for seed in seeds]
            line[rule] = round(statistics.mean(values), 4) if values else None
            if rule != "end" and seeds:
                ratios = [by_seed[seed] / kept["end"][seed] for seed in seeds]
                line[f"{rule} over end"] = [round(ratio, 4) for ratio in sorted(ratios)]
                line[f"{rule} better in"] = sum(ratio < 1 for ratio in ratios)
        found.append(line)
    return found


def main() -> None:
    parser = Parser("rollback", __doc__)
    parser.add_argument(
        "--seeds", nargs="+", type=at_least(0), default=SEEDS, help="(default: 1 to 5)"
    )
    parser.add_argument("--epochs", type=at_least(1), default=45, help="the budget (default 45)")
    parser.add_argument("--width", type=at_least(1), default=4, help="of the networks (default 4)")
    parser.add_argument("--recipes", nargs="+", default=RECIPES, choices=RECIPES)
    parser.add_argument(
        "--workers", type=at_least(1), default=2, help="processes of one thread each"
    )
    parser.add_argument("--quick", action="store_true", help="one seed, two epochs of 20 steps")
    arguments = parser.parse_args()
    size, seeds = {"width": arguments.width, "epochs": arguments.epochs}, arguments.seeds
    if arguments.quick:
        size, seeds = {"width": 2, "epochs": 2, "steps_per_epoch": 20}, SEEDS[:1]
    order = itertools.product(seeds, arguments.recipes, STOPS)
    tasks = [Task(name, seed, stop, tuple(size.items())) for seed, name, stop in order]
    rows: list[Row] = []
    with (
        progress_bar(total=len(tasks), desc="trainings") as bar,
        multiprocessing.get_context("spawn").Pool(arguments.workers) as pool,
    ):
        for found in pool.imap_unordered(train, tasks, chunksize=1):
            for row in found:
                print(json.dumps(row), flush=True)
            rows += found
            bar.update()
    for line in compare(rows):
        print(json.dumps(line))


if __name__ == "__main__":
    run(main)
