"""From what was seen of a run to the verdict on it: a status, the reason, and what to do."""

import math

from ganverdict.alarms import Alarm, Alarms, state_alarm
from ganverdict.answering import Answering, Finding
from ganverdict.counting import counted
from ganverdict.quality import Decline, Quality
from ganverdict.seen import Seen
from ganverdict.signals import LOSSES
from ganverdict.states import State
from ganverdict.thresholds import Thresholds
from ganverdict.timeline import Timeline
from ganverdict.verdict import End, Verdict

_TEACHES_NOTHING = ("saturated", "fooled", "vanished", "dead")
"""The states in which samples that stand still are a stall."""


class Judge:
    """Judges what `alarms` and `quality` have been given so far."""

    def __init__(
        self, params: Thresholds, alarms: Alarms, quality: Quality, timeline: Timeline
    ) -> None:
        self._params, self._alarms, self._quality = params, alarms, quality
        self._at, self._place = timeline.at, timeline.place
        self._steps_per_epoch = timeline.steps_per_epoch
        self._seen = Seen(params, alarms, quality, timeline)
        self._answering = Answering(params, alarms, quality, timeline, self._seen)
        self._declined_by: tuple[Decline, Alarm | None] | None = None

    def note_decline(self) -> None:
        """Keep by which alarm a decline was announced when it was certain."""
        decline = self._quality.decline
        if decline is None:
            self._declined_by = None
        elif self._declined_by is None or self._declined_by[0] is not decline:
            self._declined_by = (decline, self._waiting(decline.first.step, decline.confirmed.step))

    def verdict(self) -> Verdict:
        """Return the verdict on what was seen so far: by the first rule that finds something."""
        rules = (
            self._declined,
            self._failed,
            self._metric_broken,
            self._exploding,
            self._never_learned,
            self._stalled,
            self._fell_behind,
            self._plateau,
            self._came_back,
            self._overcame,
            self._warned,
            self._too_little,
        )
        found = next((found for rule in rules if (found := rule())), None)
        return self._answering.verdict(found or self._nothing())

    def _declined(self) -> Finding | None:
        failure = self._alarms.failures.lasting
        if self._declined_by is None:
            return None
        decline, alarm = self._declined_by
        onset, confirmed = decline.first.step, decline.confirmed.step
        if failure is not None and failure.step <= confirmed:
            return None
        after = f"; {failure.words} from {self._at(failure.step)} on" if failure else ""
        where = f"{decline.words}, at {self._place(confirmed)}"
        if alarm is None:
            lately = self._alarms.raised and self._alarms.raised[0].step < onset
            reason = f"{where}; no signal warned{' in time' if lately else ''}, "
            reason += self._seen.words() + after
            return Finding(
                "silent", reason, self._back(), onset, confirmed=confirmed, signal=decline.measure
            )
        if alarm.state is not None:
            told = self._from_when(alarm.state)
        else:
            told = f"{alarm.words} at {self._at(alarm.step)}"
            # Where a change and bad samples come together, the change is where it began.
            onset = min(alarm.step, onset)
        reason = f"{told}; {where}{after}"
        return Finding("onset", reason, self._back(), onset, confirmed=confirmed, alarm=alarm)

    def _failed(self) -> Finding | None:
        failure = self._alarms.failures.lasting
        if failure is None:
            return None
        alarm = self._waiting(failure.step, failure.step)
        reason = f"{failure.words} at {self._at(failure.step)}"
        reason += f"; {alarm.words} at {self._at(alarm.step)}" if alarm else ""
        return Finding(
            "diverged", reason, self._back(), failure.step, signal=failure.signal, alarm=alarm
        )

    def _metric_broken(self) -> Finding | None:
        values = self._quality.values
        if not (words := values.metric_broken):
            return None
        return Finding("metric_broken", words, onset=values.broken_since)

    def _exploding(self) -> Finding | None:
        state = self._alarms.states.holding.get("exploding")
        if state is None or not (flat := self._flat_since(state)):
            return None
        reason = f"{state.words}, from {self._at(state.since)} on; {flat}"
        return Finding("diverged", reason, self._back(), state.since, alarm=state_alarm(state))

    def _never_learned(self) -> Finding | None:
        if not (words := self._quality.improvement.never_learned):
            return None
        state = next(iter(self._alarms.states.holding.values()), None)
        if state is None:
            return Finding("never_learned", words, self._if_patience_is_lost())
        words += f"; {self._from_when(state)}"
        return Finding("never_learned", words, "end", alarm=state_alarm(state))

    def _stalled(self) -> Finding | None:
        for name in _TEACHES_NOTHING:
            state = self._alarms.states.holding.get(name)
            if state is not None and (flat := self._flat_since(state)):
                reason = f"{self._from_when(state)}; {flat}"
                ends = self._if_patience_is_lost(state)
                return Finding("stall", reason, ends, state.since, alarm=state_alarm(state))
        return None

    def _fell_behind(self) -> Finding | None:
        ahead = self._alarms.ahead
        # Where samples stood still before, it explains nothing.
        if ahead is None or not self._quality.improvement.improved_until(ahead.step):
            return None
        if not (flat := self._flat_evaluations(ahead.step)):
            return None
        reason = f"D pulls ahead: {ahead.words} at {self._at(ahead.step)}; {flat}"
        return Finding("stall", reason, self._if_patience_is_lost(), ahead.step, alarm=ahead)

    def _plateau(self) -> Finding | None:
        improvement = self._quality.improvement
        if not (words := improvement.plateau):
            return None
        for state in self._alarms.states.holding.values():
            words += f"; {self._from_when(state)}"
        over = improvement.since_best and not improvement.plateau_ends
        return Finding("plateau", words, "end" if over else "go_on")

    def _came_back(self) -> Finding | None:
        quality = self._quality
        if not quality.excursions:
            return None
        decline, back = quality.excursions[-1]
        reason = f"{decline.words}, from {self._place(decline.first.step)} on, and came back "
        new = quality.improvement.is_new_best(back)
        reason += "to a new best" if new else "to about its best, certain"
        return Finding("excursion", f"{reason} at {self._place(back.step)}")

    def _overcame(self) -> Finding | None:
        overcome = [f for f in self._alarms.failures.overcome if f.signal in LOSSES]
        if not overcome:
            return None
        first = overcome[0]
        more = f", and {len(overcome) - 1} more" if len(overcome) > 1 else ""
        reason = f"{first.words} at {self._at(first.step)} for {counted(first.rows, 'row')}{more}; "
        reason += f"training went on, until {self._at(self._alarms.last_step)}"
        return Finding("transient", reason, signal=first.signal)

    def _warned(self) -> Finding | None:
        warned = [alarm for alarm in self._alarms.raised if alarm.tells]
        if not warned:
            return None
        first, others = warned[0], len(warned) - 1
        more = f", and {counted(others, 'more alarm')}" if others else ""
        reason = f"{first.words} at {self._at(first.step)}{more}; "
        reason += "; ".join([self._seen.unconfirmed(), *self._risks()])
        return Finding("transient", reason, alarm=first)

    def _too_little(self) -> Finding | None:
        if self._seen.enough():
            return None
        return Finding(
            "unwatched", f"too little to tell: {self._seen.words().removeprefix('watched: ')}"
        )

    def _nothing(self) -> Finding:
        end = max([self._alarms.last_step, *(e.step for e in self._quality.evaluations)])
        risks = self._risks()
        nothing = f"nothing{' else' * bool(risks)} went wrong up to {self._at(end)}"
        nothing += f", the end of what was given; {self._seen.words()}"
        return Finding("stable", "; ".join([*risks, nothing]))

    def _risks(self) -> list[str]:
        """In words the states that hold, of which nothing has come."""
        risk = "a risk that has come to nothing"
        if self._quality.improvement.best is None:
            risk = "a risk, and only a metric of samples would tell what came of it"
        return [f"{self._from_when(s)}: {risk}" for s in self._alarms.states.holding.values()]

    def _back(self) -> End:
        """To the checkpoint to keep, where there is one."""
        return "roll_back" if self._quality.improvement.best else "end"

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
