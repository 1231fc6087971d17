"""Rolling back: from a decline to the epoch to keep, and on from there in another way.

Networks, average and optimisers go back; steps go on counting the iterations that were trained.
So every step, epoch and random draw of a run is there once, rates decay on, and a run that rolled
back has trained as many iterations as one that did not.
"""

import dataclasses
from collections.abc import Iterable, Mapping

from dcgan.params import TrainParams
from ganverdict.verdict import HeldState

Branch = dict[str, float]
"""One return, in plain values for the checkpoint: `step`, the last one before it; `best_epoch` and
`best_step`, what it went back to; `lr_d`, `lr_g` and `r1_gamma` from here on."""

_RATE_FACTOR = 0.5
_R1_GAMMA = 1.0  # the recipe `stabilised`
_R1_HELPS = {"at_chance", "memorising"}


def branch(
    train: TrainParams, states: Iterable[HeldState], step: int, best: Mapping[str, float]
) -> Branch:
    """The return of a run, at `step` and in these states, to the epoch of the row `best`.

    One thing is done otherwise from there on: R1 is put on where D is at chance or memorises and
    goes without; else both rates are halved.
    """
    holding = {state.name for state in states if state.until is None}
    lr_d, lr_g, r1_gamma = train.lr_d, train.lr_g, train.r1_gamma
    if not r1_gamma and holding & _R1_HELPS:
        r1_gamma = _R1_GAMMA
    else:
        lr_d, lr_g = _RATE_FACTOR * lr_d, _RATE_FACTOR * lr_g
    return {
        "step": step,
        "best_epoch": best["epoch"],
        "best_step": best["step"],
        "lr_d": lr_d,
        "lr_g": lr_g,
        "r1_gamma": r1_gamma,
    }


def on_branch(train: TrainParams, branches: list[Branch]) -> TrainParams:
    """The parameters that a run trains with after so many returns."""
    if not branches:
        return train
    latest = branches[-1]
    return dataclasses.replace(
        train, lr_d=latest["lr_d"], lr_g=latest["lr_g"], r1_gamma=latest["r1_gamma"]
    )


def in_words(begun: Branch) -> str:
    """A return for people."""
    changed = ", ".join(f"{name} {begun[name]:g}" for name in ("lr_d", "lr_g", "r1_gamma"))
    place = f"epoch {begun['best_epoch']:g}, step {begun['best_step']:,g}"
    return f"rolled back at step {begun['step']:,g} to {place}; from there on {changed}"
