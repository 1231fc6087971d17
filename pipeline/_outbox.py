"""A queue on disk: what is to be tracked, in order, until it has been sent."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipeline._cli import write_json


class Outbox:
    """Entries of one run, each a folder that appears whole: `entry.json` and attached files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.lock = FileLock(folder / "lock", timeout=10)  # held by whoever sends

    def put(self, kind: str, files: dict[str, Path] | None = None, **values: Any) -> None:
        """Queue an entry with copies of `files`, by name."""
        number = time.time_ns()
        parts = self._folder / f".{number}.partial"
        parts.mkdir(parents=True)
        for name, source in (files or {}).items():
            shutil.copyfile(source, parts / name)
        write_json(parts / "entry.json", {"kind": kind, **values})
        parts.rename(self._folder / str(number))

    def entries(self) -> Iterator[tuple[dict[str, Any], Path]]:
        """What waits, oldest first; each is removed when the next one is asked for."""
        for folder in sorted(self._folder.glob("[0-9]*"), key=lambda path: int(path.name)):
            yield json.loads((folder / "entry.json").read_text()), folder
            shutil.rmtree(folder)
