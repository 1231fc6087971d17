import json
import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

if TYPE_CHECKING:
    import lightning
else:
    lightning = pytest.importorskip("lightning", reason="lightning is not installed")

from ganverdict.formats import read
from ganverdict.integrations.lightning import GanVerdict

pytestmark = pytest.mark.slow  # importing lightning takes seconds

BATCHES = 20
FALLS_THEN_GROWS = [100, 80, 60, 40, 30, 20, 15, 30, 50, 70, 90, 110, 130, 150, 170]


class Gan(lightning.LightningModule):
    """Two networks, two optimisers; FIDs as a test wants them."""

    def __init__(
        self, fids: Sequence[float], where: str = "validation", by_epoch: bool = False
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.fids, self.where, self.by_epoch = fids, where, by_epoch
        self.g, self.d = nn.Linear(2, 4), nn.Linear(4, 1)
        self.spoiled_from = math.inf

    def configure_optimizers(self) -> Any:
        return [torch.optim.Adam(self.d.parameters()), torch.optim.Adam(self.g.parameters())]

    def training_step(self, batch: Any, batch_idx: int) -> None:
        for_d, for_g = cast("list[Any]", self.optimizers())
        (real,), score = batch, nn.functional.softplus
        fake = self.g(torch.randn(len(real), 2))
        d_loss = (score(-self.d(real)) + score(self.d(fake.detach()))).mean()
        self.update(for_d, d_loss)
        g_loss = score(-self.d(fake)).mean()
        self.update(for_g, g_loss)
        if self.current_epoch * BATCHES + batch_idx >= self.spoiled_from:
            g_loss = g_loss * math.nan
        losses = {"d_loss": d_loss, "g_loss": g_loss}
        self.log_dict(losses, on_step=not self.by_epoch, on_epoch=True)

    def update(self, optimiser: Any, loss: torch.Tensor) -> None:
        optimiser.zero_grad()
        self.manual_backward(loss)
        optimiser.step()

    def validation_step(self, batch: Any) -> None:
        self.log("val_d_loss", self.d(batch[0]).mean())

    def on_validation_epoch_end(self) -> None:
        if self.where == "validation":
            self.log("fid", self.fid())

    def on_train_epoch_end(self) -> None:
        if self.where == "epoch":
            self.log("fid", self.fid())

    def fid(self) -> torch.Tensor:
        return torch.tensor(float(self.fids[self.current_epoch % len(self.fids)]))


def fit(
    model: Gan,
    callback: GanVerdict,
    folder: Path,
    epochs: int = 15,
    checks: float = 1.0,
    **options: Any,
) -> "lightning.Trainer":
    trainer = lightning.Trainer(
        default_root_dir=folder,
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[callback],
        logger=False,
        val_check_interval=checks,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    # Far enough from what G draws that D has something to tell them apart by.
    data = DataLoader(TensorDataset(torch.randn(BATCHES * 4, 4) + 3), batch_size=4)
    trainer.fit(model, data, data, **options)
    return trainer


@pytest.mark.parametrize("where", ["validation", "epoch"])
@pytest.mark.parametrize("by_epoch", [False, True])
def test_a_training_that_declines_ends_and_its_best_is_kept(
    tmp_path: Path, where: str, by_epoch: bool
) -> None:
    callback = GanVerdict()
    trainer = fit(Gan(FALLS_THEN_GROWS, where, by_epoch), callback, tmp_path)
    verdict = callback.verdict
    assert verdict is not None
    assert verdict.status == "silent"
    assert verdict.best_epoch == 6
    assert verdict.best_step == (6 if by_epoch else 7 * BATCHES)
    # The module's own end of an epoch comes after the callback's: then a round without batches.
    assert trainer.current_epoch == (11 if where == "epoch" else 10)
    assert trainer.global_step == 2 * 10 * BATCHES
    kept = torch.load(tmp_path / "ganverdict/best.ckpt", weights_only=False)
    # Two optimisers step once a batch each: that is what Lightning counts.
    assert kept["global_step"] == 2 * 7 * BATCHES
    written = json.loads((tmp_path / "ganverdict/verdict.json").read_text())
    assert written["status"] == "silent"
    (log,) = read([tmp_path / "ganverdict"])
    assert log.unit == ("epoch" if by_epoch else "iteration")
    assert len(log.pairs[""]["d_loss"]) == (10 if by_epoch else 10 * BATCHES)
    assert "val_d_loss" not in log.evaluations


def test_a_measure_that_is_logged_now_and_then_counts_once(tmp_path: Path) -> None:
    class Seldom(Gan):
        def on_validation_epoch_end(self) -> None:
            if self.current_epoch % 3 == 0:
                self.log("fid", torch.tensor(30.0))  # the same value each time

    callback = GanVerdict(end_training=False)
    fit(Seldom([]), callback, tmp_path, epochs=10)
    (log,) = read([tmp_path / "ganverdict"])
    assert log.evaluations["epoch"].tolist() == [0, 3, 6, 9]
    assert log.evaluations["step"].tolist() == [BATCHES * n for n in (1, 4, 7, 10)]


def test_measures_of_both_ends_of_an_epoch_are_taken_together(tmp_path: Path) -> None:
    class Both(Gan):
        def on_train_epoch_end(self) -> None:
            self.log("kid", self.fid() / 1000)

    callback = GanVerdict(metric="kid")
    fit(Both(FALLS_THEN_GROWS), callback, tmp_path)
    assert callback.verdict is not None
    assert callback.verdict.status == "silent"
    assert callback.verdict.best_step == 7 * BATCHES
    (log,) = read([tmp_path / "ganverdict"])
    # The first comes a step late: it is not known yet that it will come.
    assert log.evaluations["step"].tolist() == [20, 21, *range(40, 220, 20)]
    for name in ("fid", "kid"):
        assert not np.ma.is_masked(log.evaluations[name][2:])


def test_validation_within_an_epoch_counts_where_it_was(tmp_path: Path) -> None:
    callback = GanVerdict(end_training=False)
    fit(Gan([3.0, 2.0, 1.0]), callback, tmp_path, epochs=3, checks=0.25)
    (log,) = read([tmp_path / "ganverdict"])
    assert log.evaluations["step"].tolist() == [*range(5, 61, 5)]
    assert log.evaluations["epoch"].tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_without_a_metric_losses_that_are_not_finite_end_a_training(tmp_path: Path) -> None:
    model = Gan([], where="nowhere")
    model.spoiled_from = 50
    callback = GanVerdict(tmp_path / "here")
    trainer = fit(model, callback, tmp_path)
    assert callback.verdict is not None
    assert callback.verdict.status == "diverged"
    assert callback.verdict.onset_step == 51
    assert 90 < trainer.global_step / 2 < 150
    assert (tmp_path / "here/verdict.json").is_file()


def test_it_can_be_told_to_watch_only(tmp_path: Path) -> None:
    callback = GanVerdict(end_training=False)
    trainer = fit(Gan(FALLS_THEN_GROWS), callback, tmp_path, epochs=12)
    assert trainer.current_epoch == 12
    assert callback.verdict is not None
    assert callback.verdict.went_wrong


@pytest.mark.parametrize("by_epoch", [False, True])
def test_a_training_that_goes_on_from_a_checkpoint_goes_on_with_its_log(
    tmp_path: Path, by_epoch: bool
) -> None:
    def train(epochs: int, **options: Any) -> GanVerdict:
        callback = GanVerdict(end_training=False)
        model = Gan(FALLS_THEN_GROWS, by_epoch=by_epoch)
        trainer = fit(model, callback, tmp_path, epochs, **options)
        trainer.save_checkpoint(tmp_path / "last.ckpt")
        return callback

    train(8)
    callback = train(11, ckpt_path=tmp_path / "last.ckpt", weights_only=False)
    assert callback.verdict is not None
    assert callback.verdict.best_epoch == 6
    assert callback.verdict.status == "silent"
    (log,) = read([tmp_path / "ganverdict"])
    evaluated = log.evaluations["step" if by_epoch else "epoch"]
    assert evaluated.tolist() == list(range(11))
    assert len(log.pairs[""]["step"]) == (11 if by_epoch else 11 * BATCHES)


def test_an_exception_leaves_a_report(tmp_path: Path) -> None:
    class Breaks(Gan):
        def on_train_epoch_start(self) -> None:
            if self.current_epoch == 3:
                raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        fit(Breaks(FALLS_THEN_GROWS), GanVerdict(), tmp_path)
    written: dict[str, Any] = json.loads((tmp_path / "ganverdict/verdict.json").read_text())
    assert written["best_epoch"] == 2


def test_a_measure_may_have_any_name_and_others_go_with_the_losses(tmp_path: Path) -> None:
    class Named(Gan):
        def training_step(self, batch: Any, batch_idx: int) -> None:
            super().training_step(batch, batch_idx)
            self.log("psnr", torch.tensor(0.5))

        def on_validation_epoch_end(self) -> None:
            self.log("quality", self.fid())

    callback = GanVerdict(names={"fid": "quality"})
    fit(Named(FALLS_THEN_GROWS), callback, tmp_path, epochs=4)
    assert callback.verdict is not None
    assert callback.verdict.best_value == 40
    assert callback.verdict.watched.evaluations == 4


def test_a_second_training_has_a_log_of_its_own(tmp_path: Path) -> None:
    callback = GanVerdict()
    for epochs in (3, 2):
        fit(Gan(FALLS_THEN_GROWS), callback, tmp_path, epochs=epochs)
        (log,) = read([tmp_path / "ganverdict"])
        assert len(log.pairs[""]["step"]) == epochs * BATCHES
        assert log.evaluations["epoch"].tolist() == [*range(epochs)]


def test_processes_agree_as_often_whatever_each_logs(tmp_path: Path) -> None:
    def agreements(rank: int) -> list[int]:
        """How often a process had met the others, epoch by epoch; the first alone logs an FID."""
        met: list[Any] = []

        def broadcast(told: Any) -> Any:
            met.append(told)
            return told

        trainer: Any = SimpleNamespace(
            is_global_zero=rank == 0,
            world_size=2,
            num_training_batches=3,
            default_root_dir=tmp_path / str(rank),
            callback_metrics={},
            strategy=SimpleNamespace(broadcast=broadcast),
            save_checkpoint=lambda *_, **__: None,
        )
        callback, counts = GanVerdict(), []
        for epoch in range(4):
            trainer.current_epoch = epoch
            if epoch == 0:
                callback.on_train_start(trainer)
            callback.on_train_epoch_start(trainer)
            for _ in range(3):
                losses = {"d_loss": torch.tensor(0.5), "g_loss": torch.tensor(1.0)}
                trainer.callback_metrics |= losses
                callback.on_train_batch_end(trainer)
            callback.on_train_epoch_end(trainer)
            if rank == 0:
                trainer.callback_metrics["fid"] = torch.tensor(9.0 - epoch)
            counts.append(len(met))
        callback.on_train_end(trainer)
        return [*counts, len(met)]

    assert agreements(0) == agreements(1)
