"""Stage `train`: one training run, measured every epoch, tracked, resumable bit for bit.

Ended by Ctrl-C, SIGTERM or a kill, the same command continues it from its newest checkpoint.
"""

import argparse
import dataclasses
import os
import time
from pathlib import Path

import torch

from dcgan import mnist
from dcgan.measuring import Meter, measure_epoch
from dcgan.params import Params
from dcgan.quality import MEASURES
from dcgan.stability import Monitor, Verdict
from dcgan.training import SIGNALS, GanState, Report, fit
from pipeline import _provenance
from pipeline._checkpoints import Checkpoints, run_hash
from pipeline._cli import (
    UserError,
    load_params,
    progress_bar,
    run,
    write_json,
    write_whole,
)
from pipeline._data import load_data
from pipeline._device import set_up
from pipeline._history import History
from pipeline._interrupt import Interrupt
from pipeline._paths import DATA, EPOCHS, GENERATOR_BEST, GENERATOR_LAST, JUDGE, RUN, STEPS, STOP
from pipeline._pictures import tile
from pipeline._tracking import TrackedRun, close_dead_runs, now_ms, system_metrics
from pipeline._weights import load_meter, save_generator


def main() -> None:
    argparse.ArgumentParser(prog="python -m pipeline.train", description=__doc__).parse_args()
    params = load_params()
    data = load_data()
    device = set_up(params.runtime)
    meter = load_meter(params.measure, device)
    data_hash = mnist.data_hash(DATA)
    checkpoints = Checkpoints(run_hash(params, device, data_hash, JUDGE))
    with checkpoints.alone(), Interrupt() as interrupt:
        training = _Run(params, data, meter, checkpoints, device)
        training.begin(data_hash)
        training.go_on(interrupt)
        if interrupt.received is not None:
            training.pause()
            raise UserError(
                f"interrupted at step {training.state.step:,}; the same command continues from "
                f"step {training.history.saved_step:,}",
                128 + interrupt.received,
            )
        training.finish()


class _Run:
    """A training run with all that it writes to: checkpoints, reports, the tracker."""

    def __init__(
        self,
        params: Params,
        data: mnist.Mnist,
        meter: Meter,
        checkpoints: Checkpoints,
        device: torch.device,
    ) -> None:
        self.params, self.data, self.meter, self.checkpoints = params, data, meter, checkpoints
        self.images = data.train_images.to(device)
        self.state = GanState(params.train, device)
        self.history = History()
        self.monitor = Monitor(params.stability, params.train.steps_per_epoch)
        self.verdict: Verdict = self.monitor.verdict()
        self.tracked = TrackedRun(checkpoints.key)
        self._restore()

    def _restore(self) -> None:
        saved = self.checkpoints.load()
        if saved is None:
            return
        self.state.load_state_dict(saved["state"])
        self.history = History(**saved["history"])
        for first_step, last_step, figures in self.history.pieces():
            self._judge(first_step, last_step, figures)

    def begin(self, data_hash: str) -> None:
        """Open the tracked run, anew or again."""
        close_dead_runs()
        tags = {**_provenance.tags(), "data_hash": data_hash, "config_hash": self.checkpoints.name}
        title = os.environ.get("DVC_EXP_NAME") or f"train-{self.checkpoints.name[:8]}"
        sections = dataclasses.asdict(self.params).items()
        flat = {f"{key}.{name}": value for key, part in sections for name, value in part.items()}
        self.tracked.begin(title, flat, tags)
        counts = {"train": len(self.data.train_images), "test": len(self.data.test_images)}
        self.tracked.dataset("mnist", data_hash, str(DATA), counts)
        if self.history.reports:
            # Killed between the checkpoint and the outbox, the newest report would be missing;
            # sent twice, it counts once.
            self._track()

    def go_on(self, interrupt: Interrupt) -> None:
        """Train until the end, a failure, a confirmed onset or an interruption."""
        total = self.params.train.epochs * self.params.train.steps_per_epoch
        with progress_bar(total=total, initial=self.state.step, desc="train", unit="it") as bar:

            def before_step(step: int) -> bool:
                bar.update(step - bar.n)
                return interrupt.received is None

            started = time.monotonic() - self.history.seconds
            reports = fit(
                self.state, self.images, self.params.train, self.params.runtime, before_step
            )
            while not self._ended() and (report := next(reports, None)) is not None:
                figures = self._measure(report)
                if figures:
                    bar.set_postfix(fd=f"{counted_fd(figures):.2f}")
                self.history.add(report, figures, now_ms(), time.monotonic() - started)
                self._judge(report.first_step, self.history.saved_step, figures)
                if report.failed_step is None:
                    saved = {"state": self.state.state_dict(), "history": vars(self.history)}
                    self.checkpoints.save(saved)
                self._track()
                machine = system_metrics()
                rows = [[*machine.values()]]
                self.tracked.metrics(machine, [report.step], rows, self.history.time_ms)
                self.tracked.flush()
                bar.update(self.history.saved_step - bar.n)

    def _ended(self) -> bool:
        """Whether nothing good can come any more."""
        if self.verdict.status == "diverged":
            return True
        return self.params.train.stop == "at_onset" and self.verdict.went_wrong

    def _measure(self, report: Report) -> dict[str, float]:
        """The figures of an epoch's end, whose generator is kept; nothing between two epochs."""
        if report.epoch is None or report.failed_step is not None:
            return {}
        figures: dict[str, float] = {
            "epoch": report.epoch,
            "step": report.step,
            "images_seen": report.step * self.params.train.batch_size,
            **measure_epoch(self.meter, self.state, self.data),
        }
        save_generator(self.checkpoints.generator(report.epoch), self.state.sampler, figures)
        return figures

    def _judge(self, first_step: int, last_step: int, figures: dict[str, float]) -> None:
        """Feed the monitor what one report brought."""
        rows = self.history.signals[first_step - 1 : last_step].double().numpy()
        steps = range(first_step, first_step + len(rows))
        self.monitor.add_steps(steps, dict(zip(SIGNALS, rows.T, strict=True)))
        if figures:
            measures = {name: figures[name] for name in MEASURES} | {"fd": counted_fd(figures)}
            self.monitor.add_evaluation(int(figures["epoch"]), int(figures["step"]), measures)
        self.verdict = self.monitor.verdict()

    def _track(self) -> None:
        """Queue what the newest report brought."""
        *_, (first_step, last_step, figures) = self.history.pieces()
        time_ms = self.history.time_ms
        rows = self.history.signals[first_step - 1 : last_step].tolist()
        names = [f"train/{name}" for name in SIGNALS]
        self.tracked.metrics(names, range(first_step, first_step + len(rows)), rows, time_ms)
        if figures:
            names = [f"eval/{name}" for name in figures if name not in ("epoch", "step")]
            values = [value for name, value in figures.items() if name not in ("epoch", "step")]
            self.tracked.metrics(names, [last_step], [values], time_ms)
        if self.verdict.status != "diverged":
            picture = tile(self.history.grids[-1].numpy())
            self.tracked.image("samples", last_step, picture, time_ms)

    def pause(self) -> None:
        """Leave the run so that the same command continues it."""
        self.tracked.end("KILLED")
        self.tracked.flush()

    def finish(self) -> None:
        """Write the outputs of the stage and close the tracked run."""
        verdict = self.verdict
        print(f"verdict: {verdict.status}: {verdict.reason}")
        if verdict.best_epoch is None:
            self._close("FAILED")
            raise UserError(
                f"nothing to export: {verdict.reason}, before any epoch gave finite samples; "
                "lower train.lr_d and train.lr_g"
            )
        last_epoch = int(self.history.epochs[-1]["epoch"])
        _copy(self.checkpoints.generator(verdict.best_epoch), GENERATOR_BEST)
        _copy(self.checkpoints.generator(last_epoch), GENERATOR_LAST)
        self.history.write()
        write_json(STOP, verdict.to_json())
        write_json(RUN, {"key": self.checkpoints.key, "config_hash": self.checkpoints.name})
        print(
            f"best stopping point: epoch {verdict.best_epoch} of {last_epoch}, "
            f"step {verdict.best_step:,}, fd {verdict.fd:.3f}"
        )
        for file in (STEPS, EPOCHS, STOP):
            self.tracked.artifact(file, "reports")
        self._close("FAILED" if verdict.status == "diverged" else "FINISHED")

    def _close(self, status: str) -> None:
        verdict = self.verdict
        self.tracked.tags({"status": verdict.status, "reason": verdict.reason})
        numbers = {
            f"stop/{name}": float(value)
            for name, value in verdict.to_json().items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        time_ms = self.history.time_ms
        self.tracked.metrics(numbers, [self.history.saved_step], [[*numbers.values()]], time_ms)
        self.tracked.end(status)
        self.tracked.flush(at_once=True)


def counted_fd(figures: dict[str, float]) -> float:
    """The fd that counts: of the averaged weights, where there are such."""
    return figures.get("fd_ema", figures["fd"])


def _copy(source: Path, target: Path) -> None:
    with write_whole(target) as file:
        file.write(source.read_bytes())


if __name__ == "__main__":
    run(main)
