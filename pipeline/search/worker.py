"""A worker of the search: trains one trial after the other, in a process of its own."""

import dataclasses
import multiprocessing
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from dcgan import mnist
from dcgan.measuring import Meter
from dcgan.params import TrainParams
from ganverdict.quality import Stop, best_stop
from pipeline.base.cli import UserError, run
from pipeline.base.device import set_up
from pipeline.base.interrupt import Interrupt
from pipeline.base.params import Params
from pipeline.base.paths import JUDGE
from pipeline.search.study import FAILURES, Asked, Result, Study
from pipeline.store.checkpoints import Checkpoints, run_hash
from pipeline.store.data import load_data
from pipeline.store.weights import load_meter
from pipeline.tracking import provenance
from pipeline.tracking.server import brief
from pipeline.training.run import TrainingRun

# What a trial is worth that broke down before any stopping point: several times the fd of noise, so
# that the sampler keeps away, and finite, as Optuna demands.
NOTHING_FD = 500.0
_FAILED_RUNNING = 3  # so many failed trials, one after the other, end a worker


@dataclass(frozen=True)
class Job:
    """What a worker is started with.

    Attributes:
        params: with this worker's share of threads.
        trials: of the study, in all.
        deadline: time since 1970 after which no step is begun; None: none.
        parent: the key of the tracked run that the trials belong to.
        data_hash: of the digits.
    """

    params: Params
    storage: str
    study: str
    trials: int
    deadline: float | None
    parent: str
    data_hash: str


def work(job: Job) -> None:
    """Train trials until none is wanted, the deadline, SIGTERM, or the command's death."""
    run(lambda: _work(job))


def _work(job: Job) -> None:
    command = multiprocessing.parent_process()
    with Interrupt() as interrupt:
        # Ctrl-C reaches every process of the terminal; the command passes it on as SIGTERM.
        signal.signal(signal.SIGINT, signal.SIG_IGN)

        def may_go_on(_: int = 0) -> bool:
            late = job.deadline is not None and time.time() >= job.deadline
            orphaned = command is not None and not command.is_alive()
            return interrupt.received is None and not late and not orphaned

        device = set_up(job.params.runtime)
        data, meter = load_data(), load_meter(job.params.measure, device)
        trainer = _Trainer(job, data, meter, device, may_go_on)
        failed = 0
        try:
            study = Study(job.storage, job.study, job.params.tune)
            trainer.uid = study.uid
            while may_go_on() and study.wanted(job.trials):
                failed = failed + 1 if study.run_one(job.trials, trainer.train) == "failed" else 0
                if failed == _FAILED_RUNNING:
                    raise UserError(
                        f"{failed} trials failed, one after the other; see their reason"
                    )
        except FAILURES as error:
            raise UserError(f"the storage of the search does not answer: {brief(error)}") from None


class _Trainer:
    """Trains what is asked for. Nothing but the data and the judge is shared between trials."""

    uid = ""

    def __init__(
        self,
        job: Job,
        data: mnist.Mnist,
        meter: Meter,
        device: torch.device,
        may_go_on: Callable[[int], bool],
    ) -> None:
        self.job, self.data, self.meter, self.device = job, data, meter, device
        self.may_go_on = may_go_on

    def train(self, asked: Asked) -> Result:
        """One trial, from its checkpoint if an earlier try left one."""
        params = dataclasses.replace(self.job.params, train=self._train_params(asked))
        exact = run_hash(params, self.device, self.job.data_hash, JUDGE)
        checkpoints = Checkpoints(f"tune/{self.uid}/{self.job.study}-{asked.origin:04d}-{exact}")
        with checkpoints.alone():
            training = TrainingRun(params, self.data, self.meter, checkpoints, self.device)
            tags = {"study": self.job.study, "trial": str(asked.number), "outcome": "running"}
            title = f"{self.job.study}-{asked.number}"
            training.begin(
                title, self.job.data_hash, {**provenance.tags(), **tags}, self.job.parent
            )
            try:
                result = self._until_its_end(training, asked)
            except BaseException as error:
                training.close("FAILED", {"outcome": "failed", "reason": brief(error)})
                raise
            if result.outcome == "interrupted":
                training.tracked.tags({"outcome": "interrupted"})
                training.pause()
                return result
            tags = {"outcome": result.outcome, "reason": str(result.facts["reason"])}
            training.close("FAILED" if result.outcome == "diverged" else "FINISHED", tags)
            if asked.seed is None:
                shutil.rmtree(checkpoints.folder)
        return result

    def _train_params(self, asked: Asked) -> TrainParams:
        train = self.job.params.train
        sampled = self.job.params.tune.epochs.mode == "sampled"
        return dataclasses.replace(
            train,
            lr_g=asked.lr_g,
            lr_d=asked.lr_d,
            epochs=asked.epochs,
            seed=train.seed if asked.seed is None else asked.seed,
            sample_every=0,
            stop="never" if sampled and asked.seed is None else "at_onset",
        )

    def _until_its_end(self, training: TrainingRun, asked: Asked) -> Result:
        pruned = False
        for row in training.history.epochs:  # of an earlier try
            self._report(training, asked, int(row["epoch"]))
        for metrics in training.go_on(self.may_go_on):
            if metrics and self._report(training, asked, int(metrics["epoch"])):
                pruned = True
                break
        verdict, history = training.verdict, training.history
        last = int(history.epochs[-1]["epoch"]) if history.epochs else 0
        best = self._best(training, asked)
        if pruned:
            outcome, reason = "pruned", f"others were better after {last} epochs"
        elif verdict.status == "diverged":
            outcome, reason = "diverged", verdict.reason
        elif verdict.went_wrong and training.params.train.stop == "at_onset":
            outcome, reason = "onset", verdict.reason
        elif last < asked.epochs:
            outcome, reason = "interrupted", f"after {last} epochs"
        else:
            outcome, reason = "complete", verdict.reason
        if outcome in ("onset", "diverged"):
            # What a run had before it went wrong is its best for good: pruners compare with that.
            for epoch in range(last + 1, asked.epochs + 1):
                asked.report(epoch, NOTHING_FD if best is None else best.fd)
        value = NOTHING_FD if best is None else best.fd
        facts = {
            "reason": reason,
            "status": verdict.status,
            "best_epoch": None if best is None else best.epoch,
            "onset_epoch": verdict.onset_epoch,
            "fd": [[int(row["epoch"]), _plain(row["fd"])] for row in history.epochs],
            "onset_step": verdict.onset_step,
            "steps_per_epoch": training.params.train.steps_per_epoch,
            "epochs_trained": history.saved_step / training.params.train.steps_per_epoch,
            "seconds": round(history.seconds, 1),
            "run_key": training.checkpoints.key,
            "checkpoint": training.checkpoints.name,
        }
        return Result(outcome, None if outcome == "interrupted" else value, facts)

    def _report(self, training: TrainingRun, asked: Asked, epoch: int) -> bool:
        best = self._best(training, asked, epoch)
        return best is not None and asked.report(epoch, best.fd)

    def _best(self, training: TrainingRun, asked: Asked, epoch: int | None = None) -> Stop | None:
        """The best stopping point until `epoch` (None: the last); of a sampled length, its end."""
        length = training.params.train.steps_per_epoch
        onset = training.verdict.onset_step
        sampled = self.job.params.tune.epochs.mode == "sampled" and asked.seed is None
        until = float("inf") if epoch is None else epoch * length + 1
        before = min(until, float("inf") if onset is None or sampled else onset)
        first = self.job.params.tune.epochs.min
        if sampled:
            first = len(training.history.epochs) if epoch is None else epoch
        return best_stop(training.evaluations, before, first)


def _plain(value: float) -> float | None:
    return value if value == value and abs(value) != float("inf") else None
