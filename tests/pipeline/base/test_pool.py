"""Real worker processes, on tasks that take no time."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from dcgan.params import RuntimeParams
from pipeline.base.cli import UserError
from pipeline.base.interrupt import Interrupt
from pipeline.base.pool import MayGoOn, Pool, with_a_share_of_threads

if TYPE_CHECKING:
    from collections.abc import Callable


class Task(NamedTuple):
    """What a worker does: `kind` in `folder`, where it leaves a file when it has ended well."""

    folder: Path
    name: str
    kind: str = "quick"


def work(task: Task, may_go_on: MayGoOn) -> None:
    threads = os.environ["OMP_NUM_THREADS"]
    (task.folder / f"{task.name}.begun").write_text(f"{os.getpid()} {threads}")
    tries = task.folder / f"{task.name}.tries"
    with tries.open("a") as file:
        file.write("x")
    if task.kind == "waits":
        while may_go_on(0):
            time.sleep(0.02)
    if task.kind == "wrong":
        raise UserError("out of digits")
    if task.kind == "broken":
        raise RuntimeError("a bug")
    if task.kind == "always killed" or (task.kind == "killed once" and tries.read_text() == "x"):
        os.kill(os.getpid(), signal.SIGKILL)
    (task.folder / f"{task.name}.ended").touch()


class Queue:
    """The tasks in order; nothing more is awaited once they are given out."""

    def __init__(self, folder: Path, *kinds: str) -> None:
        self.left = [Task(folder, str(number), kind) for number, kind in enumerate(kinds)]
        self.on_watch: Callable[[], None] = lambda: None

    def next(self) -> Task | None:
        return self.left.pop(0) if self.left else None

    def awaited(self) -> bool:
        return bool(self.left)

    def watch(self) -> None:
        self.on_watch()


def runtime(threads: int) -> RuntimeParams:
    return RuntimeParams(device="cpu", threads=threads, precision="fp32")


def ended(folder: Path) -> set[str]:
    return {file.stem for file in folder.glob("*.ended")}


def pool(workers: int, interrupt: Interrupt, deadline: float | None = None) -> Pool[Task]:
    return Pool(work, workers, runtime(1), interrupt, deadline)


def test_every_task_is_done_once_with_its_share_of_threads(tmp_path: Path) -> None:
    pool(2, Interrupt()).run(Queue(tmp_path, *["quick"] * 5))
    assert ended(tmp_path) == set("01234")
    assert all((tmp_path / f"{name}.tries").read_text() == "x" for name in "01234")
    begun = [(tmp_path / f"{name}.begun").read_text().split() for name in "01234"]
    assert len({process for process, _ in begun}) == 5
    assert {threads for _, threads in begun} == {"1"}


def test_a_task_whose_worker_was_killed_is_given_to_another(tmp_path: Path) -> None:
    pool(1, Interrupt()).run(Queue(tmp_path, "killed once", "quick"))
    assert ended(tmp_path) == {"0", "1"}
    assert (tmp_path / "0.tries").read_text() == "xx"


def test_a_task_that_kills_every_worker_is_the_end_and_the_others_are_asked_to_end(
    tmp_path: Path,
) -> None:
    with pytest.raises(UserError, match="killed again and again"):
        pool(2, Interrupt()).run(Queue(tmp_path, "waits", "always killed"))
    assert ended(tmp_path) == {"0"}
    assert (tmp_path / "1.tries").read_text() == "xxx"


def test_an_error_of_a_worker_is_the_commands_own_and_ends_the_others(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^out of digits$"):
        pool(2, Interrupt()).run(Queue(tmp_path, "waits", "wrong", "quick"))
    assert ended(tmp_path) == {"0"}


def test_a_bug_in_a_worker_ends_the_command_too(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^a worker failed; see above$"):
        pool(1, Interrupt()).run(Queue(tmp_path, "broken"))


def test_a_deadline_ends_workers_and_begins_no_other(tmp_path: Path) -> None:
    pool(1, Interrupt(), time.time() + 2).run(Queue(tmp_path, "waits", "quick"))
    assert ended(tmp_path) == {"0"}
    pool(1, Interrupt(), time.time() - 1).run(Queue(tmp_path, "quick"))
    assert ended(tmp_path) == {"0"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_of_the_command_asks_workers_to_end(tmp_path: Path, number: int) -> None:
    with Interrupt() as interrupt:
        tasks = Queue(tmp_path, "waits", "quick")

        def interrupt_once_begun() -> None:
            if (tmp_path / "0.begun").exists() and interrupt.received is None:
                os.kill(os.getpid(), number)

        tasks.on_watch = interrupt_once_begun
        pool(1, interrupt).run(tasks)
    assert interrupt.received == number
    assert ended(tmp_path) == {"0"}


COMMAND = """
from pathlib import Path
from pipeline.base.interrupt import Interrupt
from tests.pipeline.base.test_pool import Queue, pool
pool(1, Interrupt()).run(Queue(Path({folder!r}), "waits"))
"""


def test_a_worker_ends_with_its_command_whatever_kills_that(tmp_path: Path) -> None:
    code = COMMAND.format(folder=str(tmp_path))
    command = subprocess.Popen([sys.executable, "-c", code])
    with contextlib.suppress(ProcessLookupError):
        while not (tmp_path / "0.begun").exists():
            assert command.poll() is None
            time.sleep(0.05)
        command.kill()
        command.wait()
    for _ in range(600):
        if ended(tmp_path):
            break
        time.sleep(0.05)
    assert ended(tmp_path) == {"0"}


@pytest.mark.parametrize(("threads", "workers", "each"), [(8, 2, 4), (3, 2, 1), (1, 4, 1)])
def test_the_threads_that_are_allowed_are_shared(threads: int, workers: int, each: int) -> None:
    assert with_a_share_of_threads(runtime(threads), workers).threads == each


def test_of_all_cores_each_worker_gets_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert with_a_share_of_threads(runtime(0), 2).threads == 4
