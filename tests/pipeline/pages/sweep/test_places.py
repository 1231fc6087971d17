import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from pipeline.base.space import Choices, Dimension, Interval, Recipe
from pipeline.pages.sweep.places import slices, space_map
from tests.pipeline.pages.conftest import RECIPE, SPACE, SWEEP, TRIALS
from tests.pipeline.pages.figures import glyphs


def drawn_at(drawn: Any, marker: str, trials: bool) -> Mapping[str, Any]:
    """The columns of what has a marker, of trials or not."""
    (found,) = [
        columns
        for glyph, columns in glyphs(drawn)
        if glyph.marker == marker and ("trial" in columns) == trials
    ]
    return found


def test_each_trial_lies_at_its_rates_with_what_came_of_it() -> None:
    drawn = space_map(TRIALS, SWEEP.best, RECIPE, SPACE, {})
    fine, wrong = drawn_at(drawn, "circle", True), drawn_at(drawn, "square_x", True)
    assert fine["trial"] == [0, 1, 2]
    assert fine["x"] == [0.001, 0.002, 0.003]
    assert fine["y"] == [0.5, 1.0, 0.0005 / 0.003]
    assert fine["best"] == [6.25, 3.25, 8.75]
    assert fine["recipe"][0] == "lr_g 0.001, lr_d 0.0005"
    assert wrong["trial"] == [3, 4]
    assert wrong["fd"] == ["5.5", "none"]  # the second has no stopping point


def test_the_present_recipe_is_marked_also_where_no_trial_had_it() -> None:
    drawn: Any = space_map(TRIALS[:1], None, {"lr_g": 0.5, "lr_d": 0.05}, SPACE, {})
    mark = drawn_at(drawn, "square", False)
    assert (mark["x"], mark["y"]) == ([0.5], [0.1])
    assert drawn.x_range.end > 0.5


def test_there_is_no_map_of_trials_that_never_ended_nor_of_one_dimension() -> None:
    assert space_map(TRIALS[5:], None, RECIPE, SPACE, {}) is None
    assert space_map(TRIALS, None, RECIPE, {"lr_g": SPACE["lr_g"]}, {}) is None
    assert slices(TRIALS[4:], None, SPACE) == {}


LARGE: dict[str, Dimension] = {
    **SPACE,
    "loss": Choices(("bce", "relativistic")),
    "width": Interval(4, 16, "linear"),
}


def test_a_map_of_more_dimensions_shows_the_two_that_matter_most() -> None:
    trials = [
        dataclasses.replace(trial, recipe={**trial.recipe, "loss": loss, "width": 8})
        for trial, loss in zip(TRIALS[:2], ("bce", "relativistic"), strict=True)
    ]
    present: Recipe = {**RECIPE, "loss": "bce", "width": 4}
    drawn: Any = space_map(trials, None, present, LARGE, {"loss": 0.6, "lr_g": 0.3, "width": 0.1})
    places = drawn_at(drawn, "circle", True)
    assert places["x"] == [0.001, 0.002]
    # Beside its like, and never so far that it could be taken for another choice.
    assert [round(place) for place in places["y"]] == [0, 1]
    assert drawn.yaxis[0].major_label_overrides == {0: "bce", 1: "relativistic"}
    assert drawn_at(drawn, "square", False)["y"] == [0]  # that recipe was no trial's


@pytest.mark.parametrize("key", LARGE)
def test_along_each_dimension_lie_the_trials_that_have_a_best_fd(key: str) -> None:
    trials = [
        dataclasses.replace(trial, recipe={**trial.recipe, "loss": "bce", "width": 8})
        for trial in TRIALS[:5]
    ]
    drawn = slices(trials, SWEEP.best, LARGE)
    assert [*drawn] == [*LARGE]
    told = [columns for _, columns in glyphs(drawn[key]) if "trial" in columns]
    assert sorted(number for columns in told for number in columns["trial"]) == [0, 1, 2, 3]
    assert sorted(fd for columns in told for fd in columns["best"]) == [3.25, 5.5, 6.25, 8.75]
