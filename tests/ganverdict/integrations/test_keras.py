import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

os.environ.setdefault("KERAS_BACKEND", "torch")
if TYPE_CHECKING:
    import keras
else:
    keras = pytest.importorskip("keras", reason="keras is not installed")

from ganverdict.formats import read
from ganverdict.integrations.keras import GanVerdict

pytestmark = pytest.mark.slow  # importing keras takes seconds

BATCHES = 20
FALLS_THEN_GROWS = [100, 80, 60, 40, 30, 20, 15, 30, 50, 70, 90, 110, 130, 150, 170]
backend = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="this GAN is written for the torch backend"
)


@pytest.fixture(autouse=True)
def weights() -> None:
    """The same at each start: of 14 others one raised an alarm of its own by luck."""
    keras.utils.set_random_seed(0)


class Gan(keras.Model):  # type: ignore[misc]
    """Two networks, two optimisers, in the manner of Keras's examples: no `call`."""

    def __init__(self, spoiled_from: float = math.inf) -> None:
        super().__init__()
        self.g = keras.Sequential([keras.Input((2,)), keras.layers.Dense(4)])
        self.d = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        self.spoiled_from = spoiled_from
        self.batches = 0
        self.built = True

    def compile(self) -> None:
        super().compile()
        self.for_d, self.for_g = keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3)

    def train_step(self, real: torch.Tensor) -> dict[str, torch.Tensor]:
        score = nn.functional.softplus
        noise = torch.randn(len(real), 2)
        d_loss = (score(-self.d(real)) + score(self.d(self.g(noise).detach()))).mean()
        self.descend(self.for_d, d_loss, self.d)
        g_loss = score(-self.d(self.g(noise))).mean()
        self.descend(self.for_g, g_loss, self.g)
        self.batches += 1
        if self.batches > self.spoiled_from:
            g_loss = g_loss * math.nan
        return {"d_loss": d_loss.detach(), "g_loss": g_loss.detach()}

    def descend(self, optimiser: Any, loss: torch.Tensor, model: Any) -> None:
        self.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        weights = model.trainable_weights
        with torch.no_grad():
            optimiser.apply([w.value.grad for w in weights], weights)


class Fids(keras.callbacks.Callback):  # type: ignore[misc]
    """Measures samples at the end of every epoch."""

    def __init__(self, fids: Sequence[float]) -> None:
        super().__init__()
        self.fids = fids

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs["fid"] = self.fids[epoch]


def fit(
    callback: GanVerdict, fids: Sequence[float], model: Gan | None = None, **options: Any
) -> tuple[Gan, Mapping[str, Sequence[float]]]:
    model = model or Gan()
    model.compile()
    callbacks = [*([Fids(fids)] if fids else []), callback]
    data = np.random.default_rng(0).normal(size=(BATCHES * 4, 4)).astype("float32")
    options = {"epochs": 15} | options
    history = model.fit(data, batch_size=4, verbose=0, callbacks=callbacks, **options)
    return model, history.history


@backend
def test_a_training_that_declines_ends_and_its_best_weights_are_kept(tmp_path: Path) -> None:
    callback = GanVerdict(tmp_path)
    kept: list[Any] = []

    class Spy(Fids):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            super().on_epoch_end(epoch, logs)
            kept.append(self.model.g.get_weights())

    model = Gan()
    model.compile()
    data = np.random.default_rng(0).normal(size=(BATCHES * 4, 4)).astype("float32")
    spy = Spy(FALLS_THEN_GROWS)
    history = model.fit(data, batch_size=4, epochs=15, verbose=0, callbacks=[spy, callback])
    assert callback.verdict is not None
    assert callback.verdict.status == "silent"
    assert callback.verdict.best_epoch == 6
    assert callback.verdict.best_step == 7 * BATCHES
    assert len(history.history["fid"]) == 10
    again = Gan()
    again.load_weights(tmp_path / "best.weights.h5")
    for weights, best, last in zip(again.g.get_weights(), kept[6], kept[-1], strict=True):
        np.testing.assert_array_equal(weights, best)
        assert not np.array_equal(weights, last)
    written = json.loads((tmp_path / "verdict.json").read_text())
    assert written["status"] == "silent"
    (log,) = read([tmp_path])
    assert len(log.pairs[""]["d_loss"]) == 10 * BATCHES


@backend
def test_without_a_metric_losses_that_are_not_finite_end_a_training(tmp_path: Path) -> None:
    callback = GanVerdict(tmp_path)
    model, _ = fit(callback, [], Gan(spoiled_from=50))
    assert callback.verdict is not None
    assert callback.verdict.status == "diverged"
    assert callback.verdict.onset_step == 51
    assert model.batches <= 51 + 48 + 16 + BATCHES


@backend
def test_it_can_be_told_to_watch_only(tmp_path: Path) -> None:
    callback = GanVerdict(tmp_path, end_training=False)
    _, history = fit(callback, FALLS_THEN_GROWS)
    assert len(history["fid"]) == 15
    assert callback.verdict is not None
    assert callback.verdict.went_wrong


@backend
def test_a_training_that_goes_on_goes_on_with_its_log(tmp_path: Path) -> None:
    fit(GanVerdict(tmp_path), FALLS_THEN_GROWS, epochs=8)
    callback = GanVerdict(tmp_path, end_training=False)
    fit(callback, FALLS_THEN_GROWS, epochs=11, initial_epoch=8)
    assert callback.verdict is not None
    assert callback.verdict.best_epoch == 6
    assert callback.verdict.status == "silent"
    (log,) = read([tmp_path])
    assert log.evaluations["epoch"].tolist() == list(range(11))
    assert len(log.pairs[""]["step"]) == 11 * BATCHES


@backend
def test_a_measure_may_have_any_name(tmp_path: Path) -> None:
    class Qualities(Fids):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            logs["quality"] = self.fids[epoch]

    callback = GanVerdict(tmp_path, names={"fid": "quality"})
    model = Gan()
    model.compile()
    data = np.random.default_rng(0).normal(size=(BATCHES * 4, 4)).astype("float32")
    callbacks = [Qualities(FALLS_THEN_GROWS), callback]
    model.fit(data, batch_size=4, epochs=4, verbose=0, callbacks=callbacks)
    assert callback.verdict is not None
    assert callback.verdict.best_value == 40


@backend
def test_a_training_after_one_that_was_interrupted_begins_anew(tmp_path: Path) -> None:
    class Interrupts(Fids):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
            if epoch == 2:
                raise KeyboardInterrupt

    callback = GanVerdict(tmp_path)
    model = Gan()
    model.compile()
    data = np.random.default_rng(0).normal(size=(BATCHES * 4, 4)).astype("float32")
    callbacks = [Interrupts(FALLS_THEN_GROWS), callback]
    with pytest.raises(KeyboardInterrupt):
        model.fit(data, batch_size=4, epochs=3, verbose=0, callbacks=callbacks)
    fit(callback, FALLS_THEN_GROWS, epochs=3)
    (log,) = read([tmp_path])
    assert log.pairs[""]["step"].tolist() == [*range(1, 3 * BATCHES + 1)]
