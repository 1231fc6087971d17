"""A queue on disk: what is to be tracked, in order, until it has been sent."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipeline.base.cli import UserError, write_json
from pipeline.base.folders import folder_whole


class Outbox:
    """Entries of one run, each a folder that appears and vanishes whole.

    An entry is `entry.json` and attached files, in a folder named by a number that grows.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.lock = FileLock(folder / "lock", timeout=10)  # held by whoever sends

    def put(self, kind: str, files: dict[str, Path | bytes] | None = None, **values: Any) -> None:
        """Queue an entry with `files` by name: copies of files, or their content."""
        # The time, so that the order holds between processes; a clock set back does not break it.
        number = max([time.time_ns(), *(int(folder.name) + 1 for folder in self._waiting())])
        with folder_whole(self._folder / str(number)) as parts:
            for name, source in (files or {}).items():
                content = source if isinstance(source, bytes) else source.read_bytes()
                (parts / name).write_bytes(content)
            write_json(parts / "entry.json", {"kind": kind, **values})

    def time_of(self, name: str, content: dict[str, Any]) -> int:
        """When `name` was first asked for with this content, in ms since 1970."""
        file = self._folder / f"{name}.json"
        try:
            known = json.loads(file.read_text())
            if known["content"] == content:
                return int(known["time"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            pass
        now = time.time_ns() // 1_000_000
        write_json(file, {"content": content, "time": now})
        return now

    def entries(self) -> Iterator[tuple[dict[str, Any], Path]]:
        """What waits, oldest first; each is removed when the next one is asked for.

        Raises UserError for one that a full disk or a crash of the machine has damaged.
        """
        for half_removed in self._folder.glob(".*.sent"):
            shutil.rmtree(half_removed)
        for folder in self._waiting():
            yield _read(folder), folder
            # Killed while it removes the files one by one, it would leave half an entry.
            sent = folder.rename(self._folder / f".{folder.name}.sent")
            shutil.rmtree(sent)

    def clear(self) -> None:
        """Drop all that waits."""
        for folder in self._waiting():
            shutil.rmtree(folder)

    def __len__(self) -> int:
        return len(self._waiting())

    def _waiting(self) -> list[Path]:
        return sorted(self._folder.glob("[0-9]*"), key=lambda path: int(path.name))


def _read(folder: Path) -> dict[str, Any]:
    try:
        entry = json.loads((folder / "entry.json").read_text())
        if isinstance(entry, dict):
            return entry
    except (FileNotFoundError, ValueError):
        pass
    raise UserError(f"{folder}: damaged; delete it, and what comes after it can be sent")
