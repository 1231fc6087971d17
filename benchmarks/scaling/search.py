"""Trials in an hour against workers and distance, and a long study's growth, beside the model."""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.scaling.counting import connection_rows, count_rows, fitted
from benchmarks.scaling.distance import relay
from benchmarks.scaling.forms import Trips, trials_per_hour
from benchmarks.scaling.postgres import Server, binaries, postgres
from benchmarks.scaling.processor import processor_seconds
from benchmarks.scaling.synthetic import Share, per_hour, together, tune_params
from benchmarks.timing import Row, rounded
from pipeline.base.cli import progress_bar
from pipeline.search.study import Study

EPOCH_SECONDS = 0.001  # a synthetic epoch
EPOCHS = 15  # of a trial, as by default
_SKIPPED: Row = {"storage": "postgresql", "skipped": "no PostgreSQL here"}


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        lengths, counted: of trials that are counted, in epochs, and how many of each.
        workers: at once, each number of them in turn.
        per_worker: trials of a worker, for each distance (milliseconds of a round trip).
        rounds: of all that is timed.
        study, study_workers, study_epochs: the long study.
    """

    lengths: tuple[int, ...] = (3, 7, 15)
    counted: int = 6
    workers: tuple[int, ...] = (1, 2, 4, 8)
    per_worker: tuple[tuple[int, int], ...] = ((0, 6), (20, 2), (100, 1))
    rounds: int = 2
    study: int = 1000
    study_workers: int = 4
    study_epochs: int = 3


QUICK = Size((3,), 2, (1, 2), ((0, 2), (5, 1)), 1, 6, 2, 3)


def sync_milliseconds(folder: Path, times: int = 30) -> float:
    """What the disk takes to confirm a small write, the median."""
    found = []
    with (folder / "sync").open("wb") as file:
        for _ in range(times):
            file.write(b"x" * 4096)
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            found.append(1000 * (time.perf_counter() - began))
    return statistics.median(found)


# --- trials


@dataclass(frozen=True)
class Run:
    """One timed study.

    Attributes:
        storage, round_trip_ms, workers: where, how far away, by how many at once.
        rate: trials in an hour.
        reports: of a trial, the mean.
        worker_seconds, server_seconds: of processor time for a trial.
        errors: how many workers the storage ended.
    """

    storage: str
    round_trip_ms: int
    workers: int
    rate: float
    reports: float
    worker_seconds: float
    server_seconds: float
    errors: int

    def row(self) -> Row:
        """As a line; medians over the rounds come later."""
        values = {name: rounded(value) for name, value in vars(self).items() if name != "storage"}
        return {"section": "runs", "storage": self.storage, **values}


def trial_rows(size: Size) -> Iterator[Row]:
    """Counts, then trials in an hour by storage, distance and workers."""
    with tempfile.TemporaryDirectory() as folder:
        file = f"sqlite:///{folder}/study.db"
        yield from count_rows("sqlite", file, size.lengths, size.counted, None)
        plan = [
            (number, workers, size.per_worker[0][1])
            for number in range(size.rounds)
            for workers in size.workers
        ]
        runs = []
        for number, workers, per_worker in progress_bar(iterable=plan, desc="sqlite", unit="study"):
            shares = _timed(file, f"{workers}-{number}", workers, per_worker)
            runs.append(_run("sqlite", 0, shares, 0.0))
            yield runs[-1].row() | {"sync_ms": rounded(sync_milliseconds(Path(folder)))}
        yield from rate_rows(runs, None)
    if binaries() is None:
        yield {"section": "trials", **_SKIPPED}
        return
    with postgres() as server:
        yield from _far_rows(server, size)


def _far_rows(server: Server, size: Size) -> Iterator[Row]:
    with relay(server.port, 0) as near:
        address = server.address(port=near.port)
        counts = list(count_rows("postgresql", address, size.lengths, size.counted, near))
    yield from counts
    yield from connection_rows(server, size.workers[-1])
    plan = [
        (number, distance, workers, per_worker)
        for number in range(size.rounds)
        for distance, per_worker in size.per_worker
        for workers in size.workers
    ]
    runs = []
    for number, distance, workers, per_worker in progress_bar(
        iterable=plan, desc="postgresql", unit="study"
    ):
        # Through the relay also where it does not delay: near and far differ by the delay alone.
        with relay(server.port, distance) as far:
            before = processor_seconds(server.process)
            name = f"{distance}-{workers}-{number}"
            shares = _timed(server.address(port=far.port), name, workers, per_worker)
            spent = processor_seconds(server.process) - before
        runs.append(_run("postgresql", distance, shares, spent))
        yield runs[-1].row()
    yield from rate_rows(runs, fitted(counts))


def _timed(url: str, name: str, workers: int, per_worker: int) -> list[Share]:
    trials = workers * per_worker
    return together(url, name, tune_params(EPOCHS), workers, trials, EPOCH_SECONDS)


def _run(storage: str, distance: int, shares: Sequence[Share], server: float) -> Run:
    trials = max(sum(len(share.ends) for share in shares), 1)
    return Run(
        storage,
        distance,
        len(shares),
        per_hour(shares),
        sum(share.reports for share in shares) / trials,
        sum(share.processor for share in shares) / trials,
        server / trials,
        sum(bool(share.error) for share in shares),
    )


def rate_rows(runs: Sequence[Run], trips: Trips | None) -> Iterator[Row]:
    """A row for each distance and number of workers: medians over the rounds, and the model's rate.

    The model knows the rate of one worker at no distance, the processor time of a trial there, and
    the counted round trips; of all else it is told workers and milliseconds.
    """
    fewest = min(run.workers for run in runs)
    alone = [run for run in runs if run.round_trip_ms == 0 and run.workers == fewest]
    own = statistics.median(3600 * fewest / run.rate for run in alone)
    busy = statistics.median(run.worker_seconds + run.server_seconds for run in alone)
    for distance, workers in dict.fromkeys((run.round_trip_ms, run.workers) for run in runs):
        same = [run for run in runs if (run.round_trip_ms, run.workers) == (distance, workers)]
        rate, reports, client, server = (
            statistics.median(getattr(run, name) for run in same)
            for name in ("rate", "reports", "worker_seconds", "server_seconds")
        )
        row: Row = {"section": "trials", "storage": same[0].storage, "round_trip_ms": distance}
        row |= {"workers": workers, "runs": len(same), "reports": rounded(reports)}
        row |= {"trials_per_hour": rounded(rate), "lowest": rounded(min(r.rate for r in same))}
        row |= {"highest": rounded(max(r.rate for r in same))}
        row |= {"errors": sum(run.errors for run in same), "worker_cpu_ms": rounded(1000 * client)}
        if trips is not None:
            trial = own + trips(reports) * distance / 1000
            modelled = trials_per_hour(workers, trial, busy, os.cpu_count() or 1)
            row |= {"server_cpu_ms": rounded(1000 * server), "model": rounded(modelled)}
            row["measured_over_model"] = rounded(rate / modelled)
        yield row


# --- study


def study_rows(size: Size) -> Iterator[Row]:
    """A long study on each storage: how its trials slow down, and what reading it costs."""
    with tempfile.TemporaryDirectory() as folder:
        yield from _long_study("sqlite", f"sqlite:///{folder}/study.db", size)
        bytes_of_file = (Path(folder) / "study.db").stat().st_size
        yield {"section": "study", "storage": "sqlite", "megabytes": rounded(bytes_of_file / 1e6)}
    if binaries() is None:
        yield {"section": "study", **_SKIPPED}
        return
    with postgres() as server:
        before = processor_seconds(server.process)
        yield from _long_study("postgresql", server.address(), size)
        spent = (processor_seconds(server.process) - before) / size.study
        yield {"section": "study", "storage": "postgresql", "server_cpu_ms": rounded(1000 * spent)}


def _long_study(storage: str, url: str, size: Size) -> Iterator[Row]:
    tune = tune_params(size.study_epochs)
    shares = together(
        url, "long", tune, size.study_workers, size.study, EPOCH_SECONDS, progress=storage
    )
    ends = sorted(end for share in shares for end in share.ends)
    told: Row = {"section": "study", "storage": storage, "workers": size.study_workers}
    block = max(size.study // 10, 2)
    for first in range(0, len(ends) - block + 1, block):
        own = ends[first : first + block]
        rate = 3600 * (block - 1) / (own[-1] - own[0])
        yield told | {"trials_from": first, "trials_per_hour": rounded(rate)}
    errors = [share.error for share in shares if share.error]
    processor = sum(share.processor for share in shares) / len(ends)
    told |= {"trials": len(ends), "errors": len(errors), "first_error": next(iter(errors), None)}
    yield told | {
        "trials_per_hour": rounded(3600 * len(ends) / ends[-1]),
        "worker_cpu_ms": rounded(1000 * processor),
    }
    study = Study(url, "long", tune)
    looks: dict[str, Callable[[], object]] = {
        "first look": study.trials,
        "next look": study.trials,
    }
    for what, look in looks.items():
        began, processor = time.perf_counter(), time.process_time()
        look()
        row: Row = {"section": "looks", "storage": storage, "trials": len(ends), "what": what}
        row |= {"ms": rounded(1000 * (time.perf_counter() - began))}
        yield row | {"processor_ms": rounded(1000 * (time.process_time() - processor))}
