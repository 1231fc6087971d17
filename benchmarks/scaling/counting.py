"""How often a trial asks its storage, counted: statements, transactions, round trips."""

import contextlib
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg
from sqlalchemy import Engine, event

from benchmarks.scaling.distance import Relay
from benchmarks.scaling.forms import Trips
from benchmarks.scaling.postgres import Server
from benchmarks.scaling.synthetic import Synthetic, tune_params
from benchmarks.timing import Row, rounded
from pipeline.search.study import Study


@dataclass
class Counted:
    """What went through SQLAlchemy's engines in this process.

    Attributes:
        statements: sent, a list of values for one statement counting once.
        transactions: in which they were.
        writing: transactions that changed something, each of which the disk must confirm.
    """

    statements: int = 0
    transactions: int = 0
    writing: int = 0


@contextlib.contextmanager
def counted() -> Iterator[Counted]:
    """Count from here on, in all threads."""
    count = Counted()

    def statement(connection: Any, _: Any, text: str, *__: Any) -> None:
        count.statements += 1
        if not text.lstrip().upper().startswith(("SELECT", "PRAGMA")):
            connection.info["writes"] = True

    def end(connection: Any) -> None:
        count.transactions += 1
        count.writing += connection.info.pop("writes", False)

    listeners: dict[str, Callable[..., None]]
    listeners = {"before_cursor_execute": statement, "commit": end, "rollback": end}
    for name, listener in listeners.items():
        event.listen(Engine, name, listener)
    try:
        yield count
    finally:
        for name, listener in listeners.items():
            event.remove(Engine, name, listener)


def count_rows(
    storage: str, url: str, lengths: tuple[int, ...], trials: int, relay: Relay | None
) -> Iterator[Row]:
    """A row for each length of trials, in epochs, and each number of reports that came of it."""
    for epochs in lengths:
        tune = tune_params(epochs)
        study, train = Study(url, f"count-{epochs}", tune, create=True), Synthetic(tune, 0.0)
        found: dict[int, list[tuple[int, int, int, int]]] = {}
        with counted() as count:
            for _ in range(trials):
                before = vars(count).copy()
                reports, trips = train.reports, relay.round_trips if relay else 0
                study.wanted(trials)
                study.run_next(trials, train)
                grown = [value - before[name] for name, value in vars(count).items()]
                trips = relay.round_trips - trips if relay else 0
                found.setdefault(train.reports - reports, []).append((*grown, trips))
        for reports, own in sorted(found.items()):
            middle = [statistics.median(values) for values in zip(*own, strict=True)]
            names = ("statements", "transactions", "writing_transactions", "round_trips")
            row: Row = {"section": "count", "storage": storage, "epochs": epochs}
            row |= {"reports": reports, "trials": len(own), **dict(zip(names, middle, strict=True))}
            if relay is None:
                del row["round_trips"]
            yield row


def connection_rows(server: Server, workers: int) -> Iterator[Row]:
    """How many connections so many workers hold once each has run a trial."""
    tune = tune_params(3)
    studies = [Study(server.address(), "connections", tune, create=True)]
    with psycopg.connect(server.address().replace("+psycopg", "")) as asking:

        def held() -> int:
            """By others than the one who asks."""
            clients = "backend_type = 'client backend' and pid <> pg_backend_pid()"
            found = asking.execute(f"select count(*) from pg_stat_activity where {clients}")  # noqa: S608
            ((number,),) = found.fetchall()
            asking.commit()
            return int(number)

        before = held()
        for _ in range(workers):
            studies.append(Study(server.address(), "connections", tune))
            studies[-1].run_next(workers, Synthetic(tune, 0.0))
        ((most,),) = asking.execute("show max_connections").fetchall()
        row: Row = {"section": "connections", "workers": workers, "connections": held() - before}
        yield row | {"allowed": int(str(most))}


def fitted(rows: list[Row]) -> Trips:
    """The line through counted rows, each weighing as many trials as it has."""
    weights = np.sqrt([float(str(row["trials"])) for row in rows])
    reports = np.array([float(str(row["reports"])) for row in rows])
    trips = np.array([float(str(row["round_trips"])) for row in rows])
    sides = np.stack([np.ones_like(reports), reports], axis=1) * weights[:, None]
    of_trial, of_report = np.linalg.lstsq(sides, trips * weights, rcond=None)[0]
    return Trips(rounded(of_trial), rounded(of_report))
