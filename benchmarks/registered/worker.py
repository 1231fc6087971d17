"""A worker: trains one registered run, in a process of its own."""

import dataclasses
import shutil
from dataclasses import dataclass

from benchmarks.digits import few_digits
from benchmarks.registered.registration import Registration
from benchmarks.registered.runs import Run
from benchmarks.untracked import Training
from dcgan import mnist
from dcgan.measuring import Meter, measure_epoch
from dcgan.runtime import autocast
from dcgan.training import GanState
from pipeline.base.device import set_up
from pipeline.base.params import Params
from pipeline.base.paths import DATA, JUDGE
from pipeline.base.pool import MayGoOn
from pipeline.store.checkpoints import Checkpoints, run_hash
from pipeline.store.data import load_data
from pipeline.store.weights import load_meter


@dataclass(frozen=True)
class Job:
    """A run to train; `present` is params.yaml."""

    run: Run
    registration: Registration
    present: Params


def work(job: Job, may_go_on: MayGoOn) -> None:
    """Train one run from its newest checkpoint, if there is one; its record grows by the epoch."""
    run, registration = job.run, job.registration
    params = registration.params(job.present, run.group, run.seed)
    device = set_up(params.runtime)
    exact = run_hash(params, device, mnist.data_hash(DATA), JUDGE)
    checkpoints = Checkpoints(f"held-out/{run.name}-{registration.digest}-{exact}")
    meter, data = load_meter(params.measure, device), load_data()
    fresh = Meter(
        meter.judge,
        meter.against,
        dataclasses.replace(meter.params, seed=registration.fresh_seed),
    )
    if run.group.digits is not None:
        data = few_digits(data, run.group.digits, run.seed)

    def measure(state: GanState) -> dict[str, float]:
        metrics = measure_epoch(meter, state, data, params.train.loss, params.runtime)
        with autocast(params.runtime, device):
            images = fresh.samples(state.sampler, fresh.params.num_training_samples)
        return {**metrics, "fd_fresh": fresh.fd(images)}

    with checkpoints.alone():
        training = Training(params, device, checkpoints, measure)
        facts = run.facts(registration, params)
        images = data.train_images.to(device)
        if not training.leave_record(run.folder, facts, images, may_go_on, grids=False):
            return
    shutil.rmtree(checkpoints.folder)
