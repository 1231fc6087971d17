"""From what was seen of a run to the verdict on it: a status, the reason, and what to do."""

import math

from ganverdict.alarms import Alarm, Alarms
from ganverdict.loess import minimum
from ganverdict.quality import Decline, Quality
from ganverdict.remedies import remedies
from ganverdict.seen import Seen, plural
from ganverdict.signals import LOSSES
from ganverdict.states import State
from ganverdict.thresholds import Thresholds
from ganverdict.timeline import Timeline, whole
from ganverdict.verdict import End, HeldState, Status, Verdict, Watched

_TEACHES_NOTHING = ("saturated", "fooled", "vanished", "dead")
"""The states in which samples that stand still are a stall."""


class Judge:
    """Judges what `alarms` and `quality` have been given so far."""

    def __init__(
        self, params: Thresholds, alarms: Alarms, quality: Quality, timeline: Timeline
    ) -> None:
        self._params, self._alarms, self._quality = params, alarms, quality
        self._timeline, self._at, self._place = timeline, timeline.at, timeline.place
        self._seen = Seen(params, alarms, quality, timeline)
        self._declined_by: tuple[Decline, Alarm | None] | None = None

    def note_decline(self) -> None:
        """Keep by which alarm a decline was announced when it was certain."""
        decline = self._quality.decline
        if decline is None:
            self._declined_by = None
        elif self._declined_by is None or self._declined_by[0] is not decline:
            self._declined_by = (decline, self._waiting(decline.first.step, decline.confirmed.step))

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
            end: End = "roll_back" if quality.improvement.best else "end"
            return self._answer(
                "diverged", reason, end, failure.step, signal=failure.signal, alarm=alarm
            )
        if words := quality.values.metric_broken:
            return self._answer("metric_broken", words, onset=quality.values.broken_since)
        return self._by_states() or self._otherwise()

    def _by_states(self) -> Verdict | None:
        """The verdict where a state holds and samples do not improve; else None."""
        quality, holding = self._quality, self._alarms.states.holding
        exploding = holding.get("exploding")
        if exploding is not None and (flat := self._flat_since(exploding)):
            reason = f"{exploding.words}, from {self._at(exploding.since)} on; {flat}"
            return self._answer("diverged", reason, "end", exploding.since, state=exploding)
        if words := quality.improvement.never_learned:
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
        if ahead is not None and quality.improvement.improved_until(ahead.step):
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
        if words := quality.improvement.plateau:
            for state in alarms.states.holding.values():
                words += f"; {self._from_when(state)}"
            over = quality.improvement.since_best and not quality.improvement.plateau_ends
            return self._answer("plateau", words, "end" if over else "go_on")
        if quality.excursions:
            decline, back = quality.excursions[-1]
            reason = f"{decline.words}, from {self._place(decline.first.step)} on, and came back "
            to = (
                "to a new best"
                if quality.improvement.is_new_best(back)
                else "to about its best, certain"
            )
            reason += f"{to} at {self._place(back.step)}"
            return self._answer("excursion", reason)
        overcome = [f for f in alarms.failures.overcome if f.signal in LOSSES]
        if overcome:
            first = overcome[0]
            more = f", and {len(overcome) - 1} more" if len(overcome) > 1 else ""
            rows = f"{first.rows} {plural('row', first.rows)}"
            reason = f"{first.words} at {self._at(first.step)} for {rows}{more}; "
            reason += f"training went on, until {self._at(alarms.last_step)}"
            return self._answer("transient", reason, signal=first.signal)
        warned = [alarm for alarm in alarms.raised if alarm.tells]
        if warned:
            first_alarm, others = warned[0], len(warned) - 1
            more = f", and {others} more {plural('alarm', others)}" if others else ""
            reason = f"{first_alarm.words} at {self._at(first_alarm.step)}{more}; "
            reason += "; ".join([self._seen.unconfirmed(), *self._risks()])
            return self._answer("transient", reason, signal=first_alarm.signal, alarm=first_alarm)
        if not self._seen.enough():
            return self._answer("unwatched", "too little to tell: " + self._seen.words())
        end = max([alarms.last_step, *(e.step for e in quality.evaluations)])
        risks = self._risks()
        nothing = f"nothing{' else' * bool(risks)} went wrong until {self._at(end)}"
        nothing += f", where what was given ends; {self._seen.words()}"
        reason = "; ".join([*risks, nothing])
        return self._answer("stable", reason)

    def _risks(self) -> list[str]:
        """In words the states that hold, of which nothing has come."""
        risk = "a risk that has come to nothing"
        if self._quality.improvement.best is None:
            risk = "a risk, and only a metric of samples would tell what came of it"
        return [f"{self._from_when(s)}: {risk}" for s in self._alarms.states.holding.values()]

    def _declined(self, decline: Decline, alarm: Alarm | None) -> Verdict:
        failure, after = self._alarms.failures.lasting, ""
        if failure is not None:
            after = f"; {failure.words} from {self._at(failure.step)} on"
        where = f"{decline.words}, at {self._place(decline.confirmed.step)}"
        end: End = "roll_back" if self._quality.improvement.best else "end"
        onset, confirmed = decline.first.step, decline.confirmed.step
        if alarm is None:
            lately = self._alarms.raised and self._alarms.raised[0].step < onset
            reason = f"{where}; no signal warned{' in time' if lately else ''}, "
            reason += self._seen.words() + after
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
        best = quality.improvement.best
        known = quality.improvement.known
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
            best_epoch=self._timeline.epoch_of(best.step) if best else None,
            best_step=whole(best.step) if best else None,
            best_value=value,
            best_interval=None if value is None else (value - reach, value + reach),
            noise=None if value is None else "given" if best and best.is_given else "assumed 1 %",
            end=end,
            end_reason=self._end_reason(status, end),
            onset_step=whole(onset),
            onset_epoch=self._timeline.epoch_of(onset),
            confirm_step=whole(confirmed),
            confirm_epoch=self._timeline.epoch_of(confirmed),
            signal=signal,
            alarm_step=whole(alarm_step),
            lead=lead,
            states=tuple(
                HeldState(
                    s.name, s.words, whole(s.since) or 0, whole(s.raised) or 0, whole(s.until)
                )
                for s in alarms.states.all
            ),
            excursions=tuple(
                (whole(decline.first.step) or 0, whole(back.step) or 0)
                for decline, back in quality.excursions
            ),
            recovered=status in ("onset", "silent") and quality.recovered,
            length_step=whole(length.step) if length else None,
            length_epoch=self._timeline.epoch_of(length.step) if length else None,
            loss=alarms.family.name if alarms.family else None,
            loss_source=alarms.family.source if alarms.family else None,
            watched=Watched(
                alarms.rows,
                {name: count for name, count in alarms.windows.items() if count},
                alarms.charted,
                whole(alarms.charted_from),
                len(known),
            ),
            unknown=tuple(self._seen.unknown()),
            remedies=remedies(status, holding),
        )

    def _end_reason(self, status: Status, end: End) -> str:
        best = self._quality.improvement.best
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
            more = self._quality.improvement.plateau_ends
            if not more:
                return "the latest evaluation is the best so far, if not by much"
            next_ones = f"one of the next {more} evaluations" if more > 1 else "the next evaluation"
            change = f"{self._params.plateau_change:.0%}"
            return f"to end unless {next_ones} is better by {change}"
        if status not in ("stall", "never_learned"):
            return ""
        if self._quality.improvement.best is None:
            return f"it may pass: that is certain after {self._params.stall_windows} windows of it"
        waited, wanted = self._quality.improvement.since_best, self._params.patience
        return f"{waited} of {wanted} evaluations without a better one: not long enough to end"

    def _waiting(self, step: float, until: float) -> Alarm | None:
        """Return the first alarm that still waits at `step`, or is raised from there `until`.

        Both a change and a state that has passed wait for `confirm_evaluations`, and where there
        are none for as many epochs.
        """
        earlier = [e.step for e in self._quality.evaluations if e.step < step]
        waits = self._params.confirm_evaluations
        since = earlier[-waits - 1] if len(earlier) > waits else -math.inf
        if not earlier and self._timeline.steps_per_epoch:
            since = step - waits * self._timeline.steps_per_epoch
        return next((a for a in self._alarms.raised if a.step <= until and a.waits(since)), None)

    def _flat_since(self, state: State) -> str:
        """Say how the metric has stood still since a state began; empty if it has not."""
        if self._quality.improvement.best is None:
            return "no metric was given to tell whether samples still improve"
        return self._flat_evaluations(state.since)

    def _flat_evaluations(self, since: float) -> str:
        """Say in how many evaluations since a step the metric has stood still; empty if in few."""
        count = self._quality.improvement.flat_since(since)
        if count < self._params.stall_evaluations:
            return ""
        change = f"{self._params.flat_change:.0%}"
        return f"{self._quality.metric} has not improved by {change} in {count} evaluations since"

    def _if_patience_is_lost(self, state: State | None = None) -> End:
        """Whether to end where nothing became worse, but nothing better came for long.

        Without a metric a state must have held for long.
        """
        quality, params = self._quality, self._params
        if quality.improvement.best is None:
            early = state is not None and state.windows < params.stall_windows
            return "go_on" if early else "end"
        return "end" if quality.improvement.since_best >= params.patience else "go_on"

    def _from_when(self, state: State) -> str:
        until = f" until {self._at(state.until)}" if state.until is not None else " on"
        return f"{state.words}, from {self._at(state.since)}{until}"
