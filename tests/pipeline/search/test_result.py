import csv
import dataclasses
import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.base.space import Choices, Interval, Recipe, Space, Value, keys, recipe_of, shown
from pipeline.pages.sweep.trials import Choice
from pipeline.plots.search import best_epoch, best_fd, draw
from pipeline.search.confirmation import Candidate, Confirmed
from pipeline.search.result import Findings, plotted, result, table, write
from pipeline.search.study import Trial
from tests.searches import SHIPPED, trial


def rates(lr_g: float, lr_d: float) -> Recipe:
    return {"lr_g": lr_g, "lr_d": lr_d}


TRIALS = [
    trial(0, [9.0, 6.0, 5.0, 5.5]),
    trial(1, [9.0, 4.0, 8.0], "onset", onset_step=21, onset_epoch=3),
    trial(2, [9.0, 8.0], "pruned"),
    trial(3, [None], "diverged", value=500.0, onset_step=3, onset_epoch=1),
    Trial(4, "failed", None, rates(0.001, 0.001), {}, {"reason": "out of memory"}),
    Trial(5, "waiting", None, {}, {}, {}),
]
PRESENT = Confirmed(Candidate("current", rates(0.002, 0.002), 4), 2, 3, (5.0, 5.2), 5.1, 4.5, 5.7)
OTHER = Confirmed(Candidate("trial 1", rates(0.002, 0.003), 4), 2, 2, (4.0, 4.1), 4.05, 3.7, 4.4)
FEW = Confirmed(
    Candidate("trial 2", rates(0.001, 0.003), 4), 1, None, (), math.inf, math.inf, math.inf
)
WRONG = Confirmed(
    Candidate("trial 0", rates(0.001, 0.003), 4), 2, None, (), math.inf, math.inf, math.inf
)


def findings(trials: list[Trial], confirmed: list[Confirmed]) -> Findings:
    return Findings(
        study="sweep",
        trials=trials,
        max_epochs=4,
        confirmed=confirmed,
        chosen=OTHER if OTHER in confirmed else None,
        fresh_noise={"trial 1": {"fd": [4.2, 4.4], "fd_test": [4.3, 4.5]}},
        importances={"lr_g": 0.75, "lr_ratio": 0.25},
        space=SHIPPED.tune.space,
    )


PICTURES = {"curves", "map", "best_fd", "best_epoch", "history", "cost", "importances"}
FOUND = findings(TRIALS, [PRESENT, OTHER, WRONG])


def test_the_best_trial_is_the_smallest_that_was_neither_cut_nor_broken() -> None:
    assert FOUND.best is TRIALS[1]
    assert findings(TRIALS[2:], []).best is None


def test_what_may_be_applied_is_the_choice_or_without_a_confirmation_the_best_trial() -> None:
    assert FOUND.choice == Choice("trial 1", rates(0.002, 0.003), 2, 4.05, 2)
    assert findings(TRIALS, []).choice == Choice("trial 1", rates(0.002, 0.003), 2, 4.0, 1)
    nothing = findings(TRIALS, [WRONG])
    assert nothing.choice is None
    assert nothing.found == Choice("trial 1", rates(0.002, 0.003), 2, 4.0, 1)
    assert findings(TRIALS[3:], []).found is None


def test_the_cost_counts_epochs_trained_and_what_they_would_have_cost() -> None:
    cost = FOUND.cost
    assert cost.trained == 4 + 3 + 2 + 1
    assert cost.horizon == 4 * 4
    assert cost.singly == (1 + 2 + 3 + 4) + (1 + 2 + 3) + (1 + 2) + 1


def test_the_table_puts_the_choice_first_and_marks_it() -> None:
    lines = table(FOUND).splitlines()
    assert lines[0] == (
        "study sweep: 1 complete, 1 diverged, 1 failed, 1 onset, 1 pruned, 1 waiting"
    )
    names = [line[:9].strip() for line in lines[3:]]
    assert names == ["* trial 1", "current", "trial 0"]
    assert "4.050 (2 seeds)" in lines[3]
    assert lines[3].endswith("4.300")
    assert "went wrong" in lines[5]


def test_a_candidate_whose_seeds_are_still_to_be_trained_did_not_go_wrong() -> None:
    *_, wrong, few = table(findings(TRIALS, [OTHER, WRONG, FEW])).splitlines()
    assert "went wrong" in wrong
    assert "not known yet" in few


def test_without_a_confirmation_the_table_has_the_best_trial_or_says_that_there_is_none() -> None:
    assert "trial 1" in table(findings(TRIALS, []))
    assert "no trial has come to a result yet" in table(findings(TRIALS[3:], []))


def test_the_report_is_strict_json_and_one_row_for_each_trial(tmp_path: Path) -> None:
    write(tmp_path, FOUND)

    def refuse(word: str) -> None:
        raise ValueError(word)

    told = json.loads((tmp_path / "result.json").read_text(), parse_constant=refuse)
    assert told == result(FOUND)
    assert told["chosen"]["epochs"] == 2
    with (tmp_path / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["outcome"] for row in rows] == [trial.outcome for trial in TRIALS]
    assert rows[0]["fd_by_epoch"] == "9 6 5 5.5"
    assert rows[4]["reason"] == "out of memory"
    assert rows[5]["lr_g"] == ""


@pytest.mark.parametrize("count", [1, 2, 3])
def test_pictures_are_drawn_however_little_is_known(tmp_path: Path, count: int) -> None:
    draw(tmp_path, plotted(findings(TRIALS[3 - count : 3], [])))
    names = {file.stem for file in tmp_path.glob("*.png")}
    assert names == PICTURES
    for file in tmp_path.iterdir():
        assert min(Image.open(file).size) > 100


SPACES: dict[str, Space] = {
    "one of numbers": {"width": Interval(4, 64, "log")},
    "one of choices": {"loss": Choices(("bce", "relativistic"))},
    "two of choices": {
        "fakes": Choices(("shared", "inference", "training")),
        "freeze_discriminator": Choices((True, False)),
    },
    "one value": {"beta1": Interval(0.5, 0.5, "linear"), "lr_g": Interval(0.1, 0.1, "log")},
    "four": {
        **SHIPPED.tune.space,
        "r1_gamma": Choices((0.0, 0.2, 1.0)),
        "beta1": Interval(0.0, 0.9, "linear"),
    },
}


def tried(space: Space) -> list[Trial]:
    """Trials spread over a space, of every outcome."""
    outcomes = ("complete", "onset", "pruned", "diverged", "complete", "complete")
    found = []
    for number, outcome in enumerate(outcomes):
        places: dict[str, Value] = {}
        for key, one in space.items():
            if isinstance(one, Choices):
                places[key] = one.choices[number % len(one.choices)]
            else:
                part = (one.max - one.min) * number / len(outcomes)
                places[key] = type(one.min)(one.min + part)
        fds: list[float | None] = [None] if outcome == "diverged" else [9.0, 6.0 - number, 8.0]
        found.append(trial(number, fds, outcome, recipe=recipe_of(places, space)))
    return found


@pytest.mark.parametrize("name", SPACES)
def test_any_space_has_its_pictures(tmp_path: Path, name: str) -> None:
    space = SPACES[name]
    found = dataclasses.replace(findings(tried(space), []), space=space, importances={})
    draw(tmp_path, plotted(found))
    names = {file.stem for file in tmp_path.glob("*.png")}
    assert names == PICTURES - {"importances"} - (set() if len(space) > 1 else {"map"})
    for drawn in (
        best_fd(plotted(found).curves, None, space),
        best_epoch(plotted(found).curves, space),
    ):
        labels = [axis.get_xlabel() for axis in drawn.axes]
        assert labels == ["lr_d / lr_g" if key == "lr_ratio" else key for key in space]
        drawn.draw_without_rendering()
        for axis, dimension in zip(drawn.axes, space.values(), strict=True):
            for line in axis.lines:
                low, high = axis.get_xlim()
                assert all(low <= x <= high for x in np.asarray(line.get_xdata(), float))
            if isinstance(dimension, Choices):
                written = [text.get_text() for text in axis.get_xticklabels()]
                assert written == [shown(choice) for choice in dimension.choices]


@pytest.mark.parametrize("name", SPACES)
def test_any_space_has_its_columns(tmp_path: Path, name: str) -> None:
    space = SPACES[name]
    trials = tried(space)
    found = dataclasses.replace(findings(trials, []), space=space)
    write(tmp_path, found)
    with (tmp_path / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row, one in zip(rows, trials, strict=True):
        assert {key: row[key] for key in keys(space)} == {
            key: shown(value) for key, value in one.recipe.items()
        }
    best = result(found)["best_trial"]
    assert found.best is not None
    assert {key: best[key] for key in keys(space)} == found.best.recipe
    assert all(key in table(found).splitlines()[2] for key in keys(space))


@pytest.mark.parametrize("decades", [0.5, 1.5, 2.0, 2.6])
def test_the_rates_written_beside_an_axis_never_touch(decades: float) -> None:
    trials = [
        trial(number, [5.0, 4.0], lr_g=2e-4 * 10**power, lr_d=3e-4 * 10**power)
        for number, power in enumerate((0.0, decades / 2, decades))
    ]
    figure = best_epoch(plotted(findings(trials, [])).curves, SHIPPED.tune.space)
    figure.draw_without_rendering()
    for axis in figure.axes:
        low, high = axis.get_xlim()
        labels = zip(axis.get_xticks(), axis.get_xticklabels(), strict=True)
        boxes = [text.get_window_extent() for tick, text in labels if low <= tick <= high]
        assert len(boxes) >= 2
        assert all(left.x1 + 4 < right.x0 for left, right in pairwise(boxes))


def test_nothing_is_drawn_of_nothing(tmp_path: Path) -> None:
    draw(tmp_path, plotted(findings(TRIALS[4:], [])))
    assert not list(tmp_path.iterdir())
    draw(tmp_path, plotted(FOUND))
    assert list(tmp_path.iterdir())
