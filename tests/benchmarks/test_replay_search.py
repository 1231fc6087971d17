"""Replays over maps made by hand."""

import math
from pathlib import Path

import pytest

from benchmarks import learning_curves
from benchmarks.learning_curves import COLUMNS, EPOCHS, Training, read_table, trainings, write_table
from benchmarks.replay_search import STRATEGIES, Cost, Curve, Map, read_maps, replay, summary
from tests.searches import SHIPPED

TUNE = SHIPPED.tune
GOOD, BAD = (0.001, 1.0), (0.01, 1.0)


def curve(fds: list[float], known_at: int | None = None) -> Curve:
    best: list[tuple[float, int] | None] = []
    for epoch, fd in enumerate(fds, start=1):
        known = best[-1] if best else None
        best.append((fd, epoch) if known is None or fd < known[0] else known)
    failed_at = len(fds) + 1 if len(fds) < EPOCHS else None
    return Curve(tuple(fds), tuple(best), known_at or failed_at, failed_at)


FALLING = [float(20 - epoch) for epoch in range(1, EPOCHS + 1)]
WORSE = [100.0 + fd for fd in FALLING]
TABLE = Map({GOOD: [curve(FALLING)] * 2, BAD: [curve(WORSE)] * 2})


def strategy(name: str) -> int:
    return [one.name for one in STRATEGIES].index(name)


def test_regret_is_against_the_best_stop_of_the_whole_table() -> None:
    assert TABLE.regret(GOOD, EPOCHS) == 0
    assert TABLE.regret(GOOD, 5) == pytest.approx(15 / 5 - 1)
    assert TABLE.regret(BAD, EPOCHS) == pytest.approx(105 / 5 - 1)


def test_a_stop_after_the_failure_of_one_seed_is_never_good() -> None:
    table = Map({GOOD: [curve(FALLING), curve(FALLING[:8], known_at=9)]})
    assert math.isinf(table.regret(GOOD, 9))
    assert table.regret(GOOD, 8) == 0


def test_every_strategy_finds_the_stop_and_pays_for_what_it_trains() -> None:
    for one in STRATEGIES:
        cost = replay(TABLE, one, TUNE, seed=0)
        assert math.isfinite(cost.epochs), one.name
        if one.mode == "resource" and one.pruner == "none":
            assert cost.epochs == EPOCHS * cost.trials


def test_an_onset_is_paid_for_until_it_is_known() -> None:
    table = Map({GOOD: [curve([*FALLING[:8], *WORSE[8:]], known_at=11)]})
    cost = replay(table, STRATEGIES[strategy("every epoch, TPE")], TUNE, seed=0)
    assert cost == Cost(11, 1)  # it named a stop before the onset, or it would have gone on


def test_where_the_verdict_ends_nothing_trials_are_paid_for_to_their_end() -> None:
    table = Map({GOOD: [curve([*FALLING[:8], *WORSE[8:]], known_at=11)]})
    patient = STRATEGIES[strategy("every epoch, TPE, nothing ended")]
    assert replay(table, patient, TUNE, seed=0) == Cost(EPOCHS, 1)


def test_a_search_sees_one_seed_and_is_scored_by_it() -> None:
    table = Map({GOOD: [curve(FALLING), curve(WORSE)], BAD: [curve(WORSE), curve(FALLING)]})
    random = STRATEGIES[strategy("every epoch, random")]
    for seed in range(6):
        assert math.isfinite(replay(table, random, TUNE, seed).epochs)
        assert table.of_seed(seed).regret(BAD if seed % 2 else GOOD, EPOCHS) == 0


def test_a_search_that_finds_nothing_good_enough_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("benchmarks.replay_search.MOST_EPOCHS", 60)
    table = Map({GOOD: [curve(FALLING)], BAD: [curve(WORSE)]})
    monkeypatch.setattr(Map, "regret", lambda *_: 1.0)
    assert replay(table, STRATEGIES[3], TUNE, seed=0) == Cost(math.inf, math.inf)


def test_the_summary_compares_medians_with_the_plain_way() -> None:
    plain, other = STRATEGIES[0].name, STRATEGIES[3].name
    costs = {("joint", plain): [Cost(e, 1) for e in (100, 200, 300, 400)]}
    costs["joint", other] = [Cost(e, 1) for e in (10, 20, 30, math.inf)]
    rows = summary(costs)
    assert [row["epochs_median"] for row in rows] == [300, 30]
    assert rows[1]["share_of_plain"] == 0.1
    assert rows[1]["not_found"] == 1


def test_recorded_rows_are_read_back_as_curves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning_curves, "TABLE", tmp_path / "curves.csv")
    rows = []
    for training in trainings():
        if training.lr_g != 0.001 or training.ratio != 0.4:
            continue
        for epoch in (1, 2, 3):
            bad = epoch == 3 and training.seed == 2
            values = dict.fromkeys(COLUMNS, "") | {
                "recipe": training.recipe,
                "lr_g": "0.001",
                "ratio": "0.4",
                "seed": str(training.seed),
                "epoch": str(epoch),
                "fd": "" if bad else str(10 - epoch),
            }
            rows.append(values)
    write_table(rows[::-1])
    table = read_table(learning_curves.TABLE)
    assert [Training.of(row).seed for row in table] == [1] * 3 + [1] * 3 + [2] * 3 + [2] * 3
    found = read_maps(learning_curves.TABLE)
    assert found.keys() == {"frozen", "joint"}
    whole, failed = found["joint"].curves[0.001, 0.4]
    assert (whole.fds, whole.known_at) == ((9.0, 8.0, 7.0), None)
    assert (failed.fds, failed.known_at) == ((9.0, 8.0), 3)
    assert failed.best[-1] == (8.0, 2)


def test_the_map_is_large_enough_and_half_of_it_is_joint() -> None:
    rates = {(t.recipe, t.lr_g, t.ratio) for t in trainings()}
    assert len(rates) >= 40
    assert 2 * sum(recipe == "joint" for recipe, *_ in rates) == len(rates)
    assert len(trainings()) == 2 * len(rates)
