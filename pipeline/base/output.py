"""What a command says, also to a reader that leaves before the end."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Unbroken(io.FileIO):
    """A pipe that takes what nobody reads any more; of a full disk it tells once."""

    _told = False

    def write(self, content: ReadableBuffer) -> int:
        try:
            return super().write(content)
        except BrokenPipeError:
            pass
        except OSError:
            if not self._told:  # Python flushes at its end once more what could not be written
                self._told = True
                raise
        return memoryview(content).nbytes


def let_readers_leave() -> None:
    """From now on, `COMMAND | head -1` ends as without the pipe: its work done, no word of it.

    A training must not end because nobody reads what it prints. Streams that are not the process's
    own, such as those of a test, stay as they are.
    """
    if sys.__stdout__ is not None and sys.stdout is sys.__stdout__:
        sys.stdout = _unbroken(sys.__stdout__)
    if sys.__stderr__ is not None and sys.stderr is sys.__stderr__:
        sys.stderr = _unbroken(sys.__stderr__)


def _unbroken(stream: io.TextIOWrapper[Any]) -> io.TextIOWrapper[Any]:
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Unbroken(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering or stream.write_through,  # PYTHONUNBUFFERED
    )
