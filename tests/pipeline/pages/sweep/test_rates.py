from collections.abc import Mapping
from typing import Any

from pipeline.pages.sweep.rates import rates
from tests.pipeline.pages.conftest import SWEEP, TRIALS
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
    drawn = rates(TRIALS, SWEEP.best, SWEEP.present)
    fine, wrong = drawn_at(drawn, "circle", True), drawn_at(drawn, "square_x", True)
    assert fine["trial"] == [0, 1, 2]
    assert fine["lr_g"] == [0.001, 0.002, 0.003]
    assert fine["ratio"] == [0.5, 1.0, 0.0005 / 0.003]
    assert fine["best"] == [6.25, 3.25, 8.75]
    assert wrong["trial"] == [3, 4]
    assert wrong["fd"] == ["5.5", "none"]  # the second has no stopping point


def test_the_present_rates_are_marked_also_where_no_trial_had_them() -> None:
    drawn: Any = rates(TRIALS[:1], None, (0.5, 0.05))
    mark = drawn_at(drawn, "square", False)
    assert (mark["x"], mark["y"]) == ([0.5], [0.1])
    assert drawn.x_range.end > 0.5


def test_there_is_no_map_of_trials_that_never_ended() -> None:
    assert rates(TRIALS[5:], None, SWEEP.present) is None
