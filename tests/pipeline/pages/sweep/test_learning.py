import json
import math
from typing import Any

import pytest
from bokeh.embed import json_item
from bokeh.models.glyphs import Scatter

from pipeline.pages.sweep.learning import boxes, curves, kinds
from tests.pipeline.pages.conftest import SWEEP, TRIALS, curve
from tests.pipeline.pages.figures import glyphs


def points(drawn: Any) -> dict[tuple[int, int], float]:
    """fd by trial and epoch, of all that the pointer can meet."""
    sources = [
        columns
        for glyph, columns in glyphs(drawn)
        if isinstance(glyph, Scatter) and "trial" in columns
    ]
    return {
        (trial, epoch): fd
        for data in sources
        for trial, epoch, fd in zip(data["trial"], data["epoch"], data["fd"], strict=True)
    }


def test_each_measurement_is_a_point_and_the_choice_a_kind_of_its_own() -> None:
    found = kinds(TRIALS, SWEEP.best)
    assert {kind: [trial.number for trial in group] for kind, group in found.items()} == {
        "to its end": [0],
        "cut": [2],
        "went wrong": [3],
        "chosen: trial 1": [1],
    }
    assert points(curves(found, SWEEP.best)) == {
        (trial.number, epoch): fd
        for trial in TRIALS
        for epoch, fd in zip(trial.epochs, trial.fds, strict=True)
    }
    assert "cut (1)" in boxes(found, SWEEP.best)


def test_the_stop_is_a_star_where_it_was_confirmed() -> None:
    drawn = curves(kinds(TRIALS, SWEEP.best), SWEEP.best)
    (star,) = [columns for glyph, columns in glyphs(drawn) if "star" in glyph.tags]
    assert (star["x"], star["y"]) == ([3], [3.75])


@pytest.mark.parametrize("bad", [0.0, -1.0])
def test_what_has_no_place_on_a_logarithmic_axis_is_a_gap(bad: float) -> None:
    drawn = curves(kinds([curve(0, [3.0, bad, 2.0])], None), None)
    assert math.isnan(points(drawn)[0, 2])
    assert "NaN" not in json.dumps(json_item(drawn))


def test_of_a_long_curve_the_best_epoch_and_the_ends_are_among_the_points() -> None:
    trial = curve(0, [5.0 + (n - 333) ** 2 for n in range(1000)])
    found = [epoch for _, epoch in points(curves(kinds([trial], None), None))]
    assert {1, 334, 1000} <= set(found)
    assert len(found) <= 60
