"""A training that no tracker knows of: it leaves a record, and a checkpoint until it has ended."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from dcgan.training import GanState, Report, fit
from pipeline.base.cli import UserError
from pipeline.base.params import Params
from pipeline.base.pool import MayGoOn
from pipeline.replication.assessment import read_record
from pipeline.replication.records import (
    GRID_EPOCHS,
    epochs_done,
    write_facts,
    write_grids,
    write_series,
)
from pipeline.store.checkpoints import Checkpoints
from pipeline.store.history import History


class Training:
    """State and history of a run, from its checkpoint or from nothing.

    A run that goes on from a checkpoint is bit for bit the one that nobody interrupted, where the
    device computes the same bits twice.
    """

    def __init__(
        self,
        params: Params,
        device: torch.device,
        checkpoints: Checkpoints,
        measure: Callable[[GanState], dict[str, float]],
    ) -> None:
        self._params, self._checkpoints, self._measure = params, checkpoints, measure
        self.state, self.history = GanState(params.train, device), History()
        saved = checkpoints.load()
        if saved is not None:
            try:
                self.state.load_state_dict(saved["state"])
                self.history = History(**saved["history"])
            except Exception:  # a file made by other code may hold anything
                raise checkpoints.corrupt() from None
        self._started = time.monotonic() - self.history.seconds

    def leave_record(
        self,
        folder: Path,
        facts: Mapping[str, object],
        images: Tensor,
        may_go_on: MayGoOn,
        grids: bool,
    ) -> bool:
        """Train on `images`; the record in `folder` grows by the epoch. Returns whether all is
        done.

        Args:
            images: uint8 [N, 28, 28], on the state's device.
            grids: whether the record shows samples.
        """
        self._refuse_to_shorten(folder)
        write_facts(folder, facts)
        for report in fit(self.state, images, self._params.train, self._params.runtime, may_go_on):
            self._take(report)
            self._write(folder, grids)
        if not self._is_over:
            return False
        self._write(folder, grids)  # a kill may have come between a checkpoint and this
        record = read_record(folder, self._params.stability)
        verdict = None if record is None else record.verdict.to_json()
        seconds = round(self.history.seconds)
        write_facts(folder, {**facts, "verdict": verdict, "seconds": seconds})
        return True

    @property
    def _is_over(self) -> bool:
        """Whether all epochs are done, or a signal was not finite."""
        train = self._params.train
        return self.history.failed or self.state.step >= train.epochs * train.steps_per_epoch

    def _take(self, report: Report) -> None:
        """Measure the end of an epoch, and save all."""
        metrics = {} if report.failed_step is not None else self._metrics(report)
        self.history.add(report, metrics, 0, time.monotonic() - self._started)
        self._forget_grids()
        if report.failed_step is None:
            state = {"state": self.state.state_dict(), "history": vars(self.history)}
            self._checkpoints.save(state)

    def _metrics(self, report: Report) -> dict[str, float]:
        assert report.epoch is not None  # with `sample_every: 0` each report ends one
        return {
            "epoch": report.epoch,
            "step": report.step,
            "images_seen": report.step * self._params.train.batch_size,
            **self._measure(self.state),
        }

    def _forget_grids(self) -> None:
        """Keep the pictures that a record shows; all would make a checkpoint grow by megabytes."""
        history, length = self.history, self._params.train.steps_per_epoch
        shown = [step // length in GRID_EPOCHS for step in history.grid_steps]
        history.grids = history.grids[torch.tensor(shown, dtype=torch.bool)]
        history.grid_steps = [s for s, kept in zip(history.grid_steps, shown, strict=True) if kept]

    def _write(self, folder: Path, grids: bool) -> None:
        write_series(folder, self.history, self._params.stability.window)
        if grids:
            write_grids(folder, self.history)

    def _refuse_to_shorten(self, folder: Path) -> None:
        """Raise UserError if the record tells more than the checkpoint: it is of another run."""
        kept = epochs_done(folder)
        if kept > len(self.history.epochs):
            raise UserError(
                f"{folder}: has {kept} epochs of a run whose checkpoint is not here, or that other "
                "code trained; move it away, and the same command trains it anew"
            )
