"""What a run costs here: its iterations timed, beside as many others as there will be workers."""

import multiprocessing
import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from benchmarks.contestants import Engine, Precision
from benchmarks.study.runs import FOLDER
from benchmarks.study.worker import Bench, Job, within_memory
from benchmarks.timing import per_second
from dcgan.runtime import precision_of
from pipeline.base.cli import UserError
from pipeline.base.interrupt import Interrupt
from pipeline.base.pool import MayGoOn, Pool
from pipeline.store.checkpoints import Checkpoints

_SECONDS = 5.0  # that iterations are timed for
_PATIENCE_SECONDS = 300.0  # for the slowest worker to begin


@dataclass(frozen=True)
class Cost:
    """What was timed of a run; `checkpoint_mib` lies on the disk until it has ended."""

    name: str
    iterations_per_s: float
    epoch_end_s: float  # measuring and saving
    epoch_s: float
    checkpoint_mib: float


class _Costs(Protocol):
    """A pipe from the workers."""

    def put(self, cost: Cost) -> None: ...


@dataclass(frozen=True)
class Timing:
    """A run to time once all are ready."""

    job: Job
    together: threading.Barrier
    found: _Costs


def costs(jobs: Sequence[Job], interrupt: Interrupt) -> list[Cost]:
    """The cost of each job while all of them are at work. Raises UserError if one never begins."""
    context = multiprocessing.get_context("forkserver")
    found, together = context.SimpleQueue(), context.Barrier(len(jobs))
    timings = _AtOnce([Timing(job, together, found) for job in jobs])
    Pool(time_run, len(jobs), jobs[0].study.runtime, interrupt).run(timings)
    timed: list[Cost] = []
    while not found.empty():
        timed.append(found.get())
    if len(timed) < len(jobs) and interrupt.received is None:
        raise UserError("a worker did not begin in five minutes; try fewer --workers")
    return sorted(timed, key=lambda cost: cost.name)


class _AtOnce:
    """Timings as the pool's tasks."""

    def __init__(self, timings: list[Timing]) -> None:
        self._waiting = timings

    def next(self) -> Timing | None:
        return self._waiting.pop() if self._waiting else None

    def awaited(self) -> bool:
        return bool(self._waiting)

    def watch(self) -> None: ...


def time_run(timing: Timing, _: MayGoOn) -> None:
    """Time one run, in a process of its own."""
    try:
        with within_memory():
            cost = _timed(timing)
    except threading.BrokenBarrierError:
        return  # another one failed and says why, or is too late
    except BaseException:
        timing.together.abort()
        raise
    timing.found.put(cost)


def _timed(timing: Timing) -> Cost:
    run, bench = timing.job.run, Bench(timing.job)
    precision = cast("Precision", precision_of(bench.params.runtime, bench.device))
    engine = Engine(bench.params.train, precision, bench.images)
    engine()  # what is loaded or built at first use is not timed
    bench.measure(engine.state)
    timing.together.wait(_PATIENCE_SECONDS)
    speed = per_second(engine, bench.device.type, _SECONDS, warm_up=3)
    scratch = Checkpoints(f"{FOLDER}/timed-{run.name}")
    started = time.perf_counter()
    bench.measure(engine.state)
    scratch.save({"state": engine.state.state_dict()})
    end = time.perf_counter() - started
    size = sum(file.stat().st_size for file in scratch.folder.iterdir())
    shutil.rmtree(scratch.folder)
    epoch = bench.params.train.steps_per_epoch / speed + end
    return Cost(run.name, speed, end, epoch, size / 2**20)
