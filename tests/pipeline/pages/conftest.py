"""A run as `read_outcome` gives it, of synthetic numbers, and its page."""

import numpy as np
import pytest
import torch

from dcgan.networks import Generator
from dcgan.training import SIGNALS
from ganverdict.verdict import Remedy, Verdict
from pipeline.pages.origin import Origin
from pipeline.pages.run import page as page_of
from pipeline.store.outcome import Outcome
from tests.idx import draw_digits

EPOCHS, LENGTH, BEST = 20, 50, 6
HOSTILE = "</title></script><script>document.title = 'taken'</script><img src=x onerror=alert(1)>"
SCALE = {"fd": {"floor": 0.1, "test": 0.2, "noise": 90.0}, "class_kl": {"floor": 0.0, "noise": 2.0}}
METRICS = {"epoch": BEST, "step": BEST * LENGTH, "fd": 3.0, "fd_sigma": 0.1, "class_kl": 0.5}
REAL = draw_digits(64, torch.Generator().manual_seed(2))[0].view(-1, 28, 28).numpy()


@pytest.fixture(scope="session")
def outcome() -> Outcome:
    """fd falls to epoch 6 and rises after it; G's loss is lowest in epoch 2."""
    step = np.ma.arange(1, EPOCHS * LENGTH + 1)
    steps = {name: np.ma.asarray(np.full(len(step), 0.5)) for name in SIGNALS} | {"step": step}
    steps["g_loss"] = np.ma.asarray(1 + np.abs(step / LENGTH - 1.5))
    epoch = np.ma.arange(1, EPOCHS + 1)
    fd = np.ma.asarray(3.0 + np.abs(epoch - BEST))
    grids = draw_digits(64 * EPOCHS, torch.Generator().manual_seed(1))[0].view(-1, 64, 28, 28)
    verdict = Verdict(
        status="onset",
        reason=f"the loss of D rose {HOSTILE}",
        metric="fd",
        best_epoch=BEST,
        best_step=BEST * LENGTH,
        best_value=3.0,
        alarm_step=350,
        onset_step=400,
        onset_epoch=8,
        remedies=(Remedy("a lower rate", "somebody"),),
    )
    network = Generator(2, 8, 0.0)
    return Outcome(
        best=(network, {}),
        last=(network, {}),
        steps=steps,
        epochs={"epoch": epoch, "step": epoch * LENGTH, "fd": fd, "class_kl": fd / 10},
        grid_steps=np.arange(1, EPOCHS + 1) * LENGTH,
        grids=grids.numpy(),
        verdict=verdict.to_json(),
        run_key="k" * 32,
    )


@pytest.fixture(scope="session")
def page(outcome: Outcome) -> bytes:
    tags = {"dvc_experiment": HOSTILE, "mlflow.source.git.commit": "c0ffee", "torch": HOSTILE}
    params = {"train.lr_g": 0.25, "data.path": HOSTILE}
    return page_of(outcome, Origin(tags, "feedbeef", params), METRICS, SCALE, REAL)
