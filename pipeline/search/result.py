"""What a search found: the table on the screen, reports/tune/result.json and trials.csv."""

import csv
import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from pipeline.base.cli import write_json, write_whole
from pipeline.base.interval import CONFIDENCE
from pipeline.base.space import Recipe, Space, Value, keys, shown
from pipeline.pages.sweep.trials import Choice
from pipeline.plots.search import SearchPlots, TrialCurve
from pipeline.search.confirmation import Confirmed
from pipeline.search.study import Trial


@dataclass(frozen=True)
class Cost:
    """Epochs trained by the search, and what the same stopping points cost otherwise.

    Attributes:
        trained: by all trials.
        horizon: had every trial gone to its last epoch.
        singly: had every stopping point that was seen been a run of its own length.
        seconds: of training and measuring, all workers together.
    """

    trained: float
    horizon: int
    singly: int
    seconds: float


@dataclass(frozen=True)
class Findings:
    """All that a search knows when it ends, or is interrupted.

    Attributes:
        confirmed: the present recipe and the best trials again, over fresh seeds; may be empty.
        chosen: of these, None without a confirmation.
        fresh_noise: metrics on fresh noise by candidate's name.
        importances: by dimension, adding up to one; {}: not known.
        space: what was searched.
    """

    study: str
    trials: Sequence[Trial]
    max_epochs: int
    confirmed: Sequence[Confirmed]
    chosen: Confirmed | None
    fresh_noise: Mapping[str, Mapping[str, list[float]]]
    importances: Mapping[str, float]
    space: Space

    @property
    def best(self) -> Trial | None:
        """The trial with the smallest fd that was not cut."""
        usable = [t for t in self.trials if t.finished and t.facts.get("best_epoch")]
        usable = [t for t in usable if t.value is not None and t.outcome != "pruned"]
        return min(usable, key=lambda t: t.value or 0.0, default=None)

    @property
    def found(self) -> Choice | None:
        """The chosen candidate; else the best trial, of one seed."""
        chosen, best = self.chosen, self.best
        if chosen is not None and chosen.epoch is not None:
            name, recipe = chosen.candidate.name, chosen.candidate.recipe
            return Choice(name, recipe, chosen.epoch, chosen.mean, len(chosen.fds))
        if best is None or best.value is None:
            return None
        epochs = int(best.facts["best_epoch"])
        return Choice(f"trial {best.number}", best.recipe, epochs, best.value, 1)

    @property
    def choice(self) -> Choice | None:
        """What may be applied; nothing, where a confirmation came to nothing."""
        return self.found if self.chosen is not None or not self.confirmed else None

    @property
    def cost(self) -> Cost:
        """What the search cost."""
        ran = [trial for trial in self.trials if "epochs_trained" in trial.facts]
        lengths = [float(trial.facts["epochs_trained"]) for trial in ran]
        whole = [math.ceil(length) for length in lengths]
        return Cost(
            trained=round(sum(lengths), 2),
            horizon=sum(int(trial.facts.get("epochs", self.max_epochs)) for trial in ran),
            singly=sum(n * (n + 1) // 2 for n in whole),
            seconds=round(sum(float(trial.facts.get("seconds", 0)) for trial in ran), 1),
        )

    @property
    def outcomes(self) -> dict[str, int]:
        """How many trials ended in which way."""
        return dict(sorted(Counter(trial.outcome for trial in self.trials).items()))


def table(findings: Findings) -> str:
    """The result for the screen."""
    cost = findings.cost
    lines = [f"study {findings.study}: {_counted(findings.outcomes)}"]
    lines.append(
        f"{cost.trained:g} epochs trained of {cost.horizon} without stopping early; "
        f"{cost.singly} if each stopping point had been a run of its own"
    )
    searched = keys(findings.space)
    header = ("", *searched, "epochs", "fd", f"{CONFIDENCE:.0%} interval", "fresh noise")
    ordered = sorted(findings.confirmed, key=lambda confirmation: confirmation.high)
    rows = [_row(confirmation, findings) for confirmation in ordered]
    best = findings.best
    if not rows and best is not None:
        first = (f"trial {best.number}", *_values(best.recipe, searched))
        stop = str(best.facts["best_epoch"])
        rows.append((*first, stop, f"{best.value:.3f} (1 seed)", "", ""))
    if not rows:
        return "\n".join([*lines, "no trial has come to a result yet"])
    text = tabulate(rows, header, tablefmt="plain", disable_numparse=True)
    return "\n".join([*lines, *(line.rstrip() for line in text.splitlines())])


def _row(confirmation: Confirmed, findings: Findings) -> tuple[str, ...]:
    candidate = confirmation.candidate
    mark = "* " if confirmation is findings.chosen else "  "
    first = (mark + candidate.name, *_values(candidate.recipe, keys(findings.space)))
    if confirmation.epoch is None:
        return (*first, "-", confirmation.unknown, "", "")
    fresh = findings.fresh_noise.get(candidate.name, {}).get("fd", [])
    return (
        *first,
        str(confirmation.epoch),
        f"{confirmation.mean:.3f} ({len(confirmation.fds)} seeds)",
        f"{confirmation.low:.3f} to {confirmation.high:.3f}",
        f"{sum(fresh) / len(fresh):.3f}" if fresh else "-",
    )


def _counted(outcomes: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items()) or "no trials"


def result(findings: Findings) -> dict[str, Any]:
    """The content of result.json; every number is finite."""
    best, chosen = findings.best, findings.chosen
    return {
        "study": findings.study,
        "outcomes": findings.outcomes,
        "chosen": _entry(chosen, findings) if chosen else None,
        "confirmed": [_entry(confirmation, findings) for confirmation in findings.confirmed],
        "best_trial": None
        if best is None
        else {
            "number": best.number,
            **best.recipe,
            "epoch": best.facts["best_epoch"],
            "fd": best.value,
        },
        "cost": vars(findings.cost),
        "importances": dict(findings.importances),
        "confidence": CONFIDENCE,
    }


def _entry(confirmation: Confirmed, findings: Findings) -> dict[str, Any]:
    candidate, known = confirmation.candidate, confirmation.epoch is not None
    fresh = findings.fresh_noise.get(candidate.name, {})
    return {
        "name": candidate.name,
        **candidate.recipe,
        "epochs": confirmation.epoch,
        "fd": confirmation.mean if known else None,
        "fd_interval": [confirmation.low, confirmation.high] if known else None,
        "fd_by_seed": list(confirmation.fds),
        "fresh_noise": {name: list(values) for name, values in fresh.items()},
    }


def plotted(findings: Findings) -> SearchPlots:
    """What the pictures show, of trials that ended by themselves and were measured."""
    cost, best = findings.cost, findings.best
    return SearchPlots(
        curves=[curve_of(t) for t in findings.trials if t.finished and t.facts.get("fd")],
        best=None if best is None else best.number,
        epochs={
            "this search": cost.trained,
            "every trial to its horizon": cost.horizon,
            "every stopping point a run": cost.singly,
        },
        importances=findings.importances,
        space=findings.space,
    )


def curve_of(trial: Trial) -> TrialCurve:
    """A trial as pictures and pages show it; without a curve where nothing was measured."""
    facts = trial.facts
    measured = [(int(epoch), float(fd)) for epoch, fd in facts.get("fd", []) if fd is not None]
    return TrialCurve(
        number=trial.number,
        outcome=trial.outcome,
        status=str(facts.get("status", "")),
        reason=str(facts.get("reason", "")),
        recipe=trial.recipe,
        epochs=[epoch for epoch, _ in measured],
        fds=[fd for _, fd in measured],
        best_epoch=facts.get("best_epoch"),
        best_fd=trial.value,
        onset_epoch=facts.get("onset_epoch"),
        epochs_trained=float(facts.get("epochs_trained", 0)),
    )


_FACTS = (
    "best_epoch",
    "best_fd",
    "onset_epoch",
    "epochs_trained",
    "seconds",
    "status",
    "reason",
    "fd_by_epoch",
)


def write(folder: Path, findings: Findings) -> None:
    """Write result.json and trials.csv, whose columns after `outcome` are the keys searched."""
    write_json(folder / "result.json", result(findings))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    searched = keys(findings.space)
    writer.writerow(("trial", "outcome", *searched, *_FACTS))
    for trial in findings.trials:
        told = dict(trial.facts) | {
            "best_fd": trial.value,
            "fd_by_epoch": " ".join(_cell(fd) or "-" for _, fd in trial.facts.get("fd", [])),
        }
        recipe = _values(trial.recipe, searched)
        facts = [_cell(told.get(name)) for name in _FACTS]
        writer.writerow([trial.number, trial.outcome, *recipe, *facts])
    with write_whole(folder / "trials.csv") as file:
        file.write(text.getvalue().encode())


def _values(recipe: Recipe, searched: Sequence[str]) -> list[str]:
    """The values as text; empty where they are not known yet."""
    return [shown(recipe[key]) if key in recipe else "" for key in searched]


def _cell(value: Value | None) -> str:
    return "" if value is None or value != value else shown(value)
