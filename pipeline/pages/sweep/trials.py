"""The trials of a sweep: what is chosen among them, their order, their table, their tooltips."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bokeh.models.tools import HoverTool

from pipeline.base.space import Choices, Recipe, Space, keys, shown, words
from pipeline.pages.layout import table
from pipeline.plots.search import TrialCurve


@dataclass(frozen=True)
class Choice:
    """A recipe and a stopping point, and the fd found there, of several seeds their mean.

    `name`: "trial N", or that of the present recipe.
    """

    name: str
    recipe: Recipe
    epochs: int
    fd: float
    seeds: int

    @property
    def words(self) -> str:
        """What it is: one seed is no choice."""
        return f"{'chosen' if self.seeds > 1 else 'best'}: {self.name}"

    def is_of(self, trial: TrialCurve) -> bool:
        """Whether a trial had this recipe."""
        return trial.recipe == self.recipe


def by_value(trials: Sequence[TrialCurve]) -> list[TrialCurve]:
    """The best first; those without a stopping point last."""
    return sorted(trials, key=lambda t: (math.inf if (fd := best_fd(t)) is None else fd, t.number))


def best_fd(trial: TrialCurve) -> float | None:
    """The fd of a trial's best stopping point, None where it has none."""
    return trial.best_fd if trial.best_epoch else None


def rows(trials: Sequence[TrialCurve], space: Space) -> str:
    """The trials as a table; `sort.js` orders it by the column that is asked for."""
    columns = {
        "trial": True,
        "outcome": False,
        **searched(space),
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
            *values(trial.recipe, space),
            str(trial.best_epoch or ""),
            number(best_fd(trial)),
            number(trial.epochs_trained or None),
            trial.status,
            trial.reason,
        )
        for trial in trials
    )
    return table(columns, cells, "sortable")


def searched(space: Space) -> dict[str, bool]:
    """The columns of a table that hold a recipe's values, each with whether they are numbers."""
    texts = {key for key, one in space.items() if isinstance(one, Choices) and one.are_words}
    return {key: key not in texts for key in keys(space)}


def values(recipe: Recipe, space: Space) -> list[str]:
    """The cells of these columns; empty where a recipe is not known yet."""
    return [shown(recipe[key]) if key in recipe else "" for key in keys(space)]


def about(trial: TrialCurve) -> dict[str, Any]:
    """What a tooltip says of a trial wherever it is drawn."""
    return {
        "trial": trial.number,
        "outcome": trial.outcome,
        "status": trial.status,
        "recipe": words(trial.recipe),
    }


def hover(points: Sequence[Any], more: Mapping[str, str]) -> HoverTool:
    """Tooltips on points whose columns are those of `about` and those that `more` names."""
    told = {
        "trial": "@trial, @outcome",
        "verdict": "@status",
        "recipe": "@recipe",
        **more,
    }
    return HoverTool(
        renderers=list(points),
        tooltips=list(told.items()),
        limit=3,  # of points that lie on one another
        visible=False,
    )


def number(value: float | None) -> str:
    """Four digits; "" for none."""
    return f"{value:.4g}" if value is not None and math.isfinite(value) else ""
