"""Trials and parameters of searches, made by hand."""

import dataclasses
from pathlib import Path
from typing import Any

from pipeline.base.cli import load_params
from pipeline.base.params import Params, TuneParams
from pipeline.search.study import Trial

SHIPPED = load_params(Path(__file__).resolve().parent.parent / "params.yaml")


def tune_params(**changes: Any) -> TuneParams:
    """The shipped search with plain changes; `epochs` and `confirm` as dictionaries."""
    tune = SHIPPED.tune
    for name in ("epochs", "confirm"):
        part = dataclasses.replace(getattr(tune, name), **changes.pop(name, {}))
        tune = dataclasses.replace(tune, **{name: part})
    return dataclasses.replace(tune, **changes)


def params(**changes: Any) -> Params:
    """The shipped parameters with such a search."""
    return dataclasses.replace(SHIPPED, tune=tune_params(**changes))


def trial(number: int, fds: list[float | None], outcome: str = "complete", **facts: Any) -> Trial:
    """A trial whose fd by epoch was this; `value` and `recipe`, or parts of that, may be given."""
    rates = {"lr_g": 0.001 * (number + 1), "lr_d": 0.003}
    recipe = facts.pop("recipe", {key: facts.pop(key, rate) for key, rate in rates.items()})
    measured = [fd for fd in fds if fd is not None]
    best = min(measured, default=None)
    value = facts.pop("value", best)
    kept = {
        "fd": [[epoch, fd] for epoch, fd in enumerate(fds, start=1)],
        "best_epoch": None if best is None else fds.index(best) + 1,
        "onset_step": None,
        "onset_epoch": None,
        "steps_per_epoch": 10,
        "epochs_trained": float(len(fds)),
        "seconds": 1.0,
        "reason": "",
        "status": "stable",
        **facts,
    }
    best_so_far = {epoch: fd for epoch, fd in enumerate(fds, start=1) if fd is not None}
    return Trial(number, outcome, value, recipe, best_so_far, kept)
