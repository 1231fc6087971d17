"""What other rules for stopping would have cost, by what was measured at each epoch's end."""

import math
from dataclasses import dataclass

import numpy as np

from pipeline.store.columns import Columns

PATIENCE = 10  # evaluations, as usual where training is stopped early


@dataclass(frozen=True)
class Stop:
    """Where a rule ends training, and the weights that it keeps.

    Attributes:
        rule: in words.
        trained: the epoch at whose end training ends.
        kept: the epoch whose weights are kept.
        fd: of the weights kept; NaN or infinite where they are broken.
    """

    rule: str
    trained: float
    kept: float
    fd: float


def stops(steps: Columns, epochs: Columns, best_epoch: float) -> list[Stop]:
    """The verdict's rule first, then those of others; as far as the numbers allow.

    Args:
        steps: "step" and "g_loss", [n] each.
        epochs: "epoch", "step" and "fd", [m] each, at least one row.
        best_epoch: what the verdict keeps.
    """
    numbers = [float(epoch) for epoch in epochs["epoch"]]
    fds = [float(fd) for fd in np.ma.filled(epochs["fd"], math.nan)]
    at = dict(zip(numbers, fds, strict=True))
    last = numbers[-1]
    found = []
    if best_epoch in at:
        found.append(Stop("the verdict's best stop", last, best_epoch, at[best_epoch]))
    found.append(Stop("the last epoch", last, last, at[last]))
    if (lowest := _lowest_loss(steps, epochs)) is not None:
        found.append(Stop("lowest mean loss of G", last, lowest, at[lowest]))
    ended, kept = _patience(numbers, fds)
    words = f"patience of {PATIENCE} epochs in fd, its best kept"
    if ended is None:
        words += " (never ran out)"
    if kept in at:
        found.append(Stop(words, ended or last, kept, at[kept]))
    return found


def _lowest_loss(steps: Columns, epochs: Columns) -> float | None:
    """The epoch over whose iterations G's mean loss is lowest; None: it is never finite."""
    losses: dict[float, float] = {}
    before = 0.0
    for epoch, end in zip(epochs["epoch"], epochs["step"], strict=True):
        during = (steps["step"] > before) & (steps["step"] <= end)
        values = np.ma.masked_invalid(steps["g_loss"])[during].compressed()
        if len(values):
            losses[float(epoch)] = float(values.mean())
        before = float(end)
    return min(losses, key=losses.__getitem__, default=None)


def _patience(numbers: list[float], fds: list[float]) -> tuple[float | None, float]:
    """The epoch where patience runs out, None where it does not, and the best until then."""
    kept, lowest, waited = math.nan, math.inf, 0
    for epoch, fd in zip(numbers, fds, strict=True):
        if fd < lowest:
            kept, lowest, waited = epoch, fd, 0
        else:
            waited += 1
        if waited == PATIENCE:
            return epoch, kept
    return None, kept
