"""Logs for tests of the command: made-up runs, and the files that they are written to."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ganverdict.cli import main

Floats = NDArray[np.float64]
Columns = dict[str, Any]

LENGTH = 468  # iterations in an epoch
TURN = 6_708  # the step after which the reference goes wrong, in epoch 15


def noise(rng: np.random.Generator, count: int, size: float) -> Floats:
    """A factor [count] around one."""
    return np.asarray(np.exp(size * rng.standard_normal(count)))


def reference(epochs: int = 20, turn: int = TURN, seed: int = 0) -> tuple[Columns, Columns]:
    """Iterations and evaluations of a run that goes wrong after `turn` in losses and samples."""
    rng = np.random.default_rng(seed)
    step = np.arange(1, epochs * LENGTH + 1)
    bad = step > turn
    d_loss = 0.55 * noise(rng, len(step), 0.15) * np.where(bad, 2, 1)
    g_loss = 1.3 * noise(rng, len(step), 0.15) * np.where(bad, 7, 1)
    epoch = np.arange(1, epochs + 1)
    late = epoch * LENGTH > turn
    fd = (30 + 160 * np.exp(-epoch / 5)) * noise(rng, epochs, 0.02) * np.where(late, 5, 1)
    steps = {"step": step, "d_loss": d_loss.round(5), "g_loss": g_loss.round(5)}
    return steps, {"epoch": epoch, "step": epoch * LENGTH, "fd": fd.round(3)}


def healthy(epochs: int = 20, seed: int = 0) -> tuple[Columns, Columns]:
    """Iterations and evaluations of a run that goes well."""
    return reference(epochs, turn=epochs * LENGTH, seed=seed)


def write(path: Path, columns: Mapping[str, Any], separator: str = ",") -> Path:
    """Columns of equal length as a file of cells; None is an empty cell."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


class Command:
    """Runs the command in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        """Exit status, what was printed, and what was said on standard error."""
        self._capsys.readouterr()
        status = main([*map(str, arguments)])
        printed = self._capsys.readouterr()
        assert "Traceback" not in printed.err
        return status, printed.out, printed.err

    def verdicts(self, *arguments: object) -> list[dict[str, Any]]:
        """The objects that `--json` prints; the status must be that of the verdicts."""
        status, out, err = self(*arguments, "--json")
        assert err == ""
        found = [json.loads(line) for line in out.splitlines()]
        assert status == any(verdict["went_wrong"] for verdict in found)
        return found

    def verdict(self, *arguments: object) -> dict[str, Any]:
        """The verdict on one run."""
        (found,) = self.verdicts(*arguments)
        return found

    def refusal(self, *arguments: object) -> str:
        """The one line with which a call ends that cannot be carried out."""
        status, out, err = self(*arguments)
        assert (status, out) == (2, ""), (status, out, err)
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        return err.removeprefix("error: ").rstrip("\n")
