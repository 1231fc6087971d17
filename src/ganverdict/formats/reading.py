"""The one way in: files, folders, standard input and tracking stores, to runs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from ganverdict.formats.assemble import assemble
from ganverdict.formats.errors import ReadError
from ganverdict.formats.files import read_file
from ganverdict.formats.folders import Group, read_folder
from ganverdict.formats.mlflow_stores import PREFIX, is_database, read_database, read_tracked_run
from ganverdict.formats.notebooks import is_notebook, read_notebook
from ganverdict.formats.several import runs_in
from ganverdict.formats.sources import from_file, from_standard_input, shown
from ganverdict.log import Log

_MOST_TOLD = 3  # logs that are left out
_NO_NAMES: Mapping[str, str] = MappingProxyType({})


def read(
    paths: Sequence[str | Path],
    *,
    metric: str | None = None,
    rename: Mapping[str, str] = _NO_NAMES,
) -> list[Log]:
    """The runs in `paths`: a file, folders of one run or of several, or several files of one run.

    "-" is standard input and "mlflow:RUN_ID" a run of the tracking server. `metric` names the
    measure that counts, `rename` maps our names to the log's ("" is the column without a name).
    The first log's notes name the logs of a folder that had to be left out.
    Raises ReadError, one line, for what cannot be read or has two meanings.
    """
    if not paths:
        raise ReadError("no log was given")
    names = [str(path) for path in paths]
    refused: list[ReadError] = []
    logs: list[Log] = []
    for group, tables in _together(names, refused):
        several = runs_in(tables[0]) if len(tables) == 1 else []
        for run, own in [(f"{group}: {r}", [t]) for r, t in several] or [(group, tables)]:
            try:
                logs += assemble(run, own, metric, rename)
            except ReadError as error:
                refused.append(error)
    if not logs:
        raise refused[0] if refused else ReadError(f"{_title(names)}: no log was found there")
    told = [f"left out: {error}" for error in refused[:_MOST_TOLD]]
    if len(refused) > _MOST_TOLD:
        told.append(f"left out: {len(refused) - _MOST_TOLD:,} more")
    logs[0] = replace(logs[0], notes=(*logs[0].notes, *told))
    return logs


def _title(names: Sequence[str]) -> str:
    return shown(names[0] if len(names) == 1 else ", ".join(names))


def _together(names: Sequence[str], broken: list[ReadError]) -> list[Group]:
    """The runs in all paths; logs in a folder may be `broken`."""
    # Two folders are two runs; a folder and a file beside it are one.
    apart = len(names) == 1 or sum(map(_is_a_run, names)) > 1
    groups: list[Group] = []
    together: Group = (_title(names), [])
    for name in names:
        for group, tables in _groups(name, broken):
            if apart:
                groups.append((group, tables))
            else:
                together[1].extend(tables)
    return [together] if together[1] else groups


def _is_a_run(name: str) -> bool:
    """Whether a path is all of a run: a folder, or what a server tracks."""
    try:
        return name.startswith(PREFIX) or Path(name).is_dir()
    except (OSError, ValueError):
        return False


def _groups(name: str, broken: list[ReadError]) -> list[Group]:
    """The runs that a path holds, each as its tables; logs in a folder may be `broken`."""
    if name == "-":
        return [("-", read_file(from_standard_input()))]
    if name.startswith(PREFIX):
        return [(shown(name), [read_tracked_run(name.removeprefix(PREFIX))])]
    path = Path(name)
    try:
        is_folder = path.is_dir()
    except (OSError, ValueError) as error:
        raise ReadError(f"{shown(name)}: {error}") from None
    if is_folder:
        return read_folder(path, broken)
    source = from_file(path)
    if is_database(source.head()):
        return [(title, [table]) for title, table in read_database(path, name)]
    if is_notebook(source):
        return read_notebook(source)
    return [(shown(name), read_file(source))]
