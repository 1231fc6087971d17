"""Other programs on the cores that a training's threads want.

An operation on several threads waits for the last of them. So where one core of two is also used by
another program, an iteration takes three times as long rather than one and a half times, and one
thread would be faster (docs/what-did-not-work.md has the table).
"""

import resource
import time
from collections.abc import Callable
from typing import NamedTuple

_SHARE = 0.85  # more of its cores than this is had by no crowded training; 0.95 on a quiet machine
_SWITCHES = 20.0  # forced on a crowded thread in a second; on a quiet machine 5
_LOOK_SECONDS = 20.0  # of iterations


class Clock(NamedTuple):
    """Seconds, of the processor too, and how often another program was put in this one's place."""

    wall: float
    processor: float
    switches: float


def clock() -> Clock:
    """This process's."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Clock(time.monotonic(), used.ru_utime + used.ru_stime, used.ru_nivcsw)


class Neighbours:
    """Looks whether the iterations of this process get the cores that their threads want."""

    def __init__(self, threads: int, read: Callable[[], Clock] = clock) -> None:
        self._threads, self._read = threads, read
        self._before: Clock | None = None
        self._sum = Clock(0.0, 0.0, 0.0)

    def before_step(self) -> None:
        """To be called before each iteration; what lies between two calls is one."""
        now = self._read()
        if self._before is not None:
            taken = zip(self._sum, now, self._before, strict=True)
            self._sum = Clock(*(total + after - before for total, after, before in taken))
        self._before = now

    def after_report(self) -> None:
        """What comes before the next iteration is measuring and tracking, partly on one thread."""
        self._before = None

    def in_words(self) -> str | None:
        """What to say, once in a run, if others take part of the cores."""
        wall, processor, switches = self._sum
        if self._threads < 2 or wall < _LOOK_SECONDS:
            return None
        self._sum = Clock(0.0, 0.0, 0.0)
        wanted = wall * self._threads
        # Either alone has other causes: operations too small for all threads; very many threads.
        if processor > _SHARE * wanted or switches < _SWITCHES * wanted:
            return None
        self._threads = 1  # no more to say
        return (
            f"note: other programs take {1 - processor / wanted:.0%} of the cores that this "
            "training wants, and its threads wait for each other; end them, or train anew with "
            "runtime.threads: 1, which is faster beside them"
        )
