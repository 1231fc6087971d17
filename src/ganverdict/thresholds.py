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


Count = Annotated[int, Between(1, 1_000_000)]
Factor = Annotated[float, Between(1, 1_000_000)]
Share = Annotated[float, Between(0, 1)]
Positive = Annotated[float, Between(0, 1_000_000)]


@dataclass(frozen=True)
class Thresholds:
    """When signals alarm, when evaluations confirm, and when training should end.

    Raises ValueError, naming the threshold, for one that is out of bounds.
    """

    # The points that are watched: medians over windows of iterations.
    window: Annotated[int, Between(1, 1_000_000)] = 52
    windows_per_epoch: Count = 9
    # What a chart compares a window with: the windows of the past.
    burn_in_epochs: Positive = 5
    history_epochs: Annotated[float, Between(1, 1_000_000)] = 10
    recent_epochs: Positive = 1
    min_windows: Annotated[int, Between(6, 1_000_000)] = 20
    min_deviation: Annotated[float, Between(0, 10)] = 0.02
    max_deviations: Annotated[float, Between(0.1, 1_000_000)] = 5
    # The alarm of a chart: a one-sided CUSUM of the deviations.
    cusum_slack: Positive = 1.25
    cusum_limit: Positive = 13
    # States that hold: windows that are bad multiply the evidence, windows that are not halve it.
    state_limit: Annotated[float, Between(1, 1_000_000_000)] = 100_000
    chance_range: Factor = 1.25
    saturated_real: Share = 0.99
    saturated_fake: Share = 0.01
    vanished_share: Share = 0.05
    exploding_factor: Factor = 100
    memorising_sign: Share = 0.9
    memorising_evaluations: Count = 3
    stall_windows: Count = 12
    stall_evaluations: Count = 3
    flat_change: Share = 0.05
    # Confirmation by evaluations.
    confirm_evaluations: Count = 5
    first_evaluation: Count = 6
    collapse_factor: Factor = 2.0
    decline_factor: Factor = 1.5
    worse_factor: Factor = 1.25
    sigmas: Positive = 4
    wobbles: Positive = 2
    class_kl: Annotated[float, Between(0, 100)] = 0.05
    class_kl_once: Annotated[float, Between(0, 100)] = 0.5
    class_kl_factor: Factor = 2.0
    coverage_factor: Share = 0.7
    min_share: Share = 0.2
    # Patience: evaluations without a new best.
    patience: Count = 8
    patience_share: Positive = 0.7
    plateau_evaluations: Count = 8
    plateau_share: Positive = 1.0
    plateau_end_share: Positive = 1.75
    plateau_change: Share = 0.03

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self), include_extras=True)
        for field in dataclasses.fields(self):
            value, (kind, bounds) = getattr(self, field.name), typing.get_args(hints[field.name])
            if value not in bounds:
                raise ValueError(f"{field.name}: {value!r} is not allowed; it must be {bounds}")
            if kind is int and not isinstance(value, int):
                raise ValueError(f"{field.name}: {value!r} is not allowed; it must be whole")
