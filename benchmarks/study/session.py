"""One call of the study: the plan with its cost, or what is left trained while time lasts."""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.study.cost import costs
from benchmarks.study.judge import keep_judge, kept_judge
from benchmarks.study.runs import refuse_other_records, runs, study_params
from benchmarks.study.worker import Job, work
from benchmarks.timing import rounded
from dcgan import mnist
from dcgan.mnist import Mnist
from dcgan.runtime import configure
from pipeline.base.cli import UserError
from pipeline.base.interrupt import Interrupt
from pipeline.base.pool import Pool
from pipeline.replication.records import epochs_done

_TELL_SECONDS = 20.0


@dataclasses.dataclass(frozen=True)
class Options:
    """The command line, as the command says it."""

    device: str
    data: Path
    folder: Path
    seeds: int | None
    workers: int
    seconds: int | None
    dry_run: bool


def study(options: Options, began: float) -> None:
    """The whole command; `began`, seconds since 1970, is when the time that is given begins."""
    if options.device == "cuda" and not torch.cuda.is_available():
        raise UserError("torch sees no GPU here; --device cpu is for trying the command")
    params = study_params(options.device, options.seeds)
    data, data_hash = _load(options.data)
    device = configure(dataclasses.replace(params.runtime, threads=0))  # the judge: all cores
    wanted = runs(params, options.folder)
    keep_judge(data, data_hash, params, device)
    judge = kept_judge(data_hash, params.measure, torch.device("cpu"))
    print(f"judge: {judge.name[:16]}", flush=True)
    refuse_other_records(wanted, judge.name, params)
    deadline = None if options.seconds is None else began + options.seconds
    left = [Job(run, params, options.data, deadline) for run in wanted if not run.is_done()]
    epochs = params.replicate.epochs
    done = len(wanted) - len(left)
    print(f"{len(wanted)} runs of {epochs} epochs, {done} of them done", flush=True)
    if options.dry_run:
        _tell_cost(left[: options.workers], _Progress(left))
    elif left:
        _train(left, options.workers)


def _load(folder: Path) -> tuple[Mnist, str]:
    try:
        return mnist.load(folder), mnist.data_hash(folder)
    except FileNotFoundError as error:
        raise UserError(
            f"{error.filename}: missing; --data names a folder with MNIST's four IDX files"
        ) from None
    except ValueError as error:
        raise UserError(f"{error}; --data names a folder with MNIST's four IDX files") from None


def _tell_cost(timed: Sequence[Job], progress: "_Progress") -> None:
    """Time the first runs that are left beside each other, and say what all would take."""
    if not timed:
        return
    with Interrupt() as interrupt:
        found = costs(timed, interrupt)
    _end_if(interrupt)
    for cost in found:
        print(
            f"{cost.name}: {rounded(cost.iterations_per_s)} iterations/s, "
            f"{rounded(cost.epoch_end_s)} s at an epoch's end, {rounded(cost.epoch_s)} s an epoch, "
            f"checkpoint {cost.checkpoint_mib:.0f} MiB"
        )
    a_minute = sum(60 / cost.epoch_s for cost in found)
    minutes = progress.epochs_left / a_minute
    print(
        f"{len(found)} at a time: {rounded(a_minute)} epochs a minute; "
        f"{progress.epochs_left} epochs left, about {rounded(minutes)} minutes"
    )


def _train(left: Sequence[Job], workers: int) -> None:
    """Train what is left, `workers` at a time."""
    progress = _Progress(left)
    with Interrupt() as interrupt:
        Pool(work, workers, left[0].study.runtime, interrupt).run(progress)
    progress.tell()
    _end_if(interrupt)
    if progress.epochs_left:
        print("the time is up; the same command continues")


def _end_if(interrupt: Interrupt) -> None:
    if interrupt.received is not None:
        raise UserError("interrupted; the same command continues", 128 + interrupt.received)


class _Progress:
    """The runs that are left as the pool's tasks, and lines that say how far they are."""

    def __init__(self, left: Sequence[Job]) -> None:
        self._all, self._waiting = left, list(left)
        self._started = self._told = time.monotonic()
        self._first = self._epochs_done()

    def next(self) -> Job | None:
        return self._waiting.pop(0) if self.awaited() else None

    def awaited(self) -> bool:
        return bool(self._waiting) and not self._waiting[0].is_late()

    def watch(self) -> None:
        if time.monotonic() - self._told >= _TELL_SECONDS:
            self.tell()

    def tell(self) -> None:
        """Print a line: minutes so far, the epochs of each run under way, minutes left."""
        self._told = time.monotonic()
        minutes = (self._told - self._started) / 60
        begun = [job.run for job in self._all if job not in self._waiting]
        under_way = [f"{run.name} {epochs_done(run.folder)}" for run in begun if not run.is_done()]
        done = self._epochs_done() - self._first
        left = f"{self.epochs_left * minutes / done:.0f} minutes left" if done else "just begun"
        all_done = f"{len(begun) - len(under_way)} runs ended"
        print(f"{minutes:.1f} min: {', '.join([*under_way, all_done])}; {left}", flush=True)

    @property
    def epochs_left(self) -> int:
        """Of all runs; a run that broke down has none left."""
        return sum(
            job.study.replicate.epochs - epochs_done(job.run.folder)
            for job in self._all
            if not job.run.is_done()
        )

    def _epochs_done(self) -> int:
        return sum(epochs_done(job.run.folder) for job in self._all)
