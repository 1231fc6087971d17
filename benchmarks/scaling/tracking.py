"""MLflow's server under this project's rows: how fast they go in, and how long a chart waits."""

import contextlib
import csv
import itertools
import json
import multiprocessing
import random
import sqlite3
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import psycopg
from mlflow.entities import Metric
from mlflow.tracking import MlflowClient

from benchmarks.recipes import ROOT, default_params
from benchmarks.scaling.forms import OF_THE_MACHINE, reports_of, rows_of_run
from benchmarks.scaling.postgres import binaries, postgres
from benchmarks.scaling.tracker import Tracker, create_run, mlflow_server
from benchmarks.timing import Row, rounded
from dcgan.params import TrainParams
from dcgan.training import SIGNALS
from pipeline.base.cli import progress_bar

if TYPE_CHECKING:
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Barrier

BATCH = 1000  # metrics in one call, as the project sends them
CHART_POINTS = 320  # that the UI asks for
_CONTEXT = multiprocessing.get_context("forkserver")

Insert = Callable[[str], None]
"""Puts the rows of a whole run, whose id it is given, into MLflow's tables."""


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        seconds, clients: of logging, by so many processes at once.
        rows, sqlite_rows: in the table of metrics when calls are timed.
        repeats: of each call.
    """

    seconds: float = 15
    clients: tuple[int, ...] = (1, 2, 4)
    rows: tuple[int, ...] = (100_000, 1_000_000, 10_000_000)
    sqlite_rows: tuple[int, ...] = (100_000, 1_000_000)
    repeats: int = 9


QUICK = Size(1, (1,), (1,), (1,), 2)


def measured_names() -> list[str]:
    """The metrics of an epoch's end, as the default run wrote them."""
    with (ROOT / "reports/epochs.csv").open(encoding="utf-8") as file:
        return [name for name in next(csv.reader(file)) if name not in ("epoch", "step", "seconds")]


# --- rows in


def logging_rows(tracker: Tracker, experiment: str, size: Size, there: int) -> Iterator[Row]:
    """Rows per second that go in through the API, by so many clients at once."""
    _CONTEXT.set_forkserver_preload([__name__])
    for clients in size.clients:
        barrier, results = _CONTEXT.Barrier(clients), _CONTEXT.Queue()
        arguments = (tracker.address, experiment, size.seconds, barrier, results)
        processes = [_CONTEXT.Process(target=_log, args=arguments) for _ in range(clients)]
        for process in processes:
            process.start()
        before = tracker.seconds
        rates, calls = zip(*(results.get(timeout=600) for _ in processes), strict=True)
        for process in processes:
            process.join()
        made = sum(map(len, calls))
        spent = (tracker.seconds - before) / made
        row: Row = {"section": "logging", "store": tracker.store, "rows_there": there}
        row |= {"clients": clients, "calls": made, "rows_per_second": rounded(sum(rates))}
        row |= {"call_ms": rounded(1000 * statistics.median(itertools.chain(*calls)))}
        yield row | {"server_cpu_ms": rounded(1000 * spent)}


def _log(
    address: str,
    experiment: str,
    seconds: float,
    barrier: "Barrier",
    results: "Queue[tuple[float, list[float]]]",
) -> None:
    client = MlflowClient(tracking_uri=address)
    run, step, calls = create_run(client, experiment), 0, []
    barrier.wait()
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        metrics = []
        for _ in range(BATCH // len(SIGNALS)):
            step += 1
            metrics += [Metric(f"train/{name}", random.random(), 0, step) for name in SIGNALS]  # noqa: S311
        before = time.perf_counter()
        client.log_batch(run, metrics=metrics)
        calls.append(time.perf_counter() - before)
    results.put((step * len(SIGNALS) / (time.perf_counter() - began), calls))


# --- many rows


def _series(train: TrainParams) -> list[tuple[list[str], int]]:
    """Names of metrics, and after how many steps each has its next value."""
    report = train.sample_every or train.steps_per_epoch
    machine = [f"system/metric_{number}" for number in range(OF_THE_MACHINE)]
    return [
        ([f"train/{name}" for name in SIGNALS], 1),
        ([f"eval/{name}" for name in measured_names()], train.steps_per_epoch),
        (machine, report),
    ]


def insert_postgres(connection: "psycopg.Connection[tuple[object, ...]]") -> Insert:
    """Rows made in the server itself, by INSERT from a series: the least that the table costs."""
    train = default_params().train
    steps = train.epochs * train.steps_per_epoch
    into = "metrics (key, value, timestamp, step, is_nan, run_uuid)"
    made = (
        "select name, random(), 1700000000000 + s * 50, s, false, %s::text "
        "from unnest(%s::text[]) as name, generate_series(%s::bigint, %s::bigint, %s::bigint) as s"
    )

    def insert(run: str) -> None:
        for names, every in _series(train):
            connection.execute(f"insert into {into} {made}", (run, names, every, steps, every))
            last = (run, names, steps, steps, every)
            connection.execute(f"insert into latest_{into} {made}", last)
        connection.commit()

    return insert


def insert_sqlite(connection: sqlite3.Connection) -> Insert:
    """The same in SQLite."""
    train = default_params().train
    steps = train.epochs * train.steps_per_epoch
    into = "metrics (key, value, timestamp, step, is_nan, run_uuid) values (?, ?, ?, ?, 0, ?)"

    def insert(run: str) -> None:
        for names, every in _series(train):
            rows = [
                (name, random.random(), 1_700_000_000_000 + step * 50, step, run)  # noqa: S311
                for name in names
                for step in range(every, steps + 1, every)
            ]
            connection.executemany(f"insert into {into}", rows)
            connection.executemany(
                f"insert into latest_{into}", [row for row in rows if row[3] == steps]
            )
        connection.commit()

    return insert


def fill(tracker: Tracker, experiment: str, runs: list[str], rows: int, insert: Insert) -> Row:
    """Add whole runs, made through the API, until the table has so many rows."""
    client, began = MlflowClient(tracking_uri=tracker.address), time.perf_counter()
    wanted = -(-rows // rows_of_run(default_params().train, len(measured_names())))
    added = range(max(wanted - len(runs), 0))
    for _ in progress_bar(iterable=added, desc=f"{tracker.store}: {rows:,} rows", unit="run"):
        runs.append(create_run(client, experiment))
        insert(runs[-1])
    row: Row = {"section": "filling", "store": tracker.store, "rows_there": rows}
    return row | {"runs": len(runs), "seconds": rounded(time.perf_counter() - began)}


def call_rows(
    tracker: Tracker, experiment: str, runs: Sequence[str], there: int, repeats: int
) -> Iterator[Row]:
    """What the pages wait for: a chart of one run and of ten, a whole series, the table of runs."""
    client, rng = MlflowClient(tracking_uri=tracker.address), random.Random(0)  # noqa: S311

    def chart(number: int) -> Callable[[], object]:
        def call() -> object:
            chosen = rng.sample(runs, min(number, len(runs)))
            query = [("run_ids", run) for run in chosen] + [
                ("metric_key", f"train/{rng.choice(SIGNALS)}"),
                ("max_results", str(CHART_POINTS)),
            ]
            path = "ajax-api/2.0/mlflow/metrics/get-history-bulk-interval"
            asked = f"{tracker.address}/{path}?{urlencode(query)}"
            with urllib.request.urlopen(asked, timeout=600) as answer:  # noqa: S310
                return json.load(answer)["metrics"]

        return call

    calls: dict[str, Callable[[], object]] = {
        "chart of 1 run": chart(1),
        "chart of 10 runs": chart(10),
        "whole series of 1 run": lambda: client.get_metric_history(
            rng.choice(runs), f"train/{rng.choice(SIGNALS)}"
        ),
        "table of 100 runs": lambda: client.search_runs([experiment], max_results=100),
    }
    for name, call in calls.items():
        times, spent = [], tracker.seconds
        for _ in range(repeats):
            before = time.perf_counter()
            assert call()
            times.append(1000 * (time.perf_counter() - before))
        spent = (tracker.seconds - spent) / repeats
        row: Row = {"section": "calls", "store": tracker.store, "rows_there": there, "call": name}
        row |= {"runs": len(runs), "ms": rounded(statistics.median(times))}
        row |= {"highest_ms": rounded(max(times)), "repeats": repeats}
        yield row | {"server_cpu_ms": rounded(1000 * spent)}


# --- all of it


def rows(size: Size) -> Iterator[Row]:
    """Rows of SQLite, then of PostgreSQL."""
    train, measured = default_params().train, len(measured_names())
    yield {
        "section": "run",
        "signals": len(SIGNALS) * train.epochs * train.steps_per_epoch,
        "metrics": measured * train.epochs,
        "machine": OF_THE_MACHINE * reports_of(train),
        "rows": rows_of_run(train, measured),
        "runs_of_10_million": rounded(1e7 / rows_of_run(train, measured)),
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "mlflow.db"
        with (
            mlflow_server(f"sqlite:///{file}", Path(folder)) as tracker,
            contextlib.closing(sqlite3.connect(file, timeout=60)) as connection,
        ):
            insert = insert_sqlite(connection)
            yield from _store_rows(tracker, insert, size.sqlite_rows, size)
        megabytes = rounded(file.stat().st_size / 1e6)
        yield {"section": "size", "store": "sqlite", "megabytes": megabytes}
    if binaries() is None:
        yield {"section": "calls", "store": "postgresql", "skipped": "no PostgreSQL here"}
        return
    with tempfile.TemporaryDirectory() as folder, postgres() as server:
        store = server.address()
        with (
            mlflow_server(store, Path(folder), server.process) as tracker,
            psycopg.connect(store.replace("+psycopg", "")) as connection,
        ):
            insert = insert_postgres(connection)
            yield from _store_rows(tracker, insert, size.rows, size)
            asked = "select pg_table_size('metrics') / 1e6, pg_indexes_size('metrics') / 1e6"
            found = connection.execute(asked).fetchone()
            assert found is not None
            table, indices = (rounded(float(str(value))) for value in found)
            row: Row = {"section": "size", "store": "postgresql", "megabytes": table}
            yield row | {"of_indices_megabytes": indices}


def _store_rows(
    tracker: Tracker, insert: Insert, steps: Sequence[int], size: Size
) -> Iterator[Row]:
    client = MlflowClient(tracking_uri=tracker.address)
    experiment, apart = client.create_experiment("scaling"), client.create_experiment("logged")
    yield from logging_rows(tracker, apart, size, 0)
    runs: list[str] = []
    for there in steps:
        yield fill(tracker, experiment, runs, there, insert)
        yield from call_rows(tracker, experiment, runs, there, size.repeats)
    yield from logging_rows(tracker, apart, size, steps[-1])
