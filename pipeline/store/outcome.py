"""What a training run left behind, read and checked for the stages that look at it."""

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from dcgan.networks import Generator
from dcgan.probing import PROBED
from dcgan.training import SIGNALS
from ganverdict.verdict import STATUSES, End, HeldState, Remedy, Verdict, Watched
from pipeline.base.cli import UserError, corrupt, missing, read_json
from pipeline.base.paths import EPOCHS, GENERATOR_BEST, GENERATOR_LAST, RUN, SAMPLES, STEPS, STOP
from pipeline.store.columns import Columns, read_csv
from pipeline.store.weights import load_generator


@dataclass(frozen=True, eq=False)
class Outcome:
    """A finished run.

    Attributes:
        best, last: the generators, with the "epoch" and "step" they are of.
        steps, epochs: columns of the two CSV files, [n] and [m], at least one row each.
        grid_steps, grids: int64 [k] and uint8 [k, 64, 28, 28], the pictures from the fixed noise.
        verdict: the content of stop.json: a verdict, and perhaps the "branches" of the run.
        run_key: the run's name for the tracker.
    """

    best: tuple[Generator, dict[str, Any]]
    last: tuple[Generator, dict[str, Any]]
    steps: Columns
    epochs: Columns
    grid_steps: NDArray[np.int64]
    grids: NDArray[np.uint8]
    verdict: Mapping[str, Any]
    run_key: str


def read_outcome() -> Outcome:
    """Read all that `train` wrote. Raises UserError for what is missing or corrupt."""
    verdict = read_json(STOP, "train")
    verdict_of(verdict)
    grid_steps, grids = _read_grids(SAMPLES)
    return Outcome(
        best=load_generator(GENERATOR_BEST),
        last=load_generator(GENERATOR_LAST, may_be_broken=True),
        steps=_read_columns(STEPS, ("step", *SIGNALS)),
        epochs=_read_columns(
            EPOCHS, ("epoch", "step", "fd", "fd_sigma", "class_kl"), ("fd_raw", *PROBED)
        ),
        grid_steps=grid_steps,
        grids=grids,
        verdict=verdict,
        run_key=str(_entry(RUN, read_json(RUN, "train"), "key")),
    )


def verdict_of(found: Any) -> Verdict:
    """The verdict in stop.json's content. Raises UserError where it is none."""
    try:
        values = {field.name: found[field.name] for field in fields(Verdict)}
        values["states"] = tuple(HeldState(**state) for state in values["states"])
        values["remedies"] = tuple(Remedy(**remedy) for remedy in values["remedies"])
        values["excursions"] = tuple((first, back) for first, back in values["excursions"])
        values["watched"] = Watched(**values["watched"])
        if values["best_interval"] is not None:
            low, high = values["best_interval"]
            values["best_interval"] = (float(low), float(high))
        verdict = Verdict(**values)
        known = verdict.status in STATUSES and verdict.end in get_args(End)
    except (TypeError, ValueError, KeyError):
        known = False
    if not known:
        raise corrupt(STOP, "train")
    return verdict


def _read_columns(path: Path, wanted: tuple[str, ...], more: tuple[str, ...] = ()) -> Columns:
    """The `wanted` columns of a CSV file, and which there are of `more`; at least one row."""
    if not path.exists():
        raise missing(path, "train")
    try:
        columns = read_csv(path, (*wanted, *more))
    except UserError as error:
        raise UserError(f"{error}; delete it, then `dvc repro train` makes it") from None
    if not set(wanted) <= set(columns):
        raise corrupt(path, "train")
    return columns


def _read_grids(path: Path) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    try:
        with np.load(path) as arrays:
            steps, grids = arrays["steps"], arrays["grids"]
    except FileNotFoundError:
        raise missing(path, "train") from None
    except (ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, zlib.error):
        raise corrupt(path, "train") from None
    if not len(steps) or len(steps) != len(grids):
        raise corrupt(path, "train")
    return steps, grids


def _entry(path: Path, values: object, name: str) -> Any:
    if not isinstance(values, Mapping) or name not in values:
        raise corrupt(path, "train")
    return values[name]
