"""What a study keeps of a run, small enough for the repository: metrics, signals, grids."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from dcgan.training import SIGNALS
from pipeline.base.cli import write_json, write_whole
from pipeline.base.pictures import tile
from pipeline.store.history import History, write_csv

GRID_EPOCHS = (1, 10, 30, 32, 60, 100, 150)
"""The epochs that the second text shows, and those after its best."""
_GRID = 32  # digits


def write_record(folder: Path, history: History, window: int) -> None:
    """Write epochs.csv, signals.csv (medians over `window` iterations, all that the verdict looks
    at) and the grids of `GRID_EPOCHS` that are new."""
    history.write_epochs(folder / "epochs.csv")
    signals = history.signals.numpy()
    whole = len(signals) // window * window
    medians = np.median(signals[:whole].reshape(-1, window, len(SIGNALS)), axis=1)
    steps = range(window, whole + 1, window)
    rows = ([step, *row] for step, row in zip(steps, medians.tolist(), strict=True))
    write_csv(folder / "signals.csv", ["step", *SIGNALS], rows)
    for row in history.epochs:
        picture = grid_file(folder, int(row["epoch"]))
        if row["epoch"] in GRID_EPOCHS and not picture.exists():
            grid = history.grids[history.grid_steps.index(int(row["step"]))][:_GRID]
            with write_whole(picture) as file:
                Image.fromarray(tile(grid.numpy())).save(file, format="PNG", optimize=True)


def grid_file(folder: Path, epoch: int) -> Path:
    """Where the grid of an epoch lies."""
    return folder / f"grid-{epoch:03d}.png"


def finish_record(folder: Path, facts: Mapping[str, object]) -> None:
    """Write run.json, which marks the record as whole."""
    write_json(folder / "run.json", dict(facts))


def epochs_done(folder: Path) -> int:
    """How many epochs the record holds; 0 where there is none."""
    file = folder / "epochs.csv"
    return max(file.read_text().count("\n") - 1, 0) if file.exists() else 0
