"""What the verdict goes by: thresholds, each with its default and its bounds."""

import dataclasses
import typing
from dataclasses import dataclass
from typing import Annotated, NamedTuple


class Between(NamedTuple):
    """Inclusive bounds of a number."""

    low: float
    high: float

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"a number from {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Thresholds:
    """When signals alarm, when evaluations confirm, and which evaluation is the best.

    Raises ValueError, naming the threshold, for one that is out of bounds.
    """

    window: Annotated[int, Between(5, 1_000_000)] = 52
    steps_per_epoch: Annotated[int, Between(1, 1_000_000_000)] = 468
    burn_in_epochs: Annotated[float, Between(0, 1_000_000)] = 5
    history_epochs: Annotated[float, Between(1, 1_000_000)] = 10
    recent_epochs: Annotated[float, Between(0, 1_000_000)] = 1
    min_windows: Annotated[int, Between(6, 1_000_000)] = 20
    min_deviation: Annotated[float, Between(0, 10)] = 0.02
    max_deviations: Annotated[float, Between(0.1, 1_000_000)] = 5
    cusum_slack: Annotated[float, Between(0, 1000)] = 1.0
    cusum_limit: Annotated[float, Between(0, 1_000_000)] = 10
    saturated_real: Annotated[float, Between(0, 1)] = 0.99
    saturated_fake: Annotated[float, Between(0, 1)] = 0.01
    saturated_share: Annotated[float, Between(0, 1)] = 0.9
    flat_change: Annotated[float, Between(0, 1)] = 0.05
    confirm_epochs: Annotated[float, Between(0, 1_000_000)] = 5
    confirm_evaluations: Annotated[int, Between(1, 1_000_000)] = 3
    fd_factor: Annotated[float, Between(1, 1_000_000)] = 1.25
    fd_factor_once: Annotated[float, Between(1, 1_000_000)] = 2.0
    fd_sigmas: Annotated[float, Between(0, 1_000_000)] = 4
    class_kl: Annotated[float, Between(0, 100)] = 0.05
    class_kl_once: Annotated[float, Between(0, 100)] = 0.5
    class_kl_factor: Annotated[float, Between(1, 1_000_000)] = 2.0
    coverage_factor: Annotated[float, Between(0, 1)] = 0.7
    min_share: Annotated[float, Between(0, 1)] = 0.2

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self), include_extras=True)
        for field in dataclasses.fields(self):
            value, (_, bounds) = getattr(self, field.name), typing.get_args(hints[field.name])
            if value not in bounds:
                raise ValueError(f"{field.name}: {value!r} is not allowed; it must be {bounds}")
