"""The log that a training leaves: a record a line, as it goes on."""

import json
import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from ganverdict.formats.recorded import KEY, Settings

_LOGGER = logging.getLogger("ganverdict")


class LogFile:
    """A log that is written to. A full disk ends it, but not the training.

    Its first record also holds `settings`, for the verdict on it to be the one in training.
    """

    def __init__(self, path: Path, settings: Settings) -> None:
        self.path = path
        self._settings = asdict(settings)
        self._has_told = False  # of these
        self._is_closed = False
        self._file: IO[str] | None = None

    def begin(self) -> None:
        """Open it, empty; what an earlier run left is kept beside it. Raises OSError."""
        if self.path.is_file() and self.path.stat().st_size:
            old = self.path.with_name(f"{self.path.name}.old")
            self.path.replace(old)
            _LOGGER.warning(
                "the log of an earlier run is %s now; to go on with one: resume_from=STEP", old
            )
        self._file = self.path.open("w", encoding="utf-8")

    def go_on(self, step_name: str, after: float) -> None:
        """Open it as it was at a step. Raises OSError; ValueError where it has no such steps."""
        first = next(self.records(), None)
        if first is not None and step_name not in first:
            raise ValueError(f"{self.path}: its steps are not called {step_name}; see unit=")
        end = 0
        for record, offset in _records(self.path):
            if record.get(step_name, math.inf) > after:
                break
            end = offset
        os.truncate(self.path, end)
        self._has_told = end > 0
        self._file = self.path.open("a", encoding="utf-8")

    def records(self) -> Iterator[dict[str, float]]:
        """The records of the file, up to the first line that is none."""
        return (record for record, _ in _records(self.path))

    def write(self, record: Mapping[str, float]) -> None:
        """Add a record."""
        line: dict[str, Any] = dict(record)
        if not self._has_told:
            line[KEY] = self._settings
            self._has_told = True
        self._do(lambda file: file.write(json.dumps(line) + "\n"))

    def flush(self) -> None:
        """Let others read what was written."""
        if not self._is_closed:
            self._do(lambda file: file.flush())

    def close(self) -> None:
        """Close it; a record that comes after opens it again."""
        if self._file is not None:
            self._do(lambda file: file.close())
            self._is_closed = self._file is not None
            self._file = None

    def _do(self, do: Callable[[IO[str]], object]) -> None:
        try:
            if self._is_closed:
                self._file = self.path.open("a", encoding="utf-8")
                self._is_closed = False
            if self._file is not None:
                do(self._file)
        except OSError as error:
            _LOGGER.warning("%s: %s; nothing more is written there", self.path, error)
            self._file, self._is_closed = None, False


def _records(path: Path) -> Iterator[tuple[dict[str, float], int]]:
    """The records of a log, and where each ends."""
    end = 0
    with path.open("rb") as file:
        for line in file:
            end += len(line)
            try:
                record = json.loads(line)
            except ValueError:
                return
            if not isinstance(record, dict) or not line.endswith(b"\n"):
                return
            record.pop(KEY, None)
            if not all(isinstance(value, float) for value in record.values()):
                return
            yield record, end
