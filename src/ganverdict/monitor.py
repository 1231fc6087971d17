"""When was a GAN at its best, and when did it go wrong? Plain arrays in, a verdict out.

Feed a `Monitor` during training, or give whole series to `assess`; the answers are the same.
Signals warn (`ganverdict.alarms`), evaluations confirm (`ganverdict.quality`).
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from ganverdict.alarms import CHARTED, Alarm, Alarms
from ganverdict.quality import MEASURES, Decline, Evaluation, Quality
from ganverdict.thresholds import Thresholds

_Column = np.ma.MaskedArray[Any, Any]
_Columns = dict[str, _Column]

Status = Literal["diverged", "onset", "silent", "stall", "transient", "stable"]
"""diverged: a signal is not finite. onset: an alarm that evaluations confirmed. silent: samples
declined without one. stall: D tells nothing any more or pulls ahead, and samples no longer improve.
transient: an alarm that nothing confirmed. stable: nothing until the end of what was seen."""


@dataclass(frozen=True)
class Verdict:
    """The content of stop.json. What does not apply is None; every number is finite."""

    status: Status
    onset_epoch: int | None
    onset_step: int | None
    reason: str
    signal: str | None
    alarm_step: int | None
    confirm_epoch: int | None
    best_epoch: int | None
    best_step: int | None
    fd: float | None
    fd_interval: tuple[float, float] | None
    recovered: bool

    @property
    def went_wrong(self) -> bool:
        """Whether this verdict is a reason to end training."""
        return self.status in ("diverged", "onset", "silent")

    def to_json(self) -> dict[str, object]:
        return asdict(self)


class Monitor:
    """Streaming verdict on one run. Its answer at a step depends on nothing after that step."""

    def __init__(self, params: Thresholds, steps_per_epoch: int) -> None:
        if steps_per_epoch < 1:
            raise ValueError(f"steps_per_epoch must be at least 1, not {steps_per_epoch}")
        self._params = params
        self._steps_per_epoch = steps_per_epoch
        self._alarms = Alarms(params, steps_per_epoch)
        self._quality = Quality(params, round(params.burn_in_epochs * steps_per_epoch))

    @property
    def alarms(self) -> tuple[Alarm, ...]:
        """Return the warnings so far, by step; a hard failure is not among them."""
        return tuple(self._alarms.raised)

    def add_steps(self, steps: ArrayLike, signals: Mapping[str, ArrayLike]) -> list[Alarm]:
        """Take the next iterations; return the alarms they raise, a hard failure included.

        `steps` [n] increase, from chunk to chunk too; `signals` maps names of
        `ganverdict.alarms.SIGNALS` to [n], any subset; masked elements are missing,
        NaN and infinity are values, and fatal. Raises ValueError for anything else.
        """
        numbers, evaluations = np.asarray(steps), self._quality.evaluations
        if evaluations and numbers.size and numbers.flat[0] <= evaluations[-1].step:
            raise ValueError(
                f"step {numbers.flat[0]} came after the evaluation of step {evaluations[-1].step}"
            )
        return self._alarms.add(numbers, signals)

    def add_evaluation(self, epoch: int, step: int, measures: Mapping[str, float]) -> Verdict:
        """Take an evaluation made after iteration `step`; return the verdict so far.

        `measures` maps names of `ganverdict.quality.MEASURES` to values, any subset; one not
        finite counts as missing. Iterations up to `step` are given before it, later ones after it;
        epochs and steps increase. Raises ValueError for anything else.
        """
        for name in measures:
            if name not in MEASURES:
                raise ValueError(f"unknown measure {name}; there are {', '.join(MEASURES)}")
        previous = self._quality.evaluations[-1:]
        if previous and (step <= previous[0].step or epoch <= previous[0].epoch):
            raise ValueError(f"epochs and steps must increase: epoch {epoch}, step {step} does not")
        if step < self._alarms.last_step:
            raise ValueError(f"the evaluation of step {step} came after later steps")
        finite = {name: float(value) for name, value in measures.items() if math.isfinite(value)}
        self._quality.add(Evaluation(epoch, step, finite))
        return self.verdict()

    def verdict(self) -> Verdict:
        """Return the verdict on what was seen so far."""
        decline, failure = self._quality.decline, self._alarms.failure
        if decline and (failure is None or decline.confirmed.step < failure.step):
            return self._declined(decline)
        if failure is not None:
            alarm = self._pending(failure.step, failure.step)
            reason = f"{failure.words} at step {failure.step:,}"
            reason += f"; {alarm.words} at step {alarm.step:,}" if alarm else ""
            return self._judged("diverged", reason, failure.step, failure.signal, alarm)
        saturated = self._alarms.saturated
        if saturated is not None and (flat := self._flat_since(saturated)):
            reason = f"{saturated.words} at step {saturated.step:,}; {flat}"
            return self._judged("stall", reason, saturated.step, saturated.signal, saturated)
        ahead = self._pulls_ahead() if self._has_fd() else None
        if ahead is not None and (flat := self._flat_since(ahead)):
            reason = f"D pulls ahead: {ahead.words} at step {ahead.step:,}; {flat}"
            return self._judged("stall", reason, ahead.step, ahead.signal, ahead)
        if self._alarms.raised:
            first, others = self._alarms.raised[0], len(self._alarms.raised) - 1
            more = f", and {others} more {_plural('alarm', others)}" if others else ""
            reason = f"{first.words} at step {first.step:,}{more}; {self._unconfirmed()}"
            return self._judged("transient", reason, None, first.signal, first)
        return self._judged("stable", self._uneventful(), None, None, None)

    def _declined(self, decline: Decline) -> Verdict:
        epoch, onset = decline.confirmed.epoch, decline.first.step
        failure, after = self._alarms.failure, ""
        if failure is not None:
            after = f"; {failure.words} from step {failure.step:,} on"
        alarm = self._pending(onset, decline.confirmed.step)
        if alarm is None:
            lately = f" in the {self._params.confirm_epochs:g} epochs before"
            earlier = any(alarm.step < onset for alarm in self._alarms.raised)
            reason = f"{decline.words} at epoch {epoch}; no signal warned{lately * earlier}"
            reason += f", judged {self._judged_by()}"
            return self._judged("silent", reason + after, onset, decline.measure, None, epoch)
        later = epoch - self._epoch_of(alarm.step)
        when = f"{later} {_plural('epoch', later)} later" if later else "in the same epoch"
        reason = f"{alarm.words} at step {alarm.step:,}; {decline.words} {when}{after}"
        # A signal that alarms after the damage was first measured does not postpone it.
        onset = min(alarm.step, onset)
        return self._judged("onset", reason, onset, alarm.signal, alarm, epoch)

    def _judged(
        self,
        status: Status,
        reason: str,
        onset: int | None,
        signal: str | None,
        alarm: Alarm | None,
        confirm_epoch: int | None = None,
    ) -> Verdict:
        best = self._quality.best_before(onset)
        return Verdict(
            status=status,
            onset_epoch=None if onset is None else self._epoch_of(onset),
            onset_step=onset,
            reason=reason,
            signal=signal,
            alarm_step=alarm.step if alarm else None,
            confirm_epoch=confirm_epoch,
            best_epoch=best.epoch if best else None,
            best_step=best.step if best else None,
            fd=best.fd if best else None,
            fd_interval=best.interval if best else None,
            recovered=self._alarms.failure is None and self._quality.recovered,
        )

    def _pending(self, step: int, until: int) -> Alarm | None:
        """Return the first alarm that still waits at `step`, or is raised from there `until`.

        An alarm waits for `confirm_epochs`, and in any case for the next evaluation.
        """
        waits = self._params.confirm_epochs * self._steps_per_epoch
        earlier = [e.step for e in self._quality.evaluations if e.step < step]
        since = min(step - waits, earlier[-1] if earlier else -1)
        return next((a for a in self._alarms.raised if since <= a.step <= until), None)

    def _pulls_ahead(self) -> Alarm | None:
        """Return the first alarm of two within an epoch: D's loss falls and G's rises.

        A discriminator too small to be sure of everything shows in this way that G stands still.
        """
        d, g = ([a for a in self._alarms.raised if a.signal == s] for s in ("d_loss", "g_loss"))
        pairs = ((a, b) for a in d for b in g if abs(a.step - b.step) <= self._steps_per_epoch)
        return min((min(pair, key=_step) for pair in pairs), key=_step, default=None)

    def _flat_since(self, alarm: Alarm) -> str:
        """Say how fd has stood still since D became sure; empty if it has not, or not for long."""
        evaluations, wanted = self._quality.evaluations, self._params.confirm_evaluations
        if not self._has_fd():
            passed = (self._alarms.last_step - alarm.step) / self._steps_per_epoch
            return "no fd was given to tell whether samples still improve" * (passed >= wanted)
        until = next((e.step for e in evaluations if e.step >= alarm.step), math.inf)
        after = sum(e.step > until and "fd" in e.measures for e in evaluations)
        now = self._quality.best_before(None)
        before = self._quality.best_before(until + 1)
        if after < wanted or now is None or before is None:
            return ""
        flat = now.fd > (1 - self._params.flat_change) * before.fd
        return f"fd has not improved in {after} evaluations since" if flat else ""

    def _epoch_of(self, step: int) -> int:
        """Return the epoch that `step` lies in, counted on from the evaluation before it."""
        epoch, base = 0, 0
        for evaluation in self._quality.evaluations:
            if evaluation.step == step:
                return evaluation.epoch
            if evaluation.step > step:
                break
            epoch, base = evaluation.epoch, evaluation.step
        return epoch + max(math.ceil((step - base) / self._steps_per_epoch), 1)

    def _has_fd(self) -> bool:
        return any("fd" in e.measures for e in self._quality.evaluations)

    def _unconfirmed(self) -> str:
        evaluations = self._quality.evaluations
        measured = {name for e in evaluations for name in e.measures} - {"fd_sigma"}
        if not measured:
            return "no evaluations were given, so nothing could confirm it"
        waited = evaluations[-1].step - self._alarms.raised[-1].step
        if waited < self._params.confirm_epochs * self._steps_per_epoch:
            words = f"no evaluation until epoch {evaluations[-1].epoch} has confirmed it yet"
        else:
            words = "no evaluation confirmed it"
        return words if "fd" in measured else f"{words} (fd was not given)"

    def _uneventful(self) -> str:
        evaluations = self._quality.evaluations
        end = max([self._alarms.last_step, *(e.step for e in evaluations)])
        if end <= self._params.burn_in_epochs * self._steps_per_epoch:
            epochs = f"{self._params.burn_in_epochs:g}"
            return f"too short to tell: nothing is judged in the first {epochs} epochs"
        words = f"nothing went wrong until step {end:,}, where what was given ends"
        words += f"; judged {self._judged_by()}"
        if not self._has_fd():
            words += " and without fd, so a silent decline could have passed unseen"
        return words

    def _judged_by(self) -> str:
        charted = [name for name in CHARTED if name in self._alarms.seen]
        if len(charted) == len(CHARTED):
            return "by all signals"
        return f"by {' and '.join(charted)} alone" if charted else "without any signal"


def assess(
    steps: Mapping[str, ArrayLike],
    epochs: Mapping[str, ArrayLike] | None,
    params: Thresholds,
    steps_per_epoch: int | None = None,
) -> Verdict:
    """Judge whole series: the verdict of a `Monitor` fed with them in order.

    `steps` has "step" and any signals, `epochs` has "epoch", "step" and any measures, all [n]. The
    length of an epoch, unless given, is taken from the first evaluations, or from `params` where
    there are none. Raises ValueError as `Monitor` does.
    """
    return fed_monitor(steps, epochs, params, steps_per_epoch).verdict()


def fed_monitor(
    steps: Mapping[str, ArrayLike],
    epochs: Mapping[str, ArrayLike] | None,
    params: Thresholds,
    steps_per_epoch: int | None = None,
) -> Monitor:
    """Return the monitor behind `assess`, for whoever also wants its alarms."""
    columns: _Columns = {name: np.ma.asarray(values) for name, values in steps.items()}
    numbers = columns.pop("step")
    measures: _Columns = {name: np.ma.asarray(values) for name, values in (epochs or {}).items()}
    number = measures.pop("epoch", np.ma.asarray([]))
    evaluated = measures.pop("step", np.ma.asarray([]))
    length = steps_per_epoch or _epoch_length(number, evaluated) or params.steps_per_epoch
    monitor = Monitor(params, length)

    def feed(start: int, end: int) -> None:
        monitor.add_steps(numbers[start:end], {n: v[start:end] for n, v in columns.items()})

    start = 0
    for row, end in enumerate(np.searchsorted(numbers, evaluated, side="right")):
        feed(start, int(end))
        start = int(end)
        values = {name: float(v[row]) for name, v in measures.items() if v[row] is not np.ma.masked}
        monitor.add_evaluation(int(number[row]), int(evaluated[row]), values)
    feed(start, len(numbers))
    return monitor


def _epoch_length(epochs: _Column, steps: _Column) -> int | None:
    """Steps per epoch by the first evaluation, or the first two where epochs count from zero."""
    if len(epochs) and epochs[0] > 0 and steps[0] > 0:
        return max(round(float(steps[0] / epochs[0])), 1)
    if len(epochs) > 1 and epochs[1] > epochs[0]:
        return max(round(float((steps[1] - steps[0]) / (epochs[1] - epochs[0]))), 1)
    return None


def _step(alarm: Alarm) -> int:
    return alarm.step


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"
