"""Stage `train`: one training run, measured every epoch, tracked, resumable bit for bit.

Ended by Ctrl-C, SIGTERM or a kill, the same command continues it from its newest checkpoint.
"""

import os
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

if __name__ == "__main__":  # --help and wrong options first: the imports below take seconds
    run(Parser("train", __doc__).parse_args)

from dcgan import mnist
from pipeline.base.device import set_up
from pipeline.base.interrupt import Interrupt
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
from pipeline.store.checkpoints import Checkpoints, check_place, run_hash
from pipeline.store.data import load_data
from pipeline.store.weights import load_meter
from pipeline.tracking import provenance
from pipeline.tracking.server import close_dead_runs
from pipeline.training.branches import in_words
from pipeline.training.run import TrainingRun


def main() -> None:
    Parser("train", __doc__).parse_args()
    params = load_params()
    data = load_data()
    device = set_up(params.runtime)
    meter = load_meter(params.measure, device)
    data_hash = mnist.data_hash(DATA)
    place = params.runtime.checkpoints
    check_place(place)
    checkpoints = Checkpoints(run_hash(params, device, data_hash, JUDGE), place)
    with checkpoints.alone(), Interrupt() as interrupt:
        training = TrainingRun(params, data, meter, checkpoints, device)
        close_dead_runs()
        title = os.environ.get("DVC_EXP_NAME") or f"train-{checkpoints.name[:8]}"
        training.begin(title, data_hash, provenance.tags())
        _train(training, interrupt)
        if interrupt.received is not None:
            training.pause()
            raise UserError(
                f"interrupted at step {training.state.step:,}; the same command continues from "
                f"step {training.history.saved_step:,}",
                128 + interrupt.received,
            )
        _finish(training)


def _train(training: TrainingRun, interrupt: Interrupt) -> None:
    """Train until the end, a failure, a confirmed onset or an interruption."""
    train = training.params.train
    total, done = train.epochs * train.steps_per_epoch, training.state.step
    with progress_bar(total=total, initial=done, desc="train", unit="it") as bar:

        def before_step(step: int) -> bool:
            bar.update(step - bar.n)
            return interrupt.received is None

        for metrics in training.go_on(before_step):
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
        raise UserError(
            f"nothing to export: {verdict.reason}, before any epoch gave finite samples; "
            "lower train.lr_d and train.lr_g"
        )
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
