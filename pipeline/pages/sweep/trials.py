"""The trials of a sweep: what is chosen among them, their order, their table, their tooltips."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bokeh.models.tools import HoverTool

from pipeline.pages.layout import table
from pipeline.plots.search import TrialCurve


@dataclass(frozen=True)
class Choice:
    """Rates and a stopping point, and the fd found there: the mean where there are several seeds.

    `name`: "trial N", or that of the present rates.
    """

    name: str
    lr_g: float
    lr_d: float
    epochs: int
    fd: float
    seeds: int

    @property
    def words(self) -> str:
        """What it is: one seed is no choice."""
        return f"{'chosen' if self.seeds > 1 else 'best'}: {self.name}"

    def is_of(self, trial: TrialCurve) -> bool:
        """Whether a trial had these rates."""
        return (trial.lr_g, trial.lr_d) == (self.lr_g, self.lr_d)


def by_value(trials: Sequence[TrialCurve]) -> list[TrialCurve]:
    """The best first; those without a stopping point last."""
    return sorted(trials, key=lambda t: (math.inf if (fd := best_fd(t)) is None else fd, t.number))


def best_fd(trial: TrialCurve) -> float | None:
    """The fd of a trial's best stopping point, None where it has none."""
    return trial.best_fd if trial.best_epoch else None


def rows(trials: Sequence[TrialCurve]) -> str:
    """The trials as a table; `sort.js` orders it by the column that is asked for."""
    columns = {
        "trial": True,
        "outcome": False,
        "lr_g": True,
        "lr_d": True,
        "best epoch": True,
        "best fd": True,
        "epochs trained": True,
        "verdict": False,
        "reason": False,
    }
    cells = (
        (
            str(trial.number),
            trial.outcome,
            _rate(trial.lr_g),
            _rate(trial.lr_d),
            str(trial.best_epoch or ""),
            number(best_fd(trial)),
            number(trial.epochs_trained or None),
            trial.status,
            trial.reason,
        )
        for trial in trials
    )
    return table(columns, cells, "sortable")


def about(trial: TrialCurve) -> dict[str, Any]:
    """What a tooltip says of a trial wherever it is drawn."""
    return {
        "trial": trial.number,
        "outcome": trial.outcome,
        "status": trial.status,
        "lr_g": trial.lr_g,
        "lr_d": trial.lr_d,
    }


def hover(points: Sequence[Any], more: Mapping[str, str]) -> HoverTool:
    """Tooltips on points whose columns are those of `about` and those that `more` names."""
    told = {
        "trial": "@trial, @outcome",
        "verdict": "@status",
        "lr_g, lr_d": "@lr_g{%.6g}, @lr_d{%.6g}",
        **more,
    }
    return HoverTool(
        renderers=list(points),
        tooltips=list(told.items()),
        formatters={"@lr_g": "printf", "@lr_d": "printf"},
        limit=3,  # of points that lie on one another
        visible=False,
    )


def number(value: float | None) -> str:
    """Four digits; "" for none."""
    return f"{value:.4g}" if value is not None and math.isfinite(value) else ""


def _rate(value: float) -> str:
    return f"{value:g}" if math.isfinite(value) else ""
