"""A run as `read_outcome` gives it, a sweep, both of synthetic numbers, their pages; a Chromium."""

import contextlib
import math
import shutil
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from dcgan.networks import Generator
from dcgan.training import SIGNALS
from ganverdict.verdict import Remedy, Verdict
from pipeline.base.space import Interval, Recipe
from pipeline.pages.origin import Origin
from pipeline.pages.run.page import page as page_of
from pipeline.pages.sweep.intervals import PRESENT, Confirmation
from pipeline.pages.sweep.page import Sweep
from pipeline.pages.sweep.page import page as page_of_sweep
from pipeline.pages.sweep.trials import Choice
from pipeline.plots.search import TrialCurve
from pipeline.store.outcome import Outcome
from tests.idx import draw_digits

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
_OPTIONS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu")
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


@contextlib.contextmanager
def headless() -> Iterator[Chrome]:
    """A Chromium as wide as a phone; it keeps what its console and its network have to say."""
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("no chromium with chromedriver: apt-get install chromium chromium-driver")
    options = ChromeOptions()
    options.binary_location = CHROMIUM
    for option in _OPTIONS:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options, Service(DRIVER))
    try:
        driver.set_window_size(390, 900)
        yield driver
    finally:
        driver.quit()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chrome]:
    with headless() as driver:
        yield driver


def curve(number: int, fds: list[float], outcome: str = "complete", reason: str = "") -> TrialCurve:
    """A trial of which these fds were measured; its rates grow with its number."""
    best = fds.index(min(fds)) + 1 if fds else None
    return TrialCurve(
        number=number,
        outcome=outcome,
        status="stable" if fds else "",
        reason=reason,
        recipe={"lr_g": 0.001 * (number + 1), "lr_d": 0.002 if number % 2 else 0.0005},
        epochs=range(1, len(fds) + 1),
        fds=fds,
        best_epoch=best,
        best_fd=min(fds, default=None),
        onset_epoch=None,
        epochs_trained=float(len(fds)),
    )


TRIALS = [
    curve(0, [9.5, 7.5, 6.5, 6.25]),
    curve(1, [8.5, 4.5, 3.25, 3.75]),
    curve(2, [9.0, 8.75], "pruned", "others were better after 2 epochs"),
    curve(3, [8.0, 5.5, 40.0], "onset", HOSTILE),
    curve(4, [], "diverged", "not finite"),
    curve(5, [], "failed", "out of memory"),
    curve(6, [], "waiting"),
]


RECIPE: Recipe = {"lr_g": 0.004, "lr_d": 0.001}
SPACE = {"lr_g": Interval(0.0003, 0.02, "log"), "lr_ratio": Interval(0.03, 4.0, "log")}


def confirmation(trial: TrialCurve | None, fds: tuple[float, ...]) -> Confirmation:
    """A candidate with these fds by seed, in an interval of 1 around their mean."""
    name, recipe = PRESENT, RECIPE
    if trial is not None:
        name, recipe = f"trial {trial.number}", trial.recipe
    mean = sum(fds) / len(fds) if fds else math.inf
    epoch, fresh = (3, mean + 0.125) if fds else (None, None)
    return Confirmation(
        name, recipe, 3, epoch, "went wrong", fds, mean, mean - 0.5, mean + 0.5, fresh
    )


CONFIRMED = [
    confirmation(None, (5.25, 5.5, 6.0)),
    confirmation(TRIALS[1], (3.5, 3.75, 4.0)),
    confirmation(TRIALS[3], ()),
]
SWEEP = Sweep(
    study="sweep-1",
    trials=TRIALS,
    best=Choice("trial 1", TRIALS[1].recipe, 3, 3.75, 3),
    confirmed=CONFIRMED,
    present=RECIPE,
    space=SPACE,
    epochs={"this search": 13, "every trial to its horizon": 28},
    seconds=3725,
    importances={"lr_g": 0.75, "lr_ratio": 0.25},
    pruner="halving",
    interrupted=False,
    command="python -m pipeline.tune --study sweep-1 --trials 7",
    apply="python -m pipeline.tune --study sweep-1 --trials 6 --apply",
)
ORIGIN = Origin({"mlflow.source.git.commit": "c0ffee"}, "feedbeef", {"tune.trials": 7})


@pytest.fixture(scope="session")
def sweep_page() -> bytes:
    return page_of_sweep(SWEEP, ORIGIN)
