"""Typed parameters of data, judge, measuring and training, and the check of any such section.

No value has a default here; params.yaml is the only place where values live.
"""

import dataclasses
import math
import reprlib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar


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
    conditional: bool  # G draws the digit that it is asked for
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
    raw_every: Annotated[int, Range(0, 1_000_000)]
    stop: Literal["at_onset", "rollback", "never"]
    rollbacks: Annotated[int, Range(1, 100)]

    def raw_at(self, epoch: int) -> bool:
        """Whether the weights as trained are measured, too, at the end of `epoch`."""
        return self.raw_every > 0 and epoch % self.raw_every == 0


T = TypeVar("T")


def build(cls: type[T], values: object, where: str = "") -> T:
    """Check a mapping against a dataclass of annotated fields, sections within sections.

    Raises ValueError with one line that names section and key.
    """
    label = where or "the file"
    if not isinstance(values, Mapping):
        raise ValueError(f"{label}: must be a section of keys and values, not {show(values)}")
    hints = typing.get_type_hints(cls, include_extras=True)
    names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    prefix = f"{where}." if where else ""
    for key in values:
        if key not in names:
            shown = prefix + named(key)
            raise ValueError(f"{shown}: unknown key; {label} may have {', '.join(names)}")
    for name in names:
        if name not in values:
            raise ValueError(f"{prefix}{name}: missing; it must be {_describe(hints[name])}")
    return cls(**{name: _check(hints[name], values[name], prefix + name) for name in names})


def check(cls: type[Any], key: str, value: object, where: str) -> Any:
    """Check one value of a section; returns it as the section holds it.

    Raises ValueError with one line that begins with `where`.
    """
    return _check(typing.get_type_hints(cls, include_extras=True)[key], value, where)


def bounds(cls: type[Any], key: str) -> Range | None:
    """The range that a number of a section must be in; None for what is no such number."""
    hint = typing.get_type_hints(cls, include_extras=True)[key]
    return next((part for part in typing.get_args(hint) if isinstance(part, Range)), None)


def _check(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return build(typing.cast("type[Any]", hint), value, where)
    bounds: Any = None
    kind = hint
    if typing.get_origin(hint) is Annotated:
        kind, bounds = typing.get_args(hint)
        if callable(bounds):  # a section that checks itself
            return bounds(value, where)
    if typing.get_origin(kind) is Literal:
        ok = isinstance(value, str) and value in typing.get_args(kind)
    elif kind is float:
        ok = isinstance(value, int | float) and not isinstance(value, bool) and value == value
    elif kind is int:
        ok = isinstance(value, int) and not isinstance(value, bool)
    else:
        ok = isinstance(value, kind)
    if not ok or (bounds is not None and value not in bounds):
        raise ValueError(f"{where}: {show(value)} is not allowed; it must be {_describe(hint)}")
    return float(value) if kind is float else value


def _describe(hint: Any) -> str:
    if dataclasses.is_dataclass(hint):
        return "a section"
    if typing.get_origin(hint) is Annotated:
        kind, bounds = typing.get_args(hint)
        if callable(bounds):
            return "a section"
        return str(bounds).replace("number", "whole number") if kind is int else str(bounds)
    if typing.get_origin(hint) is Literal:
        return "one of " + ", ".join(typing.get_args(hint))
    if isinstance(hint, types.UnionType):
        return " or ".join(_describe(part) for part in typing.get_args(hint))
    return {bool: "true or false", str: "a text", type(None): "null"}[hint]


def named(key: object) -> str:
    """A key as a message names it: without quotes, unless nothing would be seen of it."""
    text = show(key)
    bare = text.strip("'")
    return bare if bare and bare == bare.strip() else text


def show(value: object) -> str:
    """A value as a message can quote it: one short line."""
    try:
        text = reprlib.repr(value)  # short from the start: YAML's aliases can stand for gigabytes
    except ValueError:
        return "a number of thousands of digits"  # which Python refuses to write
    return text if len(text) <= 60 else text[:57] + "..."
