"""The whole of params.yaml, typed; one clear line for everything else that it may say."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from dcgan.params import (
    Count,
    DataParams,
    JudgeParams,
    MeasureParams,
    Range,
    RuntimeParams,
    Seed,
    TrainParams,
    build,
)
from ganverdict.thresholds import Thresholds
from pipeline.base.space import Space, read_space


@dataclass(frozen=True)
class MachineParams(RuntimeParams):
    """What to compute on, how many processes of stage `train` share it, where checkpoints are."""

    processes: Annotated[int, Range(1, 1024)]
    checkpoints: str  # a folder, or an address of fsspec's


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
    """A search for a recipe and its stopping point."""

    seed: Seed
    trials: Annotated[int, Range(1, 1_000_000)]
    workers: Annotated[int, Range(1, 1024)]
    space: Annotated[Space, read_space]
    epochs: EpochRange
    sampler: Literal["tpe", "random"]
    startup_trials: Annotated[int, Range(1, 1_000_000)]
    pruner: Literal["none", "median", "quartile", "halving", "hyperband"]
    pruner_trials: Annotated[int, Range(1, 1_000_000)]
    pruner_epochs: Annotated[int, Range(0, 1_000_000)]
    confirm: ConfirmParams


@dataclass(frozen=True)
class ReplicateParams:
    """The size at which the original experiment is made again."""

    width: Annotated[int, Range(2, 1024, even=True)]
    epochs: Annotated[int, Range(1, 1_000_000)]
    seeds: Annotated[int, Range(1, 1000)]
    workers: Annotated[int, Range(1, 1024)]


@dataclass(frozen=True)
class Params:
    """The whole of params.yaml."""

    runtime: MachineParams
    data: DataParams
    judge: JudgeParams
    measure: MeasureParams
    train: TrainParams
    stability: Thresholds
    tune: TuneParams
    replicate: ReplicateParams

    @classmethod
    def from_mapping(cls, values: object) -> Self:
        """Check everything at once. Raises ValueError with one line naming section and key."""
        return build(cls, values)


def flat(params: Params) -> dict[str, object]:
    """What a run is made of as `section.key`; what makes many runs is no part of one, and neither
    is where its checkpoints are kept, or the number of processes: it may go on otherwise."""
    sections = dataclasses.asdict(params)
    del sections["runtime"]["processes"], sections["runtime"]["checkpoints"]
    del sections["tune"], sections["replicate"]
    return {
        f"{name}.{key}": value for name, part in sections.items() for key, value in part.items()
    }
