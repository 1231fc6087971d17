"""Families of GAN losses: what a discriminator pays that answers the same to everything."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CHANCE: dict[str, float | None] = {
    "bce_mean": math.log(2),
    "bce_sum": 2 * math.log(2),
    "hinge": 2.0,
    "lsgan_mean": 0.25,
    "lsgan_sum": 0.5,
    "relativistic": math.log(2),
    "wasserstein": None,
}
"""D's loss at chance by family, in the loss's unit; None: the family has no such level. `mean` and
`sum` tell how the halves over real and generated images were put together."""

FAMILIES = tuple(CHANCE)

Array = NDArray[np.float64]

_UNSURE = 0.35, 0.7  # answers near 1/2; surer ones cost what other losses may be, too
_BY_THE_CURVE = 0.97, 1.08  # times that cost; one answer for all costs least
_MOST = 0.75  # of the windows
_LOWEST_MAXIMISED = 3.0  # twice what a constant answer costs
_MOST_OF_A_HINGE = 4.0  # twice what a constant answer costs: a Wasserstein distance may be larger
_FEW = 16  # windows lie by a curve by accident


class Family(NamedTuple):
    """A loss family and how it is known: `given`, `known` (the kind of log) or `inferred`."""

    name: str
    source: str

    @property
    def chance(self) -> float | None:
        """D's loss at chance; None where the family has no level."""
        return CHANCE[self.name]


def infer(medians: Mapping[str, Array]) -> Family | None:
    """Tell the family from windows' medians [n] by signal; None where the numbers leave it open.

    Only what the numbers prove: a loss of D below zero is an estimate of a distance, unless both
    may be the cross-entropies of the first GAN, which D and G maximise; a loss of G
    below zero beside one of D that is not is a score, so the hinge (or minimax); D's answers give
    D's cross-entropy, by Jensen's inequality at least -log D(x) - log(1 - D(G(z))). Losses that are
    all positive, without answers, may be any of several, unless D's is what a constant answer
    costs, as told by G's: there each family has a curve of its own.
    """
    d_loss, g_loss = (_known(medians.get(name)) for name in ("d_loss", "g_loss"))
    if len(d_loss) < 3:
        return None
    if np.mean(d_loss < 0) > 0.1:
        return None if _is_maximised(medians) else Family("wasserstein", "inferred")
    if len(g_loss) and np.mean(g_loss < 0) > 0.1:
        return _by_scores(medians)
    if "d_real" in medians and "d_fake" in medians:
        return _by_answers(medians)
    if "g_loss" not in medians:
        return None
    both = np.isfinite(medians["d_loss"]) & np.isfinite(medians["g_loss"])
    losses = medians["d_loss"][both], medians["g_loss"][both]
    lately = slice(len(losses[0]) // 2, None)  # D may be at chance only then
    return _by_constant_answers(*losses) or _by_constant_answers(*(one[lately] for one in losses))


def _is_maximised(medians: Mapping[str, Array]) -> bool:
    """Whether D's loss may be E log D(x) + E log(1 - D(G(z))), and G's E log D(G(z))."""
    if "g_loss" not in medians:
        return False
    both = np.isfinite(medians["d_loss"]) & np.isfinite(medians["g_loss"])
    d_loss, g_loss = medians["d_loss"][both], medians["g_loss"][both]
    if len(d_loss) < 3:
        return False
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        of_fake = np.log(-np.expm1(g_loss))  # D's half of it is no better, by Jensen
        possible = (d_loss <= of_fake + 0.05) & (d_loss > -_LOWEST_MAXIMISED) & (g_loss < 0)
    return bool(np.mean(possible) > 0.9)


def _by_scores(medians: Mapping[str, Array]) -> Family | None:
    """The family where G's loss is below zero: the hinge, or the minimax of the first GAN.

    D pays at least what a constant answer costs that is G's (Jensen): of hinges 1 - g, of which
    half counts where they are a mean. G's minimax loss is log(1 - D(G(z))).
    """
    both = np.isfinite(medians["d_loss"]) & np.isfinite(medians["g_loss"])
    d_loss, g_loss = medians["d_loss"][both], medians["g_loss"][both]
    if len(d_loss) < 3:
        return None
    if np.mean(g_loss < 0) > _MOST:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            answers = -np.expm1(g_loss)
            family = _by_curve("bce", d_loss, answers, _cross_entropy(answers))
        if family is not None:
            return family
    pays = d_loss >= np.maximum(0, 1 - g_loss) / 2 - 0.05
    possible = np.mean(pays) > 0.9 and np.median(d_loss) < _MOST_OF_A_HINGE
    return Family("hinge", "inferred") if possible else None


def _by_answers(medians: Mapping[str, Array]) -> Family | None:
    """The family that D's answers [n] in [0, 1] tell, with both losses.

    A mean of losses is at least the loss of the mean answer (Jensen): of cross-entropies D's and,
    where it is given, G's. G's hinge loss is the mean logit of its images, but for the sign.
    """
    d_loss, real, fake = (medians[name] for name in ("d_loss", "d_real", "d_fake"))
    g_loss = medians.get("g_loss", np.full(len(d_loss), np.nan))
    with np.errstate(divide="ignore", invalid="ignore"):
        of_d = _median(d_loss / -(np.log(real) + np.log1p(-fake)))
        of_g = _median(np.where(fake > 0, g_loss / -np.log(fake), np.nan))
        logits = [np.log(answer) - np.log1p(-answer) for answer in (real, fake)]
        hinge = np.maximum(0, 1 - logits[0]) + np.maximum(0, 1 + logits[1])
        is_hinge = _median(np.abs(g_loss + logits[1])) < 0.2 and _median(d_loss / hinge) > 0.85
    if of_g < 0.85:  # false for NaN
        if is_hinge:
            return Family("hinge", "inferred")
        if not any(0.95 < of_d / share < 1.15 for share in (0.5, 1.0)):
            return None
    if 0.9 <= of_d < 2.5:
        return Family("bce_sum", "inferred")
    return Family("bce_mean", "inferred") if 0.4 <= of_d < 0.9 else None


def _median(values: Array) -> float:
    """Of those that are numbers; NaN where none is."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")


def _by_constant_answers(d_loss: Array, g_loss: Array) -> Family | None:
    """The family by whose curve most windows [n] lie: D cannot tell images apart.

    In the public logs at most half of them do where the loss is another; in the project's trainings
    with D at chance for long three quarters and more.
    """
    if len(d_loss) < _FEW:
        return None
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        answers = np.exp(-g_loss)  # of which G pays the cross-entropy
        found = _by_curve("bce", d_loss, answers, _cross_entropy(answers))
        for squares in (g_loss, 2 * g_loss):  # G's may be halved
            answers = 1 - np.sqrt(squares)
            cost = (1 - answers) ** 2 + answers**2
            found = found or _by_curve("lsgan", d_loss, answers, cost)
    return found


def _cross_entropy(answers: Array) -> Array:
    """What D pays, both halves together, that gives one of `answers` [n] to everything."""
    return np.asarray(-np.log(answers) - np.log1p(-answers))


def _by_curve(name: str, d_loss: Array, answers: Array, cost: Array) -> Family | None:
    """The mean or the sum of `name`, where most of `d_loss` [n] is what unsure `answers` cost."""
    unsure = (answers > _UNSURE[0]) & (answers < _UNSURE[1])
    for kind, share in (("mean", 0.5), ("sum", 1.0)):
        times = d_loss / (share * cost)
        near = unsure & (times > _BY_THE_CURVE[0]) & (times < _BY_THE_CURVE[1])
        if np.mean(near) >= _MOST:
            return Family(f"{name}_{kind}", "inferred")
    return None


def _known(values: Array | None) -> Array:
    return np.empty(0) if values is None else values[np.isfinite(values)]
