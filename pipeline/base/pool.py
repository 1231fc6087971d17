"""Worker processes of a command: started, watched, replaced, ended."""

import contextlib
import dataclasses
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Generic, Protocol, TypeVar

from dcgan.params import RuntimeParams
from pipeline.base.cli import UserError, run
from pipeline.base.interrupt import Interrupt

_LOOK_SECONDS = 0.3
_WATCH_SECONDS = 2.0

MayGoOn = Callable[[int], bool]
"""Takes a number of steps and ignores it, as `dcgan.training.fit` wants it; False: end soon."""

Task = TypeVar("Task")
TaskIn = TypeVar("TaskIn", contravariant=True)
TaskOut = TypeVar("TaskOut", covariant=True)


class Work(Protocol[TaskIn]):
    """What a worker does with a task: a function of a module, so that it can be sent."""

    __module__: str

    def __call__(self, task: TaskIn, may_go_on: MayGoOn, /) -> None: ...


class Tasks(Protocol[TaskOut]):
    """What there is to do, as the command sees it."""

    def next(self) -> TaskOut | None:
        """A task for one more worker; None: there is none now."""

    def awaited(self) -> bool:
        """Whether there may be more to do later though no worker is at work here."""

    def watch(self) -> None:
        """Look how far things are: every few seconds, and whenever a worker has ended."""


Runtime = TypeVar("Runtime", bound=RuntimeParams)


def with_a_share_of_threads(runtime: Runtime, workers: int) -> Runtime:
    """`runtime` for one worker of several: its share of `threads`, or of all cores for 0."""
    threads = max((runtime.threads or os.cpu_count() or 1) // workers, 1)
    return dataclasses.replace(runtime, threads=threads)


@dataclass
class _Worker(Generic[Task]):
    process: BaseProcess
    task: Task
    errors: Connection


class Pool(Generic[Task]):
    """Several workers, each of which does a task and ends.

    A task whose worker was killed is given to another one, unless workers are killed again and
    again. Ctrl-C and SIGTERM of the command, its deadline (seconds since 1970) and an error in a
    worker end all workers, and so does the command's own death, whatever kills it.
    """

    def __init__(
        self,
        work: Work[Task],
        workers: int,
        runtime: RuntimeParams,
        interrupt: Interrupt,
        deadline: float | None = None,
    ) -> None:
        self._work, self._size, self._interrupt, self._deadline = work, workers, interrupt, deadline
        self._workers: list[_Worker[Task]] = []
        self._orphaned: list[Task] = []  # tasks whose worker was killed
        self._kills_left = workers
        self._error: str | None = None
        self._told_to_end = False
        # Forked from a process that has imported everything and computed nothing: quick and safe.
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([work.__module__])
        os.environ["OMP_NUM_THREADS"] = str(runtime.threads)

    def run(self, tasks: Tasks[Task]) -> None:
        """Return when nothing is left to do, or when all workers have ended before that.

        Raises UserError with the first error of a worker, or if too many are killed.
        """
        watched_at = 0.0
        while self._workers or (not self._over and (self._orphaned or tasks.awaited())):
            if self._over and not self._told_to_end:
                self._told_to_end = True
                for worker in self._workers:
                    worker.process.terminate()
            if self._lost_one() or time.monotonic() - watched_at > _WATCH_SECONDS:
                tasks.watch()
                self._fill_up(tasks)
                watched_at = time.monotonic()
            time.sleep(_LOOK_SECONDS)
        tasks.watch()
        if self._error is not None and self._interrupt.received is None:
            raise UserError(self._error)

    @property
    def _over(self) -> bool:
        late = self._deadline is not None and time.time() >= self._deadline
        return self._interrupt.received is not None or late or self._error is not None

    def _lost_one(self) -> bool:
        gone = [worker for worker in self._workers if not worker.process.is_alive()]
        for worker in gone:
            self._workers.remove(worker)
            status = worker.process.exitcode or 0
            if status and not self._over:
                self._fail(worker, status)
            worker.errors.close()
        return bool(gone)

    def _fail(self, worker: _Worker[Task], status: int) -> None:
        if status > 0:
            self._error = "a worker failed; see above"
            with contextlib.suppress(EOFError):  # it said nothing in one line
                self._error = worker.errors.recv()
        elif self._kills_left:
            self._kills_left -= 1
            self._orphaned.append(worker.task)
        else:
            self._error = (
                "workers are killed again and again; is there enough memory? "
                "The same command continues"
            )

    def _fill_up(self, tasks: Tasks[Task]) -> None:
        while not self._over and len(self._workers) < self._size:
            task = self._orphaned.pop() if self._orphaned else tasks.next()
            if task is None:
                return
            errors, theirs = self._context.Pipe(duplex=False)
            arguments = (self._work, task, self._deadline, theirs)
            process = self._context.Process(target=_begin, args=arguments)
            process.start()
            theirs.close()
            self._workers.append(_Worker(process, task, errors))


def _begin(work: Work[Task], task: Task, deadline: float | None, errors: Connection) -> None:
    """A worker's life."""

    def do() -> None:
        try:
            work(task, _may_go_on(deadline))
        except UserError as error:
            errors.send(str(error))
            sys.exit(error.exit_status)

    run(do)


def _may_go_on(deadline: float | None) -> MayGoOn:
    """The answer for this worker. SIGTERM makes it False; Ctrl-C, which reaches every process of a
    terminal, is the command's business, which passes it on as SIGTERM."""
    terminated = False

    def terminate(_: int, __: FrameType | None) -> None:
        nonlocal terminated
        terminated = True

    signal.signal(signal.SIGTERM, terminate)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    command = multiprocessing.parent_process()

    def may_go_on(_: int = 0) -> bool:
        late = deadline is not None and time.time() >= deadline
        orphaned = command is not None and not command.is_alive()
        return not (terminated or late or orphaned)

    return may_go_on
