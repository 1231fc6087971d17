"""One call of `replicate`: trains what is left, and tells what is known then."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch

from pipeline.base.cli import UserError, progress_bar
from pipeline.base.interrupt import Interrupt
from pipeline.base.params import Params
from pipeline.base.pool import Pool, with_a_share_of_threads
from pipeline.replication.records import epochs_done
from pipeline.replication.runs import Run, refuse_other_records, runs
from pipeline.replication.summary import summarise
from pipeline.replication.worker import Job, work
from pipeline.store.checkpoints import check_place
from pipeline.store.data import load_data
from pipeline.store.weights import load_meter
from pipeline.tracking.server import close_dead_runs


def replicate(params: Params, root: Path, dry_run: bool) -> None:
    """The whole command."""
    wanted = runs(params, root)
    for run in wanted:
        print(f"{run.folder}: {epochs_done(run.folder)} of {params.replicate.epochs} epochs")
    if not dry_run:
        _train(wanted, params)
    summarise(wanted, params.stability, root)


def _train(wanted: Sequence[Run], params: Params) -> None:
    """Train what is left, `replicate.workers` at a time."""
    load_data()  # what is missing is told once, before any worker starts
    load_meter(params.measure, torch.device("cpu"))
    refuse_other_records(wanted, params)
    left = [run for run in wanted if not run.is_done()]
    if not left:
        return
    check_place(params.runtime.checkpoints)
    close_dead_runs()
    workers = params.replicate.workers
    params = dataclasses.replace(params, runtime=with_a_share_of_threads(params.runtime, workers))
    with Interrupt() as interrupt, _Runs(left, params) as tasks:
        Pool(work, workers, params.runtime, interrupt).run(tasks)
    if interrupt.received is not None:
        raise UserError("interrupted; the same command continues", 128 + interrupt.received)


class _Runs:
    """The runs that are left as the pool's tasks, and their epochs on the screen."""

    def __init__(self, left: Sequence[Run], params: Params) -> None:
        self._all, self._waiting, self._params = left, list(left), params
        total = len(left) * params.replicate.epochs
        self._bar = progress_bar(
            total=total, initial=self._epochs_done(), desc="replicate", unit="epoch"
        )

    def __enter__(self) -> "_Runs":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def next(self) -> Job | None:
        return Job(self._waiting.pop(0), self._params) if self._waiting else None

    def awaited(self) -> bool:
        return bool(self._waiting)

    def watch(self) -> None:
        self._bar.update(self._epochs_done() - self._bar.n)

    def _epochs_done(self) -> int:
        return sum(epochs_done(run.folder) for run in self._all)
