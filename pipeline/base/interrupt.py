"""Ctrl-C and SIGTERM as a question, asked between two steps or after a block."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Self


class Interrupt:
    """While entered, the first Ctrl-C or SIGTERM sets `received`; a second one ends at once."""

    def __init__(self) -> None:
        self.received: int | None = None

    def __enter__(self) -> Self:
        self._old = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
        for name in self._old:
            signal.signal(name, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for name, handler in self._old.items():
            signal.signal(name, handler)

    def _receive(self, number: int, _: FrameType | None) -> None:
        if self.received is not None:
            raise KeyboardInterrupt(number)
        self.received = number


@contextlib.contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Let the first Ctrl-C or SIGTERM wait for the end of the block.

    For C++ that calls Python back: an exception from nowhere is lost there, or ends the process by
    a segmentation fault.
    """
    with Interrupt() as interrupt:
        yield
    if interrupt.received is not None:
        raise KeyboardInterrupt(interrupt.received)
