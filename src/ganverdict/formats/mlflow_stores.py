"""MLflow's runs: its folders of text files, its SQLite database, or a tracking server's run."""

import importlib
import sqlite3
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ganverdict.formats.errors import ReadError
from ganverdict.formats.numbers import number
from ganverdict.formats.sources import Lines, from_file, shown
from ganverdict.formats.table import Builder, Table

PREFIX = "mlflow:"
_LARGEST = 1.7976931348623157e308  # how MLflow's databases keep infinity
_MOST_KEYS = 2_000

Entry = tuple[str, float, float]  # the metric's name, its step and its value


def is_run_folder(folder: Path) -> bool:
    """Whether a folder is a run in a folder store (`mlruns/EXPERIMENT/RUN`)."""
    return (folder / "meta.yaml").is_file() and (folder / "metrics").is_dir()


def read_run_folder(folder: Path) -> Table:
    """The metrics of a run: a file each, whose lines are time, value and step."""
    metrics = folder / "metrics"
    files = sorted(p for p in metrics.rglob("*") if p.is_file() and not p.is_symlink())
    entries: list[Entry] = []
    for path in files[:_MOST_KEYS]:
        key = path.relative_to(metrics).as_posix()
        for line in Lines(from_file(path)):
            cells = line.split()
            if len(cells) == 3:
                value, step = number(cells[1]), number(cells[2])
                if value is not None and step is not None:
                    entries.append((key, step, value))
    return _table(str(folder), entries)


def is_database(head: bytes) -> bool:
    """Whether a file is an SQLite database."""
    return head.startswith(b"SQLite format 3\0")


def read_database(path: Path, name: str) -> list[tuple[str, Table]]:
    """The runs of a database that MLflow tracks in, by run name."""
    try:
        return _from_database(path, shown(name))
    except sqlite3.Error as error:
        raise ReadError(f"{shown(name)}: no readable MLflow database ({error})") from None


def _from_database(path: Path, name: str) -> list[tuple[str, Table]]:
    address = f"file:{quote(str(path.resolve()))}?mode=ro"
    connection = sqlite3.connect(address, uri=True)
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        found = {
            row[0]
            for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
        if not {"runs", "metrics"} <= found:
            raise ReadError(f"{name}: an SQLite database, but not of MLflow")
        runs = connection.execute(
            "SELECT run_uuid, name FROM runs WHERE lifecycle_stage != 'deleted' ORDER BY start_time"
        ).fetchall()
        names = Counter(run_name for _, run_name in runs)
        tables = []
        for run_id, run_name in runs:
            rows = connection.execute(
                "SELECT key, value, step, is_nan FROM metrics WHERE run_uuid = ?"
                " ORDER BY timestamp, step",
                (run_id,),
            )
            entries = (
                (str(key), float(step), _stored(value, is_nan))
                for key, value, step, is_nan in rows
                if isinstance(value, int | float) and isinstance(step, int | float)
            )
            title = f"{name}: {shown(str(run_name or run_id))}"
            if run_name and names[run_name] > 1:
                title += f" ({shown(str(run_id)[:8])})"
            tables.append((title, _table(title, entries)))
        return tables
    finally:
        connection.close()


def _stored(value: float, is_nan: Any) -> float:
    if is_nan:
        return float("nan")
    return value if abs(value) < _LARGEST else float("inf") * (1 if value > 0 else -1)


def read_tracked_run(run_id: str) -> Table:
    """A run of the tracking server that MLflow is set up for (MLFLOW_TRACKING_URI)."""
    name = f"{PREFIX}{shown(run_id)}"
    try:
        mlflow = importlib.import_module("mlflow")
    except ImportError:
        raise ReadError(f"{name}: needs MLflow: pip install mlflow") from None
    address = mlflow.get_tracking_uri()
    file = address.removeprefix("sqlite:///")
    if file != address and not Path(file).exists():  # asked, MLflow would create it
        raise ReadError(f"{name}: there is no store {shown(file)}; set MLFLOW_TRACKING_URI")
    entries: list[Entry] = []
    try:
        client = mlflow.MlflowClient()
        for key in list(client.get_run(run_id).data.metrics)[:_MOST_KEYS]:
            history = client.get_metric_history(run_id, key)
            history.sort(key=lambda metric: (metric.timestamp, metric.step))
            entries += [(key, float(m.step), float(m.value)) for m in history]
    except Exception as error:  # whatever a server, a proxy or a database raises
        first = str(error).strip().split("\n")[0][:300]
        raise ReadError(f"{name}: {first or type(error).__name__}") from None
    return _table(name, entries)


def _table(name: str, entries: Iterable[Entry]) -> Table:
    """A row an entry, each with its own step."""
    builder = Builder(shown(name))
    for row, (key, step, value) in enumerate(entries, 1):
        builder.add("#step", row, step)
        builder.add(key[:300], row, value)
    return builder.table("MLflow")
