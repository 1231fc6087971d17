"""A run's checkpoints at a place that other machines reach, and which of them trains it.

The file `run.json` there names who holds the run: who begins with it writes his name and the next
number, the *term*, and has taken it. Who held it before may not know that he is thought dead, as
after a cut link. He asks before every copy, and so nothing of his comes after the other's.
"""

import json
import os
import sys
import uuid
from pathlib import Path
from typing import Any

from pipeline.base.cli import UserError, write_json, write_whole
from pipeline.base.retry import Retry
from pipeline.store.place import AwayError, Place

_RECORD = "run.json"
_OWN = (_RECORD, "lock", "process")  # of this machine's folder


class TakenOverError(UserError):
    """Another machine goes on with this run, from the newest checkpoint at the place."""


class Shared:
    """The folder of one run here, and the same at a place.

    Attributes:
        kept: whether the place has all that is here.
    """

    def __init__(self, place: Place, folder: Path) -> None:
        self._place, self._folder = place, folder
        self._record: dict[str, Any] = {}
        self._retry = Retry()
        self._copied: dict[str, tuple[int, int]] = {}
        self.kept = True

    @property
    def term(self) -> int:
        """How often this run has been taken."""
        return int(self._record.get("term", 0))

    def take(self) -> None:
        """Take the run, and bring here what others have done of it.

        Raises AwayError if that cannot be known, or the place does not take the name.
        """
        here, there = self._known(), self._told()
        if there and there != here:
            self._fetch()
            here = there
        holder = f"{os.uname().nodename}:{os.getpid()}"
        key, term = here.get("key", uuid.uuid4().hex), here.get("term", 0) + 1
        self._record = {"key": key, "term": term, "holder": holder}
        try:
            self._place.write(_RECORD, _bytes(self._record))
        except AwayError as error:
            if there:
                raise  # the holder would not know
            self._say_behind(error)
        write_json(self._folder / _RECORD, self._record)

    def push(self, at_once: bool = False) -> None:
        """Copy what has changed; where that fails, say so, and try again later.

        Raises TakenOverError, and copies nothing, if another machine has taken the run.
        """
        self.kept = False
        if not self._retry.begin(at_once):
            return
        try:
            there = self._told()
            if there and there != self._record:
                raise TakenOverError(
                    f"{self._folder.name}: {there.get('holder', 'another machine')} has taken this "
                    "run over and goes on with it; nothing is left to do here"
                )
            if not there:
                self._place.write(_RECORD, _bytes(self._record))
            for name, state in self._changed():
                self._place.write(name, (self._folder / name).read_bytes())
                self._copied[name] = state
        except AwayError as error:
            self._say_behind(error)
            return
        self._retry.done()
        self.kept = True

    def fetch_file(self, name: str) -> None:
        """Bring a file here, if the place has it."""
        content = self._place.read(name)
        if content is not None:
            with write_whole(self._folder / name) as file:
                file.write(content)

    def remove(self) -> None:
        """Remove all of the run that the place has; what cannot be removed stays."""
        try:
            for name in sorted(self._place.names(), key=lambda name: name == _RECORD):
                self._place.remove(name)
        except AwayError:
            pass

    def _fetch(self) -> None:
        """Put what the place has in place of what is here."""
        (self._folder / _RECORD).unlink(missing_ok=True)  # killed meanwhile, it begins anew
        for name, _ in self._files():
            (self._folder / name).unlink()
        for name in self._place.names():
            if name not in _OWN:
                self.fetch_file(name)
        self._copied = dict(self._files())

    def _known(self) -> dict[str, Any]:
        file = self._folder / _RECORD
        return _read(file.read_bytes()) if file.exists() else {}

    def _told(self) -> dict[str, Any]:
        return _read(self._place.read(_RECORD) or b"{}")

    def _changed(self) -> list[tuple[str, tuple[int, int]]]:
        """Files that the place has not got, the newest state last: it needs the others."""
        changed = [
            (name, state) for name, state in self._files() if self._copied.get(name) != state
        ]
        return sorted(changed, key=lambda file: (file[0] == "state.pt", file[0] == "best.pt"))

    def _files(self) -> list[tuple[str, tuple[int, int]]]:
        """Name, and time and size, of all files here that are of the run."""
        found = []
        for path in self._folder.rglob("*"):
            name = path.relative_to(self._folder).as_posix()
            if path.is_file() and name not in _OWN and not path.name.startswith("."):
                found.append((name, (path.stat().st_mtime_ns, path.stat().st_size)))
        return found

    def _say_behind(self, error: AwayError) -> None:
        if not self._retry.failing:
            print(
                f"checkpoints are behind: {error}; the work goes on, and checkpoints/ has them",
                file=sys.stderr,
            )
        self._retry.failed()
        self.kept = False


def _bytes(record: dict[str, Any]) -> bytes:
    return (json.dumps(record, indent=2) + "\n").encode()


def _read(content: bytes) -> dict[str, Any]:
    """A record; {} for what is none."""
    try:
        record = json.loads(content)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}
