"""What a search varies: `tune.space` of params.yaml, and the recipes that lie in it.

A dimension is a key of the section `train`, or the ratio of the two rates, which a search knows
more about than about lr_d: which of the two networks learns faster.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from dcgan.params import Range, TrainParams, bounds, check, named

Value = bool | int | float | str
Recipe = Mapping[str, Value]
"""Values of the section `train`, of the keys that a search varies."""

RATIO = "lr_ratio"
_RATIOS = Range(1e-9, 1e6)
_KEYS = tuple(field.name for field in dataclasses.fields(TrainParams))
_FIXED = {
    "seed": "all trials of a search train with one seed, and its confirmation with fresh ones",
    "conditional": "fd of digits that were asked for is not comparable with that of others",
    "epochs": "every epoch of a trial is a stopping point already; see tune.epochs",
    "steps_per_epoch": "trials are compared after equal numbers of iterations",
    "sample_every": "it changes no training, and trials draw no pictures",
    "raw_every": "it changes no training, only how often it is looked at",
    "stop": "a trial ends by its pruner or its verdict",
    "rollbacks": "a trial ends by its pruner or its verdict",
}


@dataclass(frozen=True)
class Interval:
    """Numbers from `min` to `max`, whole ones where these are, on a scale."""

    min: float
    max: float
    scale: Literal["log", "linear"]

    def __str__(self) -> str:
        return f"{self.min:g} to {self.max:g} ({self.scale})"


@dataclass(frozen=True)
class Choices:
    """Single values, in no order."""

    choices: tuple[Value, ...]

    @property
    def are_words(self) -> bool:
        """Whether they are texts, or true and false."""
        return isinstance(self.choices[0], bool | str)

    def __str__(self) -> str:
        return " or ".join(map(shown, self.choices))


Dimension = Interval | Choices
Space = Mapping[str, Dimension]


def read_space(values: object, where: str) -> Space:
    """Check `tune.space`. Raises ValueError with one line that begins with `where`.KEY."""
    if not isinstance(values, Mapping) or not values:
        raise ValueError(f"{where}: must be a section of one key of train or more")
    space = {}
    for key, content in values.items():
        space[key] = _dimension(key, content, f"{where}.{named(key)}")
    if RATIO in space:
        _check_ratio(space, f"{where}.{RATIO}")
    return space


def holding(space: Space, train: TrainParams) -> Space:
    """The space with the present recipe in it, which is a search's first trial.

    Intervals are extended; among choices it must be, because a study's choices never change.
    Raises ValueError with one line.
    """
    extended: dict[str, Dimension] = {}
    for key, dimension in space.items():
        where = f"tune.space.{key}"
        if key == RATIO and not train.lr_g > 0:
            raise ValueError(f"{where}: train.lr_g must be above 0 to have a ratio to it")
        value = place(dataclasses.asdict(train), key)
        if isinstance(dimension, Choices):
            if not any(_same(value, choice) for choice in dimension.choices):
                raise ValueError(
                    f"{where}: {shown(value)}, which train has now, must be among the choices"
                )
            extended[key] = dimension
            continue
        number = cast("float", value)
        if dimension.scale == "log" and not number > 0:
            raise ValueError(
                f"{where}: {shown(value)}, which train has now, has no place on the scale log"
            )
        low, high = min(dimension.min, number), max(dimension.max, number)
        extended[key] = dataclasses.replace(dimension, min=low, max=high)
    if RATIO in extended:
        _check_ratio(extended, f"tune.space.{RATIO}")
    return extended


def present(space: Space, train: TrainParams) -> tuple[dict[str, Value], Recipe]:
    """Where the present recipe lies in a space that holds it, and what it is."""
    values = dataclasses.asdict(train)
    places = {key: place(values, key) for key in space}
    for key, dimension in space.items():
        if isinstance(dimension, Choices):  # of a ratio, the choice that it is but for rounding
            places[key] = next(c for c in dimension.choices if _same(places[key], c))
    return places, {key: values[key] for key in keys(space)}


def keys(space: Space) -> tuple[str, ...]:
    """The keys of `train` that a space varies."""
    return tuple("lr_d" if key == RATIO else key for key in space)


def place(recipe: Recipe, key: str) -> Value:
    """Where a recipe lies along a dimension."""
    if key == RATIO:
        return float(recipe["lr_d"]) / float(recipe["lr_g"])
    return recipe[key]


def recipe_of(places: Mapping[str, Value], space: Space) -> dict[str, Value]:
    """The recipe at a place that was drawn, in numbers that read well in params.yaml."""
    recipe = {key: _legible(key, places[key], space[key]) for key in space}
    if RATIO in recipe:
        # Of the ratio as it was drawn: lr_d alone is rounded.
        recipe[RATIO] = _rounded(float(recipe["lr_g"]) * float(places[RATIO]))
    return {("lr_d" if key == RATIO else key): value for key, value in recipe.items()}


def shown(value: Value) -> str:
    """A value as params.yaml has it; of a number, six digits."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def words(recipe: Recipe) -> str:
    """Keys and values."""
    return ", ".join(f"{key} {shown(value)}" for key, value in recipe.items())


def _dimension(key: object, content: object, where: str) -> Dimension:
    if key in _FIXED:
        raise ValueError(f"{where}: cannot be searched; {_FIXED[str(key)]}")
    if key not in (*_KEYS, RATIO):
        free = ", ".join(name for name in (*_KEYS, RATIO) if name not in _FIXED)
        raise ValueError(f"{where}: no key of train, nor {RATIO}; there are {free}")
    parts = set(content) if isinstance(content, Mapping) else set()
    if not isinstance(content, Mapping) or parts not in ({"min", "max", "scale"}, {"choices"}):
        raise ValueError(f"{where}: must have either min, max and scale, or choices")
    if "choices" in content:
        return _choices(str(key), content["choices"], f"{where}.choices")
    low, high = (_checked(str(key), content[end], f"{where}.{end}") for end in ("min", "max"))
    scale = content["scale"]
    if isinstance(low, bool | str) or isinstance(high, bool | str):
        raise ValueError(f"{where}: has no numbers between others; it can have choices")
    if scale not in ("log", "linear"):
        raise ValueError(f"{where}.scale: must be log or linear")
    if low > high:
        raise ValueError(f"{where}: min {low:g} is above max")
    if scale == "log" and not low > 0:
        raise ValueError(f"{where}: min must be above 0 on the scale log")
    return Interval(low, high, scale)


def _choices(key: str, content: object, where: str) -> Choices:
    if not isinstance(content, list | tuple) or len(content) < 2:
        raise ValueError(f"{where}: must be a list of two values or more")
    values = tuple(_checked(key, value, where) for value in content)
    if len(set(values)) < len(values):
        raise ValueError(f"{where}: has a value twice")
    return Choices(values)


def _checked(key: str, value: object, where: str) -> Value:
    if key != RATIO:
        return cast("Value", check(TrainParams, key, value, where))
    if isinstance(value, bool) or not isinstance(value, int | float) or value not in _RATIOS:
        raise ValueError(f"{where}: must be {_RATIOS}")
    return float(value)


def _check_ratio(space: Space, where: str) -> None:
    """The ratio is to a rate that is searched too, and no pair of both makes lr_d impossible."""
    if "lr_d" in space:
        raise ValueError(f"{where}: lr_d is searched as well, and one of them gives the other")
    if "lr_g" not in space:
        raise ValueError(f"{where}: needs lr_g beside it; to search lr_d alone, name lr_d")
    ends = [_ends(space[key]) for key in ("lr_g", RATIO)]
    if not math.prod(map(min, ends)) > 0:
        raise ValueError(f"{where}: lr_g must be above 0 to have a ratio to it")
    check(TrainParams, "lr_d", math.prod(map(max, ends)), f"{where}: lr_d")


def _ends(dimension: Dimension) -> tuple[float, ...]:
    if isinstance(dimension, Interval):
        return (dimension.min, dimension.max)
    return cast("tuple[float, ...]", dimension.choices)


def _legible(key: str, value: Value, dimension: Dimension) -> Value:
    if isinstance(dimension, Choices):
        return value
    if isinstance(value, int):
        limits = bounds(TrainParams, key)
        return value - value % 2 if limits is not None and limits.even else value
    number = _rounded(cast("float", value))
    return min(max(number, dimension.min), dimension.max)  # its ends may have more digits


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _same(one: Value, other: Value) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-6)
    return one == other
