"""The workers of a search, seen from the command: started, watched, replaced, ended."""

import multiprocessing
import multiprocessing.process
import os
import time
from collections.abc import Callable

from pipeline.base.cli import UserError
from pipeline.base.interrupt import Interrupt
from pipeline.search.study import Known, Study
from pipeline.search.worker import Job, work

_LOOK_SECONDS = 0.3
_ASK_SECONDS = 2.0  # between two looks at the storage


class Crew:
    """Workers on one job. A worker that is killed is replaced, and its trial tried again."""

    def __init__(self, job: Job, workers: int, study: Study, interrupt: Interrupt) -> None:
        self._job, self._workers, self._study, self._interrupt = job, workers, study, interrupt
        self._crew: list[multiprocessing.process.BaseProcess] = []
        # A machine that kills every worker has no use for more.
        self._to_start = 2 * workers
        self._errors = 0
        self._asked_to_end = False
        # Forked from a process that has imported everything and computed nothing: quick and safe.
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["pipeline.search.worker"])
        os.environ["OMP_NUM_THREADS"] = str(job.params.runtime.threads)

    def work(self, show: Callable[[list[Known]], None]) -> None:
        """Return when no trial is left, running here or elsewhere; or after an interruption or the
        deadline, when trials under way have been put back to be continued.

        Raises UserError if workers end by errors of their own.
        """
        asked_at = 0.0
        while self._busy():
            if self._over and not self._asked_to_end:
                self._asked_to_end = True
                for process in self._crew:
                    process.terminate()
            if self._lost_one() or time.monotonic() - asked_at > _ASK_SECONDS:
                self._study.reap()
                self._fill_up()
                show(self._study.trials())
                asked_at = time.monotonic()
            time.sleep(_LOOK_SECONDS)
        show(self._study.trials())
        if self._errors and self._interrupt.received is None:
            raise UserError("workers ended by errors; see above. The same command continues")

    @property
    def _over(self) -> bool:
        deadline = self._job.deadline
        late = deadline is not None and time.time() >= deadline
        return self._interrupt.received is not None or late or self._errors > 0

    def _busy(self) -> bool:
        if self._crew or self._over:
            return bool(self._crew)
        return self._study.running() or self._study.wanted(self._job.trials)

    def _lost_one(self) -> bool:
        gone = [process for process in self._crew if not process.is_alive()]
        self._crew = [process for process in self._crew if process not in gone]
        self._errors += sum((process.exitcode or 0) > 0 for process in gone)
        return bool(gone)

    def _fill_up(self) -> None:
        if self._over or not self._study.wanted(self._job.trials):
            return
        for _ in range(self._workers - len(self._crew)):
            if not self._to_start:
                raise UserError("workers are killed again and again; is there enough memory?")
            self._to_start -= 1
            process = self._context.Process(target=work, args=(self._job,))
            process.start()
            self._crew.append(process)
