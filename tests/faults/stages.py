"""Stages without the seconds that their imports take: `python -m tests.faults.stages`, in a clone.

Imports the commands, then runs one in a process of its own for each line of its input: a name and,
if it is to be killed, after how many seconds and by which signal, such as `train 0.5 9`. Says with
which status it ended; negative: by that signal.
"""

import importlib
import math
import os
import sys
import time
from types import ModuleType

from pipeline.base.cli import run

NAMES = ("fetch", "judge", "train", "evaluate", "export")


def main() -> None:
    modules = {name: importlib.import_module(f"pipeline.{name}") for name in NAMES}
    say("ready")
    for line in sys.stdin:
        name, *kill = line.split()
        child = os.fork()
        if not child:
            os._exit(status_of(modules[name]))
        deadline = time.monotonic() + float(kill[0]) if kill else math.inf
        while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if time.monotonic() > deadline:
                os.kill(child, int(kill[1]))
                break
            time.sleep(0.002)
        _, status = os.waitpid(child, 0)
        say(str(os.waitstatus_to_exitcode(status)))


def status_of(command: ModuleType) -> int:
    """Run a command as `python -m` does; returns its exit status."""
    log = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.argv = [command.__name__]
    try:
        run(command.main)
    except SystemExit as end:
        return int(end.code or 0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
