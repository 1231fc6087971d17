"""The page of a run: its verdict, curves, samples and metrics, and how to make it again."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ganverdict.assessment import Assessment
from ganverdict.log import Log
from ganverdict.report import chart, document, section
from pipeline.base.paths import EPOCHS, STEPS, STOP
from pipeline.pages.images import side_by_side, slider, spread
from pipeline.pages.layout import script, style, table, titled
from pipeline.pages.origin import Origin, again, parameters
from pipeline.pages.run.bars import bars
from pipeline.pages.run.digits import Digits, digits_asked_for
from pipeline.pages.run.stops import stops
from pipeline.store.columns import Columns
from pipeline.store.outcome import Outcome, verdict_of

COMMAND = "python -m pipeline.evaluate"
_CURVES = "curves"
_KNOWN_SETS = "<p>Marks on a bar are other known sets of images, told below it.</p>"


def page(
    outcome: Outcome,
    origin: Origin,
    metrics: Mapping[str, float],
    scale: Mapping[str, Mapping[str, float]],
    real: NDArray[np.uint8],
    digits: Digits | None = None,
) -> bytes:
    """HTML in UTF-8.

    Args:
        outcome: what the run left.
        origin: where it comes from.
        metrics: of the best stopping point, with its "epoch" and "step".
        scale: for each metric, what it is for known sets of images.
        real: uint8 [N, 28, 28], digits to compare with.
        digits: what a conditional generator draws when it is asked.

    Raises UserError for a stop.json that is no verdict.
    """
    name = origin.tags.get("dvc_experiment") or f"Run {outcome.run_key[:8]}"
    assessment = _assessment(outcome, name)
    drawn = chart(assessment)
    index = _grid_at(outcome, metrics["step"])
    beside = {
        f"samples, best epoch ({metrics['epoch']:g})": outcome.grids[index],
        "real digits (test set)": real,
    }
    body = [
        style("pages.css", "images.css", "run/run.css"),
        section(assessment, _CURVES, drawn is not None, False),
        titled("Stopping elsewhere", _stops(outcome, metrics["epoch"])),
        titled("Samples of the same noise", replay(outcome, metrics["step"])),
        titled("Best epoch beside real digits", side_by_side(beside)),
        "" if digits is None else titled("Digits asked for", digits_asked_for(digits)),
        titled("Metrics between noise and real digits", _KNOWN_SETS + bars(metrics, scale)),
        titled("How to make it again", again(origin, ["make repro"], "Evaluated")),
        titled("Parameters", parameters(origin.params, "train")),
        script("images.js"),
    ]
    return document(name, body, {} if drawn is None else {_CURVES: drawn}, by=COMMAND)


def replay(outcome: Outcome, step: float) -> str:
    """A slider through the grids of a run, from the fixed noise; it starts at that of `step`."""
    index = _grid_at(outcome, step)
    chosen = spread(len(outcome.grids), index)
    labels = [_moment(outcome.epochs, int(step)) for step in outcome.grid_steps[chosen]]
    return slider(outcome.grids[chosen], labels, chosen.index(index))


def _grid_at(outcome: Outcome, step: float) -> int:
    return int(np.abs(outcome.grid_steps - step).argmin())


def _assessment(outcome: Outcome, name: str) -> Assessment:
    """The verdict as it was given when the run was trained, with what it was given of."""
    verdict = verdict_of(outcome.verdict)
    log = Log(
        name=name,
        kind="a training of this pipeline",
        unit="iteration",
        pairs={"": outcome.steps},
        evaluations=outcome.epochs,
        metric="fd",
        steps_per_epoch=None,
        loss=verdict.loss,
        notes=tuple(
            f"rolled back at step {begun['step']:,.10g} to epoch {begun['best_epoch']:,.10g}"
            for begun in outcome.verdict.get("branches", ())
        ),
        files=(str(STEPS), str(EPOCHS), str(STOP)),
    )
    return Assessment(log, "", verdict, {"": verdict})


def _moment(epochs: Columns, step: int) -> str:
    """When a grid was drawn; at an epoch's end with what was measured there."""
    length = float(epochs["step"][0] / epochs["epoch"][0])
    words = f"iteration {step:,}, epoch {step / length:.1f}"
    (row,) = np.nonzero(np.asarray(epochs["step"]) == step)
    return words if not len(row) else f"{words}, fd {_number(float(epochs['fd'][row[0]]))}"


def _stops(outcome: Outcome, best_epoch: float) -> str:
    found = stops(outcome.steps, outcome.epochs, best_epoch)
    best = found[0].fd
    columns = {"rule": False, "epoch kept": True, "epochs trained": True, "fd": True, "cost": True}
    rows = (
        (
            stop.rule,
            f"{stop.kept:g}",
            f"{stop.trained:g}",
            _number(stop.fd),
            _cost(stop.fd, best),
        )
        for stop in found
    )
    return (
        f"{table(columns, rows, 'stops')}<p>fd as at the end of each epoch, on fewer samples "
        "than below; the lower, the better. Cost: against the first rule.</p>"
    )


def _cost(fd: float, best: float) -> str:
    if not math.isfinite(fd) or not best > 0:
        return ""
    return "same" if fd == best else f"{100 * (fd / best - 1):+,.0f} %"


def _number(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "not finite"
