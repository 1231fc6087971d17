"""Typed parameters: what params.yaml may say, and one clear line for everything else.

No value has a default here; params.yaml is the only place where values live.
"""

import dataclasses
import math
import reprlib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, TypeVar


@dataclass(frozen=True)
class Range:
    """Inclusive bounds of a number; an `open` range leaves out its upper end."""

    low: float
    high: float = math.inf
    open: bool = False
    even: bool = False

    def __contains__(self, value: float) -> bool:
        below = value < self.high if self.open else value <= self.high
        return self.low <= value and below and not (self.even and value % 2)

    def __str__(self) -> str:
        kind = "an even number" if self.even else "a number"
        if self.high == math.inf:
            return f"{kind} of at least {self.low:g}"
        return f"{kind} from {self.low:g} to {self.high:g}" + (" (exclusive)" if self.open else "")


# Upper bounds are generous; they exist so that a slip of the keyboard is an error, not a full disk.
Count = Annotated[int, Range(1, 1_000_000_000)]
BatchSize = Annotated[int, Range(2, 60_000)]  # batch norm cannot normalise one image by itself
Rate = Annotated[float, Range(0, 10)]
Share = Annotated[float, Range(0, 1, open=True)]
Seed = Annotated[int, Range(0, 2**63 - 1)]


@dataclass(frozen=True)
class RuntimeParams:
    """What to compute on."""

    device: Literal["auto", "cpu", "cuda"]
    threads: Annotated[int, Range(0, 1024)]  # 0: all cores
    precision: Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True)
class DataParams:
    """Where the digits come from."""

    source: Literal["auto", "path", "torchvision", "pip", "npm"]
    path: str | None
    verify: bool


@dataclass(frozen=True)
class JudgeParams:
    """How the classifier that measures samples is trained."""

    seed: Seed
    epochs: Annotated[int, Range(1, 1000)]
    batch_size: BatchSize
    lr: Rate
    min_accuracy: Annotated[float, Range(0, 1)]


@dataclass(frozen=True)
class MeasureParams:
    """How many samples stand for a generator, and which noise."""

    seed: Seed
    num_samples: Annotated[int, Range(100, 1_000_000)]
    num_training_samples: Annotated[int, Range(100, 1_000_000)]
    num_neighbour_samples: Annotated[int, Range(100, 10_000)]


@dataclass(frozen=True)
class TrainParams:
    """One training run: networks, data, length, optimisers, game."""

    seed: Seed
    width: Annotated[int, Range(2, 1024, even=True)]
    latent_dim: Annotated[int, Range(1, 10_000)]
    g_dropout: Share
    d_dropout: Share
    batch_size: BatchSize
    sampling: Literal["replacement", "epochs"]
    epochs: Count
    steps_per_epoch: Count
    sample_every: Annotated[int, Range(0, 1_000_000_000)]
    optimizer: Literal["rmsprop", "adam"]
    lr_d: Rate
    lr_g: Rate
    decay_d: Rate
    decay_g: Rate
    beta1: Share
    beta2: Share
    loss: Literal["bce", "relativistic"]
    freeze_discriminator: bool
    fakes: Literal["shared", "inference", "training"]
    r1_gamma: Annotated[float, Range(0, 1_000_000)]
    r1_every: Annotated[int, Range(1, 1_000_000)]
    average_images: Annotated[int, Range(0, 1_000_000_000)]
    stop: Literal["at_onset", "never"]


@dataclass(frozen=True)
class StabilityParams:
    """When signals alarm, when evaluations confirm, and which evaluation is the best."""

    window: Annotated[int, Range(5, 1_000_000)]  # iterations whose median is one point
    steps_per_epoch: Count
    burn_in_epochs: Annotated[float, Range(0, 1_000_000)]
    history_epochs: Annotated[float, Range(1, 1_000_000)]
    recent_epochs: Annotated[float, Range(0, 1_000_000)]
    min_windows: Annotated[int, Range(6, 1_000_000)]
    min_deviation: Annotated[float, Range(0, 10)]
    max_deviations: Annotated[float, Range(0.1, 1_000_000)]
    cusum_slack: Annotated[float, Range(0, 1000)]
    cusum_limit: Annotated[float, Range(0, 1_000_000)]
    saturated_real: Annotated[float, Range(0, 1)]
    saturated_fake: Annotated[float, Range(0, 1)]
    saturated_share: Annotated[float, Range(0, 1)]
    flat_change: Share
    confirm_epochs: Annotated[float, Range(0, 1_000_000)]
    confirm_evaluations: Annotated[int, Range(1, 1_000_000)]
    fd_factor: Annotated[float, Range(1, 1_000_000)]
    fd_factor_once: Annotated[float, Range(1, 1_000_000)]
    fd_sigmas: Annotated[float, Range(0, 1_000_000)]
    class_kl: Annotated[float, Range(0, 100)]
    class_kl_once: Annotated[float, Range(0, 100)]
    class_kl_factor: Annotated[float, Range(1, 1_000_000)]
    coverage_factor: Annotated[float, Range(0, 1)]
    min_share: Annotated[float, Range(0, 1)]


@dataclass(frozen=True)
class RateRange:
    """A range that is searched on a logarithmic scale."""

    min: Annotated[float, Range(1e-9, 1e6)]
    max: Annotated[float, Range(1e-9, 1e6)]


@dataclass(frozen=True)
class EpochRange:
    """Which stopping points are allowed, and how they are searched."""

    min: Count
    max: Count
    mode: Literal["resource", "sampled"]


@dataclass(frozen=True)
class ConfirmParams:
    """How the best trials are tried again."""

    top: Annotated[int, Range(0, 100)]
    seeds: Annotated[int, Range(2, 100)]


@dataclass(frozen=True)
class TuneParams:
    """A search for learning rates and the stopping point."""

    seed: Seed
    trials: Annotated[int, Range(1, 1_000_000)]
    workers: Annotated[int, Range(1, 1024)]
    lr_g: RateRange
    ratio: RateRange  # lr_d / lr_g
    epochs: EpochRange
    sampler: Literal["tpe", "random"]
    startup_trials: Annotated[int, Range(1, 1_000_000)]
    pruner: Literal["none", "median", "quartile", "halving", "hyperband"]
    pruner_trials: Annotated[int, Range(1, 1_000_000)]
    pruner_epochs: Annotated[int, Range(0, 1_000_000)]
    confirm: ConfirmParams


@dataclass(frozen=True)
class StudyParams:
    """The size at which the seed's experiment is made again."""

    width: Annotated[int, Range(2, 1024, even=True)]
    epochs: Annotated[int, Range(1, 1_000_000)]
    seeds: Annotated[int, Range(1, 1000)]
    workers: Annotated[int, Range(1, 1024)]


@dataclass(frozen=True)
class Params:
    """The whole of params.yaml."""

    runtime: RuntimeParams
    data: DataParams
    judge: JudgeParams
    measure: MeasureParams
    train: TrainParams
    stability: StabilityParams
    tune: TuneParams
    study: StudyParams

    @classmethod
    def from_mapping(cls, values: object) -> Self:
        """Check everything at once. Raises ValueError with one line naming section and key."""
        return _build(cls, values, "")


T = TypeVar("T")


def _build(cls: type[T], values: object, where: str) -> T:
    label = where or "the file"
    if not isinstance(values, Mapping):
        raise ValueError(f"{label}: must be a section of keys and values, not {_show(values)}")
    hints = typing.get_type_hints(cls, include_extras=True)
    names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    prefix = f"{where}." if where else ""
    for key in values:
        if key not in names:
            shown = prefix + _show(key).strip("'")
            raise ValueError(f"{shown}: unknown key; {label} may have {', '.join(names)}")
    for name in names:
        if name not in values:
            raise ValueError(f"{prefix}{name}: missing; it must be {_describe(hints[name])}")
    return cls(**{name: _check(hints[name], values[name], prefix + name) for name in names})


def _check(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast("type[Any]", hint), value, where)
    bounds: Range | None = None
    kind = hint
    if typing.get_origin(hint) is Annotated:
        kind, bounds = typing.get_args(hint)
    if typing.get_origin(kind) is Literal:
        ok = isinstance(value, str) and value in typing.get_args(kind)
    elif kind is float:
        ok = isinstance(value, int | float) and not isinstance(value, bool) and value == value
    elif kind is int:
        ok = isinstance(value, int) and not isinstance(value, bool)
    else:
        ok = isinstance(value, kind)
    if not ok or (bounds is not None and value not in bounds):
        raise ValueError(f"{where}: {_show(value)} is not allowed; it must be {_describe(hint)}")
    return float(value) if kind is float else value


def _describe(hint: Any) -> str:
    if dataclasses.is_dataclass(hint):
        return "a section"
    if typing.get_origin(hint) is Annotated:
        kind, bounds = typing.get_args(hint)
        return str(bounds).replace("number", "whole number") if kind is int else str(bounds)
    if typing.get_origin(hint) is Literal:
        return "one of " + ", ".join(typing.get_args(hint))
    if isinstance(hint, types.UnionType):
        return " or ".join(_describe(part) for part in typing.get_args(hint))
    return {bool: "true or false", str: "a text", type(None): "null"}[hint]


def _show(value: object) -> str:
    try:
        text = reprlib.repr(value)  # short from the start: YAML's aliases can stand for gigabytes
    except ValueError:
        return "a number of thousands of digits"  # which Python refuses to write
    return text if len(text) <= 60 else text[:57] + "..."
