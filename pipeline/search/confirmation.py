"""Which of the best trials to believe: each trained again with fresh seeds, and the choice."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dcgan.judge import features_and_logits
from dcgan.measuring import Meter
from dcgan.metrics import frechet_distance, moments
from dcgan.runtime import derive_seed
from ganverdict.loess import loess
from pipeline.base.interval import interval
from pipeline.base.params import Params
from pipeline.base.space import Recipe, present
from pipeline.search.study import Trial
from pipeline.store.checkpoints import Checkpoints
from pipeline.store.weights import load_generator

LONGER = 2  # epochs beyond a trial's best one, in which other seeds may have theirs


@dataclass(frozen=True)
class Candidate:
    """A recipe to be tried again. `name`: "current", or "trial N"; `epochs`: the horizon."""

    name: str
    recipe: Recipe
    epochs: int

    def facts(self, seed: int) -> dict[str, object]:
        """What a trial with one seed is requested for."""
        recipe = dict(self.recipe)
        return {"candidate": self.name, "recipe": recipe, "epochs": self.epochs, "seed": seed}


@dataclass(frozen=True)
class Confirmed:
    """A candidate over its seeds, at one epoch for all.

    Attributes:
        runs: how many came to a result; of fewer than two nothing else is known.
        epoch: where the mean fd is smallest; None: there is no epoch that all seeds reached well.
        fds: smoothed, at that epoch, one for each run.
        mean, low, high: of fd; `high` is infinite where nothing is known.
    """

    candidate: Candidate
    runs: int
    epoch: int | None
    fds: tuple[float, ...]
    mean: float
    low: float
    high: float

    @property
    def unknown(self) -> str:
        """Why there is no epoch."""
        return "went wrong" if self.runs > 1 else "not known yet"


def candidates(trials: Sequence[Trial], params: Params) -> list[Candidate]:
    """The present recipe, then the best trials by value, each recipe once."""
    train, tune = params.train, params.tune
    chosen = [Candidate("current", present(tune.space, train)[1], train.epochs)]
    usable = [t for t in trials if t.finished and t.outcome != "pruned" and t.value is not None]
    best = sorted((t for t in usable if t.facts.get("best_epoch")), key=lambda t: t.value or 0.0)
    for trial in best[: tune.confirm.top]:
        horizon = min(int(trial.facts["best_epoch"]) + LONGER, tune.epochs.max)
        if all(trial.recipe != known.recipe for known in chosen):
            chosen.append(Candidate(f"trial {trial.number}", trial.recipe, horizon))
    return chosen


def fresh_seeds(params: Params) -> list[int]:
    """Seeds that no trial of the search has trained with."""
    count = params.tune.confirm.seeds
    return [derive_seed(params.train.seed, "confirm", number) % 2**31 for number in range(count)]


def confirmed(candidate: Candidate, runs: Sequence[Trial], first_epoch: int) -> Confirmed:
    """What the runs of a candidate, one for each seed, say together.

    Runs that broke for a reason outside training are left out. With fewer than two others, or with
    a seed that went wrong before every epoch of the others, nothing is known.
    """
    curves = [curve(run) for run in runs if run.outcome in ("complete", "onset", "diverged")]
    shared = set.intersection(*(set(c) for c in curves)) if curves else set()
    epochs = sorted(epoch for epoch in shared if epoch >= min(first_epoch, candidate.epochs))
    if len(curves) < 2 or not epochs:
        return Confirmed(candidate, len(curves), None, (), math.inf, math.inf, math.inf)
    epoch = min(epochs, key=lambda e: sum(c[e] for c in curves))
    fds = [c[epoch] for c in curves]
    mean, low, high = interval(fds)
    return Confirmed(candidate, len(curves), epoch, tuple(fds), mean, low, high)


def curve(run: Trial) -> dict[int, float]:
    """Smooth fd by epoch: how long to train with another seed is no question of single epochs."""
    rows = [(int(epoch), fd) for epoch, fd in run.facts.get("fd", []) if fd is not None]
    epochs = [epoch for epoch, _ in rows]
    smooth = np.exp(loess(epochs, np.log([fd for _, fd in rows]))) if rows else np.empty(0)
    return dict(zip(epochs, smooth.tolist(), strict=True))


def choose(confirmations: Sequence[Confirmed]) -> Confirmed:
    """The candidate whose upper confidence bound is the smallest; the first of equals."""
    return min(confirmations, key=lambda confirmation: confirmation.high)


def score_on_fresh_noise(
    runs: Sequence[Trial], epoch: int, meter: Meter, place: str
) -> Mapping[str, list[float]]:
    """fd at `epoch` on noise that no choice has seen, against training and against test digits.

    Lists of one value for each run whose generator is on this machine, or at `place`, where
    checkpoints are kept.
    """
    params = meter.params
    fresh = Meter(meter.judge, meter.against, replace(params, seed=params.seed + 1))
    test = moments(meter.against.test)
    scores: dict[str, list[float]] = {"fd": [], "fd_test": []}
    for run in runs:
        path = Checkpoints(str(run.facts.get("checkpoint", "")), place).find_generator(epoch)
        if path is None:
            continue
        generator = load_generator(path)[0].to(meter.against.mean.device)
        images = fresh.samples(generator, params.num_samples)
        features = features_and_logits(meter.judge, images)[0]
        scores["fd"].append(fresh.fd(images))
        scores["fd_test"].append(frechet_distance(*moments(features), *test))
    return scores
