"""Logs of real trainings that the repository holds, as columns."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ganverdict.signals import SIGNALS
from tests.project import REPOSITORY

Columns = dict[str, np.ma.MaskedArray[Any, Any]]

MEASURES = ("fd", "fd_sigma", "fid", "class_kl", "coverage", "min_share")


def read(path: Path, names: Iterable[str]) -> Columns:
    """Those columns that the file has, of "step", "epoch" and `names`; an empty cell is missing."""
    with (REPOSITORY / path).open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns: Columns = {}
    for name in ("step", "epoch", *names):
        if name in rows[0]:
            cells = [row[name] for row in rows]
            values = np.array([float(cell or "nan") for cell in cells])
            columns[name] = np.ma.masked_array(values, mask=[not cell for cell in cells])
    return columns


def read_run(
    steps: Path, evaluations: Path, alone: tuple[str, ...] = SIGNALS
) -> tuple[Columns, Columns]:
    """Columns of steps, of the signals `alone`, and of evaluations."""
    return read(steps, alone), read(evaluations, MEASURES)
