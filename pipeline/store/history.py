"""What a training run has recorded so far: signals by step, metrics by epoch, pictures."""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dcgan.training import SIGNALS, Report
from pipeline.base.cli import write_whole
from pipeline.base.paths import EPOCHS, SAMPLES, STEPS


@dataclass
class History:
    """Grows by one report at a time and is saved with the checkpoint.

    Attributes:
        signals: float32 [steps, 8]; row i is step i + 1.
        epochs: a row of metrics for each epoch's end.
        reports: the last step of each report.
        branches: the returns to an earlier state, see `pipeline.training.branches`.
        grid_steps, grids: the pictures from the fixed noise, uint8 [k, 64, 28, 28].
        time_ms: when the newest report was made, since 1970; times_ms: each of them.
        seconds: spent training and measuring.
    """

    signals: Tensor = field(default_factory=lambda: torch.empty(0, len(SIGNALS)))
    epochs: list[dict[str, float]] = field(default_factory=list)
    reports: list[int] = field(default_factory=list)
    grid_steps: list[int] = field(default_factory=list)
    grids: Tensor = field(default_factory=lambda: torch.empty(0, 64, 28, 28, dtype=torch.uint8))
    branches: list[dict[str, float]] = field(default_factory=list)
    time_ms: int = 0
    seconds: float = 0.0
    times_ms: list[int] = field(default_factory=list)

    @property
    def saved_step(self) -> int:
        """The last step of the newest report, from which a resumed run goes on."""
        return self.reports[-1] if self.reports else 0

    @property
    def failed(self) -> bool:
        """Whether the last step gave a signal that is not finite, and the run did not go back."""
        broken = len(self.signals) > 0 and not bool(self.signals[-1].isfinite().all())
        return broken and self.branch_at(self.saved_step) is None

    def branch_at(self, step: int) -> dict[str, float] | None:
        """The return made after `step`, if there was one."""
        return next((branch for branch in self.branches if branch["step"] == step), None)

    def row(self, step: float | None) -> dict[str, float]:
        """The metrics of the epoch that ended with `step`."""
        return next(row for row in self.epochs if row["step"] == step)

    def past(self, step: float) -> list[dict[str, float]]:
        """The rows of the epochs that led to `step`, over the returns before it."""
        rows: list[dict[str, float]] = []
        for begun in [*reversed(self.branches), {"step": 0.0, "best_step": 0.0}]:
            if begun["step"] < step:
                own = [row for row in self.epochs if begun["step"] < row["step"] <= step]
                rows, step = own + rows, begun["best_step"]
        return rows

    def add(self, report: Report, metrics: dict[str, float], time_ms: int, seconds: float) -> None:
        """Append a report and the metrics of its epoch, if it ends one.

        Nothing after a failed step counts.
        """
        last_step = report.step if report.failed_step is None else report.failed_step
        steps = last_step - report.first_step + 1
        self.signals = torch.cat([self.signals, report.signals[:steps]])
        self.reports.append(last_step)
        self.time_ms, self.seconds = time_ms, seconds
        self.times_ms.append(time_ms)
        if metrics:
            self.epochs.append({**metrics, "seconds": round(seconds, 1)})
        if report.failed_step is None:
            self.grid_steps.append(report.step)
            self.grids = torch.cat([self.grids, report.grid[None]])

    def pieces(self) -> Iterator[tuple[int, int, dict[str, float]]]:
        """First step, last step and metrics ({} between two epochs' ends) of each report."""
        by_step = {row["step"]: row for row in self.epochs}
        for before, last_step in zip([0, *self.reports], self.reports, strict=False):
            yield before + 1, last_step, by_step.get(last_step, {})

    def until(self, report: int) -> "History":
        """What the first so many reports have recorded."""
        last_step = self.reports[report - 1]
        pictures = sum(step <= last_step for step in self.grid_steps)
        return replace(
            self,
            signals=self.signals[:last_step],
            epochs=[row for row in self.epochs if row["step"] <= last_step],
            reports=self.reports[:report],
            times_ms=self.times_ms[:report],
            grid_steps=self.grid_steps[:pictures],
            grids=self.grids[:pictures],
            branches=[branch for branch in self.branches if branch["step"] < last_step],
        )

    def write(self) -> None:
        """Write reports/steps.csv, reports/epochs.csv and models/samples.npz."""
        rows = ([i, *row] for i, row in enumerate(self.signals.tolist(), start=1))
        write_csv(STEPS, ["step", *SIGNALS], rows)
        self.write_epochs(EPOCHS)
        with write_whole(SAMPLES) as file:
            np.savez_compressed(file, steps=np.array(self.grid_steps), grids=self.grids.numpy())

    def write_epochs(self, path: Path) -> None:
        """Write the metrics as a table of a row for each epoch; what one lacks is an empty cell."""
        names = max(map(list, self.epochs), key=len, default=["epoch", "step", "fd"])
        write_csv(path, names, ([row.get(name) for name in names] for row in self.epochs))


def write_csv(path: Path, names: list[str], rows: Iterable[Iterable[float | None]]) -> None:
    """Write rows of numbers under a header, whole or not at all. None is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(value) for value in row] for row in rows)
    with write_whole(path) as file:
        file.write(text.getvalue().encode())


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    if isinstance(value, int):
        return str(value)
    return f"{value:.6g}"
