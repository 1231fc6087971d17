"""The verdict on the 31 public trainings of benchmarks/public_logs: what it must not lose.

No number here is a claim for other data; `make benchmark-verdict` says what holds there.
"""

import csv
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from ganverdict.families import infer
from ganverdict.monitor import Monitor
from ganverdict.verdict import Verdict
from tests.project import REPOSITORY
from tests.recorded_logs import read, read_run

LOGS = Path("benchmarks/public_logs")
LOSSES = {
    "hinge": "hinge",
    "least_square": "lsgan_mean",
    "wasserstein": "wasserstein",
    "vanilla": "bce_mean",
    "None": None,
}


def index() -> list[dict[str, str]]:
    with (REPOSITORY / LOGS / "index.csv").open(newline="") as file:
        return list(csv.DictReader(file))


RUNS = {run["name"]: run for run in index()}


def named(*kinds: str) -> list[str]:
    return [name for name, run in RUNS.items() if run["kind"] in kinds]


@cache
def replay(name: str) -> tuple[list[Verdict], list[float]]:
    """The verdict after each evaluation, and its FID; a second or less."""
    steps, evaluations = read_run(LOGS / name / "losses.csv", LOGS / name / "evaluations.csv")
    monitor = Monitor(loss=LOSSES[RUNS[name]["loss"]], metric="fid")
    numbers, start, verdicts = steps.pop("step"), 0, []
    for step, fid in zip(evaluations["step"], evaluations["fid"], strict=True):
        end = int(numbers.searchsorted(step, side="right"))
        monitor.add_steps(numbers[start:end], {n: v[start:end] for n, v in steps.items()})
        verdicts.append(monitor.add_evaluation(float(step), {"fid": float(fid)}))
        start = end
    return verdicts, [float(fid) for fid in evaluations["fid"]]


def ended(name: str) -> int | None:
    """The evaluation after which training would have ended because it went wrong."""
    return next((i for i, verdict in enumerate(replay(name)[0]) if verdict.ends_training), None)


@pytest.mark.parametrize("name", named("collapsed"))
def test_every_collapse_is_found_and_training_ended(name: str) -> None:
    assert replay(name)[0][-1].status in ("onset", "silent")
    assert ended(name) is not None


def test_half_of_the_collapses_are_announced_where_they_end_training() -> None:
    first = [replay(name)[0][ended(name) or 0] for name in named("collapsed")]
    announced = [verdict for verdict in first if verdict.status == "onset"]
    assert 2 * len(announced) >= len(first)
    assert all((verdict.lead or 0) >= 1 for verdict in announced)


@pytest.mark.parametrize("name", named("fine"))
def test_no_run_that_is_fine_ends_before_its_best(name: str) -> None:
    end, fids = ended(name), replay(name)[1]
    assert end is None or fids.index(min(fids)) < end


@pytest.mark.parametrize("name", list(RUNS))
def test_what_is_kept_at_the_end_is_the_lowest(name: str) -> None:
    verdicts, fids = replay(name)
    assert verdicts[-1].best_value == min(fids)


def test_to_end_costs_half_a_percent_in_the_mean_and_fifteen_at_worst() -> None:
    regrets = []
    for name in RUNS:
        verdicts, fids = replay(name)
        end = ended(name)
        kept = verdicts[-1 if end is None else end].best_value
        assert kept is not None
        regrets.append(kept / min(fids) - 1)
    assert sum(regrets) / len(regrets) <= 0.005
    assert max(regrets) <= 0.15


@pytest.mark.parametrize("name", [name for name in RUNS if LOSSES[RUNS[name]["loss"]]])
def test_a_family_told_by_the_losses_alone_is_the_right_one_or_none(name: str) -> None:
    steps = read(LOGS / name / "losses.csv", ("d_loss", "g_loss"))
    found = infer({signal: steps[signal].filled(np.nan) for signal in ("d_loss", "g_loss")})
    assert found is None or found.name == LOSSES[RUNS[name]["loss"]]
    assert found is not None or RUNS[name]["loss"] != "wasserstein"
