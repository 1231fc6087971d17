"""The verdict as a page to look at: one file that opens from disk and loads nothing.

The curves are Bokeh's, whose script is written into the page: of the libraries that zoom, answer
the pointer and can be reached by keyboard it is one whose package brings its script along, in 1.3
of the 3 MB that a page may have.
"""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any

import numpy as np
from bokeh.embed import components
from bokeh.layouts import gridplot
from bokeh.models.annotations import BoxAnnotation, Label, Span
from bokeh.models.formatters import NumeralTickFormatter, PrintfTickFormatter
from bokeh.models.ranges import FactorRange, Range1d
from bokeh.models.sources import ColumnDataSource
from bokeh.models.tickers import FixedTicker
from bokeh.models.tools import HoverTool
from bokeh.models.ui import UIElement
from bokeh.plotting import figure
from bokeh.resources import Resources

from ganverdict.assessment import Assessment, severity
from ganverdict.curves import GREEN, GREY, Panel, decade_ticks, marks, panels, span
from ganverdict.verdict import STATUSES
from ganverdict.words import as_measured, head, parts, plain

MAX_POINTS = 1000  # of a curve, all runs of a page together
_FEWEST_POINTS = 100
_MOST_FIGURES = 30  # runs that have curves, the worst of all; each takes half a second
_MOST_ROWS = 500  # of a table of evaluations
_HEIGHTS = {"metric": 260, "losses": 240}
_HEIGHT = 170
_MOST_TICKS = 9  # of a logarithmic axis
ALONG = "xpan,xbox_zoom,xwheel_zoom,xzoom_in,xzoom_out,pan_left,pan_right,reset,save"
"""Tools that move a figure along its x axis."""
_DASHES = {"best": "solid", "alarm": "dotted", "onset": "dashed", "confirmed": "dotdash"}
_HEADINGS = {
    "why": "Why",
    "since": "Since",
    "keep": "Weights to keep",
    "do": "What to do",
    "length": "Another seed",
    "states": "States",
    "came back": "Came back",
    "pairs": "Pairs",
    "watched": "Watched",
    "unknown": "Not known",
    "try": "What to try",
    "notes": "Notes",
}


def page(assessments: Sequence[Assessment]) -> bytes:
    """The page of one or several runs."""
    points = max(MAX_POINTS // min(max(len(assessments), 1), _MOST_FIGURES), _FEWEST_POINTS)
    several = len(assessments) > 1
    by_severity = sorted(range(len(assessments)), key=lambda i: severity(assessments[i].verdict))
    worst = {*by_severity[:_MOST_FIGURES]}
    figures: dict[str, UIElement] = {}
    body = [_overview(assessments)] if several else []
    for place, assessment in enumerate(assessments):
        name = f"run-{place + 1}"
        drawn = chart(assessment, points) if place in worst else None
        if drawn is not None:
            figures[name] = drawn
        body.append(section(assessment, name, drawn is not None, several))
    title = "Several runs" if several else assessments[0].log.name
    return document(title, body, figures)


def document(
    title: str,
    body: Iterable[str],
    figures: Mapping[str, UIElement],
    by: str = "python -m ganverdict",
) -> bytes:
    """A page of its own.

    Args:
        title: as text.
        body: sections as HTML, in which `slot(name)` stands where a figure goes.
        figures: each by its name.
        by: the command that writes it.
    """
    script, places = components(dict(figures)) if figures else ("", {})
    text = "\n".join(body)
    for name, place in places.items():
        text = text.replace(slot(name), place)
    library = Resources(mode="inline", components=["bokeh"]).render_js() if figures else ""
    paint = f"<script>{_file('report.js')}</script>" if figures else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{text_of(title)}</title>
<link rel="icon" href="data:,">
<style>{_file("report.css")}</style>
{library}
</head>
<body>
<main>
<h1>{text_of(title)}</h1>
{text}
</main>
<footer>Written by <code>{text_of(by)}</code>. Nothing on this page is loaded from
elsewhere. Curves: drag to zoom in, Ctrl and the wheel or the buttons to zoom, Tab and Enter to
reach the buttons.</footer>
{script}
{paint}
</body>
</html>
""".encode("utf-8", "replace")


def slot(name: str) -> str:
    """Where in the HTML the figure `name` goes; a comment, which no escaped text can be."""
    return f"<!-- figure {name} -->"


def text_of(text: str) -> str:
    """Text as HTML that shows it and does nothing else."""
    return html.escape(plain(text))


def section(assessment: Assessment, name: str, drawn: bool, titled: bool) -> str:
    """The verdict of a run in words, its curves if `drawn`, and its numbers.

    `titled`: whether its name stands above, as where there are several.
    """
    verdict, log = assessment.verdict, assessment.log
    title, *read = head(assessment, width=10_000)
    of = f" (of {assessment.pair})" if len(assessment.pairs) > 1 else ""
    wrong = " wrong" if verdict.went_wrong else ""
    rows = "\n".join(
        f"<dt>{_HEADINGS[heading]}</dt><dd>{''.join(f'<p>{text_of(t)}</p>' for t in texts)}</dd>"
        for heading, texts in parts(assessment)
    )
    lines = "".join(
        f'<li><i class="{_DASHES[mark.name]}"></i>{text_of(mark.words)}</li>'
        for mark in marks(assessment)
    )
    files_read = "".join(f"<p>{text_of(file)}</p>" for file in log.files)
    curves = f'<ul class="marks">{lines}</ul><div class="figure">{slot(name)}</div>'
    heading = f'<h2 id="{name}">{text_of(title)}</h2>' if titled else ""
    return f"""<section>
{heading}
<p class="read">{text_of(" ".join(read))}</p>
<div class="verdict{wrong}">
<p><span class="status">{text_of(verdict.status + of)}</span>: {STATUSES[verdict.status]}</p>
</div>
{curves if drawn else ""}
<dl>
{rows}
</dl>
{_numbers(assessment)}
<details><summary>Files</summary>{files_read}</details>
</section>"""


def chart(assessment: Assessment, points: int = MAX_POINTS) -> UIElement | None:
    """The curves of a run under one another, over the same steps; None where there are none."""
    shown = panels(assessment, points)
    if not shown:
        return None
    low, high = span(assessment)
    edge = 0.01 * (high - low)
    whole = Range1d(start=low - edge, end=high + edge, bounds=(low - 5 * edge, high + 5 * edge))
    plots: list[list[Any]] = [[_plot(panel, whole, assessment)] for panel in shown]
    plots[-1][0].xaxis.axis_label = assessment.log.unit
    plot: Any = gridplot(
        plots, sizing_mode="stretch_width", merge_tools=True, toolbar_location="above"
    )
    plot.toolbar.logo = None
    grid: UIElement = plot
    return grid


def blank(
    height: int, x: Range1d | FactorRange, y: Range1d | FactorRange, **options: Any
) -> figure:
    """A figure in the look of the page, `height` pixels high, in which nothing is drawn yet.

    `options` are Bokeh's; with `x_axis_type` or `y_axis_type` "log" that axis has numbers all along
    it, and no tool may move it.
    """
    drawn = figure(
        height=height,
        sizing_mode="stretch_width",
        x_range=x,
        y_range=y,
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
        **options,
    )
    ranges: dict[str, Any] = {"x": x, "y": y}
    for name, whole in ranges.items():
        if options.get(f"{name}_axis_type") == "log":
            axis: Any = getattr(drawn, f"{name}axis")
            # Bokeh's own ticks leave decades without a number.
            axis.ticker = FixedTicker(ticks=log_ticks(whole.start, whole.end))
            axis.formatter = PrintfTickFormatter(format="%.6g")
    drawn.axis.axis_label_text_font_size = "14px"
    drawn.axis.axis_label_text_font_style = "normal"
    drawn.axis.major_label_text_font_size = "12px"
    drawn.toolbar.logo = None
    return drawn


def in_ink(drawn: Any, width: float = 1) -> None:
    """Outline what a figure drew in the colour of the page's text, light or dark."""
    drawn.glyph.line_color, drawn.glyph.line_width, drawn.glyph.tags = "black", width, ["ink"]


def explain(drawn: figure) -> None:
    """The legend above a figure, where it covers nothing; what is clicked in it is hidden."""
    drawn.legend.orientation = "horizontal"
    drawn.legend.background_fill_alpha = 0
    drawn.legend.border_line_color = None
    drawn.legend.click_policy = "hide"
    drawn.add_layout(drawn.legend[0], "above")


def _plot(panel: Panel, whole: Range1d, assessment: Assessment) -> figure:
    low, high = _range(panel)
    drawn = blank(
        _HEIGHTS.get(panel.name, _HEIGHT),
        whole,
        Range1d(start=low, end=high),
        y_axis_type="log" if panel.scale == "log" else "linear",
        tools=ALONG,
        active_drag="xbox_zoom",
        active_scroll=None,
        min_border_left=70,
    )
    drawn.yaxis.axis_label = _label(panel.title)
    drawn.xaxis.formatter = NumeralTickFormatter(format="0,0.[000]")
    for annotation in _annotations(panel, assessment):
        drawn.add_layout(annotation)
    lines: list[Any] = []
    for curve in panel.curves:
        found = curve.bands
        arrays = {"x": found.x, "low": found.low, "middle": found.middle, "high": found.high}
        source = ColumnDataSource({n: np.ma.filled(v, np.nan) for n, v in arrays.items()})
        label = _label(curve.label)
        if not curve.single:
            drawn.varea("x", "low", "high", source=source, color=curve.colour, alpha=0.2)
        line = drawn.line(
            "x",
            "middle",
            source=source,
            line_color=curve.colour,
            line_width=2,
            legend_label=label,
            name=label,
        )
        lines.append(line)
        if curve.single and len(found.x) <= 100:
            drawn.scatter("x", "middle", source=source, color=curve.colour, size=5)
    drawn.add_tools(
        HoverTool(
            renderers=lines,
            tooltips=[(assessment.log.unit, "@x{0,0.[000]}"), ("", "$name @middle{0,0.[00000]}")],
            mode="vline",
            visible=False,  # always on: no button
        )
    )
    best = assessment.verdict.best_step, assessment.verdict.best_value
    if panel.name == "metric" and best[0] is not None and best[1] is not None:
        star = drawn.scatter([best[0]], [best[1]], marker="star", size=16, color="black")
        star.glyph.tags = ["star"]
    if panel.level is not None:
        value, words = panel.level
        # Its words stand in the legend, where no curve runs through them.
        drawn.line(
            list(span(assessment)),
            [value, value],
            line_color=GREY,
            line_width=1.5,
            line_dash="dotted",
            legend_label=_label(words),
        )
    explain(drawn)
    drawn.legend.visible = len(drawn.legend.items) > 1
    return drawn


def _annotations(panel: Panel, assessment: Assessment) -> Iterable[Label | Span | BoxAnnotation]:
    """What the verdict says, in the panel: its steps, the states, and declines that came back."""
    for mark in marks(assessment):
        yield Span(
            location=mark.step,
            dimension="height",
            line_dash=_DASHES[mark.name],
            line_color="black",
            line_width=1.5,
            tags=["ink"],
        )
    if panel.name == "losses":
        for row, state in enumerate(assessment.verdict.states):
            until = span(assessment)[1] if state.until is None else state.until
            yield BoxAnnotation(left=state.since, right=until, fill_color=GREY, fill_alpha=0.15)
            yield Label(
                x=state.since,
                y=4 + 14 * (row % 8),
                y_units="screen",
                x_offset=4,
                text=state.name.replace("_", " "),
                text_font_size="11px",
                tags=["ink"],
            )
    if panel.name == "metric":
        for since, until in assessment.verdict.excursions:
            yield BoxAnnotation(left=since, right=until, fill_color=GREEN, fill_alpha=0.12)


def _range(panel: Panel) -> tuple[float, float]:
    """All of the middles; where they go over many sizes on a linear axis, most of them."""
    middles = np.concatenate([curve.bands.middle.compressed() for curve in panel.curves])
    low, high = float(middles.min()), float(middles.max())
    if panel.scale == "symlog":
        low, high = (float(v) for v in np.percentile(middles, (1, 99)))
    if panel.level is not None and panel.scale != "symlog":
        low, high = min(low, panel.level[0]), max(high, panel.level[0])
    if panel.scale == "log":
        return log_range(low, high)
    edge = 0.05 * (high - low) or max(abs(high), 1.0) * 0.1
    return low - edge, high + edge


def log_range(low: float, high: float) -> tuple[float, float]:
    """The ends of a logarithmic axis that shows all between two positive numbers."""
    factor = max((high / low) ** 0.05, 1.1)
    return low / factor, high * factor


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers between two positive ones, not many more than fit."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [step * 10.0**decade for decade in decades for step in decade_ticks(low, high)]
    inside = [tick for tick in ticks if low <= tick <= high]
    return inside[:: math.ceil(len(inside) / _MOST_TICKS) or 1]


def _label(text: str) -> str:
    """Text for a figure; two dollars would begin a formula."""
    return plain(text).replace("$$", "$ $")


def _overview(assessments: Sequence[Assessment]) -> str:
    rows = []
    for number, assessment in enumerate(assessments, start=1):
        verdict = assessment.verdict
        value = "" if verdict.best_value is None else f"{as_measured(verdict)[1][0]:.4g}"
        wrong = " wrong" if verdict.went_wrong else ""
        rows.append(
            f'<tr><td><a href="#run-{number}">{text_of(assessment.log.name)}</a></td>'
            f'<td><span class="status{wrong}">{verdict.status}</span></td>'
            f"<td>{_step(verdict.onset_step)}</td><td>{_step(verdict.best_step)}</td>"
            f'<td class="number">{value}</td></tr>'
        )
    return (
        '<div class="scroll"><table><thead><tr><th>run</th><th>verdict</th><th>wrong since</th>'
        f"<th>keep</th><th>its metric</th></tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _numbers(assessment: Assessment) -> str:
    """The evaluations as a table, for eyes that do not see curves."""
    columns = assessment.log.evaluations
    if not columns:
        return ""
    count = len(columns["step"])
    every = math.ceil(count / _MOST_ROWS)
    header = "".join(f'<th class="number">{text_of(name)}</th>' for name in columns)
    rows = []
    for row in range(0, count, every):
        cells = (_cell(values[row]) for values in columns.values())
        rows.append(f"<tr>{''.join(cells)}</tr>")
    which = "" if every == 1 else f", every {every}th"
    return (
        f"<details><summary>{count:,} evaluations{which}</summary>"
        f'<div class="scroll" tabindex="0"><table><thead><tr>{header}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></details>"
    )


def _cell(value: object) -> str:
    shown = "" if value is np.ma.masked else f"{value:.7g}"
    return f'<td class="number">{shown}</td>'


def _step(step: float | None) -> str:
    return "" if step is None else f"{step:,.10g}"


def _file(name: str) -> str:
    return files("ganverdict").joinpath(name).read_text(encoding="utf-8")
