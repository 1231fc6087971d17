"""What is asked of the records, run by run, and what the runs of a kind say together."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.intervals import CONFIDENCE, share_interval
from benchmarks.registered.old_rule import earliest_within_one_error
from benchmarks.registered.registration import Endpoint, Registration
from benchmarks.registered.runs import Run
from ganverdict.loess import minimum
from ganverdict.thresholds import Thresholds
from pipeline.replication.assessment import Record, read_record
from pipeline.store.columns import read_csv

Array = NDArray[np.float64]
Row = dict[str, object]

RESAMPLES = 2000


@dataclass(frozen=True)
class Outcome:
    """A training that has come to its end.

    Attributes:
        record: assessed by the present verdict.
        fresh: fd on the second noise bank by epoch, [m].
        settled: the step from which on states count.
    """

    run: Run
    record: Record
    fresh: Array
    settled: float


def outcomes(
    wanted: Sequence[Run], registration: Registration, thresholds: Thresholds
) -> list[Outcome]:
    """Those of `wanted` whose records are whole; one that failed in its first epoch has none."""
    found = []
    for run in wanted:
        record = read_record(run.folder, thresholds) if run.is_done else None
        if record is not None:
            fresh = read_csv(run.folder / "epochs.csv", ("fd_fresh",))["fd_fresh"]
            settled = registration.settled_epochs * record.epoch_length
            found.append(Outcome(run, record, np.ma.filled(fresh, np.nan), settled))
    return found


def announced(outcome: Outcome) -> float:
    """1 if the alarm came at or before the called onset; 0 also where none is called."""
    verdict = outcome.record.verdict
    known = verdict.alarm_step is not None and verdict.onset_step is not None
    return float(known and (verdict.alarm_step or 0) <= (verdict.onset_step or 0))


def before_minimum(outcome: Outcome) -> float:
    """1 if the alarm came before fd's minimum in hindsight."""
    alarm = outcome.record.verdict.alarm_step
    return float(alarm is not None and alarm < outcome.record.epochs["step"][hindsight(outcome)])


def delay(outcome: Outcome) -> float:
    """Epochs from fd's minimum in hindsight to the confirmation; infinite where there is none."""
    confirmed = outcome.record.verdict.confirm_epoch
    if confirmed is None:
        return math.inf
    return float(confirmed - outcome.record.epochs["epoch"][hindsight(outcome)])


def hindsight(outcome: Outcome) -> int:
    """The row with the minimum of a LOESS through log fd over the whole run."""
    epochs = outcome.record.epochs
    return minimum(epochs["epoch"], epochs["fd"])


def state(outcome: Outcome) -> float:
    """1 if any state held after the first epochs."""
    states = outcome.record.verdict.states
    return float(any(one.until is None or one.until > outcome.settled for one in states))


def called_wrong(outcome: Outcome) -> float:
    """1 if the verdict says that the run went wrong."""
    return float(outcome.record.verdict.went_wrong)


def memorising(outcome: Outcome) -> float:
    """1 if that state was certain before samples confirmed, or with nothing to confirm."""
    verdict = outcome.record.verdict
    raised = [one.raised for one in verdict.states if one.name == "memorising"]
    confirmed = math.inf if verdict.confirm_step is None else verdict.confirm_step
    return float(bool(raised) and min(raised) < confirmed)


def regret(outcome: Outcome) -> float:
    """Fresh fd of the kept weights less that of the old rule's, over the run's lowest."""
    epochs, verdict, fresh = outcome.record.epochs, outcome.record.verdict, outcome.fresh
    if verdict.best_step is None:
        return math.inf
    steps = np.asarray(epochs["step"])
    kept = int(np.searchsorted(steps, verdict.best_step))
    onset = math.inf if verdict.onset_step is None else verdict.onset_step
    before = max(int((steps < onset).sum()), 1)
    old = earliest_within_one_error(epochs["fd"], epochs["fd_sigma"], before)
    return float((fresh[kept] - fresh[old]) / fresh.min())


QUESTIONS: dict[str, Callable[[Outcome], float]] = {
    "announced": announced,
    "before_minimum": before_minimum,
    "delay": delay,
    "state": state,
    "called_wrong": called_wrong,
    "memorising": memorising,
    "regret": regret,
}
"""The value of a run for every endpoint of the registration."""


def answers(
    wanted: Sequence[Run], known: Sequence[Outcome], registration: Registration
) -> Iterator[Row]:
    """A row for each group's statuses; then one for each endpoint and kind, and for each group."""
    for group in registration.groups:
        planned = [run for run in wanted if run.group == group]
        whole = [one for one in known if one.run.group == group]
        if planned:
            statuses = Counter(one.record.verdict.status for one in whole)
            yield {
                "group": group.name,
                "kind": group.kind,
                "runs": len(whole),
                "of": len(planned),
                "statuses": dict(sorted(statuses.items())),
            }
    for endpoint in registration.endpoints:
        asked = [run for run in wanted if endpoint.kind in ("all", run.group.kind)]
        whole = [one for one in known if endpoint.kind in ("all", one.run.group.kind)]
        registered = sum(
            len(group.seeds)
            for group in registration.groups
            if endpoint.kind in ("all", group.kind)
        )
        if not asked:
            continue
        yield {
            "group": endpoint.kind,
            **_answer(endpoint, whole),
            "of": registered,
            **_met(endpoint, whole, registered),
        }
        for group in registration.groups:
            part = [one for one in whole if one.run.group == group]
            if part and len(part) < registered:
                yield {"group": group.name, **_answer(endpoint, part), "of": len(group.seeds)}


def _answer(endpoint: Endpoint, whole: Sequence[Outcome]) -> Row:
    values = np.array([QUESTIONS[endpoint.name](one) for one in whole])
    row: Row = {"endpoint": endpoint.name, endpoint.statistic: None, "interval": None}
    if len(values):
        row[endpoint.statistic] = _json(_statistic(endpoint, values))
        row["interval"] = [_json(bound) for bound in _interval(endpoint, values)]
    return {**row, "runs": len(values)}


def _met(endpoint: Endpoint, whole: Sequence[Outcome], registered: int) -> Row:
    """What is wanted, and whether it is so; None as long as a run is missing."""
    low, high = endpoint.at_least, endpoint.at_most
    if low is None and high is None:
        return {}
    wanted = f"at least {low:g}" if low is not None else f"at most {high:g}"
    met = None
    if len(whole) == registered:
        value = _statistic(endpoint, np.array([QUESTIONS[endpoint.name](one) for one in whole]))
        met = (low is None or value >= low) and (high is None or value <= high)
    return {"wanted": wanted, "met": met}


def _statistic(endpoint: Endpoint, values: Array) -> float:
    return float(np.median(values) if endpoint.statistic == "median" else values.mean())


def _interval(endpoint: Endpoint, values: Array) -> tuple[float, float]:
    """Exact for a share, else by a bootstrap over runs."""
    if endpoint.statistic == "share":
        return share_interval(int(values.sum()), len(values))
    tail = (1 - CONFIDENCE) / 2
    drawn = np.random.default_rng(0).choice(values, (RESAMPLES, len(values)))
    each = np.median(drawn, axis=1) if endpoint.statistic == "median" else drawn.mean(axis=1)
    low, high = np.quantile(each, (tail, 1 - tail), method="inverted_cdf")
    return float(low), float(high)


def _json(value: float) -> float | None:
    """None for infinity, which JSON has not: a decline that nothing confirmed."""
    return round(value, 4) if math.isfinite(value) else None
