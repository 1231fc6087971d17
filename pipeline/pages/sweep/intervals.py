"""How far to trust what a sweep found: its candidates over fresh seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

from bokeh.models.ranges import FactorRange, Range1d
from bokeh.models.sources import ColumnDataSource
from bokeh.models.tools import HoverTool
from bokeh.plotting import figure

from ganverdict.curves import BLUE, GREY, SKY
from ganverdict.report import blank, in_ink
from pipeline.base.interval import CONFIDENCE
from pipeline.base.space import Recipe, Space
from pipeline.pages.layout import table
from pipeline.pages.sweep.trials import searched, values

_INTERVAL = f"{100 * CONFIDENCE:.0f} % interval"
PRESENT = "present recipe"  # their name among candidates


@dataclass(frozen=True)
class Confirmation:
    """A recipe that was trained again over fresh seeds.

    Attributes:
        name: "trial N", or `PRESENT`.
        runs: that came to a result.
        epoch: one for all seeds; None: nothing more is known, for the reason `unknown`.
        fds, mean, low, high: of fd, one for each seed, and Student's interval of their mean.
        fresh_noise: mean fd on noise that no choice has seen, where it was measured.
    """

    name: str
    recipe: Recipe
    runs: int
    epoch: int | None
    unknown: str
    fds: tuple[float, ...]
    mean: float
    low: float
    high: float
    fresh_noise: float | None

    @property
    def words(self) -> str:
        """fd with its interval."""
        if self.epoch is None:
            return self.unknown
        between = f"{_INTERVAL} {self.low:.4g} to {self.high:.4g}"
        return f"fd {self.mean:.4g} over {len(self.fds)} fresh seeds, {between}"


def intervals(confirmed: Sequence[Confirmation], chosen: str | None) -> figure | None:
    """The mean of each candidate with its seeds and interval; None where nothing is known."""
    known = [candidate for candidate in confirmed if candidate.epoch is not None]
    if not known:
        return None
    end = 1.05 * max(max(candidate.high, *candidate.fds) for candidate in known)
    drawn = blank(
        90 + 44 * len(known),
        Range1d(start=0, end=end),
        FactorRange(factors=[candidate.name for candidate in reversed(known)]),
        tools="save",
        toolbar_location="above",
    )
    drawn.xaxis.axis_label = "fd (lower is better)"
    colours = [
        BLUE if candidate.name == chosen else GREY if candidate.name == PRESENT else SKY
        for candidate in known
    ]
    source = ColumnDataSource(
        {
            "name": [candidate.name for candidate in known],
            "mean": [candidate.mean for candidate in known],
            "low": [candidate.low for candidate in known],
            "high": [candidate.high for candidate in known],
            "words": [f"epoch {candidate.epoch}: {candidate.words}" for candidate in known],
            "colour": colours,
        }
    )
    bars = drawn.segment(
        x0="low", x1="high", y0="name", y1="name", source=source, color="colour", line_width=5
    )
    seeds = ColumnDataSource(
        {
            "name": [candidate.name for candidate in known for _ in candidate.fds],
            "fd": [fd for candidate in known for fd in candidate.fds],
        }
    )
    in_ink(drawn.scatter("fd", "name", source=seeds, size=7, fill_color=None))
    means = drawn.scatter(
        "mean", "name", source=source, marker="diamond", size=16, fill_color="colour"
    )
    in_ink(means)
    drawn.add_tools(
        HoverTool(renderers=[bars, means], tooltips=[("@name", "@words")], visible=False)
    )
    return drawn


def candidates(confirmed: Sequence[Confirmation], space: Space) -> str:
    """The same as a table."""
    columns = {
        "candidate": False,
        **searched(space),
        "epochs": True,
        "fd": True,
        _INTERVAL: True,
        "by seed": True,
        "fresh noise": True,
    }
    cells = (
        (
            candidate.name,
            *values(candidate.recipe, space),
            *(
                ("", candidate.unknown, "", "")
                if candidate.epoch is None
                else (
                    str(candidate.epoch),
                    f"{candidate.mean:.4g}",
                    f"{candidate.low:.4g} to {candidate.high:.4g}",
                    ", ".join(f"{fd:.4g}" for fd in candidate.fds),
                )
            ),
            "" if candidate.fresh_noise is None else f"{candidate.fresh_noise:.4g}",
        )
        for candidate in confirmed
    )
    return table(columns, cells, "candidates")
