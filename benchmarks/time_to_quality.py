"""How soon are samples good? Contestants trained side by side, measured alike.

    python -m benchmarks.time_to_quality --dry-run       # the plan and its length
    python -m benchmarks.time_to_quality

Needs the judge (`dvc repro judge`). Contestants, all of one width: `default` is this project's
training as params.yaml has it; `plain port` is the original's recipe as a tutorial writes it
(benchmarks/plain_port.py); `pytorch/examples` that of PyTorch's DCGAN example
(benchmarks/examples_port.py); `keras` the original's own Keras loop, where `make .venv-keras/ready`
has made its environment, and otherwise left out.

Within a seed they take turns, slice by slice, so that what slows the machine slows all of them.
Each has a clock of its own that runs while it trains; after every slice the judge compares 5,000 of
its samples with the training digits, as at the end of each of this project's epochs.

Every measurement is added to reports/time_to_quality/curves.csv. Interrupted, the same command goes
on: a training that had not come to the limit begins anew. Prints one JSON line for each contestant
and threshold, then a table, and draws fd.png beside the measurements.
"""

import argparse
import contextlib
import csv
import dataclasses
import hashlib
import io
import math
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from benchmarks.recipes import default_params, recipe
from benchmarks.timing import CLOCKS, Row, machine, rounded, show, tables
from benchmarks.turns import Contestant, Keras, engine, examples, plain
from dcgan.params import RuntimeParams
from dcgan.runtime import configure, precision_of
from ganverdict.curves import BLUE, GREEN, GREY, ORANGE, SKY
from ganverdict.plot import WIDTH, log_scale
from pipeline.base.cli import UserError, progress_bar, run, write_whole
from pipeline.base.paths import JUDGE
from pipeline.plots.training import save
from pipeline.store.data import load_data
from pipeline.store.weights import load_meter

FOLDER = Path("reports/time_to_quality")
KERAS = Path(".venv-keras/bin/python")
THRESHOLDS = (10.0, 5.0, 2.0, 1.0)  # of fd
COLOURS = {"default": BLUE, "plain port": ORANGE, "pytorch/examples": GREEN, "keras": SKY}
FIRST_SLICE, GROWTH = 5.0, 0.1  # seconds; a slice is at least so long and that share of the past
MEASURING = 1.2  # seconds of one core for each measurement, about

Points = Sequence[tuple[float, float]]
"""Seconds and fd of a training, by time."""
Curves = Mapping[tuple[str, int], Points]
"""By contestant and seed."""


class Setting(NamedTuple):
    """What measurements must share to be compared."""

    machine: str
    clock: str
    threads: int
    width: int
    judge: str  # a digest of the judge and of the recipes


class Measurement(NamedTuple):
    """One row of the table; fd is infinite where samples are not finite numbers."""

    setting: Setting
    contestant: str
    seed: int
    iterations: int
    seconds: float
    fd: float


COLUMNS = (*Setting._fields, *Measurement._fields[1:])


def read_table(path: Path) -> list[Measurement]:
    """The measurements made so far, of every setting."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [_measurement(row) for row in csv.DictReader(file)]
    except FileNotFoundError:
        return []
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{path}: not measurements of this benchmark; move it away") from None


def _measurement(row: Mapping[str, str]) -> Measurement:
    setting = Setting(
        row["machine"], row["clock"], int(row["threads"]), int(row["width"]), row["judge"]
    )
    seed, iterations = int(row["seed"]), int(row["iterations"])
    found = float(row["seconds"]), float(row["fd"])
    return Measurement(setting, row["contestant"], seed, iterations, *found)


def write_table(path: Path, measurements: Sequence[Measurement]) -> None:
    """Write all of them, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for setting, contestant, seed, iterations, seconds, fd in measurements:
        writer.writerow([*setting, contestant, seed, iterations, f"{seconds:.3f}", f"{fd:.5g}"])
    with write_whole(path) as file:
        file.write(text.getvalue().encode())


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


def seconds_to(points: Points, threshold: float) -> float:
    """When fd first came to the threshold; infinite where it never did.

    Between two measurements the curve is a straight line of the picture, both axes logarithmic.
    """
    before: tuple[float, float] | None = None
    for seconds, fd in points:
        if fd <= threshold:
            if before is None or math.isinf(before[1]):
                return seconds
            share = math.log(before[1] / threshold) / math.log(before[1] / fd)
            return before[0] * math.exp(share * math.log(seconds / before[0]))
        before = seconds, fd
    return math.inf


def quantile(values: Sequence[float], share: float) -> float:
    """As `statistics.quantiles` does, inclusive; infinite values are those beyond the limit.

    One that would lie between a finite and an infinite value is beyond it as well.
    """
    ordered = sorted(values)
    whole, rest = divmod(share * (len(ordered) - 1), 1)
    low = ordered[int(whole)]
    if not rest or math.isinf(low):
        return low
    return low + rest * (ordered[int(whole) + 1] - low)


def compare(curves: Curves) -> list[Row]:
    """A row for each contestant and threshold.

    `default_sooner` is how many times as long as the default it takes, the median over the seeds in
    which the default comes there; where a contestant does not, its time is all that it was trained
    for, and the row says `at_least`.
    """
    rows = []
    for name in dict.fromkeys(name for name, _ in curves):
        mine = {seed: points for (other, seed), points in curves.items() if other == name}
        for threshold in THRESHOLDS:
            times = {seed: seconds_to(points, threshold) for seed, points in mine.items()}
            ratios, bound = [], False
            for seed, taken in times.items():
                default = seconds_to(curves.get(("default", seed), ()), threshold)
                if name != "default" and default < math.inf:
                    bound |= taken == math.inf
                    ratios.append(min(taken, mine[seed][-1][0]) / default)
            q1, median, q3 = (quantile([*times.values()], share) for share in (0.25, 0.5, 0.75))
            rows.append(
                {
                    "section": "time to quality",
                    "contestant": name,
                    "fd": threshold,
                    "reached": sum(taken < math.inf for taken in times.values()),
                    "of": len(times),
                    "trained_s": rounded(min(points[-1][0] for points in mine.values())),
                    "seconds": _within(median),
                    "seconds_q1": _within(q1),
                    "seconds_q3": _within(q3),
                    "default_sooner": rounded(statistics.median(ratios)) if ratios else None,
                    "at_least": bound if ratios else None,
                }
            )
    return rows


def _within(seconds: float) -> float | None:
    """None: not within the limit."""
    return rounded(seconds) if seconds < math.inf else None


def draw(curves: Curves, clock: str) -> Figure:
    """fd against seconds of training, a line a seed; dotted are the thresholds."""
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    axis = figure.subplots()
    for threshold in THRESHOLDS:
        axis.axhline(threshold, color=GREY, linestyle=":", linewidth=0.8)
    named = set()
    for (name, _), points in curves.items():
        label = None if name in named else name
        named.add(name)
        seconds, fds = zip(*points, strict=True)
        axis.plot(seconds, fds, color=COLOURS[name], linewidth=1.1, alpha=0.8, label=label)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    log_scale(axis)
    axis.set(xlabel=f"seconds of training ({clock} time)", ylabel="FD-MNIST (lower is better)")
    axis.legend()
    return figure


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


def curves_of(
    table: Sequence[Measurement], setting: Setting, names: Sequence[str], limit: float
) -> dict[tuple[str, int], list[tuple[float, float]]]:
    """Seconds and fd of one setting by contestant, in the order of `names`, and seed.

    A curve ends with its first measurement at or after the limit, where it has come so far.
    """
    curves: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for name in names:
        for row in table:
            if (row.setting, row.contestant) == (setting, name):
                curve = curves.setdefault((name, row.seed), [])
                if not curve or curve[-1][0] < limit:
                    curve.append((row.seconds, row.fd))
    return curves


def main() -> None:
    arguments = _arguments()
    width = arguments.width or default_params().train.width
    bench = Bench(width, arguments.threads, arguments.clock, arguments.keras)
    names = [*COLOURS]
    if not arguments.keras.exists():
        print(f"keras: no {arguments.keras}; it is left out", file=sys.stderr)
        names.remove("keras")
    path = arguments.out / "curves.csv"
    curves = curves_of(read_table(path), bench.setting, names, arguments.limit)
    missing = missing_trainings(curves, names, arguments.seeds, arguments.limit)
    trainings, slices = sum(map(len, missing.values())), len(marks(arguments.limit))
    plan: Row = {
        "clock": arguments.clock,
        "threads": arguments.threads,
        "width": width,
        "contestants": names,
        "seeds": arguments.seeds,
        "limit_s": arguments.limit,
        "measurements_each": slices,
        "trainings_missing": trainings,
        "minutes": round(trainings * (arguments.limit + MEASURING * slices) / 60, 1),
    }
    show(machine(**plan))
    if arguments.dry_run:
        return
    table = measure(bench, path, missing, arguments.limit)
    curves = curves_of(table, bench.setting, names, arguments.limit)
    rows = [show(row) for row in compare(curves)]
    print("\n" + tables(rows))
    save(draw(curves, arguments.clock), arguments.out / "fd.png")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.time_to_quality",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--limit", type=_seconds, default=300.0, help="seconds (default 300)")
    parser.add_argument("--seeds", type=_count, default=3, help="of each (default 3)")
    parser.add_argument("--width", type=_width, help="of all networks (default: params.yaml's)")
    parser.add_argument("--threads", type=_count, default=1, help="of each contestant (default 1)")
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="processor: on a machine with neighbours"
    )
    parser.add_argument("--keras", type=Path, default=KERAS, help=f"its Python (default {KERAS})")
    parser.add_argument("--out", type=Path, default=FOLDER, help=f"a folder (default {FOLDER})")
    parser.add_argument("--dry-run", action="store_true", help="tell the plan and its length")
    return parser.parse_args()


def _seconds(text: str) -> float:
    if not 0 < float(text) < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return float(text)


def _count(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of at least 1")
    return int(text)


def _width(text: str) -> int:
    if int(text) < 2 or int(text) % 2:
        raise argparse.ArgumentTypeError(f"{text} is not an even number of at least 2")
    return int(text)


if __name__ == "__main__":
    run(main)
