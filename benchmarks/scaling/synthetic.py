"""Workers of a search that train nothing: all that a worker asks of the storage, and a short sleep.

They call what `pipeline.search.worker.work` calls, with as many reports and facts as a training
has, so that what is measured is the project's own way to its study.
"""

import contextlib
import dataclasses
import math
import multiprocessing
import queue
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.recipes import default_params
from pipeline.base.cli import progress_bar
from pipeline.base.params import TuneParams
from pipeline.search.storage import FAILURES
from pipeline.search.study import Request, Study, TrialResult
from pipeline.tracking.server import brief

if TYPE_CHECKING:
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Barrier

_WATCH_SECONDS = 2.0  # as often as the command looks, see pipeline.base.pool
_CONTEXT = multiprocessing.get_context("forkserver")


def tune_params(epochs: int) -> TuneParams:
    """The shipped search, its trials of so many epochs."""
    tune = default_params().tune
    return dataclasses.replace(tune, epochs=dataclasses.replace(tune.epochs, max=epochs))


@dataclass
class Synthetic:
    """Trains what is requested by sleeping; fd falls with the epochs, and with better rates.

    Attributes:
        seconds: of an epoch.
        reports: told to the study until now.
    """

    tune: TuneParams
    seconds: float
    reports: int = 0

    def __call__(self, request: Request) -> TrialResult:
        """One trial, whole or pruned."""
        # Good rates lie in the middle of the space.
        lr_g, lr_d = (float(request.recipe[key]) for key in ("lr_g", "lr_d"))
        off = abs(math.log(lr_g / 0.003)) + abs(math.log(lr_d / lr_g / 0.3))
        fds: list[float] = []
        pruned = False
        for epoch in range(1, request.epochs + 1):
            time.sleep(self.seconds)
            fds.append(20 / epoch + off)
            if epoch >= self.tune.epochs.min:
                self.reports += 1
                if pruned := request.should_prune(epoch, fds[-1]):
                    break
        return TrialResult("pruned" if pruned else "complete", fds[-1], facts(fds))


def facts(fds: list[float]) -> dict[str, Any]:
    """As many, as long and under the same names as those of a trained trial."""
    return {
        "reason": f"others were better after {len(fds)} epochs",
        "status": "stable",
        "best_epoch": len(fds),
        "onset_epoch": None,
        "fd": [[epoch, fd] for epoch, fd in enumerate(fds, start=1)],
        "onset_step": None,
        "steps_per_epoch": 468,
        "epochs_trained": float(len(fds)),
        "seconds": 445.0,
        "run_key": "0" * 32,
        "checkpoint": f"tune/{'0' * 32}/tune-00000000-0000-{'0' * 16}",
    }


@dataclass
class Share:
    """What one worker did.

    Attributes:
        ends: when its trials ended, seconds since all began.
        reports: of all its trials.
        processor: seconds of its processor time.
        error: the line that ended it; "": none did.
    """

    ends: list[float] = field(default_factory=list)
    reports: int = 0
    processor: float = 0.0
    error: str = ""


def work(
    url: str,
    name: str,
    tune: TuneParams,
    trials: int,
    seconds: float,
    begin: Callable[[], object] = lambda: None,
) -> Share:
    """A worker's life: open the study, wait for the others, run trials until none is wanted."""
    share, train = Share(), Synthetic(tune, seconds)
    try:
        study = Study(url, name, tune)
        begin()
        began, processor = time.monotonic(), time.process_time()
        while study.wanted(trials):
            if study.run_next(trials, train) != "surplus":
                share.ends.append(time.monotonic() - began)
        share.processor = time.process_time() - processor
    except FAILURES as error:
        share.error = brief(error)
    share.reports = train.reports
    return share


def _worker(
    barrier: "Barrier",
    results: "Queue[Share]",
    url: str,
    name: str,
    tune: TuneParams,
    trials: int,
    seconds: float,
) -> None:
    results.put(work(url, name, tune, trials, seconds, barrier.wait))


def together(
    url: str,
    name: str,
    tune: TuneParams,
    workers: int,
    trials: int,
    seconds: float,
    progress: str | None = None,
) -> list[Share]:
    """A new study of so many trials by so many workers at once, watched as the command does.

    `progress` is the name of a bar that is to show how many trials are done.
    """
    study = Study(url, name, tune, create=True)
    # Forked from a process that has imported everything, as a search's own workers.
    _CONTEXT.set_forkserver_preload([__name__])
    barrier, results = _CONTEXT.Barrier(workers + 1), _CONTEXT.Queue()
    arguments = (barrier, results, url, name, tune, trials, seconds)
    processes = [_CONTEXT.Process(target=_worker, args=arguments) for _ in range(workers)]
    for process in processes:
        process.start()
    barrier.wait()
    shares: list[Share] = []
    with progress_bar(total=trials, desc=progress, unit="trial", disable=progress is None) as bar:
        while len(shares) < workers:
            with contextlib.suppress(queue.Empty):
                shares.append(results.get(timeout=_WATCH_SECONDS))
                continue
            study.reap()
            bar.n = sum(trial.finished for trial in study.trials())
            bar.update(0)
    for process in processes:
        process.join()
    return shares


def per_hour(shares: Sequence[Share]) -> float:
    """Trials in an hour: the workers' own rates, summed, so that no waiting at the end counts."""
    return 3600 * sum(len(share.ends) / share.ends[-1] for share in shares if share.ends)
