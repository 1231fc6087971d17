"""A training run with all that it writes to: checkpoints, generators, the tracker.

`train` makes one such run, `tune` one for each trial; both iterate `go_on` and decide when to stop.

What resuming promises. On a CPU the resumed run is bit for bit the one that nobody interrupted:
every random draw depends on (seed, step) alone, and a checkpoint holds all else that a step reads,
so it holds for the same code, parameters, data, torch and number of threads, all of which the
checkpoint's folder is named after, and the same kind of processor, which is not. On a GPU the state
is restored bit for bit and the draws are the same, too, and cuDNN is told to use deterministic
kernels; torch's other kernels are not, some of which add in no fixed order. There a resumed run is
therefore as near to the uninterrupted one as two uninterrupted runs are to each other: equal where
the kernels happen to be, and not promised. Several processes, and another number of them, add in
another order: there, too, it is the same training, but for rounding.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import torch

from dcgan import mnist, processes
from dcgan.measuring import Meter, measure_epoch
from dcgan.runtime import precision_of
from dcgan.training import SIGNALS, GanState, Report, fit
from ganverdict import Monitor, Verdict
from ganverdict.evaluations import MEASURES
from ganverdict.signals import HELD_OUT
from pipeline.base.params import Params, flat
from pipeline.base.paths import DATA
from pipeline.base.tiles import tile
from pipeline.store.checkpoints import Checkpoints
from pipeline.store.history import History
from pipeline.store.shared import TakenOverError
from pipeline.store.weights import save_generator
from pipeline.tracking.description import description
from pipeline.tracking.run import TrackedRun, now_ms, system_metrics
from pipeline.training import together
from pipeline.training.branches import Branch, branch, in_words, on_branch

Ended = Literal["complete", "onset", "diverged", "paused"]
"""complete: all epochs are done. onset: the verdict says that the run went wrong, and `train.stop`
that such a run ends, if only after so many returns. diverged: a signal was not finite, whatever
went wrong before. paused: none of these; it can go on."""


class TrainingRun:
    """Continues from the newest checkpoint, if there is one, bit for bit."""

    def __init__(
        self,
        params: Params,
        data: mnist.Mnist,
        meter: Meter,
        checkpoints: Checkpoints,
        device: torch.device,
    ) -> None:
        self.params, self.data, self.meter, self.checkpoints = params, data, meter, checkpoints
        self.images, self.labels = data.train_images.to(device), data.train_labels.to(device)
        self.state = GanState(params.train, device)
        self.history = History()
        self.monitor = monitor_for(params)
        self.verdict: Verdict = self.monitor.verdict()
        self.tracked = TrackedRun(checkpoints.key, checkpoints.term)
        self._restore()

    def _restore(self) -> None:
        saved = self.checkpoints.load()
        if saved is None:
            return
        try:
            self.state.load_state_dict(saved["state"])
            self.history = History(**saved["history"])
            whole = self.state.step == self.history.saved_step == len(self.history.signals)
            self._assess_again()
        except Exception:  # a file made by other code, or by a stranger, may hold anything
            whole = False
        if not whole:
            raise self.checkpoints.corrupt()

    def _assess_again(self) -> None:
        """Assess what was recorded as if it happened now, which later thresholds may end earlier.

        What comes after such an end is left out, as if it had not been trained.
        """
        for report, (first_step, last_step, metrics) in enumerate(self.history.pieces(), start=1):
            self._assess(first_step, last_step, metrics)
            if (begun := self.history.branch_at(last_step)) is not None:
                self._assess_from(begun)
            elif self._stops_at_onset:
                self.history = self.history.until(report)
                break

    def begin(
        self, title: str, data_hash: str, tags: Mapping[str, str], parent: str | None = None
    ) -> None:
        """Open the tracked run, anew or again. `parent` is the key of the run it belongs to."""
        tags = {**tags, "data_hash": data_hash, "config_hash": self.checkpoints.name}
        tags["precision"] = precision_of(self.params.runtime, self.images.device)
        tags["processes"] = str(processes.size())
        self.tracked.begin(title, flat(self.params), tags, parent)
        self._tag_branches()
        counts = {"train": len(self.data.train_images), "test": len(self.data.test_images)}
        self.tracked.dataset("mnist", data_hash, str(DATA), counts)
        if self.history.reports and self.history.saved_step == self.state.step:
            # Killed between the checkpoint and the outbox, the newest report would be missing. Of a
            # run that was taken before, any may be: it waits in another machine's outbox, or was
            # dropped for a machine that never began with it. Sent twice, it counts once.
            self._track(len(self.history.times_ms) if self.checkpoints.term > 1 else 1)
        if self.checkpoints.term > 1:
            self.tracked.flush()  # now: who had the run before is to know it

    def go_on(
        self, before_step: Callable[[int], bool] = lambda _: True
    ) -> Iterator[dict[str, float]]:
        """Train until the end, a failure or a confirmed onset, or until `before_step` says no.

        Yields the metrics of each report, {} between two epochs' ends, once all is saved.
        """
        started = time.monotonic() - self.history.seconds
        reports = self._fit(before_step)
        while self.ended == "paused" and (report := next(reports, None)) is not None:
            metrics = self._measure(report)
            self.history.add(report, metrics, now_ms(), time.monotonic() - started)
            self._assess(report.first_step, self.history.saved_step, metrics)
            if metrics and self.verdict.best_step == report.step and self._may_roll_back:
                self.checkpoints.save_best(self.state.state_dict())
            if rolls_back := self._may_roll_back and self._stops_at_onset:
                self._roll_back()
                reports = self._fit(before_step)
            if report.failed_step is None or rolls_back:
                saved = {"state": self.state.state_dict(), "history": vars(self.history)}
                self._keep(lambda: self.checkpoints.save(saved))  # noqa: B023
            self._track()
            if rolls_back:
                self._tag_branches()
            machine = system_metrics()
            rows = [[*machine.values()]]
            self.tracked.metrics(machine, [report.step], rows, self.history.time_ms)
            self._flush()
            yield metrics

    def _keep(self, keep: Callable[[], None]) -> None:
        try:
            keep()
        except TakenOverError:
            self.tracked.drop()
            raise

    def _keep_the_rest(self) -> None:
        """Copy what a failure has kept from the place, which was to be tried again later."""
        if not self.checkpoints.kept:
            self._keep(lambda: self.checkpoints.keep(at_once=True))

    def _flush(self, at_once: bool = False) -> None:
        """Send what whoever may go on with this run elsewhere will not train and tell anew."""
        if self.checkpoints.kept:
            self.tracked.flush(at_once)

    def _fit(self, before_step: Callable[[int], bool]) -> Iterator[Report]:
        train = on_branch(self.params.train, self.history.branches)
        together.begin(train, self.state)
        runtime = self.params.runtime
        for report in fit(self.state, self.images, train, runtime, before_step, self.labels):
            yield report
            together.go_on()

    def _roll_back(self) -> None:
        """Go back to the best state and begin a branch; iterations trained go on counting."""
        train = on_branch(self.params.train, self.history.branches)
        step, best = self.history.saved_step, self.history.row(self.verdict.best_step)
        self.state.load_state_dict(self.checkpoints.load_best(best["step"]))
        self.state.step = step
        begun = branch(train, self.verdict.states, step, best)
        self.history.branches.append(begun)
        self._assess_from(begun)

    def _assess_from(self, begun: Branch) -> None:
        """Assess anew from a return on, after the fd of all epochs that led to where it went back.

        How long a better one may take depends on how long the best took. All else begins anew: of
        a training that goes on in another way, the past measures tell no decline.
        """
        self.monitor = monitor_for(self.params)
        for row in self.history.past(begun["best_step"]):
            measures = {name: row[name] for name in ("fd", "fd_sigma")}
            if row["step"] == begun["best_step"]:
                measures = _measures(row)
            self.verdict = self.monitor.add_evaluation(row["step"], measures, row["epoch"])

    @property
    def _may_roll_back(self) -> bool:
        """Whether an onset is a reason to go back, and there is something to go back to."""
        train, last_step = self.params.train, self.history.saved_step
        return (
            train.stop == "rollback"
            and self.verdict.best_step is not None
            and len(self.history.branches) < train.rollbacks
            and last_step < train.epochs * train.steps_per_epoch
        )

    @property
    def ended(self) -> Ended:
        """How the run ended, if it did; `Ended` says what each word means."""
        train = self.params.train
        if self.history.failed:
            return "diverged"
        if self.history.saved_step >= train.epochs * train.steps_per_epoch:
            return "complete"
        return "onset" if self._stops_at_onset else "paused"

    @property
    def _stops_at_onset(self) -> bool:
        return self.params.train.stop != "never" and self.verdict.ends_training

    def _measure(self, report: Report) -> dict[str, float]:
        """The metrics of an epoch's end, whose generator is kept; nothing between two epochs."""
        if report.epoch is None or report.failed_step is not None:
            return {}
        train, runtime = self.params.train, self.params.runtime
        raw = train.raw_at(report.epoch)
        metrics: dict[str, float] = {
            "epoch": report.epoch,
            "step": report.step,
            "images_seen": report.step * train.batch_size,
            **measure_epoch(self.meter, self.state, self.data, train.loss, runtime, raw),
        }
        if train.stop == "rollback":
            metrics["branch"] = len(self.history.branches)
        save_generator(self.checkpoints.generator(report.epoch), self.state.sampler, metrics)
        return metrics

    def _assess(self, first_step: int, last_step: int, metrics: dict[str, float]) -> None:
        """Feed the monitor what one report brought."""
        rows = self.history.signals[first_step - 1 : last_step].double().numpy()
        steps = range(first_step, first_step + len(rows))
        self.monitor.add_steps(steps, dict(zip(SIGNALS, rows.T, strict=True)))
        if metrics:
            self.monitor.add_evaluation(metrics["step"], _measures(metrics), metrics["epoch"])
        self.verdict = self.monitor.verdict()

    def _track(self, reports: int = 1) -> None:
        """Queue what the newest reports brought."""
        history = self.history
        pictures = dict(zip(history.grid_steps, history.grids, strict=True))
        times = [*history.times_ms[:-1], history.time_ms]
        pieces = list(history.pieces())[-max(reports, 1) :]
        for (first_step, last_step, metrics), time_ms in zip(
            pieces, times[-len(pieces) :], strict=True
        ):
            rows = history.signals[first_step - 1 : last_step].tolist()
            names = [f"train/{name}" for name in SIGNALS]
            self.tracked.metrics(names, range(first_step, first_step + len(rows)), rows, time_ms)
            if metrics:
                names = [f"eval/{name}" for name in metrics if name not in ("epoch", "step")]
                values = [value for name, value in metrics.items() if name not in ("epoch", "step")]
                self.tracked.metrics(names, [last_step], [values], time_ms)
            if last_step in pictures:  # there is none of a failed step
                picture = tile(pictures[last_step].numpy())
                self.tracked.image("samples", last_step, picture, time_ms)

    def _tag_branches(self) -> None:
        """Tell of every return; told again after a kill, it counts once."""
        if self.history.branches:
            told = map(in_words, self.history.branches)
            self.tracked.tags({f"branch/{i}": words for i, words in enumerate(told, start=1)})

    @property
    def answer(self) -> dict[str, Any]:
        """The verdict, and the returns of a run that may roll back; the content of stop.json."""
        returns = {"branches": self.history.branches}
        return self.verdict.to_json() | (returns if self.params.train.stop == "rollback" else {})

    def best(self, first_epoch: int = 1, last_epoch: float = math.inf) -> dict[str, float] | None:
        """The row of the epoch to keep, of those that are allowed; None: none was measured."""
        rows = [
            row
            for row in self.history.epochs
            if first_epoch <= row["epoch"] <= last_epoch and math.isfinite(row["fd"])
        ]
        return min(rows, key=lambda row: row["fd"] + row["fd_sigma"], default=None)

    def pause(self) -> None:
        """Leave the run so that the same command continues it."""
        self._keep_the_rest()
        self.tracked.describe(self._description())
        self.tracked.end("KILLED")
        self._flush()

    def hand_over(self) -> None:
        """Leave the run to another machine, which goes on with it."""
        if self.checkpoints.term:
            self.tracked.drop()
            return
        # It has no checkpoint of this run, and has begun its own.
        self.tracked.tags({"outcome": "killed", "reason": "was silent; tried again elsewhere"})
        self.tracked.end("KILLED")
        self.tracked.flush()

    def close(self, status: str, tags: Mapping[str, object] | None = None) -> None:
        """End the tracked run with its verdict."""
        self._keep_the_rest()
        verdict = self.verdict
        self.tracked.tags({"status": verdict.status, **(tags or {})})
        self.tracked.describe(self._description())
        numbers = {
            f"stop/{name}": float(value)
            for name, value in verdict.to_json().items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        time_ms = self.history.time_ms
        self.tracked.metrics(numbers, [self.history.saved_step], [[*numbers.values()]], time_ms)
        self.tracked.end(status)
        self.tracked.flush(at_once=True)

    def _description(self) -> str:
        """What the run's page tells until the stage `evaluate` knows more."""
        best = [row for row in self.history.epochs if row["epoch"] == self.verdict.best_epoch]
        return description(
            self.answer,
            f"{self.params.measure.num_training_samples:,} samples",
            _finite(best[0]) if best else {},
            {},
            "Pictures: *Artifacts*, `images`: samples of the same noise again and again.",
        )


def monitor_for(params: Params) -> Monitor:
    """A monitor of a run with these parameters."""
    train = params.train
    loss = "bce_mean" if train.loss == "bce" else "relativistic"
    return Monitor(params.stability, steps_per_epoch=train.steps_per_epoch, loss=loss)


def _measures(metrics: Mapping[str, float]) -> dict[str, float]:
    """What the verdict looks at."""
    return {name: metrics[name] for name in (*MEASURES, *HELD_OUT)}


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if math.isfinite(value)}
