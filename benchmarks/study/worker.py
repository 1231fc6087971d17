"""A worker of the study: trains one run, in a process of its own."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.study.judge import kept_judge
from benchmarks.study.runs import FOLDER
from benchmarks.untracked import Training
from dcgan import mnist
from dcgan.measuring import measure_epoch
from dcgan.runtime import precision_of
from dcgan.training import GanState
from pipeline.base.cli import UserError
from pipeline.base.device import set_up
from pipeline.base.params import Params
from pipeline.base.pool import MayGoOn
from pipeline.replication.runs import Run
from pipeline.store.checkpoints import Checkpoints, run_hash


@dataclass(frozen=True)
class Job:
    """A run to train.

    Attributes:
        study: the study's parameters.
        data: a folder with the digits.
        deadline: seconds since 1970, after which no epoch begins; None: none.
    """

    run: Run
    study: Params
    data: Path
    deadline: float | None

    def is_late(self) -> bool:
        """Whether the time is up."""
        return self.deadline is not None and time.time() >= self.deadline


class Bench:
    """What a run is trained with, on the device, ready to begin."""

    def __init__(self, job: Job) -> None:
        self.params = job.run.params(job.study)
        self.device = set_up(self.params.runtime)
        self.data = mnist.load(job.data)
        self.data_hash = mnist.data_hash(job.data)
        measure = self.params.measure
        self.judge = kept_judge(self.data_hash, measure, self.device)
        self.images = self.data.train_images.to(self.device)

    def measure(self, state: GanState) -> dict[str, float]:
        """The metrics of an epoch's end."""
        loss, runtime = self.params.train.loss, self.params.runtime
        return measure_epoch(self.judge.meter, state, self.data, loss, runtime)

    @property
    def device_name(self) -> str:
        """Of the GPU, or cpu."""
        return torch.cuda.get_device_name() if self.device.type == "cuda" else "cpu"


def work(job: Job, may_go_on: MayGoOn) -> None:
    """Train one run from its newest checkpoint, if there is one; its record grows by the epoch."""
    with within_memory():
        _work(job, may_go_on)


@contextmanager
def within_memory() -> Iterator[None]:
    """Say in one line that the GPU's memory does not do."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise UserError("the GPU's memory is full; try fewer --workers") from None


def _work(job: Job, may_go_on: MayGoOn) -> None:
    bench = Bench(job)
    exact = run_hash(bench.params, bench.device, bench.data_hash, bench.judge.file)
    checkpoints = Checkpoints(f"{FOLDER}/{job.run.name}-{exact}")
    facts = {
        **job.run.facts_by(bench.judge.name, job.study),
        "data": bench.data_hash,
        "device": bench.device_name,
        "precision": precision_of(bench.params.runtime, bench.device),
    }
    length = bench.params.train.steps_per_epoch

    def go_on(step: int) -> bool:
        # An epoch that has begun is worth its end; whoever sends SIGTERM will not wait for it.
        return may_go_on(step) and not (step % length == 0 and job.is_late())

    with checkpoints.alone():
        training = Training(bench.params, bench.device, checkpoints, bench.measure)
        if not training.leave_record(job.run.folder, facts, bench.images, go_on, grids=True):
            return
    shutil.rmtree(checkpoints.folder)
