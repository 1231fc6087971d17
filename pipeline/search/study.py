"""The search's memory: studies in a database. With `storage` the only one that imports Optuna."""

import contextlib
import copy
import datetime
import os
import time
import uuid
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import optuna
import psutil
from optuna.distributions import BaseDistribution
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import fail_stale_trials
from optuna.trial import FrozenTrial, TrialState

from dcgan.runtime import derive_seed
from pipeline.base.params import TuneParams
from pipeline.base.paths import ROOT
from pipeline.base.space import Choices, Dimension, Recipe, Space, Value, recipe_of
from pipeline.search import storage
from pipeline.search.storage import FAILURES, errors_in_a_line, open_storage
from pipeline.tracking.server import brief

DEFAULT_STORAGE = f"sqlite:///{ROOT / 'tune.db'}"
_NAMING_SECONDS = 10.0  # that the others wait for who has made a study
MAX_KILLS = 1  # a trial whose worker was killed is tried once more
MAX_SILENCES = 5  # and so often one whose worker fell silent: its machine may only be cut off

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)

ShouldPrune = Callable[[int, float], bool]
"""Takes an epoch and the best fd until then; returns whether the trial should be cut."""


@dataclass(frozen=True)
class Request:
    """What a worker is to train.

    Attributes:
        number: of the trial; `origin`: of its first try, whose checkpoint it continues.
        recipe: values of the keys that are searched.
        epochs: how long to train.
        seed: of the training; None: the present one.
        should_prune: to be told, and asked, after every epoch.
    """

    number: int
    origin: int
    recipe: Recipe
    epochs: int
    seed: int | None
    should_prune: ShouldPrune


@dataclass(frozen=True)
class TrialResult:
    """What came of a trial.

    Attributes:
        outcome: complete, pruned, onset, diverged, failed or interrupted.
        value: to be minimised; None: there is nothing to compare.
        facts: what the tables and pictures show besides: plain values.
    """

    outcome: str
    value: float | None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """A trial, as tables and pictures see it.

    Attributes:
        outcome: as in `TrialResult`, or waiting, running, killed.
        value: the best fd, None where there is none.
        recipe: values of the keys that are searched; {}: not known yet.
        best_so_far: the best fd until each epoch.
        facts: as in `TrialResult`; what the trial was requested for is among them.
    """

    number: int
    outcome: str
    value: float | None
    recipe: Recipe
    best_so_far: Mapping[int, float]
    facts: Mapping[str, Any]

    @property
    def finished(self) -> bool:
        """Whether it ended by itself."""
        return self.outcome in ("complete", "pruned", "onset", "diverged", "failed")


class TakenError(Exception):
    """This worker was silent for too long: its trial was ended, and another one goes on with it."""


class _NoValueError(Exception):
    """Ends a trial in which nothing was found."""


class Study:
    """One study in a storage."""

    def __init__(
        self,
        url: str,
        name: str,
        tune: TuneParams,
        create: bool = False,
        may_wait: Callable[[], bool] = lambda: True,
    ) -> None:
        """Open a study, or make it if `create`. Raises UserError where that is impossible.

        `created` then tells who made it: one of all the processes that try at once. While
        `may_wait()`, a database that is away later is waited for.
        """
        self.name, self._tune = name, tune
        self._sampler = _NumberedSampler(tune)
        with errors_in_a_line(url):
            options: dict[str, Any] = {
                "storage": open_storage(url, _after_silence, may_wait),
                "study_name": name,
                "sampler": self._sampler,
                "pruner": pruner_of(tune),
            }
            self.created = create and _created(options)
            self._study = optuna.load_study(**options)
            if create:
                self._be_named()

    def _be_named(self) -> None:
        """Have a uid: who made the study names it, unless killed before."""
        deadline = time.monotonic() + (0 if self.created else _NAMING_SECONDS)
        while "uid" not in self.notes and time.monotonic() < deadline:
            time.sleep(0.1)
        if "uid" not in self.notes:
            self.note("uid", uuid.uuid4().hex)

    @property
    def uid(self) -> str:
        """Another one for each study, also of the same name."""
        return str(self._study.user_attrs["uid"])

    @property
    def notes(self) -> dict[str, Any]:
        """What was noted of the study."""
        return dict(self._study.user_attrs)

    def note(self, key: str, value: object) -> None:
        """Keep a plain value with the study."""
        self._study.set_user_attr(key, value)

    def enqueue(self, params: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Have a trial run before any other.

        Args:
            params: of the space that is searched; {} for a trial outside it.
            facts: `recipe`, where it is not to be rounded; `candidate`, `epochs` and `seed` of a
                trial outside the space; what else is to be kept with it.
        """
        self._study.enqueue_trial(dict(params), user_attrs=dict(facts))

    def trials(self) -> list[Trial]:
        """All trials that count: of one that was tried again, the last try."""
        return [_view(trial) for trial in self._counting()]

    def wanted(self, trials: int) -> bool:
        """Whether there is a trial left to start, of `trials` in all."""
        started = [t for t in self._counting() if t.state != TrialState.WAITING]
        return len(started) < trials

    def running(self) -> bool:
        """Whether a trial is under way, here or elsewhere."""
        return any(trial.state == TrialState.RUNNING for trial in self._counting())

    def run_next(self, trials: int, train: Callable[[Request], TrialResult]) -> str:
        """Run the next trial with `train`; returns its outcome, "surplus" for none.

        An exception of `train` fails the trial and is kept among its facts. "taken": another worker
        goes on with it, and what came of it here does not count.
        """
        outcome, number = "surplus", -1

        def objective(trial: optuna.Trial) -> float:
            nonlocal outcome, number
            number = trial.number
            trial.set_user_attr("owner", f"{os.uname().nodename}:{os.getpid()}")
            if self._rank(trial.number) >= trials:
                trial.set_user_attr("outcome", "surplus")
                raise _NoValueError
            try:
                result = train(self._request(trial))
            except Exception as error:
                outcome = "failed"
                trial.set_user_attr("outcome", outcome)
                trial.set_user_attr("reason", brief(error))
                raise
            outcome = result.outcome
            for key, value in {**result.facts, "outcome": outcome}.items():
                trial.set_user_attr(key, value)
            if outcome == "pruned":
                raise optuna.TrialPruned
            if result.value is None:
                raise _NoValueError(outcome)
            return result.value

        try:
            self._study.optimize(objective, n_trials=1, catch=(Exception,))
        except Exception as error:
            _raise_the_storages(error)
            if not self._is_over(number):
                raise
            return "taken"  # Optuna refuses to end a trial that has been ended
        if outcome == "interrupted":
            _put_back(self._study, self._study.get_trials(deepcopy=False)[number])
        return outcome

    def _request(self, trial: optuna.Trial) -> Request:
        facts, tune = trial.user_attrs, self._tune
        origin = int(facts.get("origin", trial.number))

        def should_prune(epoch: int, best: float) -> bool:
            try:
                trial.report(best, epoch)
                return bool(trial.should_prune())
            except optuna.exceptions.UpdateFinishedTrialError:
                raise TakenError("another worker goes on with this trial") from None

        if "candidate" in facts:
            epochs, seed = int(facts["epochs"]), int(facts["seed"])
            return Request(trial.number, origin, facts["recipe"], epochs, seed, should_prune)
        places = drawn(trial, tune.space)
        epochs = tune.epochs.max
        if tune.epochs.mode == "sampled":
            epochs = trial.suggest_int("epochs", tune.epochs.min, tune.epochs.max)
        recipe = facts.get("recipe") or recipe_of(places, tune.space)
        trial.set_user_attr("recipe", recipe)
        return Request(trial.number, origin, recipe, epochs, None, should_prune)

    def _is_over(self, number: int) -> bool:
        trials = self._study.get_trials(deepcopy=False)
        return number >= 0 and trials[number].state != TrialState.RUNNING

    def _rank(self, number: int) -> int:
        """How many trials that count were started before this one."""
        counting = self._counting()
        return sum(t.number < number and t.state != TrialState.WAITING for t in counting)

    def _counting(self) -> list[FrozenTrial]:
        trials = self._study.get_trials(deepcopy=False)
        replaced = {trial.user_attrs.get("replaces") for trial in trials}
        return [
            trial
            for trial in trials
            if trial.number not in replaced and trial.user_attrs.get("outcome") != "surplus"
        ]

    def owner_at_work(self) -> str | None:
        """The owner of a running trial, or None; those of the dead are to be reaped before."""
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return next((str(t.user_attrs.get("owner", "another process")) for t in running), None)

    def reap(self) -> None:
        """End trials whose worker is dead, and have each tried again, but for one that kills."""
        # A worker of another machine is dead when it has been silent for long.
        fail_stale_trials(self._study)
        # Of this machine's it is known at once.
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if not _owner_is_dead(trial):
                continue
            # Whoever changes the state, and nobody else, has the trial tried again.
            with contextlib.suppress(ValueError, optuna.exceptions.UpdateFinishedTrialError):
                self._study.tell(trial.number, state=TrialState.FAIL)
                _try_again(self._study, trial)

    def adopt(self) -> None:
        """Have trials tried again whose end nobody told of. Only while nobody else is at work."""
        for trial in self._counting():
            if trial.state != TrialState.FAIL:
                continue
            if "outcome" not in trial.user_attrs:
                _try_again(self._study, trial)
            elif trial.user_attrs["outcome"] == "interrupted":
                _put_back(self._study, trial)

    def importances(self) -> dict[str, float]:
        """How much each parameter matters, adding up to one; {} where too little is known."""
        with contextlib.suppress(ValueError, RuntimeError), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that few trials tell little
            return dict(optuna.importance.get_param_importances(self._study))
        return {}


def _raise_the_storages(error: BaseException) -> None:
    """Raise the failure of the storage that an error came of, if it came of one: where a trial
    cannot be ended, Optuna slips over it (UnboundLocalError, or "Should not reach.")."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, FAILURES):
            raise cause from None
        cause = cause.__context__


def _view(trial: FrozenTrial) -> Trial:
    facts = dict(trial.user_attrs)
    params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
    if "epochs" in params:
        facts["epochs"] = int(params["epochs"])
    by_state = {TrialState.WAITING: "waiting", TrialState.RUNNING: "running"}
    outcome = by_state.get(trial.state) or str(facts.get("outcome", "killed"))
    without = ("waiting", "running", "killed", "failed")
    value = None if outcome in without else trial.value
    best_so_far = dict(trial.intermediate_values)
    return Trial(trial.number, outcome, value, facts.get("recipe", {}), best_so_far, facts)


def drawn(trial: optuna.Trial, space: Space) -> dict[str, Value]:
    """What the sampler proposes along each dimension."""
    return {key: _drawn(trial, key, dimension) for key, dimension in space.items()}


def _drawn(trial: optuna.Trial, key: str, dimension: Dimension) -> Value:
    if isinstance(dimension, Choices):
        return cast("Value", trial.suggest_categorical(key, dimension.choices))
    low, high, log = dimension.min, dimension.max, dimension.scale == "log"
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(key, low, high, log=log)
    return trial.suggest_float(key, low, high, log=log)


def pruner_of(tune: TuneParams) -> BasePruner:
    """The pruner by its name in params.yaml."""
    if tune.epochs.mode == "sampled" or tune.pruner == "none":
        return NopPruner()
    first = max(tune.pruner_epochs, 1)
    if tune.pruner == "halving":
        return SuccessiveHalvingPruner(min_resource=first, reduction_factor=2)
    if tune.pruner == "hyperband":
        return HyperbandPruner(first, tune.epochs.max, reduction_factor=3)
    options = {"n_startup_trials": tune.pruner_trials, "n_warmup_steps": tune.pruner_epochs}
    if tune.pruner == "quartile":
        return PercentilePruner(25.0, **options)
    return MedianPruner(**options)


class _NumberedSampler(BaseSampler):
    """Draws that depend on the seed, the trial's number and what is known, and on nothing else.

    A sampler with one seed draws the same random trials again after a restart, and in every worker.
    """

    def __init__(self, tune: TuneParams) -> None:
        self._tune = tune
        self._number = -1
        self._inner: BaseSampler = RandomSampler()

    def _of(self, trial: FrozenTrial) -> BaseSampler:
        if trial.number != self._number:
            seed = derive_seed(self._tune.seed, "sampler", trial.number) % 2**32
            self._number = trial.number
            if self._tune.sampler == "random":
                self._inner = RandomSampler(seed)
            else:
                self._inner = TPESampler(seed=seed, n_startup_trials=self._tune.startup_trials)
        return self._inner

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self._of(trial).sample_independent(study, trial, param_name, param_distribution)


def _created(options: Mapping[str, Any]) -> bool:
    try:
        optuna.create_study(**options)
    except optuna.exceptions.DuplicatedStudyError:
        return False
    return True


def _try_again(study: optuna.Study, killed: FrozenTrial) -> None:
    """Queue a trial again whose worker was killed, unless that has happened too often."""
    kills = killed.user_attrs.get("kills", 0) + 1
    if kills <= MAX_KILLS:
        _put_back(study, killed, kills=kills)


def _after_silence(study: optuna.Study, silent: FrozenTrial) -> None:
    """Queue a trial again whose worker elsewhere fell silent, unless that has happened too often.

    It may have been killed; as likely its machine was cut off or taken away.
    """
    silences = silent.user_attrs.get("silences", 0) + 1
    if silences <= MAX_SILENCES:
        _put_back(study, silent, silences=silences)


def _put_back(study: optuna.Study, trial: FrozenTrial, **counts: int) -> None:
    """Queue a trial again."""
    trial = _second_try(trial)
    parts = ("params", "distributions", "user_attrs", "system_attrs")
    content = {name: getattr(trial, name) for name in parts}
    content["user_attrs"] |= counts
    study.add_trial(optuna.create_trial(state=TrialState.WAITING, **content))


_KEPT_FACTS = ("candidate", "recipe", "epochs", "seed", "current", "kills", "silences")
_KEPT_BY_OPTUNA = ("fixed_params",)


def _second_try(trial: FrozenTrial) -> FrozenTrial:
    """All that was asked of a trial, and none of what it did: neither its owner nor the pruner's
    answers, which are given anew when its epochs are told again."""
    second = copy.deepcopy(trial)
    facts = {key: trial.user_attrs[key] for key in _KEPT_FACTS if key in trial.user_attrs}
    origin = trial.user_attrs.get("origin", trial.number)
    second.user_attrs = {**facts, "origin": origin, "replaces": trial.number}
    own = trial.system_attrs
    second.system_attrs = {key: own[key] for key in _KEPT_BY_OPTUNA if key in own}
    return second


def _owner_is_dead(trial: FrozenTrial) -> bool:
    """Whether a running trial's worker is known to be dead, as far as this machine can tell."""
    host, _, number = str(trial.user_attrs.get("owner", "")).partition(":")
    if not host:  # killed before it could say whose it is
        began = trial.datetime_start or datetime.datetime.now()  # noqa: DTZ005
        age = datetime.datetime.now() - began  # noqa: DTZ005
        return age.total_seconds() > storage.GRACE_SECONDS
    return host == os.uname().nodename and not _alive(int(number))


def _alive(number: int) -> bool:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    return False
