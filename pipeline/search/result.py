"""What a search found: the table on the screen, reports/tune/result.json and trials.csv."""

import csv
import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.base.cli import write_json, write_whole
from pipeline.base.interval import CONFIDENCE
from pipeline.search.confirmation import Confirmed
from pipeline.search.study import Known


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
        confirmed: the present rates and the best trials again, over fresh seeds; may be empty.
        chosen: of these, None without a confirmation.
        afresh: metrics on fresh noise by candidate's name.
    """

    study: str
    trials: Sequence[Known]
    max_epochs: int
    confirmed: Sequence[Confirmed]
    chosen: Confirmed | None
    afresh: Mapping[str, Mapping[str, list[float]]]
    importances: Mapping[str, float]

    @property
    def best(self) -> Known | None:
        """The trial with the smallest fd that was not cut."""
        usable = [t for t in self.trials if t.finished and t.facts.get("best_epoch")]
        usable = [t for t in usable if t.value is not None and t.outcome != "pruned"]
        return min(usable, key=lambda t: t.value or 0.0, default=None)

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


def table(found: Findings) -> str:
    """The result for the screen."""
    lines = [f"study {found.study}: {_counted(found.outcomes)}"]
    cost = found.cost
    lines.append(
        f"{cost.trained:g} epochs trained of {cost.horizon} without stopping early; "
        f"{cost.singly} if each stopping point had been a run of its own"
    )
    rows: list[tuple[str, ...]] = [
        ("", "lr_g", "lr_d", "epochs", "fd", f"{CONFIDENCE:.0%} interval", "fresh noise")
    ]
    for one in sorted(found.confirmed, key=lambda c: c.high):
        mark = "* " if one is found.chosen else "  "
        rates = (f"{one.candidate.lr_g:g}", f"{one.candidate.lr_d:g}")
        if one.epoch is None:
            rows.append((mark + one.candidate.name, *rates, "-", "went wrong", "", ""))
            continue
        fresh = found.afresh.get(one.candidate.name, {}).get("fd", [])
        shown = f"{sum(fresh) / len(fresh):.3f}" if fresh else "-"
        span = f"{one.low:.3f} to {one.high:.3f}"
        fd = f"{one.mean:.3f} ({len(one.fds)} seeds)"
        rows.append((mark + one.candidate.name, *rates, str(one.epoch), fd, span, shown))
    best = found.best
    if not found.confirmed and best is not None:
        stop = (f"{best.lr_g:g}", f"{best.lr_d:g}", str(best.facts["best_epoch"]))
        rows.append((f"trial {best.number}", *stop, f"{best.value:.3f} (1 seed)", "", ""))
    if len(rows) == 1:
        return "\n".join([*lines, "no trial has come to a result yet"])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _counted(outcomes: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items()) or "no trials"


def result(found: Findings) -> dict[str, Any]:
    """The content of result.json; every number is finite."""
    best = found.best
    return {
        "study": found.study,
        "outcomes": found.outcomes,
        "chosen": _told(found.chosen, found) if found.chosen else None,
        "confirmed": [_told(one, found) for one in found.confirmed],
        "best_trial": None
        if best is None
        else {
            "number": best.number,
            "lr_g": best.lr_g,
            "lr_d": best.lr_d,
            "epoch": best.facts["best_epoch"],
            "fd": best.value,
        },
        "cost": vars(found.cost),
        "importances": dict(found.importances),
        "confidence": CONFIDENCE,
    }


def _told(one: Confirmed, found: Findings) -> dict[str, Any]:
    known = one.epoch is not None
    return {
        "name": one.candidate.name,
        "lr_g": one.candidate.lr_g,
        "lr_d": one.candidate.lr_d,
        "epochs": one.epoch,
        "fd": one.mean if known else None,
        "fd_interval": [one.low, one.high] if known else None,
        "fd_by_seed": list(one.fds),
        "fresh_noise": {k: list(v) for k, v in found.afresh.get(one.candidate.name, {}).items()},
    }


COLUMNS = (
    "trial",
    "outcome",
    "lr_g",
    "lr_d",
    "best_epoch",
    "best_fd",
    "onset_epoch",
    "epochs_trained",
    "seconds",
    "status",
    "reason",
    "fd_by_epoch",
)


def write(folder: Path, found: Findings) -> None:
    """Write result.json and trials.csv."""
    write_json(folder / "result.json", result(found))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for trial in found.trials:
        facts = trial.facts
        values = {name: facts.get(name) for name in COLUMNS} | {
            "trial": trial.number,
            "outcome": trial.outcome,
            "lr_g": trial.lr_g,
            "lr_d": trial.lr_d,
            "best_fd": trial.value,
            "fd_by_epoch": " ".join(_cell(fd) or "-" for _, fd in facts.get("fd", [])),
        }
        writer.writerow([_cell(values[name]) for name in COLUMNS])
    with write_whole(folder / "trials.csv") as file:
        file.write(text.getvalue().encode())


def _cell(value: object) -> str:
    if value is None or value != value:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
