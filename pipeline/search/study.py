"""The search's memory: studies in a database. The only module that imports optuna.

One mechanism for every storage: Optuna's relational storage, by default SQLite in one file. The
journal file would be faster, but has no heartbeats, and its lock outlives a worker that is killed
while it writes; SQLite's locks are the system's and go with the process. Workers open a database
that the command has made before they start, because cold ones crash when several create it.
"""

import contextlib
import datetime
import os
import random
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import psutil
from filelock import FileLock
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
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from dcgan.runtime import derive_seed
from pipeline.base.cli import UserError
from pipeline.base.params import TuneParams
from pipeline.base.paths import ROOT
from pipeline.tracking.server import brief

DEFAULT_STORAGE = f"sqlite:///{ROOT / 'tune.db'}"
HEARTBEAT_SECONDS = 10  # a worker elsewhere that is silent for `GRACE_SECONDS` counts as dead
GRACE_SECONDS = 60
_NAMING_SECONDS = 10.0  # that the others wait for who has made a study
MAX_KILLS = 1  # a trial whose worker was killed is tried once more
# What asking the storage can fail with.
FAILURES = (SQLAlchemyError, optuna.exceptions.StorageInternalError)

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)

Report = Callable[[int, float], bool]
"""Takes an epoch and the best fd so far; returns whether the trial should be cut."""


@dataclass(frozen=True)
class Asked:
    """What a worker is to train.

    Attributes:
        number: of the trial; `origin`: of its first try, whose checkpoint it continues.
        epochs: how long to train.
        seed: of the training; None: the present one.
    """

    number: int
    origin: int
    lr_g: float
    lr_d: float
    epochs: int
    seed: int | None
    report: Report


@dataclass(frozen=True)
class Result:
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
class Known:
    """A trial, as tables and pictures see it.

    Attributes:
        outcome: as in `Result`, or waiting, running, killed.
        value: the best fd (smoothed), None where there is none.
        reports: the best so far, by epoch.
        facts: as in `Result`; what the trial was asked for is among them.
    """

    number: int
    outcome: str
    value: float | None
    lr_g: float
    lr_d: float
    reports: Mapping[int, float]
    facts: Mapping[str, Any]

    @property
    def ratio(self) -> float:
        """lr_d / lr_g."""
        return self.lr_d / self.lr_g

    @property
    def finished(self) -> bool:
        """Whether it ended by itself."""
        return self.outcome in ("complete", "pruned", "onset", "diverged", "failed")


class _NoValueError(Exception):
    """Ends a trial in which nothing was found."""


class Study:
    """One study in a storage."""

    def __init__(self, url: str, name: str, tune: TuneParams, create: bool = False) -> None:
        """Open a study, or make it if `create`. Raises UserError where that is impossible.

        `created` then tells who made it: one of all the processes that try at once.
        """
        self.name, self._tune = name, tune
        self._sampler = _NumberedSampler(tune)
        with _said_in_a_line(url):
            self._storage = _open_storage(url)
            options: dict[str, Any] = {
                "storage": self._storage,
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
        while "uid" not in self.about and time.monotonic() < deadline:
            time.sleep(0.1)
        if "uid" not in self.about:
            self.say("uid", uuid.uuid4().hex)

    @property
    def uid(self) -> str:
        """Another one for each study, also of the same name."""
        return str(self._study.user_attrs["uid"])

    @property
    def about(self) -> dict[str, Any]:
        """What was said of the study."""
        return dict(self._study.user_attrs)

    def say(self, key: str, value: object) -> None:
        """Keep a plain value with the study."""
        self._study.set_user_attr(key, value)

    def enqueue(self, params: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Have a trial with these parameters and facts run before any other."""
        self._study.enqueue_trial(dict(params), user_attrs=dict(facts))

    def trials(self) -> list[Known]:
        """All trials that count: of one that was tried again, the last try."""
        return [self._known(trial) for trial in self._counting()]

    def wanted(self, trials: int) -> bool:
        """Whether there is a trial left to start, of `trials` in all."""
        started = [t for t in self._counting() if t.state != TrialState.WAITING]
        return len(started) < trials

    def running(self) -> bool:
        """Whether a trial is under way, here or elsewhere."""
        return any(trial.state == TrialState.RUNNING for trial in self._counting())

    def run_one(self, trials: int, train: Callable[[Asked], Result]) -> str:
        """Run the next trial with `train`; returns its outcome, "surplus" for none.

        An exception of `train` fails the trial and is told among its facts.
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
                result = train(self._asked(trial))
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

        self._study.optimize(objective, n_trials=1, catch=(Exception,))
        if outcome == "interrupted":
            self._again([self._study.get_trials(deepcopy=False)[number]], killed=False)
        return outcome

    def _asked(self, trial: optuna.Trial) -> Asked:
        facts, tune = trial.user_attrs, self._tune
        origin = int(facts.get("origin", trial.number))

        def report(epoch: int, best: float) -> bool:
            trial.report(best, epoch)
            return bool(trial.should_prune())

        if "candidate" in facts:
            rates = float(facts["lr_g"]), float(facts["lr_d"])
            epochs, seed = int(facts["epochs"]), int(facts["seed"])
            return Asked(trial.number, origin, *rates, epochs, seed, report)
        lr_g = trial.suggest_float("lr_g", tune.lr_g.min, tune.lr_g.max, log=True)
        ratio = trial.suggest_float("ratio", tune.ratio.min, tune.ratio.max, log=True)
        epochs = tune.epochs.max
        if tune.epochs.mode == "sampled":
            epochs = trial.suggest_int("epochs", tune.epochs.min, tune.epochs.max)
        return Asked(trial.number, origin, *rates_of(lr_g, ratio), epochs, None, report)

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

    def _known(self, trial: FrozenTrial) -> Known:
        facts = dict(trial.user_attrs)
        fixed = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
        rates = (float("nan"), float("nan"))
        if "candidate" in facts:
            rates = float(facts["lr_g"]), float(facts["lr_d"])
        elif "lr_g" in fixed and "ratio" in fixed:
            rates = rates_of(fixed["lr_g"], fixed["ratio"])
        if "epochs" in fixed:
            facts["epochs"] = int(fixed["epochs"])
        by_state = {TrialState.WAITING: "waiting", TrialState.RUNNING: "running"}
        outcome = by_state.get(trial.state) or str(facts.get("outcome", "killed"))
        value = trial.value
        if outcome in ("waiting", "running", "killed", "failed"):
            value = None
        reports = dict(trial.intermediate_values)
        return Known(trial.number, outcome, value, *rates, reports, facts)

    def others_at_work(self) -> str | None:
        """The owner of a running trial that is alive as far as can be told, or None."""
        stale = self._stale()
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if trial.number not in stale:
                return str(trial.user_attrs.get("owner", "another process"))
        return None

    def reap(self) -> int:
        """End trials whose worker is dead and have them tried again; returns how many."""
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        stale = self._stale()
        dead = []
        for trial in running:
            if trial.number not in stale:
                continue
            # Whoever changes the state, and nobody else, has the trial tried again.
            with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
                if self._storage.set_trial_state_values(trial._trial_id, state=TrialState.FAIL):
                    dead.append(trial)
        self._again(dead, killed=True)
        return len(dead)

    def adopt(self) -> None:
        """Have trials tried again whose end nobody told of. Only while nobody else is at work."""
        failed = [t for t in self._counting() if t.state == TrialState.FAIL]
        self._again([t for t in failed if "outcome" not in t.user_attrs], killed=True)
        self._again([t for t in failed if t.user_attrs.get("outcome") == "interrupted"], False)

    def _stale(self) -> set[int]:
        """Numbers of running trials whose worker is dead, by process here, by silence elsewhere."""
        silent = set(self._storage._get_stale_trial_ids(self._study._study_id))
        found = set()
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            host, _, number = str(trial.user_attrs.get("owner", "")).partition(":")
            dead = host == os.uname().nodename and not _alive(int(number))
            if not host:  # killed before it could say whose it is
                began = trial.datetime_start or datetime.datetime.now()  # noqa: DTZ005
                age = datetime.datetime.now() - began  # noqa: DTZ005
                dead = age.total_seconds() > GRACE_SECONDS
            if dead or trial._trial_id in silent:
                found.add(trial.number)
        return found

    def _again(self, trials: Sequence[FrozenTrial], killed: bool) -> None:
        for trial in trials:
            _try_again(self._study, trial, killed)

    def importances(self) -> dict[str, float]:
        """How much each parameter matters, adding up to one; {} where too little is known."""
        with contextlib.suppress(ValueError, RuntimeError), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that few trials tell little
            return dict(optuna.importance.get_param_importances(self._study))
        return {}


def rates_of(lr_g: float, ratio: float) -> tuple[float, float]:
    """lr_g and lr_d, rounded to what params.yaml will hold, so that it holds what was trained."""
    lr_g = float(f"{lr_g:.4g}")
    return lr_g, float(f"{lr_g * ratio:.4g}")


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


def _try_again(study: optuna.Study, trial: FrozenTrial, killed: bool = True) -> None:
    """Queue a trial again with all that was asked of it, unless it was killed too often."""
    kept = ("origin", "candidate", "lr_g", "lr_d", "epochs", "seed", "current")
    facts = {key: trial.user_attrs[key] for key in kept if key in trial.user_attrs}
    kills = int(trial.user_attrs.get("kills", 0)) + killed
    if kills > MAX_KILLS:
        return
    facts |= {"origin": facts.get("origin", trial.number), "replaces": trial.number, "kills": kills}
    fixed = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
    study.enqueue_trial(fixed, user_attrs=facts)


def _open_storage(url: str) -> RDBStorage:
    sqlite = make_url(url).get_backend_name() == "sqlite"
    lock = FileLock(Path(f"{make_url(url).database}.lock")) if sqlite else contextlib.nullcontext()
    attempts = 5
    with lock:
        while True:
            try:
                return RDBStorage(
                    url,
                    engine_kwargs={"connect_args": {"timeout": 60}} if sqlite else None,
                    heartbeat_interval=HEARTBEAT_SECONDS,
                    grace_period=GRACE_SECONDS,
                    heartbeat_stale_trial_callback=_try_again,
                )
            except SQLAlchemyError:
                # Several machines that make the tables at once get in each other's way.
                attempts -= 1
                if not attempts:
                    raise
                time.sleep(random.uniform(0.1, 0.6))  # noqa: S311


@contextlib.contextmanager
def _said_in_a_line(url: str) -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, ImportError, ValueError, OSError, KeyError) as error:
        if isinstance(error, KeyError):
            raise UserError("this study is not in that storage; see --study") from None
        try:
            shown = make_url(url).render_as_string(hide_password=True)
        except (SQLAlchemyError, ValueError):
            shown = "--storage"
        # The text of a ValueError may hold a piece of a password.
        reason = "it is no address" if isinstance(error, ValueError) else brief(error)
        raise UserError(f"{shown}: cannot be used: {reason}") from None


def _alive(number: int) -> bool:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    return False
