"""The runs in a folder."""

import os
import re
from dataclasses import replace
from pathlib import Path

from ganverdict.formats.errors import BrokenLogError, ReadError
from ganverdict.formats.files import read_file
from ganverdict.formats.mlflow_stores import (
    is_database,
    is_run_folder,
    read_database,
    read_run_folder,
)
from ganverdict.formats.names import role
from ganverdict.formats.sources import from_file, shown
from ganverdict.formats.table import Table

_DEEPEST = 6
_MOST_FILES = 20_000
# Programs, settings and texts are no logs, whatever numbers stand in them.
_NO_LOGS = re.compile(
    r"\.(?:pyc?|ipynb|md|rst|ya?ml|toml|ini|cfg|sh|bat|c|cpp|cu|h|html?|js|css|svg|png|jpe?g|gif"
    r"|webp|bmp|mp4|avi|pth?|ckpt|pkl|h5|hdf5|onnx|safetensors|zip|tar|pdf|lock|bin|old|bak)",
    re.IGNORECASE,
)
_CHECKPOINT = re.compile(r"checkpoint-\d+")

Group = tuple[str, list[Table]]
Folders = dict[Path, list[Table]]


def read_folder(folder: Path, broken: list[ReadError]) -> list[Group]:
    """The runs in a folder: its own files one run, folders with losses of their own others.

    Logs that cannot be read are added to `broken`.
    """
    by_folder: dict[Path, list[Table]] = {}
    tracked: list[Group] = []
    refused: list[ReadError] = []
    for path in _files(folder):
        try:
            if path.is_dir():
                tracked.append((shown(str(path)), [read_run_folder(path)]))
                continue
            source = from_file(path)
            if is_database(source.head()):
                tracked += [(title, [table]) for title, table in read_database(path, str(path))]
                continue
            tables = [table for table in read_file(source) if _is_log(table, path.parent)]
        except ReadError as error:
            refused.append(error)
            continue
        if tables:
            by_folder.setdefault(path.parent, []).extend(tables)
    broken += [error for error in refused if isinstance(error, BrokenLogError)]
    tracked = [group for group in tracked if _is_log(group[1][0], folder)]
    if not by_folder:
        if tracked:
            return tracked
        reason = f" ({refused[0]})" if len(refused) == 1 else ""
        raise ReadError(f"{shown(str(folder))}: no file in it is a log that is known{reason}")
    for older in _older_checkpoints(by_folder):
        del by_folder[older]
    for tables in by_folder.values():
        tables.sort(key=lambda table: table.order)
    return _grouped(folder, by_folder) + tracked


def _older_checkpoints(by_folder: Folders) -> list[Path]:
    """Folders `checkpoint-100` whose history a later one beside them, or the one above, has."""
    older: list[Path] = []
    latest: dict[Path, Path] = {}
    for path in sorted(by_folder, key=lambda path: natural(path.name)):
        if _CHECKPOINT.fullmatch(path.name) and all(t.layout == "JSON" for t in by_folder[path]):
            if path.parent in latest:
                older.append(latest[path.parent])
            latest[path.parent] = path
    return older + [last for above, last in latest.items() if above in by_folder]


def _files(folder: Path) -> list[Path]:
    """Regular files and MLflow's run folders, sorted as people number them.

    Links that lead out of the folder are not followed.
    """
    inside = folder.resolve()
    found: list[Path] = []
    for base, folders, names in os.walk(folder):
        depth = len(Path(base).relative_to(folder).parts)
        folders[:] = [
            name
            for name in sorted(folders, key=natural)
            if not name.startswith(".") and depth < _DEEPEST
        ]
        if "meta.yaml" in names and is_run_folder(Path(base)):
            folders.clear()
            found.append(Path(base))
            continue
        for name in sorted(names, key=natural):
            path = Path(base) / name
            if name.startswith(".") or _NO_LOGS.fullmatch(path.suffix) or name == "README":
                continue
            if path.is_symlink() and not _leads_inside(path, inside):
                continue
            if path.is_file():
                found.append(path)
        if len(found) > _MOST_FILES:
            raise ReadError(
                f"{shown(str(folder))}: more than {_MOST_FILES:,} files; give the folder of a run"
            )
    return found


def natural(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts `log2` before `log10`."""
    return [
        (0, int(part[:18]), "") if part.isdigit() and part.isascii() else (1, 0, part)
        for part in re.split(r"(\d+)", name)
    ]


def _is_log(table: Table, folder: Path) -> bool:
    """Whether a file of a folder has losses or measures over time."""
    if table.layout == "TensorBoard" and _is_line(folder, table):
        return role(folder.name).kind in ("signal", "half", "measure")
    return is_log(table)


def is_log(table: Table) -> bool:
    """Whether a table has losses or measures over time."""
    return any(
        _meaning(name, table) and (len(series) > 1 or _has_step(table))
        for name, series in table.columns.items()
    )


def _meaning(name: str, table: Table) -> bool:
    if name == "#value" or name.lower() == "value":
        name = table.stem
    return role(name.rpartition(" - ")[2]).kind in ("signal", "half", "measure")


def _has_step(table: Table) -> bool:
    return any(role(name).kind == "step" and not role(name).weak for name in table.columns)


def has_losses(table: Table) -> bool:
    """Whether a table has a loss of D or G."""
    return any(
        role(name.rpartition(" - ")[2]).kind in ("signal", "half")
        for name in [*table.columns, *([table.stem] if _anonymous(table) else [])]
    )


def _with_lines_of_charts(folder: Path, by_folder: Folders) -> Folders:
    """TensorBoard's `add_scalars` makes a folder for each line of a chart, named after it.

    The tag is the same in all of them, so the folder's name is what tells D from G; they are moved
    to the folder above.
    """
    result: Folders = {}
    for path, tables in by_folder.items():
        kept = []
        for table in tables:
            if table.layout == "TensorBoard" and path != folder and _is_line(path, table):
                names = {n: n if n.startswith("#") else path.name for n in table.columns}
                columns = {names[n]: series for n, series in table.columns.items()}
                result.setdefault(path.parent, []).append(replace(table, columns=columns))
            else:
                kept.append(table)
        if kept:
            result.setdefault(path, []).extend(kept)
    return result


def _is_line(path: Path, table: Table) -> bool:
    """Whether a table is one line of a chart: one tag, with which the folder's name begins."""
    tags = [name for name in table.columns if not name.startswith("#")]
    return len(tags) == 1 and path.name.startswith(re.sub(r"[/ ]", "_", tags[0]) + "_")


def _anonymous(table: Table) -> bool:
    return any(name == "#value" or name.lower() == "value" for name in table.columns)


def _grouped(folder: Path, by_folder: dict[Path, list[Table]]) -> list[Group]:
    """Folders with losses are runs; evaluations alone belong to the run above or below."""
    by_folder = _with_lines_of_charts(folder, by_folder)
    runs = [path for path, tables in by_folder.items() if any(map(has_losses, tables))]
    if len(runs) <= 1 or len(by_folder) == 1:
        if not runs and len(by_folder) > 1:
            return [(shown(str(path)), tables) for path, tables in by_folder.items()]
        return [(shown(str(folder)), [t for tables in by_folder.values() for t in tables])]
    groups: dict[Path, list[Table]] = {path: list(by_folder[path]) for path in runs}
    for path, tables in by_folder.items():
        if path in groups:
            continue
        above = [run for run in runs if path.is_relative_to(run)]
        below = [run for run in runs if run.is_relative_to(path)]
        nearest = max(above, key=lambda run: len(run.parts), default=None)
        if nearest is None and len(below) == 1:
            nearest = below[0]
        if nearest is not None:
            groups[nearest] += tables
        else:
            groups[path] = list(tables)
    return [(shown(str(path)), tables) for path, tables in groups.items()]


def _leads_inside(link: Path, folder: Path) -> bool:
    """Whether a link ends in the folder; one in a circle ends nowhere."""
    try:
        return link.resolve().is_relative_to(folder)
    except (OSError, RuntimeError):
        return False
