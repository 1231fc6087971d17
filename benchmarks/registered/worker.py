"""A worker: trains one registered run, in a process of its own."""

import dataclasses
import shutil
import time
from dataclasses import dataclass

import torch

from benchmarks.digits import few_digits
from benchmarks.registered.registration import Registration
from benchmarks.registered.runs import Run
from dcgan import mnist
from dcgan.measuring import Meter, measure_epoch
from dcgan.mnist import Mnist
from dcgan.runtime import autocast
from dcgan.training import GanState, Report, fit
from pipeline.base.cli import UserError
from pipeline.base.device import set_up
from pipeline.base.params import Params
from pipeline.base.paths import DATA, JUDGE
from pipeline.base.pool import MayGoOn
from pipeline.replication.assessment import read_record
from pipeline.replication.records import write_facts, write_series
from pipeline.store.checkpoints import Checkpoints, run_hash
from pipeline.store.data import load_data
from pipeline.store.history import History
from pipeline.store.weights import load_meter


@dataclass(frozen=True)
class Job:
    """A run to train; `present` is params.yaml."""

    run: Run
    registration: Registration
    present: Params


def work(job: Job, may_go_on: MayGoOn) -> None:
    """Train one run from its newest checkpoint, if there is one; its record grows by the epoch.

    A run that goes on from a checkpoint is bit for bit the one that nobody interrupted.
    """
    run, registration = job.run, job.registration
    params = registration.params(job.present, run.group, run.seed)
    device = set_up(params.runtime)
    exact = run_hash(params, device, mnist.data_hash(DATA), JUDGE)
    checkpoints = Checkpoints(f"held-out/{run.name}-{registration.digest}-{exact}")
    meter, data = load_meter(params.measure, device), load_data()
    if run.group.digits is not None:
        data = few_digits(data, run.group.digits, run.seed)
    with checkpoints.alone():
        training = _Training(params, data, meter, registration.fresh_seed, device, checkpoints)
        _refuse_to_shorten(run, len(training.history.epochs))
        facts = run.facts(registration, params)
        write_facts(run.folder, facts)
        window = params.stability.window
        train, runtime = params.train, params.runtime
        for report in fit(training.state, data.train_images, train, runtime, may_go_on):
            training.take(report)
            write_series(run.folder, training.history, window)
        if not training.is_over:
            return
        write_series(run.folder, training.history, window)
        record = read_record(run.folder, params.stability)
        verdict = None if record is None else record.verdict.to_json()
        seconds = round(training.history.seconds)
        write_facts(run.folder, {**facts, "verdict": verdict, "seconds": seconds})
    shutil.rmtree(checkpoints.folder)


class _Training:
    """State and history of a run, from its checkpoint or from nothing."""

    def __init__(
        self,
        params: Params,
        data: Mnist,
        meter: Meter,
        fresh_seed: int,
        device: torch.device,
        checkpoints: Checkpoints,
    ) -> None:
        self._params, self._data, self._meter, self._checkpoints = params, data, meter, checkpoints
        fresh = dataclasses.replace(meter.params, seed=fresh_seed)
        self._fresh = Meter(meter.judge, meter.against, fresh)
        self.state, self.history = GanState(params.train, device), History()
        saved = checkpoints.load()
        if saved is not None:
            try:
                self.state.load_state_dict(saved["state"])
                self.history = History(**saved["history"])
            except Exception:  # a file made by other code may hold anything
                raise checkpoints.corrupt() from None
        self._started = time.monotonic() - self.history.seconds

    @property
    def is_over(self) -> bool:
        """Whether all epochs are done, or a signal was not finite."""
        train = self._params.train
        return self.history.failed or self.state.step >= train.epochs * train.steps_per_epoch

    def take(self, report: Report) -> None:
        """Measure the end of an epoch, and save all."""
        failed = report.failed_step is not None
        metrics = {} if failed else self._metrics(report)
        self.history.add(report, metrics, 0, time.monotonic() - self._started)
        if not failed:
            state = {"state": self.state.state_dict(), "history": vars(self.history)}
            self._checkpoints.save(state)

    def _metrics(self, report: Report) -> dict[str, float]:
        train, runtime, sampler = self._params.train, self._params.runtime, self.state.sampler
        assert report.epoch is not None  # with `sample_every: 0` each report ends one
        metrics = measure_epoch(self._meter, self.state, self._data, train.loss, runtime)
        with autocast(runtime, next(sampler.parameters()).device):
            images = self._fresh.samples(sampler, self._fresh.params.num_training_samples)
        return {
            "epoch": report.epoch,
            "step": report.step,
            **metrics,
            "fd_fresh": self._fresh.fd(images),
        }


def _refuse_to_shorten(run: Run, epochs: int) -> None:
    """Raise UserError if the record tells more than the checkpoint, and so is of another one."""
    if run.epochs > epochs:
        raise UserError(
            f"{run.folder}: has {run.epochs} epochs of a run whose checkpoint is not here, or that "
            "other code trained; move it away, and the same command trains it anew"
        )
