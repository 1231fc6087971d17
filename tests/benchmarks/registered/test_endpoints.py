"""What is asked of records made by hand."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.registered.endpoints import QUESTIONS, Outcome, answers
from benchmarks.registered.registration import Endpoint, Group, Registration
from benchmarks.registered.runs import Run, runs
from ganverdict.verdict import HeldState, Verdict
from pipeline.replication.assessment import Record
from tests.small import FP32, MEASURE, train_params

LENGTH, EPOCHS = 10, 20
GROUP = Group("joint-a", "joint", (1, 2, 3, 4), None, train_params())
OTHER = Group("joint-b", "joint", (5, 6), None, train_params())
FINE = Group("fine", "healthy", (7, 8), None, train_params())
ROOT = Path("records")

# Falls to epoch 12, then rises; one epoch, the 6th, is luckier than its neighbours.
NUMBER = np.arange(1.0, EPOCHS + 1)
FDS = 10 + np.abs(NUMBER - 12)
FDS[5] = 9.5


def outcome(group: Group = GROUP, seed: int = 1, fds: Any = FDS, **verdict: Any) -> Outcome:
    """A run; epochs among the changes of its verdict are given, steps follow from them."""
    steps = {
        name.replace("epoch", "step"): int(value * LENGTH)
        for name, value in verdict.items()
        if name.endswith("epoch") and value is not None
    }
    told = Verdict(**{"status": "stable", "reason": "", "best_step": LENGTH, **steps, **verdict})
    epochs: Any = {"epoch": NUMBER, "step": NUMBER * LENGTH, "fd": np.asarray(fds)}
    epochs["fd_sigma"] = np.full(EPOCHS, 0.2)
    record = Record("joint", seed, True, {}, epochs, {}, told, ())
    return Outcome(Run(group, seed, ROOT), record, FDS, settled=6 * LENGTH)


def held(name: str, raised: float, until: float | None) -> dict[str, Any]:
    return {"states": (HeldState(name, "", 1, raised, until),)}


def asked(name: str, **verdict: Any) -> float:
    return QUESTIONS[name](outcome(**verdict))


@pytest.mark.parametrize(
    ("alarm_step", "onset_epoch", "expected"),
    [(50, 9, 1), (90, 9, 1), (91, 9, 0), (None, 9, 0), (50, None, 0)],
)
def test_an_alarm_announces_at_the_onset_at_the_latest(
    alarm_step: int | None, onset_epoch: int | None, expected: float
) -> None:
    assert asked("announced", alarm_step=alarm_step, onset_epoch=onset_epoch) == expected


def test_the_minimum_in_hindsight_is_that_of_a_smooth_curve_not_of_one_lucky_epoch() -> None:
    assert asked("delay", confirm_epoch=15) == 3
    assert asked("before_minimum", alarm_step=11 * LENGTH) == 1
    assert asked("before_minimum", alarm_step=12 * LENGTH) == 0
    assert asked("before_minimum") == 0


def test_a_decline_that_nothing_confirmed_waits_for_ever() -> None:
    assert asked("delay") == math.inf


def test_a_state_of_the_first_epochs_is_none_and_a_later_one_is() -> None:
    assert asked("state") == 0
    assert asked("state", **held("saturated", 30, until=60)) == 0
    assert asked("state", **held("saturated", 30, until=61)) == 1
    assert asked("state", **held("at_chance", 100, until=None)) == 1


def test_a_run_that_is_called_wrong_is_one_whatever_the_word() -> None:
    assert [asked("called_wrong", status=s) for s in ("stable", "plateau")] == [0, 0]
    assert [asked("called_wrong", status=s) for s in ("silent", "stall")] == [1, 1]


@pytest.mark.parametrize(
    ("raised", "confirm_epoch", "expected"), [(50, 6, 1), (60, 6, 0), (50, None, 1)]
)
def test_memorising_counts_before_samples_confirm(
    raised: int, confirm_epoch: int | None, expected: float
) -> None:
    told = held("memorising", raised, None)
    assert asked("memorising", confirm_epoch=confirm_epoch, **told) == expected
    assert asked("memorising", confirm_epoch=confirm_epoch) == 0


def test_regret_is_against_what_the_old_rule_keeps_on_noise_that_neither_saw() -> None:
    # Of all epochs the old rule keeps the 11th, of those before an onset at 9 the 7th.
    assert asked("regret", best_epoch=11) == 0
    assert asked("regret", best_epoch=12) == pytest.approx((10 - 11) / 9.5)
    assert asked("regret", best_epoch=12, onset_epoch=9) == pytest.approx((10 - 15) / 9.5)
    assert asked("regret", best_step=None) == math.inf


def registered(*endpoints: Endpoint) -> Registration:
    groups = (GROUP, OTHER, FINE)
    plan = Path("plan.yaml")
    return Registration(plan, FP32, MEASURE, 0, 6, groups, endpoints, "none", "digest")


def rows(known: list[Outcome], *endpoints: Endpoint) -> list[dict[str, Any]]:
    registration = registered(*endpoints)
    found = list(answers(runs(registration, ROOT), known, registration))
    return [json.loads(json.dumps(row, allow_nan=False)) for row in found]


ANNOUNCED = Endpoint("announced", "joint", "share", "", 0.83, None)
DELAY = Endpoint("delay", "joint", "median", "", None, 10)


def joint(early: int) -> list[Outcome]:
    """All six joint runs, the alarms of so many in time."""
    seeds = [(group, seed) for group in (GROUP, OTHER) for seed in group.seeds]
    return [
        outcome(group, seed, alarm_step=80 if place < early else 95, onset_epoch=9)
        for place, (group, seed) in enumerate(seeds)
    ]


def test_an_endpoint_is_met_or_not_once_all_runs_are_in_and_open_before() -> None:
    def of_kind(known: list[Outcome]) -> dict[str, Any]:
        (row,) = [one for one in rows(known, ANNOUNCED) if one["group"] == "joint"]
        return row

    assert of_kind([])["met"] is None
    assert of_kind(joint(6)[:5])["met"] is None
    assert of_kind(joint(5))["met"] is True
    assert of_kind(joint(4))["met"] is False
    row = of_kind(joint(5))
    assert (row["share"], row["runs"], row["of"], row["wanted"]) == (0.8333, 6, 6, "at least 0.83")
    assert 0.3 < row["interval"][0] < 0.83 < row["interval"][1] < 1


def test_every_group_tells_its_part_and_its_statuses() -> None:
    found = rows(joint(4), ANNOUNCED)
    assert [one["statuses"] for one in found if one.get("kind")] == [
        {"stable": 4},
        {"stable": 2},
        {},
    ]
    parts = {one["group"]: one["share"] for one in found if one.get("endpoint")}
    assert parts == {"joint": 0.6667, "joint-a": 1, "joint-b": 0}


def test_a_median_with_unconfirmed_runs_is_a_number_while_most_are_confirmed() -> None:
    known = [
        dataclasses.replace(one, record=outcome(confirm_epoch=epoch).record)
        for one, epoch in zip(joint(6), (14, 15, 16, 17, None, None), strict=True)
    ]
    row = next(one for one in rows(known, DELAY) if one["group"] == "joint")
    assert row["median"] == 4.5
    assert row["met"] is True
    assert row["interval"] == [3, None]
    known = [dataclasses.replace(one, record=outcome().record) for one in known]
    row = next(one for one in rows(known, DELAY) if one["group"] == "joint")
    assert (row["median"], row["met"]) == (None, False)


def test_what_is_only_reported_is_neither_met_nor_wanted() -> None:
    plain = Endpoint("before_minimum", "joint", "share", "", None, None)
    row = next(one for one in rows(joint(6), plain) if one["group"] == "joint")
    assert not {"met", "wanted"} & row.keys()
