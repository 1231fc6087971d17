"""Where in its space a sweep's trials lie, and what came of them there."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bokeh.models.annotations import ColorBar
from bokeh.models.formatters import PrintfTickFormatter
from bokeh.models.mappers import LogColorMapper
from bokeh.models.ranges import Range1d
from bokeh.models.sources import ColumnDataSource
from bokeh.models.tickers import BasicTicker, FixedTicker
from bokeh.palettes import Viridis256
from bokeh.plotting import figure
from bokeh.transform import transform

from ganverdict.curves import BLUE, GREY, ORANGE
from ganverdict.report import blank, in_ink, log_range, log_ticks
from pipeline.base.space import Recipe, Space
from pipeline.pages.sweep.trials import Choice, about, best_fd, hover, number
from pipeline.plots.along import ACROSS, UP, Along, along, most_important
from pipeline.plots.search import LOOKS, TrialCurve

_ROOM = 1.1  # times the places on a logarithmic scale, around the outermost, whose marks are large
_MORE = {"best epoch": "@epoch", "best fd": "@fd"}


def space_map(
    trials: Sequence[TrialCurve],
    choice: Choice | None,
    present: Recipe,
    space: Space,
    importances: Mapping[str, float],
) -> figure | None:
    """The trials that ended by themselves over the two dimensions that matter most, coloured by
    their best fd; None without any, and where the space has one dimension.

    A ring is around the choice, a square around the present recipe.
    """
    shown = [trial for trial in trials if trial.outcome in LOOKS]
    axes = most_important(space, importances)
    if not shown or len(axes) < 2:
        return None
    across, up = axes
    rings = {"square": _place_of(present, shown, across, up)}
    if choice is not None:
        rings["circle"] = _place_of(choice.recipe, shown, across, up)
    rows = [_row(trial, across, up) for trial in shown]
    ends = [
        _range(axis, [row[side] for row in rows] + [ring[side == "y"] for ring in rings.values()])
        for axis, side in ((across, "x"), (up, "y"))
    ]
    drawn = _laid_out(460, (across, ends[0]), (up, ends[1]))
    drawn.yaxis.axis_label = up.label
    _name_choices(drawn.yaxis, up)
    fds = [fd for trial in shown if (fd := best_fd(trial)) is not None and fd > 0] or [1.0]
    low, high = min(fds), max(*fds, min(fds) * 1.01)
    mapper = LogColorMapper(palette=Viridis256[::-1], low=low, high=high, nan_color=GREY)
    points = []
    for marker, bad in (("circle", False), ("square_x", True)):
        group = [row for row, trial in zip(rows, shown, strict=True) if trial.went_wrong == bad]
        if not group:
            continue
        fill = transform("best", mapper)
        drawing = drawn.scatter(
            "x", "y", source=_source(group), marker=marker, size=14, fill_color=fill
        )
        in_ink(drawing)
        points.append(drawing)
    for marker, (x, y) in rings.items():
        ring = drawn.scatter([x], [y], marker=marker, size=26, fill_color=None)
        in_ink(ring, width=2)
    drawn.add_tools(hover(points, _MORE))
    bar = ColorBar(
        color_mapper=mapper,
        ticker=FixedTicker(ticks=log_ticks(low, high)),
        formatter=PrintfTickFormatter(format="%.6g"),
        title="best fd of the trial",
        height=12,
        background_fill_color=None,
    )
    drawn.add_layout(bar, "below")
    return drawn


def slices(trials: Sequence[TrialCurve], choice: Choice | None, space: Space) -> dict[str, figure]:
    """The best fd of each trial that has one along each dimension, by the dimension's key."""
    shown = [t for t in trials if t.outcome in LOOKS and (best_fd(t) or 0) > 0]
    return {axis.key: _slice(shown, choice, axis) for axis in along(space)} if shown else {}


def _slice(trials: Sequence[TrialCurve], choice: Choice | None, axis: Along) -> figure:
    rows = [_row(trial, axis, axis) for trial in trials]
    fds = [row["best"] for row in rows]
    low, high = log_range(min(fds), max(fds))
    places = _range(axis, [row["x"] for row in rows])
    drawn = _laid_out(260, (axis, places), (None, Range1d(start=low, end=high)))
    drawn.yaxis.axis_label = "best fd"
    kinds: dict[str, list[dict[str, Any]]] = {"circle": [], "square_x": [], "dash": []}
    for row, trial in zip(rows, trials, strict=True):
        marker = "square_x" if trial.went_wrong else "circle"
        kinds["dash" if trial.outcome == "pruned" else marker].append(row)
    points = []
    for (marker, group), colour in zip(kinds.items(), (BLUE, ORANGE, GREY), strict=True):
        if group:
            source = _source(group)
            dots = drawn.scatter(
                "x", "best", source=source, marker=marker, size=9, color=colour, alpha=0.8
            )
            if colour == GREY:  # which a dark page would swallow
                dots.glyph.tags = ["quiet"]
            points.append(dots)
    chosen = [row for row, t in zip(rows, trials, strict=True) if choice and choice.is_of(t)]
    for row in chosen[:1]:
        ring = drawn.scatter([row["x"]], [row["best"]], marker="circle", size=18, fill_color=None)
        in_ink(ring, width=2)
    drawn.add_tools(hover(points, _MORE))
    return drawn


def _laid_out(height: int, x: tuple[Along, Range1d], y: tuple[Along | None, Range1d]) -> figure:
    """An empty figure with those axes; one that is no dimension is logarithmic."""
    drawn = blank(
        height,
        x[1],
        y[1],
        x_axis_type="log" if x[0].log else "linear",
        y_axis_type="log" if y[0] is None or y[0].log else "linear",
        tools="save",
        toolbar_location="above",
    )
    drawn.xaxis.axis_label = x[0].label
    _name_choices(drawn.xaxis, x[0])
    return drawn


def _name_choices(axis: Any, dimension: Along) -> None:
    if dimension.names:
        axis.ticker = FixedTicker(ticks=list(range(len(dimension.names))))
        axis.major_label_overrides = dict(enumerate(dimension.names))
    elif not dimension.log:
        axis.ticker = BasicTicker(desired_num_ticks=5, min_interval=1 if dimension.whole else 0)


def _range(axis: Along, places: Sequence[float]) -> Range1d:
    low, high = min(places), max(places)
    if axis.names:
        low, high = -0.5, len(axis.names) - 0.5
    elif axis.log:
        low, high = log_range(low / _ROOM, high * _ROOM)
    else:
        room = max(0.08 * (high - low), 0.02 * abs(high), 1e-12)
        low, high = low - room, high + room
    return Range1d(start=low, end=high)


def _place_of(
    recipe: Recipe, trials: Sequence[TrialCurve], across: Along, up: Along
) -> tuple[float, float]:
    """Where the trial of a recipe is drawn; of one that no trial had, where it would lie."""
    drawn = next((trial.number for trial in trials if trial.recipe == recipe), None)
    return across.place(recipe, drawn, ACROSS), up.place(recipe, drawn, UP)


def _source(rows: Sequence[Mapping[str, Any]]) -> ColumnDataSource:
    return ColumnDataSource({name: [row[name] for row in rows] for name in rows[0]})


def _row(trial: TrialCurve, across: Along, up: Along) -> dict[str, Any]:
    fd = best_fd(trial)
    return {
        **about(trial),
        "x": across.place(trial.recipe, trial.number, ACROSS),
        "y": up.place(trial.recipe, trial.number, UP),
        "epoch": "none" if fd is None else str(trial.best_epoch),
        "best": math.nan if fd is None else fd,
        "fd": number(fd) or "none",
    }
