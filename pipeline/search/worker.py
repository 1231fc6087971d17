"""A worker of the search: trains one trial after the other, in a process of its own."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, cast

import torch

from dcgan import mnist
from dcgan.measuring import Meter
from dcgan.params import TrainParams
from pipeline.base.cli import UserError
from pipeline.base.device import set_up
from pipeline.base.params import Params
from pipeline.base.paths import JUDGE
from pipeline.base.pool import MayGoOn
from pipeline.search.storage import FAILURES, does_not_answer
from pipeline.search.study import Request, Study, TakenError, TrialResult
from pipeline.store.checkpoints import Checkpoints, run_hash
from pipeline.store.data import load_data
from pipeline.store.place import AwayError
from pipeline.store.shared import TakenOverError
from pipeline.store.weights import load_meter
from pipeline.tracking import provenance
from pipeline.tracking.run import now_ms
from pipeline.tracking.server import brief
from pipeline.training.run import TrainingRun

# What a trial is worth that broke down before any stopping point: several times the fd of noise, so
# that the sampler keeps away, and finite, as Optuna demands.
NOTHING_FD = 500.0
_FAILED_RUNNING = 3  # so many that failed or were put back, one after the other, end a worker


@dataclass(frozen=True)
class Job:
    """What a worker is started with.

    Attributes:
        params: with this worker's share of threads.
        trials: of the study, in all.
        parent: the key of the tracked run that the trials belong to.
        data_hash: of the digits.
    """

    params: Params
    storage: str
    study: str
    trials: int
    parent: str
    data_hash: str


def work(job: Job, may_go_on: MayGoOn) -> None:
    """Train trials until none is wanted, or the pool wants the worker to end."""
    device = set_up(job.params.runtime)
    data, meter = load_data(), load_meter(job.params.measure, device)
    failures = 0
    try:
        study = Study(job.storage, job.study, job.params.tune, may_wait=lambda: may_go_on(0))
        trainer = Trainer(job, study.uid, data, meter, device, may_go_on)
        while may_go_on(0) and study.wanted(job.trials):
            outcome = study.run_next(job.trials, trainer.train)
            trainer.clear_away(outcome)
            failures = failures + 1 if outcome in ("failed", "interrupted") else 0
            if failures == _FAILED_RUNNING and trainer.away is not None:
                raise trainer.away
            if failures == _FAILED_RUNNING:
                raise UserError(f"{failures} trials failed, one after the other; see their reason")
    except FAILURES as error:
        raise does_not_answer(error) from None


class Trainer:
    """Trains what is requested. Nothing but the data and the judge is shared between trials."""

    def __init__(
        self,
        job: Job,
        uid: str,
        data: mnist.Mnist,
        meter: Meter,
        device: torch.device,
        may_go_on: MayGoOn,
    ) -> None:
        self.job, self.uid, self.data, self.meter, self.device = job, uid, data, meter, device
        self.may_go_on = may_go_on
        self.away: AwayError | None = None
        self._ended: Checkpoints | None = None

    def train(self, request: Request) -> TrialResult:
        """One trial, from its checkpoint if an earlier try left one, on any machine.

        Raises TakenError if another worker has gone on with it meanwhile.
        """
        params = dataclasses.replace(self.job.params, train=self.train_params(request))
        exact = run_hash(params, self.device, self.job.data_hash, JUDGE)
        name = f"tune/{self.uid}/{self.job.study}-{request.origin:04d}-{exact}"
        try:
            checkpoints = Checkpoints(name, params.runtime.checkpoints)
            with checkpoints.alone():
                return self._train(request, params, checkpoints)
        except AwayError as error:
            # What an earlier try has done is there. So the trial is not begun, and waits.
            self.away = error
            return TrialResult("interrupted", None, {"reason": brief(error)})
        except TakenOverError as error:
            raise TakenError(str(error)) from None

    def clear_away(self, outcome: str) -> None:
        """Remove the checkpoints of the trial that ended, once the study knows that it did."""
        if self._ended is not None and outcome != "taken":
            self._ended.remove()
        self._ended = None

    def _train(self, request: Request, params: Params, checkpoints: Checkpoints) -> TrialResult:
        training = TrainingRun(params, self.data, self.meter, checkpoints, self.device)
        tags = {"study": self.job.study, "trial": str(request.number), "outcome": "running"}
        title = f"{self.job.study}-{request.number}"
        tags = {**provenance.tags(), **tags}
        training.begin(title, self.job.data_hash, tags, self.job.parent)
        try:
            result = self._train_to_its_end(training, request)
        except TakenError:
            training.hand_over()
            raise
        except TakenOverError:
            raise
        except FAILURES:
            training.pause()
            raise
        except BaseException as error:
            training.close("FAILED", {"outcome": "failed", "reason": brief(error)})
            raise
        if result.outcome == "interrupted":
            training.tracked.tags({"outcome": "interrupted"})
            training.pause()
            return result
        tags = {"outcome": result.outcome, "reason": str(result.facts["reason"])}
        training.close("FAILED" if result.outcome == "diverged" else "FINISHED", tags)
        if request.seed is None:
            self._ended = checkpoints
        return result

    def train_params(self, request: Request) -> TrainParams:
        train = self.job.params.train
        sampled = self.job.params.tune.epochs.mode == "sampled"
        return dataclasses.replace(
            train,
            **cast("dict[str, Any]", request.recipe),
            epochs=request.epochs,
            seed=train.seed if request.seed is None else request.seed,
            sample_every=0,
            stop="never" if sampled and request.seed is None else "at_onset",
        )

    def _train_to_its_end(self, training: TrainingRun, request: Request) -> TrialResult:
        # An earlier try's epochs are told again, all of them, and the pruner may now say otherwise.
        replayed = [int(row["epoch"]) for row in training.history.epochs]
        answers = [self._should_prune(training, request, epoch) for epoch in replayed]
        pruned = any(answers) and training.ended == "paused"
        if not pruned:
            for metrics in training.go_on(self.may_go_on):
                if metrics and self._should_prune(training, request, int(metrics["epoch"])):
                    pruned = True
                    break
        verdict, history = training.verdict, training.history
        last = int(history.epochs[-1]["epoch"]) if history.epochs else 0
        best = self._best(training, request)
        value = NOTHING_FD if best is None else best["fd"]
        outcome, reason = str(training.ended), verdict.reason
        if pruned:
            outcome, reason = "pruned", f"others were better after {last} epochs"
        elif outcome == "paused":
            outcome, reason = "interrupted", f"after {last} epochs"
        if outcome in ("onset", "diverged"):
            # What a run had before it went wrong is its best for good: pruners compare with that.
            for epoch in range(last + 1, request.epochs + 1):
                request.should_prune(epoch, value)
        facts = {
            "reason": reason,
            "status": verdict.status,
            "best_epoch": None if best is None else int(best["epoch"]),
            "onset_epoch": verdict.onset_epoch,
            "fd": [[int(row["epoch"]), _finite(row["fd"])] for row in history.epochs],
            "onset_step": verdict.onset_step,
            "steps_per_epoch": training.params.train.steps_per_epoch,
            "epochs_trained": history.saved_step / training.params.train.steps_per_epoch,
            "seconds": round(history.seconds, 1),
            "ended_ms": now_ms(),
            "run_key": training.checkpoints.key,
            "checkpoint": training.checkpoints.name,
        }
        return TrialResult(outcome, None if outcome == "interrupted" else value, facts)

    def _should_prune(self, training: TrainingRun, request: Request, epoch: int) -> bool:
        best = self._best(training, request, epoch)
        return best is not None and request.should_prune(epoch, best["fd"])

    def _best(
        self, training: TrainingRun, request: Request, epoch: int | None = None
    ) -> dict[str, float] | None:
        """The best stopping point until `epoch` (None: the last); of a sampled length, its end."""
        first, last = self.job.params.tune.epochs.min, math.inf if epoch is None else epoch
        if self.job.params.tune.epochs.mode == "sampled" and request.seed is None:
            first = len(training.history.epochs) if epoch is None else epoch
        return training.best(first, last)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
