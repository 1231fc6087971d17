"""A process that torchrun has started, told by its environment; nothing of torch is imported."""

import functools
import os
import signal
import threading
import time

_LOOK_SECONDS = 0.5


def is_rank() -> bool:
    """Whether somebody has started this process as one of a number, if only of one."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def speaks() -> bool:
    """Whether this process tells of errors: of those of a machine, one does."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def prepare() -> None:
    """What a rank has to do before its long imports, torch among them."""
    if not is_rank():
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # each of them would show where it was
    by_torchrun = "TORCHELASTIC_RUN_ID" in os.environ and os.environ["WORLD_SIZE"] != "1"
    if by_torchrun and os.environ.get("OMP_NUM_THREADS") == "1":
        # torchrun's one thread where nobody says otherwise. A rank takes its share of the cores,
        # and a run has the same name whatever the number of processes.
        del os.environ["OMP_NUM_THREADS"]


@functools.cache  # once: a second SIGTERM would not wait for the end of a step
def end_with_launcher() -> None:
    """From now on, SIGTERM to this process once the one that started it is gone."""
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def _watch(launcher: int) -> None:
    while os.getppid() == launcher:
        time.sleep(_LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
