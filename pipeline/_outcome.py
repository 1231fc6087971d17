"""What a training run left behind, read and checked for the stages that look at it."""

import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcgan.networks import Generator
from dcgan.training import SIGNALS
from pipeline._cli import UserError, read_json
from pipeline._paths import EPOCHS, GENERATOR_BEST, GENERATOR_LAST, RUN, SAMPLES, STEPS, STOP
from pipeline._weights import load_generator

_EPOCH_COLUMNS = ("epoch", "step", "fd", "fd_sigma", "class_kl")


@dataclass(frozen=True, eq=False)
class Outcome:
    """A finished run.

    Attributes:
        best, last: the generators, with the "epoch" and "step" they are of.
        steps, epochs: the columns of the two CSV files, float64 [n] and [m], m at least 1.
        grid_steps, grids: int64 [k] and uint8 [k, 64, 28, 28], the pictures from the fixed noise.
        alarm_step, onset_step: from the verdict; None where there was none.
        run_key: the run's name for the tracker.
    """

    best: tuple[Generator, dict[str, Any]]
    last: tuple[Generator, dict[str, Any]]
    steps: dict[str, NDArray[np.float64]]
    epochs: dict[str, NDArray[np.float64]]
    grid_steps: NDArray[np.int64]
    grids: NDArray[np.uint8]
    alarm_step: int | None
    onset_step: int | None
    run_key: str


def read_outcome() -> Outcome:
    """Read all that `train` wrote. Raises UserError for what is missing or corrupt."""
    stop = read_json(STOP, "train")
    grid_steps, grids = _read_grids(SAMPLES)
    return Outcome(
        best=load_generator(GENERATOR_BEST),
        last=load_generator(GENERATOR_LAST),
        steps=read_columns(STEPS, ("step", *SIGNALS)),
        epochs=read_columns(EPOCHS, _EPOCH_COLUMNS),
        grid_steps=grid_steps,
        grids=grids,
        alarm_step=_entry(STOP, stop, "alarm_step"),
        onset_step=_entry(STOP, stop, "onset_step"),
        run_key=str(_entry(RUN, read_json(RUN, "train"), "key")),
    )


def read_columns(path: Path, wanted: Iterable[str]) -> dict[str, NDArray[np.float64]]:
    """The columns of a CSV file of numbers, among them all `wanted` ones; at least one row."""
    try:
        names, *rows = path.read_text(encoding="utf-8").splitlines()
        values = np.loadtxt(rows, delimiter=",", ndmin=2) if rows else np.empty((0, 0))
        columns = dict(zip(names.split(","), values.T, strict=bool(rows)))
    except FileNotFoundError:
        raise UserError(f"{path}: missing; `dvc repro train` makes it") from None
    except ValueError:
        raise _corrupt(path) from None
    if not rows:
        raise UserError(f"{path}: the run ended before its first row; train longer or otherwise")
    if not set(wanted) <= set(columns):
        raise _corrupt(path)
    return columns


def _read_grids(path: Path) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    try:
        with np.load(path) as arrays:
            steps, grids = arrays["steps"], arrays["grids"]
    except FileNotFoundError:
        raise UserError(f"{path}: missing; `dvc repro train` makes it") from None
    except (ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, zlib.error):
        raise _corrupt(path) from None
    if not len(steps) or len(steps) != len(grids):
        raise _corrupt(path)
    return steps, grids


def _entry(path: Path, values: object, name: str) -> Any:
    if not isinstance(values, Mapping) or name not in values:
        raise _corrupt(path)
    return values[name]


def _corrupt(path: Path) -> UserError:
    return UserError(f"{path}: corrupt; delete it, then `dvc repro train` makes it")
