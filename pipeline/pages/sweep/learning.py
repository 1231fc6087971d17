"""The learning curves of a sweep, and the boxes that hide some of them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bokeh.models.annotations import Span
from bokeh.models.ranges import Range1d
from bokeh.models.sources import ColumnDataSource
from bokeh.models.tickers import BasicTicker
from bokeh.plotting import figure

from ganverdict.curves import BLUE, GREY
from ganverdict.report import ALONG, blank, log_range, text_of
from pipeline.pages.images import spread
from pipeline.pages.sweep.trials import Choice, about, hover, number
from pipeline.plots.search import LOOKS, TrialCurve

Kinds = Mapping[str, Sequence[TrialCurve]]
_MOST_POINTS = 60  # of a curve; of one whose points tell more than two values each, fewer


def kinds(trials: Sequence[TrialCurve], choice: Choice | None) -> Kinds:
    """The trials that were measured, by what became of them; those of the choice last, on top."""
    found: dict[str, list[TrialCurve]] = {}
    chosen = []
    for trial in trials:
        if not any(fd > 0 for fd in trial.fds):
            continue
        if choice is not None and choice.is_of(trial):
            chosen.append(trial)
        else:
            found.setdefault(_look(trial)[2], []).append(trial)
    return {**found, choice.words: chosen} if choice is not None and chosen else found


def boxes(found: Kinds, choice: Choice | None) -> str:
    """A box for each kind of curves, by which `kinds.js` shows and hides them."""
    labels = "".join(
        f'<label><input type="checkbox" checked autocomplete="off" data-kind="{text_of(kind)}">'
        f'<i style="border-color: {_swatch(_colour(kind, group, choice)[0])}"></i>'
        f"{text_of(kind)} ({len(group)})</label>"
        for kind, group in found.items()
    )
    return f'<p class="kinds">{labels}</p>'


def curves(found: Kinds, choice: Choice | None) -> figure:
    """fd by epoch of each trial, of which there is one at least; the choice's stop is a star."""
    trials = [trial for group in found.values() for trial in group]
    fds = [fd for trial in trials for fd in trial.fds if fd > 0]
    last = max(trial.epochs[-1] for trial in trials)
    if choice is not None:
        fds, last = [*fds, choice.fd], max(last, choice.epochs)
    low, high = log_range(min(fds), max(fds))
    drawn = blank(
        420,
        Range1d(start=0.5, end=last + 0.5, bounds=(0.5, last + 0.5), min_interval=1),
        Range1d(start=low, end=high),
        y_axis_type="log",
        tools=ALONG,
        toolbar_location="above",
        active_drag="xbox_zoom",
        active_scroll=None,
    )
    drawn.xaxis.axis_label, drawn.yaxis.axis_label = "epoch", "fd (lower is better)"
    drawn.xaxis.ticker = BasicTicker(min_interval=1)
    points = []
    for kind, group in found.items():
        colour, alpha = _colour(kind, group, choice)
        bold = choice is not None and kind == choice.words
        sampled = [_sampled(trial) for trial in group]
        lines = drawn.multi_line(
            [[row["epoch"] for row in rows] for rows in sampled],
            [[row["fd"] for row in rows] for rows in sampled],
            color=colour,
            alpha=alpha,
            line_width=3 if bold else 1.5,
            name=kind,
        )
        every = [row for rows in sampled for row in rows]
        source = ColumnDataSource({name: [row[name] for row in every] for name in every[0]})
        size = 8 if bold else 6
        dots = drawn.scatter(
            "epoch", "fd", source=source, color=colour, alpha=alpha, size=size, name=kind
        )
        points.append(dots)
        if colour == GREY:  # which a dark page would swallow
            for glyph in (lines.glyph, dots.glyph):
                glyph.tags = ["quiet"]
    drawn.add_tools(hover(points, {"epoch": "@epoch", "fd": "@shown"}))
    if choice is not None:
        drawn.add_layout(
            Span(
                location=choice.epochs,
                dimension="height",
                line_dash="dashed",
                line_color="black",
                tags=["ink"],
            )
        )
        star = drawn.scatter([choice.epochs], [choice.fd], marker="star", size=18, color="black")
        star.glyph.tags = ["star"]
    return drawn


def _sampled(trial: TrialCurve) -> list[dict[str, Any]]:
    """A row for each point of a curve; of a long one, some, the best stopping point among them."""
    most = _MOST_POINTS * 2 // max(len(trial.recipe), 2)
    best = [place for place, epoch in enumerate(trial.epochs) if epoch == trial.best_epoch]
    return [
        {
            **about(trial),
            "epoch": trial.epochs[place],
            "fd": fd if (fd := trial.fds[place]) > 0 else math.nan,
            "shown": number(fd),
        }
        for place in spread(len(trial.epochs), best[0] if best else 0, most)
    ]


def _colour(kind: str, group: Sequence[TrialCurve], choice: Choice | None) -> tuple[str, float]:
    if choice is not None and kind == choice.words:
        return BLUE, 1.0
    colour, alpha, _ = _look(group[0])
    return colour, alpha


def _swatch(colour: str) -> str:
    return "var(--quiet)" if colour == GREY else colour


def _look(trial: TrialCurve) -> tuple[str, float, str]:
    return LOOKS.get(trial.outcome, (GREY, 0.5, trial.outcome))
