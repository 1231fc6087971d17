"""Timing several runs at once, where one of them does not come."""

import threading
from pathlib import Path

import pytest

from benchmarks.study import cost
from benchmarks.study.cost import Cost, Timing, costs, time_run
from benchmarks.study.worker import Job
from pipeline.base.cli import UserError
from pipeline.base.interrupt import Interrupt
from pipeline.replication.runs import Run
from tests.searches import SHIPPED

JOB = Job(Run("joint", 1, Path("records")), SHIPPED, Path("digits"), None)


class Nothing:
    """Takes the pool's place: no worker comes to its end."""

    def __init__(self, *_: object) -> None: ...

    def run(self, _: object) -> None: ...


def test_costs_that_were_not_all_found_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "Pool", Nothing)
    with pytest.raises(UserError, match="a worker did not begin in five minutes"):
        costs([JOB], Interrupt())


def test_a_worker_that_fails_does_not_let_the_others_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    class Found:
        def put(self, _: Cost) -> None:
            pytest.fail("nothing was timed")

    def fail(_: Timing) -> Cost:
        raise UserError("no data")

    together = threading.Barrier(2)
    monkeypatch.setattr(cost, "_timed", fail)
    with pytest.raises(UserError, match="no data"):
        time_run(Timing(JOB, together, Found()), lambda _: True)
    assert together.broken
