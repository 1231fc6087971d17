"""Where the rates of a sweep's trials lie, and what came of them there."""

import math
from collections.abc import Sequence
from typing import Any

from bokeh.models.annotations import ColorBar
from bokeh.models.formatters import PrintfTickFormatter
from bokeh.models.mappers import LogColorMapper
from bokeh.models.ranges import Range1d
from bokeh.models.sources import ColumnDataSource
from bokeh.models.tickers import FixedTicker
from bokeh.palettes import Viridis256
from bokeh.plotting import figure
from bokeh.transform import transform

from ganverdict.curves import GREY
from ganverdict.report import blank, in_ink, log_range, log_ticks
from pipeline.pages.sweep.trials import Choice, about, best_fd, hover, number
from pipeline.plots.search import LOOKS, TrialCurve

_ROOM = 1.1  # times the rates, around the outermost, whose marks are large


def rates(
    trials: Sequence[TrialCurve], choice: Choice | None, present: tuple[float, float]
) -> figure | None:
    """The trials that ended by themselves, coloured by their best fd; None without any.

    A ring is around the choice, a square around the present rates.
    """
    shown = [trial for trial in trials if trial.outcome in LOOKS]
    if not shown:
        return None
    marks = {"square": present}
    if choice is not None:
        marks["circle"] = choice.lr_g, choice.lr_d
    places = [(trial.lr_g, trial.ratio) for trial in shown]
    places += [(lr_g, lr_d / lr_g) for lr_g, lr_d in marks.values()]
    ends = [log_range(min(v) / _ROOM, max(v) * _ROOM) for v in zip(*places, strict=True)]
    drawn = blank(
        460,
        *(Range1d(start=low, end=high) for low, high in ends),
        x_axis_type="log",
        y_axis_type="log",
        tools="save",
        toolbar_location="above",
    )
    drawn.xaxis.axis_label, drawn.yaxis.axis_label = "lr_g", "lr_d / lr_g"
    fds = [fd for trial in shown if (fd := best_fd(trial)) is not None and fd > 0] or [1.0]
    low, high = min(fds), max(*fds, min(fds) * 1.01)
    mapper = LogColorMapper(palette=Viridis256[::-1], low=low, high=high, nan_color=GREY)
    points = []
    for marker, bad in (("circle", False), ("square_x", True)):
        group = [_row(trial) for trial in shown if trial.went_wrong == bad]
        if not group:
            continue
        source = ColumnDataSource({name: [row[name] for row in group] for name in group[0]})
        fill = transform("best", mapper)
        drawing = drawn.scatter(
            "lr_g", "ratio", source=source, marker=marker, size=14, fill_color=fill
        )
        in_ink(drawing)
        points.append(drawing)
    for marker, (lr_g, lr_d) in marks.items():
        ring = drawn.scatter([lr_g], [lr_d / lr_g], marker=marker, size=26, fill_color=None)
        in_ink(ring, width=2)
    drawn.add_tools(
        hover(points, {"lr_d / lr_g": "@ratio", "best epoch": "@epoch", "best fd": "@fd"})
    )
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


def _row(trial: TrialCurve) -> dict[str, Any]:
    fd = best_fd(trial)
    return {
        **about(trial),
        "ratio": trial.ratio,
        "epoch": "none" if fd is None else str(trial.best_epoch),
        "best": math.nan if fd is None else fd,
        "fd": number(fd) or "none",
    }
