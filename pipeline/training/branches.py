"""Rolling back: from a decline to the epoch to keep, and on from there in another way.

Networks, average and optimisers go back; steps go on counting the iterations that were trained.
So every step, epoch and random draw of a run is there once, rates decay on, and a run that rolled
back has trained as many iterations as one that did not.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from dcgan.params import TrainParams
from ganverdict.verdict import HeldState

Branch = dict[str, float]
"""One return, in plain values for the checkpoint: `step`, the last one before it; `best_epoch` and
`best_step`, what it went back to; the values of `CHANGED` from here on."""

CHANGED = ("lr_d", "lr_g", "r1_gamma", "freeze_discriminator")
"""The keys of `train` that a return may change."""

_RATE_FACTOR = 0.5
_R1_GAMMA = 1.0  # the recipe `stabilised`
_R1_HELPS = {"at_chance", "memorising"}
_FREEZING_HELPS = {"at_chance", "fooled"}


def branch(
    train: TrainParams, states: Iterable[HeldState], step: int, best: Mapping[str, float]
) -> Branch:
    """The return of a run, at `step` and in these states, to the epoch of the row `best`.

    One thing is done otherwise from there on. Where D cannot tell images apart and G's step moves
    it, too, that ends; where D is at chance or memorises and goes without R1, that is put on; else
    both rates are halved.
    """
    holding = {state.name for state in states if state.until is None}
    changed: Branch = {name: getattr(train, name) for name in CHANGED}
    if not train.freeze_discriminator and holding & _FREEZING_HELPS:
        changed["freeze_discriminator"] = True
    elif not train.r1_gamma and holding & _R1_HELPS:
        changed["r1_gamma"] = _R1_GAMMA
    else:
        changed |= {name: _RATE_FACTOR * changed[name] for name in ("lr_d", "lr_g")}
    place = {"step": step, "best_epoch": best["epoch"], "best_step": best["step"]}
    return place | changed


def on_branch(train: TrainParams, branches: list[Branch]) -> TrainParams:
    """The parameters that a run trains with after so many returns."""
    if not branches:
        return train
    begun = branches[-1]
    changed: dict[str, Any] = {name: begun[name] for name in CHANGED}
    return dataclasses.replace(train, **changed)


def in_words(begun: Branch) -> str:
    """A return for people."""
    changed = ", ".join(f"{name} {_shown(begun[name])}" for name in CHANGED)
    place = f"epoch {begun['best_epoch']:g}, step {begun['best_step']:,g}"
    return f"rolled back at step {begun['step']:,g} to {place}; from there on {changed}"


def _shown(value: float) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"
