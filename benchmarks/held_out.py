"""Is the verdict right on trainings that no threshold was chosen by? Registered before they run.

    make held-out-verdict         (or: python -m benchmarks.held_out --help)

benchmarks/held_out.yaml registers what is trained, by which seeds, what is asked, and of which
verdict; --plan names another such file. Every training leaves a record in
reports/<plan>/<group>-<seed>/, which grows with each epoch. Ended by Ctrl-C, SIGTERM or a kill, the
same command continues every training where it was, bit for bit, and repeats none. Records that were
made under another registration are refused. Prints a JSON line for each group, and for each
endpoint by kind of training and by group: share, mean or median over runs, its 90 % interval, what
was wanted, and whether it is met, once all runs are in.
"""

import argparse
import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from tabulate import tabulate

from benchmarks.registered.endpoints import answers, outcomes
from benchmarks.registered.registration import (
    FILE,
    Registration,
    read_registration,
    register,
    verdict_digest,
)
from benchmarks.registered.runs import Run, refuse_other_records, runs
from benchmarks.registered.worker import Job, work
from dcgan.runtime import configure
from dcgan.training import GanState, fit
from pipeline.base.cli import UserError, load_params, progress_bar, run
from pipeline.base.interrupt import Interrupt
from pipeline.base.params import Params
from pipeline.base.pool import Pool
from pipeline.store.columns import read_csv
from pipeline.store.data import load_data
from pipeline.store.weights import load_meter

_TIMED = 4  # iterations


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.held_out",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", metavar="NAME", help="a kind (joint, healthy, few), group or run")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--dry-run", action="store_true", help="train nothing: plan, cost, results")
    parser.add_argument(
        "--register", action="store_true", help="write down the present verdict; before any run"
    )
    parser.add_argument(
        "--plan", metavar="FILE", type=Path, default=FILE, help=f"what is registered ({FILE})"
    )
    parser.add_argument("--folder", type=Path, help="of the records (default reports/<plan>)")
    arguments = parser.parse_args()
    if arguments.workers < 1:
        raise UserError(f"--workers {arguments.workers}: must be at least 1", 2)
    params, registration = load_params(), read_registration(arguments.plan)
    folder = arguments.folder or Path("reports") / arguments.plan.stem
    every = runs(registration, folder)
    wanted = runs(registration, folder, arguments.only)
    begun = next((one.folder for one in every if one.folder.exists()), None)
    refuse_other_records(wanted, registration)
    if arguments.register:
        if begun is not None:
            raise UserError(f"{begun}: a run has begun, so nothing can be registered anew")
        print(f"{arguments.plan}: verdict {register(arguments.plan, params.stability)}")
        return
    if arguments.dry_run:
        _print_plan(wanted, registration, params, arguments.workers)
    else:
        if begun is None:
            _refuse_other_verdict(registration, params)
        _train(wanted, registration, params, arguments.workers)
    _assess(wanted, registration, params)


def _refuse_other_verdict(registration: Registration, params: Params) -> None:
    if verdict_digest(params.stability) != registration.verdict:
        raise UserError(
            f"{registration.path}: registers another verdict (thresholds, or code) than the "
            "present one; --register writes this one down"
        )


def _train(wanted: Sequence[Run], registration: Registration, params: Params, workers: int) -> None:
    """Train what is left, `workers` at a time."""
    left = [one for one in wanted if not one.is_done]
    if not left:
        return
    if params.measure != registration.measure:
        raise UserError(f"params.yaml: measure differs from what {registration.path} registers")
    load_data()  # what is missing is told once, before any worker starts
    load_meter(params.measure, torch.device("cpu"))
    with Interrupt() as interrupt, _Trainings(left, registration, params) as tasks:
        Pool(work, workers, registration.runtime, interrupt).run(tasks)
    if interrupt.received is not None:
        raise UserError("interrupted; the same command continues", 128 + interrupt.received)


class _Trainings:
    """The runs that are left as the pool's tasks, and their epochs on the screen."""

    def __init__(self, left: Sequence[Run], registration: Registration, params: Params) -> None:
        self._all, self._waiting = left, list(left)
        self._registration, self._params = registration, params
        # A mean over all so far: epochs of different groups take different times.
        self._bar = progress_bar(
            total=sum(one.group.train.epochs for one in left),
            initial=self._epochs_done(),
            desc="held out",
            unit="epoch",
            smoothing=0,
        )

    def __enter__(self) -> "_Trainings":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def next(self) -> Job | None:
        if not self._waiting:
            return None
        return Job(self._waiting.pop(0), self._registration, self._params)

    def awaited(self) -> bool:
        return bool(self._waiting)

    def watch(self) -> None:
        self._bar.update(self._epochs_done() - self._bar.n)

    def _epochs_done(self) -> int:
        return sum(one.epochs for one in self._all)


def _print_plan(
    wanted: Sequence[Run], registration: Registration, params: Params, workers: int
) -> None:
    """The groups, how far they are, and what is left of them in hours."""
    configure(registration.runtime)
    rows, hours = [], 0.0
    for group in registration.groups:
        of_group = [one for one in wanted if one.group == group]
        if not of_group:
            continue
        epochs = group.train.epochs
        left = sum(epochs - one.epochs for one in of_group if not one.is_done)
        cost = left * _seconds_an_epoch(of_group, params) / 3600 if left else 0
        hours += cost
        done = sum(one.is_done for one in of_group)
        seeds = ", ".join(str(one.seed) for one in of_group)
        digits = group.digits or "all"
        rows.append(
            [
                group.name,
                group.kind,
                digits,
                seeds,
                epochs,
                f"{done} of {len(of_group)}",
                f"{cost:.1f}",
            ]
        )
    headers = ("group", "kind", "digits", "seeds", "epochs", "done", "hours left")
    print(tabulate(rows, headers))
    print(
        f"left: about {hours:.1f} hours of one core, {hours / workers:.1f} with {workers} workers"
    )


def _seconds_an_epoch(of_group: Sequence[Run], params: Params) -> float:
    """What an epoch took where one is recorded, else what its iterations would take now."""
    for one in of_group:
        if one.epochs:
            return float(read_csv(one.folder / "epochs.csv", ("seconds",))["seconds"][0])
    train = dataclasses.replace(of_group[0].group.train, steps_per_epoch=1)
    state = GanState(train, torch.device("cpu"))
    images = torch.zeros(train.batch_size, 28, 28, dtype=torch.uint8)
    took = []
    for number in range(1 + _TIMED):
        started = time.monotonic()
        for _ in fit(state, images, dataclasses.replace(train, epochs=number + 1), params.runtime):
            pass
        took.append(time.monotonic() - started)
    return min(took[1:]) * of_group[0].group.train.steps_per_epoch


def _assess(wanted: Sequence[Run], registration: Registration, params: Params) -> None:
    present = verdict_digest(params.stability)
    as_registered = present == registration.verdict
    row = {"registration": registration.digest, "verdict": present}
    print(json.dumps({**row, "as_registered": as_registered}))
    for answer in answers(wanted, outcomes(wanted, registration, params.stability), registration):
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    run(main)
