"""Contestants in turns, each with a clock of its own, measured alike."""

import contextlib
import dataclasses
import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.recipes import default_params, recipe
from benchmarks.time_to_quality.curves import Curves
from benchmarks.time_to_quality.table import Measurement, Setting, read_table, write_table
from benchmarks.timing import machine
from benchmarks.turns import Contestant, Keras, engine, examples, plain
from dcgan.params import RuntimeParams
from dcgan.runtime import configure, precision_of
from pipeline.base.cli import progress_bar
from pipeline.base.paths import JUDGE
from pipeline.store.data import load_data
from pipeline.store.weights import load_meter

FIRST_SLICE, GROWTH = 5.0, 0.1  # seconds; a slice is at least so long and that share of the past


def marks(limit: float) -> list[float]:
    """The seconds of training after which samples are measured; the last one is the limit."""
    found = [min(FIRST_SLICE, limit)]
    while found[-1] < limit:
        found.append(min(limit, found[-1] + max(FIRST_SLICE, GROWTH * found[-1])))
    return found


def train(
    contestants: Mapping[str, Contestant], limit: float, fd: Callable[[Contestant], float]
) -> Iterator[tuple[str, int, float, float]]:
    """Train in turns, another beginning every round, each for `limit` seconds of its own clock.

    Yields who has had a slice, iterations and seconds so far, and what `fd` says of it.
    """
    names = list(contestants)
    done = dict.fromkeys(names, (0, 0.0))
    for number, mark in enumerate(marks(limit)):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            iterations, seconds = done[name]
            if seconds < mark:  # a long iteration may have passed it
                more, taken = contestants[name].train(mark - seconds)
                done[name] = iterations + more, seconds + taken
            yield name, *done[name], fd(contestants[name])


class Bench:
    """What all trainings of a call share."""

    def __init__(self, width: int, threads: int, clock: str, keras: Path) -> None:
        self.params, self.width, self.threads, self.clock = default_params(), width, threads, clock
        self.keras = keras
        self.device = configure(RuntimeParams("cpu", threads, "fp32"))
        self.meter = load_meter(self.params.measure, self.device)
        self.images = load_data().train_images
        digest = hashlib.blake2b(JUDGE.read_bytes(), digest_size=4)
        digest.update(repr((self.params.train, self.params.measure, recipe("blog"))).encode())
        name = str(machine()["processor"])
        self.setting = Setting(name, clock, threads, width, digest.hexdigest())

    def start(self, name: str, seed: int, ends: contextlib.ExitStack) -> Contestant:
        """A contestant before its first iteration; `ends` is what ends it."""
        if name == "default":
            train = dataclasses.replace(self.params.train, width=self.width, seed=seed)
            precision = precision_of(RuntimeParams("cpu", self.threads, "auto"), self.device)
            return engine(train, precision, self.images, self.meter, self.clock)
        if name == "plain port":
            train = recipe("blog", width=self.width, seed=seed)
            return plain(train, self.images, self.clock)
        if name == "pytorch/examples":
            return examples(self.width, seed, self.images, self.clock)
        return ends.enter_context(Keras(self.keras, self.width, seed, self.threads, self.clock))

    def fd(self, contestant: Contestant) -> float:
        """As at an epoch's end."""
        images = contestant.images(self.params.measure.num_training_samples)
        return self.meter.fd(images) if images.isfinite().all() else math.inf


def missing_trainings(
    curves: Curves, names: Sequence[str], seeds: int, limit: float
) -> dict[int, list[str]]:
    """By seed, the contestants that have not trained for as long as the limit."""
    missing = {
        seed: [
            name
            for name in names
            if (name, seed) not in curves or curves[name, seed][-1][0] < limit
        ]
        for seed in range(1, seeds + 1)
    }
    return {seed: left for seed, left in missing.items() if left}


def measure(
    bench: Bench, path: Path, missing: Mapping[int, Sequence[str]], limit: float
) -> list[Measurement]:
    """Make the measurements that are missing, by seed; the whole table, as it lies on disk."""
    table, slices = read_table(path), len(marks(limit))
    with progress_bar(total=slices * sum(map(len, missing.values())), desc="measurements") as bar:
        for seed, names in missing.items():
            again = [(bench.setting, name, seed) for name in names]
            table = [row for row in table if row[:3] not in again]
            with contextlib.ExitStack() as ends:
                contestants = {name: bench.start(name, seed, ends) for name in names}
                for name, iterations, seconds, fd in train(contestants, limit, bench.fd):
                    table.append(Measurement(bench.setting, name, seed, iterations, seconds, fd))
                    write_table(path, table)
                    bar.update()
    return table
