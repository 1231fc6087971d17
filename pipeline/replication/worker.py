"""A worker of the replication: trains one run, in a process of its own."""

from dataclasses import dataclass

from dcgan import mnist
from pipeline.base.cli import UserError
from pipeline.base.device import set_up
from pipeline.base.params import Params
from pipeline.base.paths import DATA, JUDGE
from pipeline.base.pool import MayGoOn
from pipeline.replication.records import epochs_done, write_facts, write_grids, write_series
from pipeline.replication.runs import Run
from pipeline.store.checkpoints import Checkpoints, run_hash
from pipeline.store.data import load_data
from pipeline.store.weights import load_meter
from pipeline.tracking import provenance
from pipeline.training.run import TrainingRun


@dataclass(frozen=True)
class Job:
    """A run to train; `params` are the present ones, with this worker's share of threads."""

    run: Run
    params: Params


def work(job: Job, may_go_on: MayGoOn) -> None:
    """Train one run from its newest checkpoint, if there is one; its record grows by the epoch."""
    run, params = job.run, job.run.params(job.params)
    device = set_up(params.runtime)
    meter = load_meter(params.measure, device)
    data_hash = mnist.data_hash(DATA)
    exact = run_hash(params, device, data_hash, JUDGE)
    checkpoints = Checkpoints(f"replication/{run.name}-{exact}", params.runtime.checkpoints)
    with checkpoints.alone():
        training = TrainingRun(params, load_data(), meter, checkpoints, device)
        _refuse_to_shorten(run, len(training.history.epochs))
        facts = {**run.facts(job.params), "device": str(device), "run_key": checkpoints.key}
        write_facts(run.folder, facts)
        tags = {**provenance.tags(), "replication": "original", "recipe": run.recipe}
        training.begin(f"replication-{run.name}", data_hash, tags)
        for metrics in training.go_on(may_go_on):
            if metrics:
                write_series(run.folder, training.history, params.stability.window)
                write_grids(run.folder, training.history)
        if training.ended == "paused":
            training.pause()
            return
        write_series(run.folder, training.history, params.stability.window)
        verdict, seconds = training.verdict.to_json(), round(training.history.seconds)
        write_facts(run.folder, {**facts, "verdict": verdict, "seconds": seconds})
        training.close("FAILED" if training.ended == "diverged" else "FINISHED")
    checkpoints.remove()


def _refuse_to_shorten(run: Run, epochs: int) -> None:
    """Raise UserError if the record tells more than the checkpoint, and so is of another one."""
    kept = epochs_done(run.folder)
    if kept > epochs:
        raise UserError(
            f"{run.folder}: has {kept} epochs of a run whose checkpoint is not here, or that other "
            "code trained; move it away, or make the experiment anew beside it with --folder"
        )
