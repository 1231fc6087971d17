"""A space that is accepted holds nothing but recipes that params.yaml could hold."""

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dcgan.params import TrainParams, bounds, build
from pipeline.base.space import (
    RATIO,
    Choices,
    Dimension,
    Interval,
    Recipe,
    Space,
    Value,
    holding,
    keys,
    place,
    present,
    read_space,
    recipe_of,
)
from tests.searches import SHIPPED

TRAIN = SHIPPED.train
VALUES = dataclasses.asdict(TRAIN)
WORDS = {
    "sampling": ("epochs", "replacement"),
    "optimizer": ("adam", "rmsprop"),
    "loss": ("bce", "relativistic"),
    "fakes": ("shared", "inference", "training"),
    "freeze_discriminator": (True, False),
}
FIXED = ("seed", "conditional", "epochs", "steps_per_epoch", "sample_every", "stop", "rollbacks")
NUMBERS = [key for key in VALUES if key not in (*FIXED, *WORDS)]


def numbers(key: str) -> st.SearchStrategy[Any]:
    """Legal numbers of a key, in the whole of its range."""
    if key == RATIO:
        return st.floats(1e-9, 1e6)
    limits = bounds(TrainParams, key)
    assert limits is not None
    if isinstance(VALUES[key], int):
        found = st.integers(int(limits.low), int(limits.high))
        return found.map(lambda value: value - value % 2) if limits.even else found
    return st.floats(limits.low, limits.high, exclude_max=limits.open)


@st.composite
def dimensions(draw: st.DrawFn, key: str) -> dict[str, Any]:
    """Something that params.yaml may say of a key."""
    if key in WORDS:
        return {"choices": draw(st.permutations(WORDS[key]))}
    if draw(st.booleans()):
        choices = draw(st.lists(numbers(key), min_size=2, max_size=4, unique=True))
        return {"choices": choices}
    low, high = sorted((draw(numbers(key)), draw(numbers(key))))
    return {"min": low, "max": high, "scale": draw(st.sampled_from(["log", "linear"]))}


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """A legal space of up to five dimensions."""
    names = draw(st.lists(st.sampled_from([*NUMBERS, *WORDS, RATIO]), min_size=1, max_size=5))
    values = {key: draw(dimensions(key)) for key in names}
    try:
        return read_space(values, "tune.space")
    except ValueError:
        assume(False)
        raise


def somewhere(draw: st.DrawFn, dimension: Dimension) -> Value:
    if isinstance(dimension, Choices):
        return draw(st.sampled_from(dimension.choices))
    low, high = dimension.min, dimension.max
    if isinstance(low, int) and isinstance(high, int):
        return draw(st.integers(low, high))
    return draw(st.floats(low, high))


@st.composite
def recipes(draw: st.DrawFn) -> tuple[Space, Recipe]:
    """A legal space, and what a search may try of it."""
    space = draw(spaces())
    return space, recipe_of({key: somewhere(draw, one) for key, one in space.items()}, space)


@settings(deadline=None, max_examples=200)
@given(recipes())
def test_whatever_is_drawn_from_a_legal_space_is_a_legal_recipe(
    drawn: tuple[Space, Recipe],
) -> None:
    space, recipe = drawn
    assert tuple(recipe) == keys(space)
    train = build(TrainParams, {**VALUES, **recipe}, "train")
    for key, value in recipe.items():
        assert type(getattr(train, key)) is type(VALUES[key])
        assert getattr(train, key) == value
        dimension = space.get(key)
        if isinstance(dimension, Choices):
            assert value in dimension.choices
        elif dimension is not None:
            assert dimension.min <= float(value) <= dimension.max


@settings(deadline=None, max_examples=200)
@given(spaces())
def test_the_present_recipe_lies_in_the_space_or_one_line_says_why_not(space: Space) -> None:
    try:
        extended = holding(space, TRAIN)
    except ValueError:
        with pytest.raises(ValueError, match=r"^tune\.space\.[^\n]+$"):
            holding(space, TRAIN)
        return
    places, recipe = present(extended, TRAIN)
    assert build(TrainParams, {**VALUES, **recipe}) == TRAIN
    for key, dimension in extended.items():
        if isinstance(dimension, Choices):
            assert places[key] in dimension.choices
            assert dimension == space[key]
        else:
            assert dimension.min <= float(places[key]) <= dimension.max
            assert dimension.min <= space[key].min <= space[key].max <= dimension.max  # type: ignore[union-attr]


@settings(deadline=None)
@given(spaces())
def test_a_space_is_read_back_from_what_it_is_written_as(space: Space) -> None:
    written = {key: dataclasses.asdict(dimension) for key, dimension in space.items()}
    assert read_space(written, "tune.space") == space


def test_the_ratio_gives_the_rate_of_d() -> None:
    space = SHIPPED.tune.space
    recipe = recipe_of({"lr_g": 0.00123456, RATIO: 0.5}, space)
    assert recipe == {"lr_g": 0.001235, "lr_d": 0.0006175}
    assert math.isclose(float(place(recipe, RATIO)), 0.5)


RATES = {"min": 0.001, "max": 0.1, "scale": "log"}


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "tune.space: must be a section"),
        (["lr_g"], "tune.space: must be a section"),
        ({"lr": RATES}, "tune.space.lr: no key of train, nor lr_ratio; there are width"),
        ({"seed": {"choices": [1, 2]}}, "tune.space.seed: cannot be searched; all trials"),
        ({"conditional": {"choices": [True, False]}}, "tune.space.conditional: cannot be"),
        ({"epochs": {"choices": [1, 2]}}, "tune.space.epochs: cannot be searched; every epoch"),
        ({"lr_g": {"min": 1, "max": 2}}, "tune.space.lr_g: must have either min, max and scale"),
        ({"lr_g": {**RATES, "choices": [1]}}, "tune.space.lr_g: must have either"),
        ({"lr_g": 0.1}, "tune.space.lr_g: must have either"),
        ({"lr_g": {**RATES, "min": 0.2}}, "tune.space.lr_g: min 0.2 is above max"),
        ({"lr_g": {**RATES, "max": 11}}, "tune.space.lr_g.max: 11 is not allowed; it must be a"),
        ({"lr_g": {**RATES, "min": 0}}, "tune.space.lr_g: min must be above 0 on the scale log"),
        ({"lr_g": {**RATES, "scale": "logarithmic"}}, "tune.space.lr_g.scale: must be log or"),
        ({"width": {**RATES, "min": 3, "max": 8}}, "tune.space.width.min: 3 is not allowed; it"),
        ({"width": {**RATES, "min": 2.5, "max": 8}}, "tune.space.width.min: 2.5 is not allowed"),
        ({"loss": {"choices": ["bce", "hinge"]}}, "tune.space.loss.choices: 'hinge' is not"),
        ({"loss": {"choices": ["bce"]}}, "tune.space.loss.choices: must be a list of two"),
        ({"loss": {"choices": "bce"}}, "tune.space.loss.choices: must be a list of two"),
        ({"beta1": {"choices": [0, 0.0]}}, "tune.space.beta1.choices: has a value twice"),
        (
            {"loss": {"min": "bce", "max": "bce", "scale": "log"}},
            "tune.space.loss: has no numbers between others",
        ),
        ({"lr_g": RATES, "lr_d": RATES, RATIO: RATES}, "tune.space.lr_ratio: lr_d is searched"),
        ({RATIO: RATES}, "tune.space.lr_ratio: needs lr_g beside it"),
        ({"lr_g": RATES, RATIO: {**RATES, "max": 1e7}}, "tune.space.lr_ratio.max: must be a"),
        ({"lr_g": RATES, RATIO: {**RATES, "max": 1e6}}, "tune.space.lr_ratio: lr_d: 100000.0 is"),
        (
            {"lr_g": {"min": 0, "max": 1, "scale": "linear"}, RATIO: RATES},
            "tune.space.lr_ratio: lr_g must be above 0",
        ),
    ],
)
def test_what_is_no_space_is_one_line_naming_its_key(space: Any, message: str) -> None:
    with pytest.raises(ValueError, match=r"tune\.space") as caught:
        read_space(space, "tune.space")
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("space", "train", "message"),
    [
        (
            {"loss": Choices(("relativistic", "bce"))},
            {"loss": "hinge"},
            "tune.space.loss: hinge, which train has now, must be among the choices",
        ),
        (
            {"r1_gamma": Interval(0.1, 10.0, "log")},
            {"r1_gamma": 0.0},
            "tune.space.r1_gamma: 0, which train has now, has no place on the scale log",
        ),
        (
            {"lr_g": Interval(0.1, 1.0, "log"), RATIO: Interval(0.1, 1.0, "log")},
            {"lr_g": 0.0},
            "tune.space.lr_g: 0, which train has now, has no place",
        ),
        (
            {"lr_g": Interval(0.1, 10.0, "log"), RATIO: Interval(0.1, 1.0, "log")},
            {"lr_g": 0.1, "lr_d": 0.2},
            "tune.space.lr_ratio: lr_d: 20.0 is not allowed",
        ),
    ],
)
def test_a_space_that_cannot_hold_the_present_recipe_is_one_line(
    space: Space, train: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=r"tune\.space") as caught:
        holding(space, dataclasses.replace(TRAIN, **train))
    assert str(caught.value).startswith(message)
