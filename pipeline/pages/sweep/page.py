"""The page of a sweep: what was chosen and why, all its trials, and how to make it again."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ganverdict.report import document, slot, text_of
from pipeline.base.paths import TUNE
from pipeline.base.space import Recipe, Space, words
from pipeline.pages.layout import commands, script, style, titled
from pipeline.pages.origin import Origin, again, parameters
from pipeline.pages.sweep.intervals import PRESENT, Confirmation, candidates, intervals
from pipeline.pages.sweep.learning import boxes, curves, kinds
from pipeline.pages.sweep.places import slices, space_map
from pipeline.pages.sweep.trials import Choice, by_value, rows
from pipeline.plots.search import TrialCurve

if TYPE_CHECKING:
    from bokeh.models.ui import UIElement

COMMAND = "python -m pipeline.tune"
MOST_TRIALS = 200  # on the page, the best ones; more would not fit in it
_EARLY = {  # outcomes of trials that ended before their last epoch, and what ended them
    "pruned": "cut by the pruner ({pruner})",
    "onset": "ended by the verdict, after an onset",
    "diverged": "broken down, with numbers that are not finite",
    "failed": "failed for another reason",
}
_LEFT = ("waiting", "running", "killed")
_HOW_TO_READ = (
    "<p>Each point is an epoch. The star is the stopping point, at its fd over fresh seeds where "
    "it was confirmed. Boxes hide curves.</p>"
)
_MARKS_ALONG = (
    '<ul class="marks"><li>● no onset</li><li>⊠ went wrong</li><li>- cut</li>'
    "<li>◯ the choice, in the search</li></ul>"
)


@dataclass(frozen=True)
class Sweep:
    """All that is known when a sweep ends, or is interrupted.

    Attributes:
        trials: all of them, those too that were never measured.
        best: what was chosen; without a confirmation that came to a result, the best trial.
        present: the recipe of params.yaml; of it, as of all others, the keys searched.
        space: what was searched.
        epochs: trained, and what the same stopping points would have cost, by what was done.
        seconds: of training and measuring, all workers together.
        importances: by dimension, adding up to one; {}: not known.
        pruner: its name in params.yaml.
        command: continues the sweep, or makes it again.
        apply: the command that writes `best` into params.yaml; None: it is not to be believed.
    """

    study: str
    trials: Sequence[TrialCurve]
    best: Choice | None
    confirmed: Sequence[Confirmation]
    present: Recipe
    space: Space
    epochs: Mapping[str, float]
    seconds: float
    importances: Mapping[str, float]
    pruner: str
    interrupted: bool
    command: str
    apply: str | None


def page(sweep: Sweep, origin: Origin) -> bytes:
    """HTML in UTF-8."""
    ordered = by_value(sweep.trials)
    shown = ordered[:MOST_TRIALS]
    left_out = (
        f"<p>The {MOST_TRIALS} best of {len(ordered):,} trials; {TUNE}/trials.csv has all.</p>"
        if len(ordered) > MOST_TRIALS
        else ""
    )
    figures: dict[str, UIElement] = {}
    body = [style("pages.css", "sweep/sweep.css"), _summary(sweep)]
    if measured := kinds(shown, sweep.best):
        figures["curves"] = curves(measured, sweep.best)
        content = left_out + _HOW_TO_READ + boxes(measured, sweep.best) + _figure("curves")
        body.append(titled("Learning curves", content))
    space = sweep.space
    if (drawn := space_map(shown, sweep.best, sweep.present, space, sweep.importances)) is not None:
        figures["map"] = drawn
        title = "Map" if len(space) == 2 else "Map of the two dimensions that matter most"
        body.append(titled(title, _marks(sweep) + _figure("map")))
    if along_each := slices(shown, sweep.best, space):
        figures |= {f"along-{key}": one for key, one in along_each.items()}
        panels = "".join(_figure(f"along-{key}") for key in along_each)
        content = f'{_MARKS_ALONG}<div class="along">{panels}</div>'
        body.append(titled("Along each dimension", content))
    if sweep.confirmed:
        ranked = sorted(sweep.confirmed, key=lambda candidate: candidate.high)
        content = candidates(ranked, space)
        if (bars := intervals(ranked, sweep.best.name if sweep.best else None)) is not None:
            figures["intervals"] = bars
            read = "<p>Line: interval of the mean. Diamond: mean. Circles: seeds.</p>"
            content = read + _figure("intervals") + content
        body.append(titled("Confirmation over fresh seeds", content))
    if shown:
        body.append(titled("Trials", left_out + rows(shown, space)))
    how = again(origin, ["dvc repro judge", sweep.command], "Trained")
    beside = "<p>Where the database has this study already, the command continues it.</p>"
    body += [
        titled("How to make it again", how + beside),
        titled("Parameters", parameters(origin.params, "tune")),
        script("sweep/kinds.js", "sweep/sort.js"),
    ]
    return document(f"Sweep {sweep.study}", body, figures, by=COMMAND)


def _summary(sweep: Sweep) -> str:
    """The answer in words."""
    best, state = sweep.best, {candidate.name: candidate for candidate in sweep.confirmed}
    if best is None:
        status, told = "nothing yet", ["no trial has come to a result"]
    else:
        status = best.words
        told = [f"{words(best.recipe)}, {best.epochs} epochs"]
        if best.seeds > 1:
            told.append(state[best.name].words)
        else:
            told.append(f"fd {best.fd:.4g}, one seed, not confirmed")
    believed = sweep.apply is not None or (sweep.interrupted and best is not None)
    entries = {
        "Why": _why(sweep),
        "Present recipe": _present(sweep, state.get(PRESENT)),
        "Fresh noise": _fresh(state.get(best.name) if best else None),
        "Trials": _trials(sweep),
        "Ended early": _early(sweep),
        "Cost": _cost(sweep),
        "Importance": ", ".join(
            f"{key} {100 * share:.0f} %" for key, share in sweep.importances.items()
        ),
    }
    listed = "".join(
        f"<dt>{heading}</dt><dd>{text_of(words)}</dd>"
        for heading, words in entries.items()
        if words
    )
    to_do = ""
    if sweep.interrupted:
        to_do = f"<p>Interrupted: known until then. To continue:</p>{commands([sweep.command])}"
    elif sweep.apply is not None:
        to_do = f"<p>To write it into params.yaml:</p>{commands([sweep.apply])}"
    return (
        f'<section><div class="verdict{"" if believed else " wrong"}">'
        f'<p><span class="status">{text_of(status)}</span>: {text_of("; ".join(told))}</p></div>'
        f"{to_do}<dl>{listed}</dl></section>"
    )


def _why(sweep: Sweep) -> str:
    best, count = sweep.best, len(sweep.confirmed)
    if best is None:
        return ""
    if best.seeds > 1 and best.name == PRESENT:
        return f"of {count} candidates none is surer: the upper end of their interval is the lowest"
    if best.seeds > 1:
        return f"the upper end of its interval is the lowest of {count} candidates"
    if sweep.confirmed:
        return (
            "nothing was chosen, as no candidate came to a result over fresh seeds; this is the "
            "smallest fd of the search"
        )
    return (
        "the smallest fd of all trials that were not cut; the smallest of many noisy numbers is "
        "optimistic"
    )


def _present(sweep: Sweep, confirmed: Confirmation | None) -> str:
    told = words(sweep.present)
    if confirmed is None:
        return told
    length = "" if confirmed.epoch is None else f", {confirmed.epoch} epochs"
    return f"{told}{length}: {confirmed.words}"


def _fresh(candidate: Confirmation | None) -> str:
    if candidate is None or candidate.fresh_noise is None:
        return ""
    return f"fd {candidate.fresh_noise:.4g} on noise that no choice has seen"


def _trials(sweep: Sweep) -> str:
    counted = Counter(trial.outcome for trial in sweep.trials)
    left = sum(counted[outcome] for outcome in _LEFT)
    words = f"{len(sweep.trials)}, of which {counted['complete']} trained to their end"
    return words + (f", {left} not ended yet" if left else "")


def _early(sweep: Sweep) -> str:
    counted = Counter(trial.outcome for trial in sweep.trials)
    told = [
        f"{counted[outcome]} {words.format(pruner=sweep.pruner)}"
        for outcome, words in _EARLY.items()
        if counted[outcome]
    ]
    return "; ".join(told) or "none"


def _cost(sweep: Sweep) -> str:
    told = [f"{what}: {epochs:,.6g} epochs" for what, epochs in sweep.epochs.items()]
    told.append(f"{_duration(sweep.seconds)} of training and measuring, all workers together")
    again_runs = sum(candidate.runs for candidate in sweep.confirmed)
    if again_runs:
        told.append(f"besides, {again_runs} runs to confirm")
    return "; ".join(told)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _marks(sweep: Sweep) -> str:
    found = ["● no onset"]
    if any(trial.went_wrong for trial in sweep.trials):
        found.append("⊠ went wrong")
    if sweep.best is not None:
        found.append(f"◯ {sweep.best.words}")
    found.append(f"□ {PRESENT}")
    return f'<ul class="marks">{"".join(f"<li>{text_of(mark)}</li>" for mark in found)}</ul>'


def _figure(name: str) -> str:
    return f'<div class="figure">{slot(name)}</div>'
