"""The size of checkpoints against width: closed form beside what lies on disk."""

import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.contestants import Engine, random_images
from benchmarks.recipes import default_params
from benchmarks.scaling.forms import generator_bytes, history_bytes, reports_of, state_bytes
from benchmarks.timing import Row, rounded
from dcgan.params import TrainParams
from dcgan.training import SIGNALS


@dataclass(frozen=True)
class Size:
    """The widths that are measured."""

    widths: tuple[int, ...] = (4, 8, 16, 32, 64)


QUICK = Size((2, 4))


def tensor_bytes(part: object) -> int:
    """All tensors in a structure of mappings and lists."""
    if isinstance(part, Tensor):
        return part.nbytes
    if isinstance(part, Mapping):
        return sum(map(tensor_bytes, part.values()))
    return sum(map(tensor_bytes, part)) if isinstance(part, list | tuple) else 0


def trained(train: TrainParams) -> Engine:
    """A training after its first iteration, from which on the optimisers have their moments."""
    engine = Engine(train, "fp32", random_images())
    engine()
    return engine


def saved(train: TrainParams) -> dict[str, Any]:
    """What a checkpoint holds after the last epoch, its record made of zeros."""
    from pipeline.store.history import History

    steps, reports = train.epochs * train.steps_per_epoch, reports_of(train)
    history = History(
        signals=torch.zeros(steps, len(SIGNALS)),
        grids=torch.zeros(reports, 64, 28, 28, dtype=torch.uint8),
    )
    return {"state": trained(train).state.state_dict(), "history": vars(history)}


def rows(size: Size) -> Iterator[Row]:
    """A row for each width, in a process whose checkpoints lie in a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DVC_ROOT"] = folder
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            for width in size.widths:
                yield pool.apply(_row, (width,))


def _row(width: int) -> Row:
    from pipeline.store.checkpoints import Checkpoints
    from pipeline.store.weights import save_generator

    train = replace(default_params().train, width=width)
    checkpoints, content = Checkpoints(f"width-{width}"), saved(train)
    began = time.perf_counter()
    checkpoints.save(content)
    seconds = time.perf_counter() - began
    generator = checkpoints.generator(1)
    save_generator(generator, trained(train).state.sampler, {"epoch": 1, "step": 468})
    formula = state_bytes(train) + history_bytes(train)
    on_disk = _size(checkpoints.folder / "state.pt")
    epochs = train.epochs * generator_bytes(width, train.latent_dim)
    return {
        "section": "checkpoints",
        "width": width,
        "state_mb": rounded(state_bytes(train) / 1e6),
        "record_mb": rounded(history_bytes(train) / 1e6),
        "file_mb": rounded(on_disk / 1e6),
        "file_over_formula": rounded(on_disk / formula),
        "tensors_equal_formula": tensor_bytes(content) == formula,
        "generator_mb": rounded(_size(generator) / 1e6),
        "generator_over_formula": rounded(
            _size(generator) / generator_bytes(width, train.latent_dim)
        ),
        "folder_of_a_run_mb": rounded((formula + epochs) / 1e6),
        "save_ms": rounded(1000 * seconds),
    }


def _size(file: Path) -> int:
    return file.stat().st_size
