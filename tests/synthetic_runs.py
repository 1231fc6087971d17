"""Made-up training runs, healthy and failing, for tests of the verdict.

Healthy here is broad on purpose: early phases of either sign, slow trends and turns, waves over
several epochs, autocorrelated and at first larger noise, an fd that wobbles.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dcgan.params import StabilityParams

Array = NDArray[np.float64]
Columns = dict[str, NDArray[np.float64] | NDArray[np.int64]]
Failure = Literal[
    "none", "rate", "explosion", "frozen", "one_digit", "not_finite", "spike", "drift", "silent"
]

EPOCH = 468
PARAMS = StabilityParams(
    window=52,
    steps_per_epoch=EPOCH,
    burn_in_epochs=5.0,
    history_epochs=10.0,
    recent_epochs=1.0,
    min_windows=20,
    min_deviation=0.02,
    max_deviations=5.0,
    cusum_slack=1.0,
    cusum_limit=10.0,
    saturated_real=0.99,
    saturated_fake=0.01,
    saturated_share=0.9,
    flat_change=0.05,
    confirm_epochs=5.0,
    confirm_evaluations=3,
    fd_factor=1.25,
    fd_factor_once=2.0,
    fd_sigmas=4.0,
    class_kl=0.05,
    class_kl_once=0.5,
    class_kl_factor=2.0,
    coverage_factor=0.7,
    min_share=0.2,
)

LEVELS = {
    "d_loss": 0.65,
    "g_loss": 0.9,
    "d_grad_norm": 0.7,
    "g_grad_norm": 0.3,
    "d_update_ratio": 1e-3,
    "g_update_ratio": 2e-3,
}


def synthetic_run(
    seed: int, failure: Failure = "none", epochs: int = 36, at_epoch: float = 22.0
) -> tuple[Columns, Columns]:
    """Columns of steps (8 signals) and of epochs (4 measures); `failure` begins `at_epoch`."""
    rng = np.random.default_rng(seed)
    step = np.arange(1, epochs * EPOCH + 1)
    number = np.arange(1, epochs + 1)
    since = (step / EPOCH - at_epoch).clip(0)  # epochs since the failure began
    begun = step / EPOCH > at_epoch
    logs = {name: np.log(level) + _healthy(rng, step) for name, level in LEVELS.items()}
    real, fake = 0.6 + 0.02 * rng.standard_normal(len(step)), 0.4 + 0.02 * rng.random(len(step))
    fd, kl, coverage, share = _healthy_measures(rng, number)
    late = (number - at_epoch).clip(0)
    bad = late > 0
    if failure == "rate":
        for name in logs:
            size = rng.uniform(2, 3.4) if "update" in name else rng.uniform(0.7, 2.5)
            logs[name] += begun * size * (1 + 0.3 * rng.standard_normal(len(step)))
        fd = np.where(bad, fd * (1 + rng.uniform(0.5, 3) * late.clip(0, 3)), fd)
    elif failure == "explosion":
        for name in ("d_grad_norm", "g_grad_norm", "g_update_ratio"):
            logs[name] += rng.uniform(0.2, 0.6) * since
        fd = fd * np.exp(rng.uniform(0.1, 0.3) * (late - 1).clip(0))
    elif failure == "frozen":
        sure = 1 - np.exp(-2 * since)
        real, fake = real + sure * (0.999 - real), fake + sure * (0.001 - fake)
        logs["g_loss"] += 2 * sure
        logs["d_loss"] -= 4 * sure
        logs["g_update_ratio"] -= 30.0 * begun
        for values in (fd, kl, coverage, share):
            values[bad] = values[~bad][-1]
    elif failure == "one_digit":
        fd, kl, share = np.where(bad, 8 * fd, fd), np.where(bad, 2.3, kl), np.where(bad, 0, share)
    elif failure == "silent":
        fd = fd * np.exp(0.12 * late)
    elif failure == "drift":
        for name in logs:
            logs[name] += rng.uniform(-0.02, 0.03) * since
        fd = fd * np.exp(rng.uniform(-0.005, 0.005) * late)
    signals = {name: np.exp(values) for name, values in logs.items()}
    first = int(begun.argmax())
    if failure == "spike":
        for name in ("d_loss", "g_loss", "d_grad_norm", "g_grad_norm"):
            signals[name][first] *= 10
    elif failure == "not_finite":
        for name in signals:
            signals[name][first:] = np.nan
        fd[bad] = np.nan
    steps: Columns = {"step": step, **signals, "d_real": real, "d_fake": fake}
    measures = {"fd": fd, "class_kl": kl, "coverage": coverage, "min_share": share}
    return steps, {"epoch": number, "step": number * EPOCH, **measures}


def _healthy(rng: np.random.Generator, step: NDArray[np.int64]) -> Array:
    """Logarithm of a healthy signal around its level."""
    epoch = step / EPOCH
    trend = rng.uniform(-1.5, 1.5) * np.exp(-epoch / rng.uniform(0.5, 8))
    slope = rng.uniform(-0.03, 0.03)
    trend += slope * epoch if rng.random() < 0.5 else 4 * slope * np.sqrt(epoch)
    if rng.random() < 0.3:
        turn = (epoch - rng.uniform(5, 50)) / rng.uniform(2, 6)
        trend += rng.uniform(-0.5, 0.5) / (1 + np.exp(-turn))
    wave = rng.uniform(0, 0.1) * autoregressive(rng, len(step), rng.uniform(0.5, 5) * EPOCH)
    size = rng.uniform(0.1, 0.5) * (1 + rng.uniform(0, 3) * np.exp(-epoch / 2))
    length = float(rng.choice([0.2, 1.5, 10, 33, 100]))
    return np.asarray(trend + wave + size * autoregressive(rng, len(step), length))


def _healthy_measures(
    rng: np.random.Generator, number: NDArray[np.int64]
) -> tuple[Array, Array, Array, Array]:
    floor, start = rng.uniform(5, 40), rng.uniform(80, 300)
    wobble = rng.uniform(0.02, 0.1)
    noise = wobble * rng.standard_normal(len(number))
    noise += rng.uniform(0, 0.04) * autoregressive(rng, len(number), 3)
    fd = (floor + start * np.exp(-number / rng.uniform(2, 8))) * np.exp(noise)
    kl = (0.01 + np.exp(-number / 2)) * np.exp(0.3 * rng.standard_normal(len(number)))
    rise = 1 - np.exp(-number / 3)
    coverage = rng.uniform(0.6, 0.9) * rise + 0.02 * rng.standard_normal(len(number))
    share = 0.7 * rise + 0.06 * rng.standard_normal(len(number))
    return np.asarray(fd), np.asarray(kl), coverage.clip(0, 1), share.clip(0, 1)


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
