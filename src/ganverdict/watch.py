"""Follow logs that grow: a file, a run's folder, event files, a run of MLflow."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from ganverdict.formats import ReadError, read
from ganverdict.log import Log
from ganverdict.verdict import Verdict

Judge = Callable[[Log], Verdict]

_NO_NAMES: Mapping[str, str] = MappingProxyType({})
_TRACKED = "mlflow:"
_MOST_FILES = 20_000  # that a folder is looked through for
_DEEPEST = 6  # folders below the one that is given


def watch(
    paths: Sequence[str | Path],
    judge: Judge,
    *,
    every: float = 30.0,
    metric: str | None = None,
    rename: Mapping[str, str] = _NO_NAMES,
    on_trouble: Callable[[ReadError], None] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[tuple[Log, Verdict]]:
    """Read `paths` again and again; yield each run's log and verdict when the verdict changes.

    The first verdict on a run is a change. The iterator has no end: leave the loop when the answer
    is known. What has not been written to is not read again, and a log that takes long to read is
    read less often.

    Args:
        paths: as `ganverdict.formats.read` takes them, but for standard input.
        judge: the verdict on a log.
        every: seconds between two readings, over 0.
        metric, rename: as `ganverdict.formats.read` takes them.
        on_trouble: told, once for each cause, why a log cannot be read at the moment: it has no
            rows yet, or a server is away. It is tried again.
        sleep: waits so many seconds.

    Raises ReadError for a path that is not there when it begins, and for standard input; ValueError
    for a time that is none.
    """
    if not 0 < every < float("inf"):
        raise ValueError(f"every must be a number of seconds over 0, not {every}")
    for path in map(str, paths):
        if path == "-":
            raise ReadError("-: standard input cannot be read twice, so it cannot be watched")
        if not path.startswith(_TRACKED) and not os.path.lexists(path):
            raise ReadError(f"{path}: no such file or folder")
    return _changes(paths, judge, every, metric, rename, on_trouble, sleep)


def _changes(
    paths: Sequence[str | Path],
    judge: Judge,
    every: float,
    metric: str | None,
    rename: Mapping[str, str],
    on_trouble: Callable[[ReadError], None] | None,
    sleep: Callable[[float], None],
) -> Iterator[tuple[Log, Verdict]]:
    told: dict[str, object] = {}
    trouble, seen, pause = "", None, 0.0
    while True:
        now = _state(paths)
        if now is None or now != seen:
            seen, began = now, time.monotonic()
            try:
                logs = read(paths, metric=metric, rename=rename)
                trouble = ""
            except ReadError as error:
                logs = []
                if str(error) != trouble and on_trouble is not None:
                    on_trouble(error)
                trouble = str(error)
            for log in logs:
                verdict = judge(log)
                if told.get(log.name) != (answer := _answer(verdict)):
                    told[log.name] = answer
                    yield log, verdict
            pause = 2 * (time.monotonic() - began)
        sleep(max(every, pause))


def _answer(verdict: Verdict) -> object:
    """What is worth telling again when it changes: not how many rows were watched."""
    return (
        verdict.status,
        verdict.end,
        verdict.best_step,
        verdict.onset_step,
        verdict.signal,
        tuple((state.name, state.since, state.until is None) for state in verdict.states),
    )


def _state(paths: Sequence[str | Path]) -> list[tuple[str, int, int]] | None:
    """Name, size and time of what is there; None where only reading it tells."""
    found: list[tuple[str, int, int]] = []
    for path in map(str, paths):
        if path.startswith(_TRACKED):
            return None
        _look(path, found, 0)
    return found if len(found) < _MOST_FILES else None


def _look(path: str, found: list[tuple[str, int, int]], depth: int) -> None:
    """Add a file, or the files of a folder; links inside a folder are taken as they are."""
    try:
        if depth > _DEEPEST or not Path(path).is_dir() or (depth and Path(path).is_symlink()):
            status = Path(path).stat()
            found.append((path, status.st_size, status.st_mtime_ns))
            return
        with os.scandir(path) as entries:
            names = sorted(entry.path for entry in entries)
    except (OSError, ValueError):
        found.append((path, -1, -1))
        return
    for name in names:
        if len(found) < _MOST_FILES:
            _look(name, found, depth + 1)
