import os
import signal
import subprocess
import sys

import pytest

from pipeline.base.interrupt import interrupts_deferred
from tests.project import REPOSITORY


def interrupt_oneself(number: int, times: int, done: list[int]) -> None:
    """In a block, some times; `done` takes those that the block came past."""
    with interrupts_deferred():
        for time in range(times):
            os.kill(os.getpid(), number)
            done.append(time)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_waits_for_the_end_of_the_block(number: int) -> None:
    done: list[int] = []
    with pytest.raises(KeyboardInterrupt) as interrupt:
        interrupt_oneself(number, 1, done)
    assert done == [0]
    assert interrupt.value.args == (number,)


def test_a_second_interrupt_does_not_wait() -> None:
    done: list[int] = []
    with pytest.raises(KeyboardInterrupt) as interrupt:
        interrupt_oneself(signal.SIGTERM, 2, done)
    assert done == [0]
    assert interrupt.value.args == (signal.SIGTERM,)


def test_without_an_interrupt_nothing_is_raised_and_handlers_are_as_before() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with interrupts_deferred():
        pass
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_during_a_callback_still_ends_the_command_in_one_line(number: int) -> None:
    program = f"""
import os, signal, time, weakref
from pipeline.base.cli import run
from tests.project import REPOSITORY

# As in a terminal: whoever is started in the background inherits a SIGINT that is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

class Thing:
    pass

def callback(_):
    os.kill(os.getpid(), {int(number)})
    time.sleep(1)

def main():
    thing = Thing()
    reference = weakref.ref(thing, callback)
    del thing
    time.sleep(60)

run(main)
"""
    answer = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert answer.returncode == 128 + number
    assert answer.stderr == "error: interrupted; the same command continues\n"
