"""When was a GAN at its best, and when did it go wrong? Numbers in as they come, a verdict out.

Feed a `Monitor` during training, or give whole series to `assess`; the answers are the same.
Signals warn (`ganverdict.alarms`), evaluations confirm (`ganverdict.quality`).
"""

import bisect
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ganverdict.alarms import Alarm, Alarms
from ganverdict.families import FAMILIES, Family
from ganverdict.loess import minimum
from ganverdict.quality import Decline, Quality
from ganverdict.remedies import remedies
from ganverdict.signals import CHARTED, HELD_OUT, LOSSES, TABLE
from ganverdict.states import State
from ganverdict.thresholds import Thresholds
from ganverdict.verdict import End, HeldState, Status, Verdict, Watched

Columns = Mapping[str, ArrayLike]

_BLOCK = 16_384  # rows of a long log that are looked at together
_TEACHES_NOTHING = ("saturated", "fooled", "vanished", "dead")
"""The states in which samples that stand still are a stall."""
_TELL_STATES = (
    *((name,) for name in LOSSES),
    ("d_real", "d_fake"),
    ("d_score_real", "d_score_fake"),
    HELD_OUT,
)
"""The signals by which states are told; of all others only changes are."""


class Monitor:
    """Streaming verdict on one run. Its answer at a step depends on nothing after that step.

    Args:
        thresholds: what it goes by.
        steps_per_epoch: the length of an epoch, where there is one; windows are parts of it.
        loss: the family of the loss (`ganverdict.families.FAMILIES`); None: told by the numbers.
        loss_source: how that family is known, `given` or `known`.
        unit: what a step counts. Windows of iterations have a length; of anything else ("epoch",
            "kimg", "row") each row is a window.
        metric: the measure that counts; lower is better. Its deviation is `<metric>_sigma`.
    """

    def __init__(
        self,
        thresholds: Thresholds | None = None,
        *,
        steps_per_epoch: float | None = None,
        loss: str | None = None,
        loss_source: str = "given",
        unit: str = "iteration",
        metric: str = "fd",
    ) -> None:
        if steps_per_epoch is not None and not 1 <= steps_per_epoch < math.inf:
            raise ValueError(f"steps_per_epoch must be at least 1, not {steps_per_epoch}")
        if loss is not None and loss not in FAMILIES:
            raise ValueError(f"unknown loss {loss}; there are {', '.join(FAMILIES)}")
        self._params = thresholds or Thresholds()
        self._steps_per_epoch = steps_per_epoch
        self._unit = unit
        parts = 1 if unit == "epoch" else self._params.windows_per_epoch
        length: float | None = None
        if unit == "iteration":
            length = steps_per_epoch / parts if steps_per_epoch else self._params.window
        family = Family(loss, loss_source) if loss else None
        coarsen = steps_per_epoch is None
        self._alarms = Alarms(self._params, length, parts, coarsen, family)
        self._quality = Quality(self._params, metric)
        self._declined_by: tuple[Decline, Alarm | None] | None = None

    @property
    def alarms(self) -> tuple[Alarm, ...]:
        """Return the warnings so far, by step."""
        return tuple(self._alarms.raised)

    def go_by(self, metric: str) -> None:
        """Name the measure that counts, where it was not known at first.

        Raises ValueError once there has been an evaluation of one.
        """
        self._quality.go_by(metric)

    def log(self, step: float, **signals: float) -> list[Alarm]:
        """Take one iteration, each signal a number; return the alarms it raises."""
        return self.add_steps([step], {name: [value] for name, value in signals.items()})

    def evaluate(self, step: float, epoch: float | None = None, **measures: float) -> Verdict:
        """Take one evaluation, each measure a number; return the verdict so far."""
        return self.add_evaluation(step, measures, epoch)

    def add_steps(self, steps: ArrayLike, signals: Columns) -> list[Alarm]:
        """Take the next rows; return the alarms they raise.

        `steps` [n] increase, from chunk to chunk too; `signals` maps names of
        `ganverdict.signals.SIGNALS` to [n], any subset; masked elements are missing, NaN and
        infinity are values. Raises ValueError for anything else.
        """
        numbers, evaluated = np.asarray(steps), self._quality.last_step
        if numbers.size and numbers.flat[0] <= evaluated:
            raise ValueError(f"{numbers.flat[0]:g} came after the evaluation of step {evaluated:g}")
        return self._alarms.add(numbers, signals)

    def add_evaluation(
        self, step: float, measures: Mapping[str, float], epoch: float | None = None
    ) -> Verdict:
        """Take an evaluation made after iteration `step`; return the verdict so far.

        `measures` maps the metric's name and any others to values; one that is not finite counts
        as missing. Iterations up to `step` are given before it, later ones after it; steps
        increase. Raises ValueError for anything else.
        """
        self._take_evaluation(step, measures, epoch)
        return self.verdict()

    def _take_evaluation(
        self, step: float, measures: Mapping[str, float], epoch: float | None
    ) -> None:
        if not math.isfinite(step) or step <= self._quality.last_step:
            raise ValueError(f"steps of evaluations must increase, and {step:g} does not")
        if step < self._alarms.last_step:
            raise ValueError(f"the evaluation of step {step:g} came after later steps")
        self._alarms.add_held_out(float(step), measures)
        held = bool(self._alarms.states.holding)
        epoch = epoch if epoch is not None and math.isfinite(epoch) else None
        self._quality.add(float(step), epoch, measures, held)
        decline = self._quality.decline
        if decline is None:
            self._declined_by = None
        elif self._declined_by is None or self._declined_by[0] is not decline:
            self._declined_by = (decline, self._announcement(decline))

    def verdict(self) -> Verdict:
        """Return the verdict on what was seen so far."""
        quality, failure = self._quality, self._alarms.failures.lasting
        if self._declined_by is not None:
            decline = self._declined_by[0]
            if failure is None or decline.confirmed.step < failure.step:
                return self._declined(*self._declined_by)
        if failure is not None:
            alarm = self._waiting(failure.step, failure.step)
            reason = f"{failure.words} at {self._at(failure.step)}"
            reason += f"; {alarm.words} at {self._at(alarm.step)}" if alarm else ""
            end: End = "roll_back" if quality.best else "end"
            return self._answer(
                "diverged", reason, end, failure.step, signal=failure.signal, alarm=alarm
            )
        if words := quality.metric_broken:
            return self._answer("metric_broken", words, onset=quality.broken[0][0])
        return self._by_states() or self._otherwise()

    def _by_states(self) -> Verdict | None:
        """The verdict where a state holds and samples do not improve; else None."""
        quality, holding = self._quality, self._alarms.states.holding
        exploding = holding.get("exploding")
        if exploding is not None and (flat := self._flat_since(exploding)):
            reason = f"{exploding.words}, from {self._at(exploding.since)} on; {flat}"
            return self._answer("diverged", reason, "end", exploding.since, state=exploding)
        if words := quality.never_learned:
            state = next(iter(holding.values()), None)
            words += f"; {self._from_when(state)}" if state else ""
            ends = "end" if state else self._if_patience_is_lost()
            return self._answer("never_learned", words, ends, state=state)
        for name in _TEACHES_NOTHING:
            state = holding.get(name)
            if state is not None and (flat := self._flat_since(state)):
                reason = f"{self._from_when(state)}; {flat}"
                ends = self._if_patience_is_lost(state)
                return self._answer("stall", reason, ends, state.since, state=state)
        ahead = self._alarms.ahead
        # Where samples stood still before, it explains nothing.
        if ahead is not None and quality.improved_until(ahead.step):
            flat = self._flat_evaluations(ahead.step)
            if flat:
                reason = f"D pulls ahead: {ahead.words} at {self._at(ahead.step)}; {flat}"
                ends = self._if_patience_is_lost()
                return self._answer(
                    "stall", reason, ends, ahead.step, signal=ahead.signal, alarm=ahead
                )
        return None

    def _otherwise(self) -> Verdict:
        quality, alarms = self._quality, self._alarms
        if words := quality.plateau:
            for state in alarms.states.holding.values():
                words += f"; {self._from_when(state)}"
            over = quality.since_best and not quality.plateau_ends
            return self._answer("plateau", words, "end" if over else "go_on")
        if quality.excursions:
            decline, back = quality.excursions[-1]
            reason = f"{decline.words}, from {self._place(decline.first.step)} on, and came back "
            to = "to a new best" if quality.is_new_best(back) else "to about its best, certain"
            reason += f"{to} at {self._place(back.step)}"
            return self._answer("excursion", reason)
        overcome = [f for f in alarms.failures.overcome if f.signal in LOSSES]
        if overcome:
            first = overcome[0]
            more = f", and {len(overcome) - 1} more" if len(overcome) > 1 else ""
            rows = f"{first.rows} {_plural('row', first.rows)}"
            reason = f"{first.words} at {self._at(first.step)} for {rows}{more}; "
            reason += f"training went on, until {self._at(alarms.last_step)}"
            return self._answer("transient", reason, signal=first.signal)
        warned = [alarm for alarm in alarms.raised if alarm.tells]
        if warned:
            first_alarm, others = warned[0], len(warned) - 1
            more = f", and {others} more {_plural('alarm', others)}" if others else ""
            reason = f"{first_alarm.words} at {self._at(first_alarm.step)}{more}; "
            reason += self._unconfirmed()
            return self._answer("transient", reason, signal=first_alarm.signal, alarm=first_alarm)
        if not self._is_watched():
            return self._answer("unwatched", "too little to tell: " + self._watched_words())
        end = max([alarms.last_step, *(e.step for e in quality.evaluations)])
        risk = "a risk that has come to nothing"
        if quality.best is None:
            risk = "a risk, and only a metric of samples would tell what came of it"
        risks = [f"{self._from_when(state)}: {risk}" for state in alarms.states.holding.values()]
        nothing = f"nothing{' else' * bool(risks)} went wrong until {self._at(end)}"
        nothing += f", where what was given ends; {self._watched_words()}"
        reason = "; ".join([*risks, nothing])
        return self._answer("stable", reason)

    def _declined(self, decline: Decline, alarm: Alarm | None) -> Verdict:
        failure, after = self._alarms.failures.lasting, ""
        if failure is not None:
            after = f"; {failure.words} from {self._at(failure.step)} on"
        where = f"{decline.words}, at {self._place(decline.confirmed.step)}"
        end: End = "roll_back" if self._quality.best else "end"
        onset, confirmed = decline.first.step, decline.confirmed.step
        if alarm is None:
            lately = self._alarms.raised and self._alarms.raised[0].step < onset
            reason = f"{where}; no signal warned{' in time' if lately else ''}, "
            reason += self._watched_words() + after
            return self._answer(
                "silent", reason, end, onset, confirmed=confirmed, signal=decline.measure
            )
        if alarm.state is not None:
            told = self._from_when(alarm.state)
        else:
            told = f"{alarm.words} at {self._at(alarm.step)}"
            # Where a change and bad samples come together, the change is where it began.
            onset = min(alarm.step, onset)
        return self._answer(
            "onset",
            f"{told}; {where}{after}",
            end,
            onset,
            confirmed=confirmed,
            signal=alarm.signal,
            alarm=alarm,
        )

    def _answer(
        self,
        status: Status,
        reason: str,
        end: End = "go_on",
        onset: float | None = None,
        *,
        confirmed: float | None = None,
        signal: str | None = None,
        alarm: Alarm | None = None,
        state: State | None = None,
    ) -> Verdict:
        quality, alarms = self._quality, self._alarms
        best = quality.best
        known = [e for e in quality.evaluations if e.value is not None]
        length = (
            known[minimum([e.step for e in known], [e.value or 0.0 for e in known])]
            if known
            else None
        )
        value = best.value if best else None
        reach = 1.96 * best.sigma if best else 0.0
        if state is not None:
            signal = signal or state.name
        alarm_step = alarm.step if alarm else state.raised if state else None
        lead = None
        if confirmed is not None and alarm_step is not None:
            lead = sum(alarm_step <= e.step < confirmed for e in known)
        holding = list(alarms.states.holding)
        if state is not None:
            holding.sort(key=lambda name: name != state.name)
        return Verdict(
            status=status,
            reason=reason,
            metric=quality.metric if known else None,
            best_epoch=self._epoch_of(best.step) if best else None,
            best_step=_whole(best.step) if best else None,
            best_value=value,
            best_interval=None if value is None else (value - reach, value + reach),
            noise=None if value is None else "given" if best and best.is_given else "assumed 1 %",
            end=end,
            end_reason=self._end_reason(status, end),
            onset_step=_whole(onset),
            onset_epoch=self._epoch_of(onset),
            confirm_step=_whole(confirmed),
            confirm_epoch=self._epoch_of(confirmed),
            signal=signal,
            alarm_step=_whole(alarm_step),
            lead=lead,
            states=tuple(
                HeldState(
                    s.name, s.words, _whole(s.since) or 0, _whole(s.raised) or 0, _whole(s.until)
                )
                for s in alarms.states.all
            ),
            excursions=tuple(
                (_whole(decline.first.step) or 0, _whole(back.step) or 0)
                for decline, back in quality.excursions
            ),
            recovered=status in ("onset", "silent") and quality.recovered,
            length_step=_whole(length.step) if length else None,
            length_epoch=self._epoch_of(length.step) if length else None,
            loss=alarms.family.name if alarms.family else None,
            loss_source=alarms.family.source if alarms.family else None,
            watched=Watched(
                alarms.rows,
                {name: count for name, count in alarms.windows.items() if count},
                alarms.charted,
                _whole(alarms.charted_from),
                len(known),
            ),
            unknown=tuple(self._unknown()),
            remedies=remedies(status, holding),
        )

    def _end_reason(self, status: Status, end: End) -> str:
        best = self._quality.best
        if status == "metric_broken":
            return "what the metric says cannot be gone by: mend it first"
        if end == "go_on":
            return self._not_yet(status)
        if best is None and status == "diverged":
            return "no weights from there on are of use: start again with the remedy, or before it"
        if best is None:
            return "nothing teaches G any more: change something before going on"
        keep = f"{self._at(best.step)} has the best samples so far"
        if end == "roll_back":
            return f"{keep}; end here, or go on from there with the remedy"
        return f"{keep}, and nothing says that better ones will come"

    def _not_yet(self, status: Status) -> str:
        """Why to go on where samples do not improve; empty where nothing is wrong."""
        if status == "plateau":
            more = self._quality.plateau_ends
            if not more:
                return "the latest evaluation is the best so far, if not by much"
            next_ones = f"one of the next {more} evaluations" if more > 1 else "the next evaluation"
            change = f"{self._params.plateau_change:.0%}"
            return f"to end unless {next_ones} is better by {change}"
        if status not in ("stall", "never_learned"):
            return ""
        if self._quality.best is None:
            return f"it may pass: that is certain after {self._params.stall_windows} windows of it"
        waited, wanted = self._quality.since_best, self._params.patience
        return f"{waited} of {wanted} evaluations without a better one: not long enough to end"

    def _announcement(self, decline: Decline) -> Alarm | None:
        return self._waiting(decline.first.step, decline.confirmed.step)

    def _waiting(self, step: float, until: float) -> Alarm | None:
        """Return the first alarm that still waits at `step`, or is raised from there `until`.

        Both a change and a state that has passed wait for `confirm_evaluations`, and where there
        are none for as many epochs.
        """
        earlier = [e.step for e in self._quality.evaluations if e.step < step]
        waits = self._params.confirm_evaluations
        since = earlier[-waits - 1] if len(earlier) > waits else -math.inf
        if not earlier and self._steps_per_epoch:
            since = step - waits * self._steps_per_epoch
        return next((a for a in self._alarms.raised if a.step <= until and a.waits(since)), None)

    def _flat_since(self, state: State) -> str:
        """Say how the metric has stood still since a state began; empty if it has not."""
        if self._quality.best is None:
            return "no metric was given to tell whether samples still improve"
        return self._flat_evaluations(state.since)

    def _flat_evaluations(self, since: float) -> str:
        """Say in how many evaluations since a step the metric has stood still; empty if in few."""
        count = self._quality.flat_since(since)
        if count < self._params.stall_evaluations:
            return ""
        change = f"{self._params.flat_change:.0%}"
        return f"{self._quality.metric} has not improved by {change} in {count} evaluations since"

    def _if_patience_is_lost(self, state: State | None = None) -> End:
        """Whether to end where nothing became worse, but nothing better came for long.

        Without a metric a state must have held for long.
        """
        quality, params = self._quality, self._params
        if quality.best is None:
            early = state is not None and state.windows < params.stall_windows
            return "go_on" if early else "end"
        return "end" if quality.since_best >= params.patience else "go_on"

    def _from_when(self, state: State) -> str:
        until = f" until {self._at(state.until)}" if state.until is not None else " on"
        return f"{state.words}, from {self._at(state.since)}{until}"

    def _epoch_of(self, step: float | None) -> float | None:
        """Return the epoch that `step` lies in, where epochs are known."""
        if step is None:
            return None
        known = [e for e in self._quality.evaluations if e.epoch is not None]
        place = bisect.bisect_right(known, step, key=lambda e: e.step)
        before = known[place - 1] if place else None
        if before is not None and before.step == step:
            return _whole(before.epoch)
        if self._steps_per_epoch is None:
            return None
        if before is not None:
            since = math.ceil((step - before.step) / self._steps_per_epoch)
            return math.floor(before.epoch or 0.0) + since
        if known:  # epochs may count from 0
            until = math.floor((known[0].step - step) / self._steps_per_epoch)
            return math.floor(known[0].epoch or 0.0) - until
        return max(math.ceil(step / self._steps_per_epoch), 1)

    def _place(self, step: float) -> str:
        epoch = self._epoch_of(step)
        return self._at(step) if epoch is None else f"epoch {epoch:g}"

    def _at(self, step: float | None) -> str:
        """A step for people, by what the log counts: "step 4,000", "epoch 12", "4,800 kimg"."""
        number = "" if step is None else f"{step:,.10g}"
        if self._unit in ("epoch", "row"):
            return f"{self._unit} {number}"
        unit = "images" if self._unit == "image" else self._unit
        return f"step {number}" if unit == "iteration" else f"{number} {unit}"

    def _is_watched(self) -> bool:
        """Whether anything could have been told, had there been something."""
        seen = self._alarms.windows
        windows = max(min(seen[name] for name in names) for names in _TELL_STATES)
        if self._alarms.charted_from is not None:
            return True
        evaluations = sum(e.value is not None for e in self._quality.evaluations)
        params = self._params
        return windows >= params.stall_windows or evaluations >= params.confirm_evaluations

    def _watched_words(self) -> str:
        alarms, evaluations = self._alarms, self._quality.evaluations
        seen = [TABLE[name].words for name in alarms.seen if name in CHARTED]
        parts = []
        if seen:
            count = max(alarms.windows.values())
            names = "all signals" if len(seen) == len(CHARTED) else " and ".join(seen)
            text = f"watched: {names} in {count} {_plural('window', count)}"
            if alarms.charted_from is None:
                text += ", too few to tell changes"
            else:
                text += f", changes from {self._at(alarms.charted_from)} on"
            parts.append(text)
        known = sum(e.value is not None for e in evaluations)
        if known:
            words = f"{known} {_plural('evaluation', known)} of {self._quality.metric}"
            parts.append(words if parts else f"watched: {words}")
        if not parts and alarms.rows:
            return f"{alarms.rows} {_plural('row', alarms.rows)} and no evaluation"
        return "; ".join(parts) if parts else "nothing was given"

    def _unknown(self) -> list[str]:
        """What could not be told, and what would tell it."""
        alarms, unknown = self._alarms, []
        quality = self._quality
        if quality.not_numbers:
            known = sum(e.value is not None for e in quality.evaluations)
            count = quality.not_numbers + known + len(quality.broken)
            told = f"{quality.metric} in {quality.not_numbers} of {count} evaluations: not a number"
            unknown.append(told)
        elif quality.best is None:
            unknown.append("which checkpoint was best: no metric of samples was given")
        if quality.broken and not quality.metric_broken:
            unknown.append(f"{quality.first_broken}: left out")
        if not alarms.rows:
            unknown.append("whether it was announced: no losses were given")
        elif alarms.charted_from is None:
            unknown.append("whether signals changed: too few rows to compare with their past")
        if alarms.rows and alarms.family is None:
            unknown.append("the family of the loss (--loss), and with it whether D was at chance")
        return unknown

    def _unconfirmed(self) -> str:
        quality = self._quality
        if quality.best is None:
            return "no evaluations were given, so nothing could confirm it"
        after = sum(e.step > self._alarms.raised[-1].step for e in quality.evaluations)
        if after < self._params.confirm_evaluations:
            last = quality.evaluations[-1].step
            return f"no evaluation until {self._place(last)} has confirmed it yet"
        return "no evaluation confirmed it"


def assess(
    steps: Mapping[str, ArrayLike] | None,
    evaluations: Mapping[str, ArrayLike] | None,
    thresholds: Thresholds | None = None,
    **options: Any,
) -> Verdict:
    """Assess whole series: the verdict of a `Monitor` fed with them in order.

    `steps` has "step" and any signals, `evaluations` has "step", perhaps "epoch", and any measures,
    all [n]; either may be None. `options` are those of `Monitor`. Raises ValueError as it does.
    """
    return fed_monitor(steps, evaluations, thresholds, **options).verdict()


def fed_monitor(
    steps: Mapping[str, ArrayLike] | None,
    evaluations: Mapping[str, ArrayLike] | None,
    thresholds: Thresholds | None = None,
    **options: Any,
) -> Monitor:
    """Return the monitor behind `assess`, for whoever also wants its alarms."""
    columns: dict[str, Any] = {
        name: np.ma.asarray(values) for name, values in (steps or {}).items()
    }
    numbers = columns.pop("step", np.ma.asarray([]))
    measures: dict[str, Any] = {
        name: np.ma.asarray(values) for name, values in (evaluations or {}).items()
    }
    evaluated = measures.pop("step", np.ma.asarray([]))
    epochs = measures.pop("epoch", None)
    monitor = Monitor(thresholds, **options)

    def feed(start: int, end: int) -> None:
        for block in range(start, end, _BLOCK):
            rows = slice(block, min(block + _BLOCK, end))
            monitor.add_steps(numbers[rows], {name: v[rows] for name, v in columns.items()})

    start = 0
    for row, end in enumerate(np.searchsorted(numbers, evaluated, side="right").tolist()):
        feed(start, end)
        start = end
        values = {name: float(v[row]) for name, v in measures.items() if v[row] is not np.ma.masked}
        known = epochs is not None and epochs[row] is not np.ma.masked
        epoch = float(epochs[row]) if epochs is not None and known else None
        monitor._take_evaluation(float(evaluated[row]), values, epoch)
    feed(start, len(numbers))
    return monitor


def _whole(number: float | None) -> float | None:
    """An int where the number is one, as logs count."""
    return int(number) if number is not None and number == int(number) else number


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"
