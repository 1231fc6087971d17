"""Where trials lie along a dimension of a search, in its pictures and on its page."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.base.space import RATIO, Choices, Dimension, Recipe, Space, Value, place, shown

# How far one trial is from the next within a choice, across and up: shares of which no two trials
# in many get nearly the same pair.
ACROSS, UP = 0.7549, 0.5698
_SPREAD = 0.5  # of the room that a choice has


@dataclass(frozen=True)
class Along:
    """An axis of a picture: a dimension by its key."""

    key: str
    dimension: Dimension

    @property
    def label(self) -> str:
        """What is written beside it."""
        return "lr_d / lr_g" if self.key == RATIO else self.key

    @property
    def names(self) -> list[str]:
        """The choices, which lie at 0, 1, ...; none where the dimension is one of numbers."""
        return list(map(shown, self._choices))

    @property
    def log(self) -> bool:
        """Whether it is one of numbers on a logarithmic scale."""
        return not isinstance(self.dimension, Choices) and self.dimension.scale == "log"

    @property
    def whole(self) -> bool:
        """Whether there is nothing between whole numbers."""
        return not isinstance(self.dimension, Choices) and isinstance(self.dimension.min, int)

    def place(self, recipe: Recipe, number: int | None = None, step: float = ACROSS) -> float:
        """Where a recipe lies; among choices, a trial's number has it stand beside its like."""
        value = place(recipe, self.key)
        if not isinstance(self.dimension, Choices):
            return float(value)
        aside = 0.0 if number is None else (number * step % 1 - 0.5) * _SPREAD
        return self._nearest(value) + aside

    @property
    def _choices(self) -> tuple[Value, ...]:
        return self.dimension.choices if isinstance(self.dimension, Choices) else ()

    def _nearest(self, value: Value) -> int:
        """The choice that a value is; a ratio may differ from it in its last digits."""
        if isinstance(value, float):
            distances = [abs(float(choice) - value) for choice in self._choices]
            return distances.index(min(distances))
        return self._choices.index(value)


def along(space: Space) -> list[Along]:
    """All axes."""
    return [Along(key, dimension) for key, dimension in space.items()]


def most_important(space: Space, importances: Mapping[str, float]) -> list[Along]:
    """The axes of a map, in the space's order: the two that matter most, if that is known."""
    ranked = sorted(space, key=lambda key: -importances.get(key, 0.0))[:2]
    return [axis for axis in along(space) if axis.key in ranked]
