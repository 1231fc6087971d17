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
import math
import sys
from pathlib import Path

from benchmarks.recipes import default_params
from benchmarks.time_to_quality.curves import COLOURS, compare, draw
from benchmarks.time_to_quality.table import curves_of, read_table
from benchmarks.time_to_quality.training import Bench, marks, measure, missing_trainings
from benchmarks.timing import CLOCKS, Row, machine, show, tables
from pipeline.base.cli import run
from pipeline.plots.training import save

FOLDER = Path("reports/time_to_quality")
KERAS = Path(".venv-keras/bin/python")
MEASURING = 1.2  # seconds of one core for each measurement, about


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
