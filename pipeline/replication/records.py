"""The record of a run, small enough for the repository: facts, metrics, signals, grids."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dcgan.training import SIGNALS
from pipeline.base.cli import UserError, write_json, write_whole
from pipeline.base.tiles import tile
from pipeline.store.history import History, write_csv

GRID_EPOCHS = (1, 10, 30, 32, 60, 100, 150)
"""The epochs that the blog post shows, and those after its best."""
_GRID = 32  # digits


def read_facts(folder: Path) -> dict[str, Any] | None:
    """The content of run.json; None where no record was begun."""
    file = folder / "run.json"
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        # Metrics without it are of a run that nothing is known of.
        return {} if epochs_done(folder) else None
    except ValueError:
        facts = None
    if not isinstance(facts, dict) or not {"train", "measure", "judge"} <= facts.keys():
        raise UserError(
            f"{file}: not the facts of a run; move {folder} away, then the same command makes it "
            "anew"
        )
    return facts


def is_whole(facts: Mapping[str, Any] | None) -> bool:
    """Whether a record has come to its end: only then it tells a verdict."""
    return facts is not None and "verdict" in facts


def write_facts(folder: Path, facts: Mapping[str, object]) -> None:
    """Write run.json: when a run begins, and with its verdict when it has ended."""
    write_json(folder / "run.json", dict(facts))


def write_series(folder: Path, history: History, window: int) -> None:
    """Write epochs.csv and signals.csv: medians over `window` iterations, all that the verdict
    looks at, and the iteration that failed, if one did."""
    history.write_epochs(folder / "epochs.csv")
    signals = history.signals.numpy()
    whole = len(signals) // window * window
    medians = np.median(signals[:whole].reshape(-1, window, len(SIGNALS)), axis=1)
    steps = range(window, whole + 1, window)
    rows = [[step, *row] for step, row in zip(steps, medians.tolist(), strict=True)]
    if history.failed and whole < len(signals):
        rows.append([len(signals), *signals[-1].tolist()])
    write_csv(folder / "signals.csv", ["step", *SIGNALS], rows)


def write_grids(folder: Path, history: History) -> None:
    """Write the grids of `GRID_EPOCHS` that are not there."""
    for row in history.epochs:
        picture = grid_file(folder, int(row["epoch"]))
        if row["epoch"] in GRID_EPOCHS and not picture.exists():
            grid = history.grids[history.grid_steps.index(int(row["step"]))][:_GRID]
            with write_whole(picture) as file:
                Image.fromarray(tile(grid.numpy())).save(file, format="PNG", optimize=True)


def grid_file(folder: Path, epoch: int) -> Path:
    """Where the grid of an epoch lies."""
    return folder / f"grid-{epoch:03d}.png"


def epochs_done(folder: Path) -> int:
    """How many epochs the record holds; 0 where there is none."""
    file = folder / "epochs.csv"
    return max(file.read_text().count("\n") - 1, 0) if file.exists() else 0
