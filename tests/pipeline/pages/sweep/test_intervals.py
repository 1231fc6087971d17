from typing import Any

from bokeh.models.glyphs import Segment

from pipeline.pages.sweep.intervals import candidates, intervals
from tests.pipeline.pages.conftest import CONFIRMED, SPACE, TRIALS, confirmation
from tests.pipeline.pages.figures import glyphs


def test_the_picture_has_each_interval_and_its_mean() -> None:
    drawn: Any = intervals(CONFIRMED, "trial 1")
    (bars,) = [columns for glyph, columns in glyphs(drawn) if isinstance(glyph, Segment)]
    known = CONFIRMED[:2]  # the third has none
    for column in ("name", "low", "mean", "high"):
        assert bars[column] == [getattr(candidate, column) for candidate in known]
    assert bars["colour"][0] != bars["colour"][1]
    assert drawn.x_range.end > max(candidate.high for candidate in known)


def test_a_candidate_of_which_nothing_is_known_is_in_the_table_alone() -> None:
    wrong = confirmation(TRIALS[3], ())
    assert intervals([wrong], None) is None
    assert "went wrong" in candidates([wrong], SPACE)
