"""Stage `train`: one training run, measured every epoch, tracked, resumable bit for bit.

Ended by Ctrl-C, SIGTERM or a kill, the same command continues it from its newest checkpoint.

Several processes share out every batch, a device for each: runtime.processes of params.yaml tells
how many start here, and `torchrun --nproc-per-node N -m pipeline.train` starts them, too.
"""

import contextlib
import functools
import os
import sys
from pathlib import Path

from pipeline.base.cli import (
    Parser,
    UserError,
    load_params,
    progress_bar,
    run,
    write_json,
    write_whole,
)
from pipeline.base.rank import is_rank, prepare

if __name__ == "__main__":
    prepare()  # before torch is imported
    # --help and wrong options first: the imports below take seconds.
    run(Parser("train", __doc__).parse_args)

import torch

from dcgan import mnist, processes
from pipeline.base.device import set_up
from pipeline.base.interrupt import Interrupt
from pipeline.base.params import Params
from pipeline.base.paths import (
    DATA,
    EPOCHS,
    GENERATOR_BEST,
    GENERATOR_LAST,
    JUDGE,
    RUN,
    STEPS,
    STOP,
)
from pipeline.base.ranks import check, joined, share_threads, start
from pipeline.store.checkpoints import Checkpoints, check_place, run_hash
from pipeline.store.data import load_data
from pipeline.store.weights import load_meter
from pipeline.tracking import provenance
from pipeline.tracking.server import close_dead_runs
from pipeline.training import together
from pipeline.training.branches import in_words
from pipeline.training.neighbours import Neighbours
from pipeline.training.run import TrainingRun


def main() -> None:
    Parser("train", __doc__).parse_args()
    params = load_params()
    device = set_up(params.runtime)
    several = check(params) > 1
    if several and not is_rank():
        start(params.runtime.processes, "pipeline.train")
        return
    with joined(device) if several else contextlib.nullcontext():
        data = load_data()
        meter = load_meter(params.measure, device)
        data_hash = mnist.data_hash(DATA)
        name = _run_name(params, device, data_hash)
        if processes.rank():
            with Interrupt() as interrupt:
                may_go_on = functools.partial(_may_go_on, interrupt)
                status = together.follow(params, data, meter, device, may_go_on)
            sys.exit(status)
        with together.leading():
            check_place(params.runtime.checkpoints)
            checkpoints = Checkpoints(name, params.runtime.checkpoints)
            with checkpoints.alone(), Interrupt() as interrupt:
                training = TrainingRun(params, data, meter, checkpoints, device)
                close_dead_runs()
                title = os.environ.get("DVC_EXP_NAME") or f"train-{checkpoints.name[:8]}"
                training.begin(title, data_hash, provenance.tags())
                _train(training, device, interrupt)
                if interrupt.received is not None:
                    training.pause()
                    raise UserError(
                        f"interrupted at step {training.state.step:,}; the same command continues "
                        f"from step {training.history.saved_step:,}",
                        128 + interrupt.received,
                    )
                _finish(training)


def _run_name(params: Params, device: torch.device, data_hash: str) -> str:
    """What the run is called, whatever the number of processes: they have the threads of one."""
    if processes.size() == 1:
        return run_hash(params, device, data_hash, JUDGE)
    threads = torch.get_num_threads()
    torch.set_num_threads(processes.from_first(threads))
    name = run_hash(params, device, data_hash, JUDGE)
    share_threads(threads)
    if processes.highest(name != processes.from_first(name)):
        raise UserError(
            "the machines do not have the same parameters, code, data, judge and torch; "
            "this training needs the same ones everywhere",
            2,
        )
    return name


def _may_go_on(interrupt: Interrupt, _: int = 0) -> bool:
    """Whether nobody, in any process, has been interrupted."""
    interrupt.received = processes.highest(interrupt.received or 0) or None
    return interrupt.received is None


def _train(training: TrainingRun, device: torch.device, interrupt: Interrupt) -> None:
    """Train until the end, a failure, a confirmed onset or an interruption."""
    train = training.params.train
    total, done = train.epochs * train.steps_per_epoch, training.state.step
    alone = device.type == "cpu" and processes.size() == 1
    neighbours = Neighbours(torch.get_num_threads() if alone else 1)
    with progress_bar(total=total, initial=done, desc="train", unit="it") as bar:

        def before_step(step: int) -> bool:
            neighbours.before_step()
            if note := neighbours.in_words():
                bar.write(note, file=sys.stderr)
            bar.update(step - bar.n)
            return _may_go_on(interrupt)

        for metrics in training.go_on(before_step):
            neighbours.after_report()
            if metrics:
                bar.set_postfix(fd=f"{metrics['fd']:.2f}")
            bar.update(training.history.saved_step - bar.n)


def _finish(training: TrainingRun) -> None:
    """Write the outputs of the stage and close the tracked run."""
    verdict, history, checkpoints = training.verdict, training.history, training.checkpoints
    for branch in history.branches:
        print(in_words(branch))
    print(f"verdict: {verdict.status}: {verdict.reason}")
    if verdict.best_epoch is None:
        training.close("FAILED")
        why = "fd of every epoch is not finite"
        if verdict.went_wrong:
            why = f"{verdict.reason}, before any epoch gave finite samples"
        raise UserError(f"nothing to export: {why}; lower train.lr_d and train.lr_g")
    last_epoch = int(history.epochs[-1]["epoch"])
    _copy(checkpoints.generator(int(verdict.best_epoch)), GENERATOR_BEST)
    _copy(checkpoints.generator(last_epoch), GENERATOR_LAST)
    history.write()
    write_json(STOP, training.answer)
    write_json(RUN, {"key": checkpoints.key, "config_hash": checkpoints.name})
    print(
        f"best stopping point: epoch {verdict.best_epoch} of {last_epoch}, "
        f"step {verdict.best_step:,}, fd {verdict.best_value:.3f}"
    )
    for file in (STEPS, EPOCHS, STOP):
        training.tracked.artifact(file, "reports")
    training.close("FAILED" if training.ended == "diverged" else "FINISHED")


def _copy(source: Path, target: Path) -> None:
    with write_whole(target) as file:
        file.write(source.read_bytes())


if __name__ == "__main__":
    run(main)
