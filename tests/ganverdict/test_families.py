import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ganverdict.families import CHANCE, FAMILIES, Family, infer
from ganverdict.signals import SIGNALS

Array = NDArray[np.float64]


def constant_answer_loss(family: str) -> float:
    """The least that D pays, over its answers, where it gives the same to everything."""
    logits = np.linspace(-20, 20, 400_001)
    real = np.logaddexp(0, -logits)  # cross-entropy of the answer "real"
    fake = np.logaddexp(0, logits)
    halves = {
        "bce_mean": (real + fake) / 2,
        "bce_sum": real + fake,
        "hinge": np.maximum(0, 1 - logits) + np.maximum(0, 1 + logits),
        "lsgan_mean": ((logits - 1) ** 2 + logits**2) / 2,
        "lsgan_sum": (logits - 1) ** 2 + logits**2,
        "relativistic": np.full(1, np.logaddexp(0, 0)),  # of a difference of nothing
    }
    return float(halves[family].min())


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "wasserstein"])
def test_chance_is_the_least_that_a_constant_answer_costs(family: str) -> None:
    assert CHANCE[family] == pytest.approx(constant_answer_loss(family), abs=1e-4)
    assert Family(family, "given").chance == CHANCE[family]


def test_a_critic_has_no_level() -> None:
    assert Family("wasserstein", "given").chance is None


def cross_entropies(share: float) -> dict[str, Array]:
    """Windows of a healthy D whose loss is `share` of the sum of both halves."""
    rng = np.random.default_rng(0)
    real, fake = rng.uniform(0.6, 0.9, 50), rng.uniform(0.1, 0.4, 50)
    # Means of D's answers tell the loss by Jensen's inequality from below.
    loss = -share * (np.log(real) + np.log1p(-fake)) * rng.uniform(1, 1.3, 50)
    return {"d_loss": loss, "g_loss": -np.log(fake), "d_real": real, "d_fake": fake}


def name(medians: dict[str, Array]) -> str | None:
    family = infer(medians)
    assert family is None or family.source == "inferred"
    return family.name if family else None


def test_families_that_the_numbers_prove_are_inferred() -> None:
    rng = np.random.default_rng(0)
    assert name(cross_entropies(0.5)) == "bce_mean"
    assert name(cross_entropies(1.0)) == "bce_sum"
    assert name({"d_loss": -np.abs(rng.standard_normal(50))}) == "wasserstein"
    scores = {"d_loss": 1 + rng.random(50), "g_loss": rng.standard_normal(50)}
    assert name(scores) == "hinge"


def test_positive_losses_without_answers_may_be_any_of_several() -> None:
    rng = np.random.default_rng(0)
    assert name({"d_loss": 0.5 + rng.random(50), "g_loss": 1 + rng.random(50)}) is None


def test_a_critic_whose_distance_is_logged_above_zero_is_no_hinge() -> None:
    rng = np.random.default_rng(0)
    assert name({"d_loss": 0.1 + 0.01 * rng.random(50), "g_loss": -5 + rng.random(50)}) is None
    assert name({"d_loss": 5e5 + rng.random(50), "g_loss": -4e5 + rng.random(50)}) is None
    # A Wasserstein distance, where its sign is turned.
    assert name({"d_loss": 5 + rng.random(50), "g_loss": rng.standard_normal(50)}) is None


def test_cross_entropies_that_are_maximised_prove_no_distance() -> None:
    rng = np.random.default_rng(0)
    answers = 0.3 + 0.1 * rng.random(50)
    won = {"d_loss": 2 * np.log1p(-answers), "g_loss": np.log(answers)}
    assert name(won) is None
    # D's half over generated images cannot cost less than G's loss says.
    assert name({**won, "d_loss": 0.1 * np.log1p(-answers)}) == "wasserstein"
    assert name({**won, "g_loss": -won["g_loss"]}) == "wasserstein"
    assert name({**won, "d_loss": 10 * won["d_loss"]}) == "wasserstein"


def test_minimax_at_chance_is_cross_entropy() -> None:
    rng = np.random.default_rng(0)
    chance = 1.388 + 0.002 * rng.random(50)
    assert name({"d_loss": chance, "g_loss": -0.694 + 0.01 * rng.random(50)}) == "bce_sum"


def constant_answers(name: str, halved: float = 1.0) -> dict[str, Array]:
    """Windows of a D whose one answer wanders about 1/2; what G does not know costs D 3 % more."""
    rng = np.random.default_rng(0)
    answer = 0.5 + np.clip(np.cumsum(0.01 * rng.standard_normal(64)), -0.1, 0.1)
    if name.startswith("bce"):
        cost, g_loss = -np.log(answer) - np.log1p(-answer), -np.log(answer)
    else:
        cost, g_loss = (1 - answer) ** 2 + answer**2, (1 - answer) ** 2 * halved
    half = 0.5 if name.endswith("mean") else 1.0
    return {"d_loss": 1.03 * half * cost * rng.uniform(0.98, 1.02, 64), "g_loss": g_loss}


@pytest.mark.parametrize("name_", ["bce_mean", "bce_sum", "lsgan_mean", "lsgan_sum"])
def test_a_d_that_cannot_tell_images_apart_shows_its_loss(name_: str) -> None:
    assert name(constant_answers(name_)) == name_
    if name_.startswith("lsgan"):
        assert name(constant_answers(name_, halved=0.5)) == name_


@pytest.mark.parametrize("name_", ["bce_mean", "bce_sum", "lsgan_mean", "lsgan_sum"])
def test_a_part_of_the_windows_or_the_loss_of_d_alone_proves_nothing(name_: str) -> None:
    medians = constant_answers(name_)
    medians["g_loss"][::3] *= 4  # a third is elsewhere
    assert name(medians) is None
    assert name({"d_loss": constant_answers(name_)["d_loss"]}) is None
    assert name({key: values[:7] for key, values in constant_answers(name_).items()}) is None


def test_a_d_that_is_at_chance_only_lately_shows_its_loss() -> None:
    late = constant_answers("bce_sum")
    early = {"d_loss": np.full(64, 0.4), "g_loss": np.full(64, 2.5)}
    assert name({key: np.concatenate([early[key], late[key]]) for key in late}) == "bce_sum"
    assert name({key: np.concatenate([late[key], early[key]]) for key in late}) is None


def test_windows_that_lack_one_of_the_losses_are_passed_over() -> None:
    medians = constant_answers("bce_sum")
    medians["d_loss"][::5] = np.nan
    medians["g_loss"][1::5] = np.inf
    assert name(medians) == "bce_sum"
    medians["g_loss"][:] = np.nan
    assert name(medians) is None


def test_a_loss_that_is_below_zero_once_proves_nothing() -> None:
    losses = np.ones(50)
    losses[7] = -0.1
    assert name({"d_loss": losses}) is None


def test_too_few_windows_prove_nothing() -> None:
    assert infer({"d_loss": np.array([-1.0, -1.0])}) is None
    assert infer({}) is None


@given(
    st.dictionaries(
        st.sampled_from(SIGNALS[:4]),
        st.lists(st.floats(allow_nan=True, allow_infinity=False), min_size=5, max_size=5),
    )
)
def test_any_numbers_are_a_family_or_none(values: dict[str, list[float]]) -> None:
    family = infer({key: np.array(column) for key, column in values.items()})
    assert family is None or family.name in FAMILIES
    assert family is None or family.chance is None or math.isfinite(family.chance)
