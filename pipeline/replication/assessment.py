"""A run's record, assessed: its verdict, and what each rule for stopping would have chosen."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcgan.training import SIGNALS
from ganverdict.alarms import Alarm
from ganverdict.evaluations import MEASURES
from ganverdict.monitor import fed_monitor
from ganverdict.signals import HELD_OUT
from ganverdict.thresholds import Thresholds
from ganverdict.verdict import Verdict
from pipeline.replication.records import (
    GRID_EPOCHS,
    epochs_done,
    grid_file,
    is_whole,
    read_facts,
)
from pipeline.store.columns import Columns, read_csv

FloatArray = NDArray[np.float64]

ORIGINAL_EPOCH = 32
"""Where the blog post saw its best pictures."""


@dataclass(frozen=True)
class Record:
    """One run of the replication, whole or as far as it is.

    Attributes:
        is_whole: whether it has come to its end.
        signals: "step" and medians of the signals over windows, [n].
        epochs: "epoch", "step" and what was measured, [m], m > 0; `fd` is the one that counts.
        alarms: by step, those that nothing confirmed too; not of states that passed early.
    """

    recipe: str
    seed: int
    is_whole: bool
    signals: Columns
    epochs: Columns
    grids: dict[int, Path]
    verdict: Verdict
    alarms: tuple[Alarm, ...]

    @property
    def epoch_length(self) -> float:
        """Iterations in an epoch."""
        return float(self.epochs["step"][0] / self.epochs["epoch"][0])

    def fd_at(self, epoch: float) -> float:
        """The fd at an epoch, or at the nearest one that there is."""
        return float(self.epochs["fd"][np.abs(self.epochs["epoch"] - epoch).argmin()])

    def by_epoch(self, signal: str) -> FloatArray:
        """The median of a signal in each epoch, [m]; nan where it has no value."""
        epoch = np.searchsorted(self.epochs["step"], self.signals["step"])
        series = np.ma.filled(self.signals[signal], np.nan)
        rows = (series[epoch == row] for row in range(len(self.epochs["step"])))
        return np.array([np.nanmedian(values) if len(values) else np.nan for values in rows])

    def epoch_of(self, signal: str, best: str) -> int:
        """The epoch whose median of `signal` is the "lowest" or the "highest"."""
        values = self.by_epoch(signal)
        row = np.nanargmin(values) if best == "lowest" else np.nanargmax(values)
        return int(self.epochs["epoch"][row])

    @property
    def best_row(self) -> int:
        """The row of `epochs` with the lowest fd: what hindsight would choose."""
        return int(np.argmin(self.epochs["fd"]))

    def row(self) -> dict[str, object]:
        """The answers of this run."""
        verdict = self.verdict
        epochs = {
            "best": verdict.best_epoch,
            "original_epoch": ORIGINAL_EPOCH,
            "last": int(self.epochs["epoch"][-1]),
            "lowest_g_loss": self.epoch_of("g_loss", "lowest"),
            "highest_d_loss": self.epoch_of("d_loss", "highest"),
        }
        return {
            "recipe": self.recipe,
            "seed": self.seed,
            "status": verdict.status,
            "reason": verdict.reason,
            "alarms": [{"step": alarm.step, "signal": alarm.signal} for alarm in self.alarms],
            "alarm_step": verdict.alarm_step,
            "onset_epoch": verdict.onset_epoch,
            "signal": verdict.signal,
            "confirm_epoch": verdict.confirm_epoch,
            "fd_lowest": float(self.epochs["fd"][self.best_row]),
            "fd_lowest_epoch": int(self.epochs["epoch"][self.best_row]),
            "epoch": epochs,
            "fd": {name: self.fd_at(epoch) for name, epoch in epochs.items() if epoch is not None},
        }


def read_record(folder: Path, params: Thresholds) -> Record | None:
    """What lies in `folder`, assessed anew; None where no epoch has ended."""
    if not epochs_done(folder):
        return None
    recipe, _, seed = folder.name.rpartition("-")
    names = ("epoch", "step", *MEASURES, *HELD_OUT)
    epochs = read_csv(folder / "epochs.csv", names)
    signals = read_csv(folder / "signals.csv", ("step", *SIGNALS))
    grids = {epoch: grid_file(folder, epoch) for epoch in GRID_EPOCHS}
    length = float(epochs["step"][0] / epochs["epoch"][0])
    monitor = fed_monitor(signals, epochs, params, steps_per_epoch=length, loss="bce_mean")
    return Record(
        recipe=recipe,
        seed=int(seed),
        is_whole=is_whole(read_facts(folder)),
        signals=signals,
        epochs=epochs,
        grids={epoch: file for epoch, file in grids.items() if file.exists()},
        verdict=monitor.verdict(),
        alarms=tuple(alarm for alarm in monitor.alarms if not alarm.passed_early),
    )


def table(records: Sequence[Record]) -> str:
    """The rows to read on a screen."""
    from tabulate import tabulate  # here: a bare GPU machine lacks it

    headers = ("run", "verdict", "best", "fd", "at 32", "last", "min g_loss", "max d_loss")
    rows = [_cells(record) for record in records]
    text: str = tabulate(rows, headers, disable_numparse=True)
    return text


def _cells(record: Record) -> list[str]:
    fd, chosen = record.fd_at, record.verdict.best_epoch
    low, high = record.epoch_of("g_loss", "lowest"), record.epoch_of("d_loss", "highest")
    return [
        f"{record.recipe}-{record.seed}",
        record.verdict.status,
        "-" if chosen is None else str(chosen),
        "-" if chosen is None else f"{fd(chosen):.1f}",
        f"{fd(ORIGINAL_EPOCH):.1f}",
        f"{fd(int(record.epochs['epoch'][-1])):.1f}",
        f"{fd(low):.1f} @{low}",
        f"{fd(high):.1f} @{high}",
    ]
