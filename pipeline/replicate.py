"""The original's experiment again, measured: `make replicate` or `python -m pipeline.replicate`.

Trains the second text's recipe with D frozen and with the joint update, and the stabilised recipe
beside them, each over several seeds at the size of the section `replicate` of params.yaml. Every
run is in the tracker and in reports/replication/<recipe>-<seed>/, which grows with each epoch.
Ended by Ctrl-C, SIGTERM or a kill, the same command continues every run where it was, and repeats
none.
"""

import dataclasses
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import time
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import torch

from dcgan import mnist
from pipeline.base.cli import (
    Parser,
    UserError,
    load_params,
    progress_bar,
    read_yaml,
    run,
    write_json,
)
from pipeline.base.device import set_up
from pipeline.base.interrupt import Interrupt
from pipeline.base.interval import CONFIDENCE
from pipeline.base.params import Params
from pipeline.base.paths import DATA, JUDGE, REPLICATION
from pipeline.plots.replication import fds, gradients, grids, losses
from pipeline.plots.training import save
from pipeline.replication.answers import answers, answers_table
from pipeline.replication.records import epochs_done, finish_record, write_record
from pipeline.replication.report import read_record, table
from pipeline.store.checkpoints import Checkpoints, run_hash
from pipeline.store.data import load_data
from pipeline.store.weights import load_meter
from pipeline.tracking import provenance
from pipeline.tracking.server import close_dead_runs
from pipeline.training.run import TrainingRun

_RECIPES = Path(__file__).parent / "recipes"
RECIPES: dict[str, tuple[str, dict[str, object]]] = {
    "joint": ("blog", {"freeze_discriminator": False}),
    "frozen": ("blog", {}),
    "stabilised": ("stabilised", {"batch_size": 128}),
}
"""What is trained: a recipe of `pipeline.recipe`, and what differs from it."""


@dataclass(frozen=True)
class Run:
    """One training of the study."""

    recipe: str
    seed: int

    @property
    def folder(self) -> Path:
        """Where its record lies."""
        return REPLICATION / f"{self.recipe}-{self.seed}"

    def params(self, params: Params) -> Params:
        """The present parameters with what this run has of its own."""
        name, differing = RECIPES[self.recipe]
        values = {**dataclasses.asdict(params.train), **read_yaml(_RECIPES / f"{name}.yaml")}
        size = {"width": params.replicate.width, "epochs": params.replicate.epochs}
        own = {"seed": self.seed, "sample_every": 0, "stop": "never"}
        whole = {**dataclasses.asdict(params), "train": {**values, **differing, **size, **own}}
        return Params.from_mapping(whole)

    def is_done(self, params: Params) -> bool:
        """Whether its record is whole, of the same parameters and measured by the same judge."""
        try:
            record = json.loads((self.folder / "run.json").read_text(encoding="utf-8"))
            found = record["train"], record["judge"]
        except FileNotFoundError:
            return False
        except (ValueError, KeyError, TypeError):
            raise UserError(
                f"{self.folder}/run.json: not a record of this study; delete {self.folder}, then "
                "the same command makes it anew"
            ) from None
        return found == (dataclasses.asdict(self.params(params).train), _judge())


def runs(params: Params) -> list[Run]:
    """All of the study, a seed after the other: one cut short is a study of fewer seeds."""
    seeds = range(1, params.replicate.seeds + 1)
    return [Run(recipe, seed) for seed in seeds for recipe in RECIPES]


def _judge() -> str:
    """What tells this judge from others: metrics by two judges do not compare."""
    return hashlib.sha256(JUDGE.read_bytes()).hexdigest()


def main() -> None:
    parser = Parser("seed_study", __doc__)
    parser.add_argument("--dry-run", action="store_true", help="train nothing: tell what is known")
    arguments = parser.parse_args()
    params = load_params()
    for one in runs(params):
        print(f"{one.folder}: {epochs_done(one.folder)} of {params.replicate.epochs} epochs")
    if not arguments.dry_run:
        _train_all(params)
    _report(params)


def _report(params: Params) -> None:
    """Print and draw what all records say, of whole runs and of those under way."""
    found = (read_record(one.folder, params.stability) for one in runs(params))
    records = [record for record in found if record is not None]
    if not records:
        return
    result = {"runs": [record.row() for record in records], "answers": answers(records)}
    write_json(REPLICATION / "result.json", {**result, "confidence": CONFIDENCE})
    first = [record for record in records if record.seed == 1]
    figures = {
        "fd": fds(records),
        "losses": losses(records),
        "gradients": gradients(records),
        "grids": grids(first),
    }
    for name, figure in figures.items():
        save(figure, REPLICATION / f"{name}.png")
    print(table(records))
    print(answers_table(records))
    print(f"{REPLICATION}: result.json, {', '.join(f'{name}.png' for name in figures)}")


def _train_all(params: Params) -> None:
    """Train what is left, `study.workers` at a time."""
    load_data()  # what is missing is told once, before any worker starts
    load_meter(params.measure, torch.device("cpu"))
    left = [one for one in runs(params) if not one.is_done(params)]
    for one in left:
        if (one.folder / "run.json").exists():
            print(f"{one.folder}: of other parameters or another judge; it is made anew")
            shutil.rmtree(one.folder)
    if not left:
        return
    close_dead_runs()
    threads = max((os.cpu_count() or 1) // params.replicate.workers, 1)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    runtime = dataclasses.replace(params.runtime, threads=threads)
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    with (
        Interrupt() as interrupt,
        ProcessPoolExecutor(params.replicate.workers, context, _share, (stop,)) as pool,
    ):
        with_threads = dataclasses.replace(params, runtime=runtime)
        futures = [pool.submit(_train, one, with_threads) for one in left]
        try:
            _watch(futures, left, params.replicate.epochs, interrupt)
        finally:
            stop.set()
            for future in futures:
                future.cancel()
    if interrupt.received is not None:
        raise UserError("interrupted; the same command continues", 128 + interrupt.received)


def _watch(
    futures: list["Future[None]"], left: list[Run], epochs: int, interrupt: Interrupt
) -> None:
    """Show the epochs as they end, until all have or the user does not want to wait."""
    with progress_bar(total=len(left) * epochs, desc="study", unit="epoch") as bar:
        bar.initial = bar.n = sum(epochs_done(one.folder) for one in left)
        while interrupt.received is None and not all(future.done() for future in futures):
            time.sleep(1.0)
            bar.update(sum(epochs_done(one.folder) for one in left) - bar.n)
            for future in futures:
                if future.done():
                    _raise(future)
    if interrupt.received is None:
        for future in futures:
            _raise(future)


def _raise(future: "Future[None]") -> None:
    """What went wrong in a worker, as one line."""
    try:
        future.result()
    except BrokenProcessPool:
        raise UserError(
            "a worker was killed; is there enough memory? The same command continues"
        ) from None


_stop: Event


def _share(stop: Event) -> None:
    """First thing in a worker: the terminal's Ctrl-C is the command's business."""
    global _stop
    _stop = stop
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)


def _may_go_on(_: int = 0) -> bool:
    command = multiprocessing.parent_process()
    return not _stop.is_set() and (command is None or command.is_alive())


def _train(one: Run, params: Params) -> None:
    """One run, from its newest checkpoint if there is one."""
    if not _may_go_on():
        return
    params = one.params(params)
    device = set_up(params.runtime)
    meter = load_meter(params.measure, device)
    data_hash = mnist.data_hash(DATA)
    exact = run_hash(params, device, data_hash, JUDGE)
    checkpoints = Checkpoints(f"study/{one.recipe}-{one.seed}-{exact}")
    with checkpoints.alone():
        training = TrainingRun(params, load_data(), meter, checkpoints, device)
        tags = {"study": "seed", "recipe": one.recipe}
        training.begin(f"study-{one.recipe}-{one.seed}", data_hash, {**provenance.tags(), **tags})
        for metrics in training.go_on(_may_go_on):
            if metrics:
                write_record(one.folder, training.history, params.stability.window)
        if training.verdict.status != "diverged" and not _is_whole(training):
            training.pause()
            return
        write_record(one.folder, training.history, params.stability.window)
        facts: dict[str, Any] = {
            "recipe": one.recipe,
            "seed": one.seed,
            "verdict": training.verdict.to_json(),
            "seconds": round(training.history.seconds),
            "device": str(device),
            "run_key": checkpoints.key,
            "judge": _judge(),
            "train": dataclasses.asdict(params.train),
        }
        finish_record(one.folder, facts)
        training.close("FAILED" if training.verdict.status == "diverged" else "FINISHED")
    shutil.rmtree(checkpoints.folder)


def _is_whole(training: TrainingRun) -> bool:
    train = training.params.train
    return training.history.saved_step == train.epochs * train.steps_per_epoch


if __name__ == "__main__":
    run(main)
