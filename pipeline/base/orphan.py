"""A stage ends with the DVC that runs it: killed, DVC by itself leaves its stage at work."""

import functools
import os
import signal
import threading
import time

import psutil

_LOOK_SECONDS = 0.5


@functools.cache  # once: a second SIGTERM would not wait for the end of a step
def end_with_dvc() -> None:
    """In a process that DVC runs as a stage: from now on, SIGTERM to itself once DVC is gone."""
    # DVC runs a command by a shell, which may or may not become the command.
    others = (process for process in psutil.Process().parents() if not _is_shell(process))
    dvc = next(others, None)
    threading.Thread(target=_watch, args=(dvc,), daemon=True).start()


def _watch(dvc: psutil.Process | None) -> None:
    while dvc is not None and _runs(dvc):
        time.sleep(_LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def _runs(process: psutil.Process) -> bool:
    try:
        # Whoever adopts an orphan is of another session, and whom nobody has missed is a zombie.
        same_session = os.getsid(process.pid) == os.getsid(0)
        return same_session and process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, ProcessLookupError):
        return False


def _is_shell(process: psutil.Process) -> bool:
    try:
        return process.name().endswith("sh")
    except psutil.Error:
        return False
