"""The original's experiment at its own size, for an hour or less of a GPU: docs/gpu.md.

    python benchmarks/gpu_study.py --dry-run --workers 4   # the plan, and what it costs here
    python benchmarks/gpu_study.py --workers 4 --seconds 540
    python benchmarks/gpu_study.py --device cpu --dry-run  # a trial where no GPU is

Trains the blog post's recipe (width 64, 150 epochs of 468 iterations) with the joint update and
with D frozen, one seed after the other, and leaves the records that `python -m pipeline.replicate`
reads, a folder for each run. Needs this repository, MNIST's four IDX files, torch, NumPy, PyYAML
and Pillow; nothing else of the project's packages, no network, no tracker.

The judge is that of models/ where it can be read, else one is trained on the spot; either is kept
in checkpoints/gpu/judge, and a record by another judge is refused. When the --seconds are over,
every run under way ends with its epoch; Ctrl-C, SIGTERM and kills end it at once. Then the same
command continues every run after its last whole epoch, on a CPU bit for bit.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pipeline.base.cli import Parser, run
from pipeline.base.paths import DATA

RECORDS = Path("checkpoints/gpu/records")


def up_to(highest: int) -> Callable[[str], int]:
    """What reads a whole number from 1 on."""

    def read(text: str) -> int:
        if not text.isdecimal() or not 1 <= int(text) <= highest:
            raise argparse.ArgumentTypeError(f"{text}: must be a whole number from 1 to {highest}")
        return int(text)

    return read


def main() -> None:
    began = time.time()
    parser = Parser("gpu_study", __doc__)
    parser.prog = "python benchmarks/gpu_study.py"
    add = parser.add_argument
    add("--device", choices=["cuda", "cpu"], default="cuda")
    add("--data", type=Path, default=DATA, help=f"folder with the IDX files (default {DATA})")
    add("--folder", type=Path, default=RECORDS, help=f"of the records (default {RECORDS})")
    add("--seeds", type=up_to(1000), help="of each update (default replicate.seeds of params.yaml)")
    add("--workers", type=up_to(64), default=1, help="runs beside each other (default 1)")
    add("--seconds", type=up_to(10**6), help="begin no epoch after so many seconds")
    add("--dry-run", action="store_true", help="train nothing but a judge: plan and cost")
    arguments = parser.parse_args()
    # After the command line is known to be right: this takes seconds.
    from benchmarks.study.session import Options, study

    study(Options(**vars(arguments)), began)


if __name__ == "__main__":
    run(main)
