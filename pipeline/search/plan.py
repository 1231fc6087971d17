"""What a search is going to do, and what it costs at most."""

import dataclasses
import hashlib
import json
import time

import torch

from dcgan import mnist
from dcgan.measuring import Meter, measure_epoch
from dcgan.mnist import Mnist
from dcgan.training import GanState, fit
from pipeline.base.params import Params, TuneParams
from pipeline.base.paths import DATA, JUDGE
from pipeline.base.space import Choices, keys
from pipeline.search.study import DEFAULT_STORAGE

_SEARCHED = ("epochs", "stop")
_SHOWN = ("sample_every", "raw_every")  # no trial's fd depends on them


def recipe_hash(params: Params) -> str:
    """16 hex digits of what makes trials comparable: all but the keys and lengths searched.

    Of the space, what a study cannot change: its keys, their scales and choices.
    """
    space = params.tune.space
    train, free = dataclasses.asdict(params.train), {*_SEARCHED, *_SHOWN, *keys(space)}
    train = {name: value for name, value in train.items() if name not in free}
    parts = {
        "train": train,
        "space": {
            key: dimension.choices if isinstance(dimension, Choices) else dimension.scale
            for key, dimension in space.items()
        },
        "measure": dataclasses.asdict(params.measure),
        "stability": dataclasses.asdict(params.stability),
        "mode": params.tune.epochs.mode,
        "data": mnist.data_hash(DATA),
        "judge": hashlib.sha256(JUDGE.read_bytes()).hexdigest(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def most_epochs(params: Params) -> tuple[int, int]:
    """Epochs that the search and the confirmation train at most."""
    tune = params.tune
    search, confirm = tune.trials * tune.epochs.max, tune.confirm
    if not confirm.top:
        return search, 0
    return search, confirm.seeds * (confirm.top * tune.epochs.max + params.train.epochs)


def search_seconds(params: Params, timeout: float) -> float:
    """The search's part of the time allowed; the confirmation gets the rest."""
    search, confirmation = most_epochs(params)
    return timeout * search / (search + confirmation)


def print_plan(params: Params, name: str, timeout: float | None, storage: str) -> None:
    """Say what will be searched, where, and for how long."""
    tune, epochs = params.tune, params.tune.epochs
    modes = {"resource": "every epoch a stopping point", "sampled": "each trial of one length"}
    place = "tune.db" if storage == DEFAULT_STORAGE else "the storage given"
    print(f"study {name} in {place}")
    print(f"  {tune.trials} trials by {tune.sampler}, the first one the present recipe:")
    for key, dimension in tune.space.items():
        print(f"    {key}: {dimension}")
    print(f"  epochs {epochs.min} to {epochs.max}, {modes[epochs.mode]}; pruner: {tune.pruner}")
    print(f"  {_confirmation(tune)}")
    print(f"  {tune.workers} workers of {params.runtime.threads} threads")
    if timeout is not None:
        search = search_seconds(params, timeout)
        print(f"  no step of the search after {search:.0f} s, none at all after {timeout:g} s")


def _confirmation(tune: TuneParams) -> str:
    top, seeds = tune.confirm.top, tune.confirm.seeds
    if not top:
        return "no confirmation"
    return f"then the best {top} and the present recipe, over {seeds} seeds"


def print_estimate(params: Params, data: Mnist, meter: Meter, device: torch.device) -> None:
    """Time a few steps and one evaluation, and say what the plan costs at most."""
    train, steps = params.train, 6
    short = dataclasses.replace(train, epochs=1, steps_per_epoch=steps, sample_every=0)
    state = GanState(short, device)
    images, labels = data.train_images.to(device), data.train_labels.to(device)
    durations = []
    for _ in range(2):  # the first time, kernels are chosen
        state.step = 0
        started = time.monotonic()
        for _ in fit(state, images, short, params.runtime, train_labels=labels):
            pass
        durations.append((time.monotonic() - started) / steps)
    started = time.monotonic()
    measure_epoch(meter, state, data, params.train.loss, params.runtime)
    epoch = min(durations) * train.steps_per_epoch + time.monotonic() - started
    for name, epochs in zip(("search", "confirmation"), most_epochs(params), strict=True):
        minutes = epochs * epoch / params.tune.workers / 60
        print(f"  {name}: at most {epochs:,} epochs of about {epoch:.1f} s: {minutes:,.0f} min")
    print("  pruned trials and confirmed onsets end early; half of it is usual")
