"""Made-up training runs, healthy and failing, for tests of the verdict.

Healthy here is broad on purpose: early phases of either sign, slow trends and turns, waves over
several epochs, autocorrelated and at first larger noise, an fd that wobbles. What healthy is not: a
D at chance or sure of everything. D's answers are those that its loss goes with.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ganverdict.thresholds import Thresholds

Array = NDArray[np.float64]
Columns = dict[str, NDArray[np.float64] | NDArray[np.int64]]
Failure = Literal[
    "none",
    "rate",
    "explosion",
    "frozen",
    "one_digit",
    "not_finite",
    "spike",
    "drift",
    "silent",
    "chance",
]

EPOCH = 468
PARAMS = Thresholds()
CHANCE = math.log(2)
"""What D pays for the same answer to everything: the losses here are mean cross-entropies."""

LEVELS = {
    "d_loss": 0.65,
    "g_loss": 0.9,
    "d_grad_norm": 0.7,
    "g_grad_norm": 0.3,
    "d_update_ratio": 1e-3,
    "g_update_ratio": 2e-3,
}


@dataclass
class _Run:
    """A run in the making. `since` [steps] and `late` [epochs] are epochs since the failure.

    `logs` are logarithms of signals; that of D's loss is of what it would be without a ceiling at
    chance, and `over` [steps] is how far it stands above that.
    """

    rng: np.random.Generator
    logs: dict[str, Array]
    over: Array
    measures: dict[str, Array]
    since: Array
    late: Array


def synthetic_run(
    seed: int, failure: Failure = "none", epochs: int = 36, at_epoch: float = 22.0
) -> tuple[Columns, Columns]:
    """Columns of steps (8 signals) and of epochs (4 measures); `failure` begins `at_epoch`."""
    rng = np.random.default_rng(seed)
    step = np.arange(1, epochs * EPOCH + 1)
    number = np.arange(1, epochs + 1)
    logs = {
        name: np.log(level) + _healthy(rng, step, bounded=name == "d_loss")
        for name, level in LEVELS.items()
    }
    answers = 0.01 * rng.standard_normal((2, len(step)))
    measures = _healthy_measures(rng, number)
    since, late = (step / EPOCH - at_epoch).clip(0), (number - at_epoch).clip(0)
    run = _Run(rng, logs, np.zeros(len(step)), measures, since, late)
    if failure != "none":
        _FAILURES[failure](run)
    signals = {name: np.exp(values) for name, values in run.logs.items()}
    d_loss = CHANCE * -np.expm1(-signals["d_loss"] / CHANCE) + run.over
    signals["d_loss"] = d_loss
    signals["d_real"] = (np.exp(-d_loss) + answers[0]).clip(1e-4, 1 - 1e-4)
    signals["d_fake"] = (-np.expm1(-d_loss) + answers[1]).clip(1e-4, 1 - 1e-4)
    return {"step": step, **signals}, {"epoch": number, "step": number * EPOCH, **run.measures}


def _rate(run: _Run) -> None:
    """The learning rate jumps: everything moves at once, noisily, and fd climbs."""
    for name in run.logs:
        size = run.rng.uniform(2, 3.4) if "update" in name else run.rng.uniform(0.7, 2.5)
        noise = 1 + 0.3 * run.rng.standard_normal(len(run.since))
        run.logs[name] += (run.since > 0) * size * noise
    run.measures["fd"] *= 1 + run.rng.uniform(0.5, 3) * run.late.clip(0, 3)


def _explosion(run: _Run) -> None:
    """Gradients grow by a factor each epoch; fd follows an epoch later."""
    for name in ("d_grad_norm", "g_grad_norm", "g_update_ratio"):
        run.logs[name] += run.rng.uniform(0.2, 0.6) * run.since
    run.measures["fd"] *= np.exp(run.rng.uniform(0.1, 0.3) * (run.late - 1).clip(0))


def _frozen(run: _Run) -> None:
    """G is no longer trained: D becomes sure, samples stay what they were."""
    sure = 1 - np.exp(-2 * run.since)
    run.logs["g_loss"] += 2 * sure
    run.logs["d_loss"] -= 6 * sure
    run.logs["g_update_ratio"] -= 30.0 * (run.since > 0)
    for values in run.measures.values():
        values[run.late > 0] = values[run.late == 0][-1]


def _one_digit(run: _Run) -> None:
    """G draws one digit only; the signals say nothing."""
    bad = run.late > 0
    run.measures["fd"][bad] *= 8
    run.measures["class_kl"][bad] = 2.3
    run.measures["min_share"][bad] = 0


def _not_finite(run: _Run) -> None:
    """A weight is NaN, and from then on everything."""
    for values in run.logs.values():
        values[run.since > 0] = np.nan
    run.measures["fd"][run.late > 0] = np.nan


def _spike(run: _Run) -> None:
    """One iteration with ten times the losses and gradients."""
    for name in ("d_loss", "g_loss", "d_grad_norm", "g_grad_norm"):
        run.logs[name][int((run.since > 0).argmax())] += np.log(10)


def _drift(run: _Run) -> None:
    """Slow drifts begin, such as healthy training has."""
    for values in run.logs.values():
        values += run.rng.uniform(-0.02, 0.03) * run.since
    run.measures["fd"] *= np.exp(run.rng.uniform(-0.005, 0.005) * run.late)


def _silent(run: _Run) -> None:
    """Samples become worse, the signals do not notice."""
    run.measures["fd"] *= np.exp(0.12 * run.late)


def _chance(run: _Run) -> None:
    """D comes to stand above chance, and samples slowly become worse."""
    level = (run.since / 3).clip(0, 1)
    run.logs["d_loss"] += 3 * level
    run.over += 0.03 * level
    run.measures["fd"] *= np.exp(0.04 * run.late)


_FAILURES: dict[Failure, Callable[[_Run], None]] = {
    "rate": _rate,
    "explosion": _explosion,
    "frozen": _frozen,
    "one_digit": _one_digit,
    "not_finite": _not_finite,
    "spike": _spike,
    "drift": _drift,
    "silent": _silent,
    "chance": _chance,
}


def _healthy(rng: np.random.Generator, step: NDArray[np.int64], bounded: bool) -> Array:
    """Logarithm of a healthy signal around its level; `bounded`: it stays near that for ever."""
    epoch = step / EPOCH
    trend = rng.uniform(-1.5, 1.5) * np.exp(-epoch / rng.uniform(0.5, 8))
    slope = rng.uniform(-0.03, 0.03)
    trend += slope * epoch if rng.random() < 0.5 else 4 * slope * np.sqrt(epoch)
    if rng.random() < 0.3:
        turn = (epoch - rng.uniform(5, 50)) / rng.uniform(2, 6)
        trend += rng.uniform(-0.5, 0.5) / (1 + np.exp(-turn))
    if bounded:
        trend = 0.8 * np.tanh(trend / 0.8)
    wave = rng.uniform(0, 0.1) * autoregressive(rng, len(step), rng.uniform(0.5, 5) * EPOCH)
    size = rng.uniform(0.1, 0.5) * (1 + rng.uniform(0, 3) * np.exp(-epoch / 2))
    length = float(rng.choice([0.2, 1.5, 10, 33, 100]))
    return np.asarray(trend + wave + size * autoregressive(rng, len(step), length))


def _healthy_measures(rng: np.random.Generator, number: NDArray[np.int64]) -> dict[str, Array]:
    floor, start = rng.uniform(5, 40), rng.uniform(80, 300)
    wobble = rng.uniform(0.02, 0.1)
    noise = wobble * rng.standard_normal(len(number))
    noise += rng.uniform(0, 0.04) * autoregressive(rng, len(number), 3)
    fd = (floor + start * np.exp(-number / rng.uniform(2, 8))) * np.exp(noise)
    kl = (0.01 + np.exp(-number / 2)) * np.exp(0.3 * rng.standard_normal(len(number)))
    rise = 1 - np.exp(-number / 3)
    coverage = rng.uniform(0.6, 0.9) * rise + 0.02 * rng.standard_normal(len(number))
    share = 0.7 * rise + 0.06 * rng.standard_normal(len(number))
    return {
        "fd": fd,
        "class_kl": kl,
        "coverage": coverage.clip(0, 1),
        "min_share": share.clip(0, 1),
    }


def autoregressive(rng: np.random.Generator, count: int, length: float) -> Array:
    """AR(1) noise [count] of unit variance that forgets over `length` points."""
    keep = float(np.exp(-1 / length))
    shocks = np.sqrt(1 - keep**2) * rng.standard_normal(count)
    shocks[0] /= np.sqrt(1 - keep**2)
    # y[t] = keep y[t-1] + shock[t], in blocks short enough for powers of `keep` to stay in range.
    block = int(min(max(20 / (-np.log(keep)), 1), count))
    powers = keep ** np.arange(block)
    values = np.empty(count)
    previous = 0.0
    for start in range(0, count, block):
        part = shocks[start : start + block]
        scale = powers[: len(part)]
        values[start : start + block] = scale * (np.cumsum(part / scale) + keep * previous)
        previous = float(values[min(start + block, count) - 1])
    return values
