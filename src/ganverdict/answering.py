"""From a finding to the answer: the checkpoint to keep, where it went wrong, what to do."""

from dataclasses import dataclass

from ganverdict.alarms import Alarm, Alarms
from ganverdict.loess import minimum
from ganverdict.quality import Quality
from ganverdict.remedies import remedies
from ganverdict.seen import Seen
from ganverdict.thresholds import Thresholds
from ganverdict.timeline import Timeline, whole
from ganverdict.verdict import End, HeldState, Status, Verdict, Watched


@dataclass(frozen=True)
class Finding:
    """What a rule found.

    Attributes:
        onset: the step where it went wrong.
        confirmed: the step where samples made that certain.
        signal: what showed it, where that is not what `alarm` is of.
        alarm: what announced or explains it.
    """

    status: Status
    reason: str
    end: End = "go_on"
    onset: float | None = None
    confirmed: float | None = None
    signal: str | None = None
    alarm: Alarm | None = None


@dataclass(frozen=True)
class Answering:
    """Puts together what a finding says of a run, and what was seen of it."""

    params: Thresholds
    alarms: Alarms
    quality: Quality
    timeline: Timeline
    seen: Seen

    def verdict(self, finding: Finding) -> Verdict:
        """Return the whole answer."""
        quality, alarms, epoch_of = self.quality, self.alarms, self.timeline.epoch_of
        improvement, alarm = quality.improvement, finding.alarm
        best, steps = improvement.best, [e.step for e in improvement.known]
        length = steps[minimum(steps, improvement.values)] if steps else None
        status, lead = finding.status, None
        if finding.confirmed is not None and alarm is not None:
            lead = sum(alarm.step <= step < finding.confirmed for step in steps)
        interval, noise = self._interval()
        return Verdict(
            status=status,
            reason=finding.reason,
            metric=quality.metric if steps else None,
            best_epoch=epoch_of(best.step) if best else None,
            best_step=whole(best.step) if best else None,
            best_value=best.value if best else None,
            best_interval=interval,
            noise=noise,
            end=finding.end,
            end_reason=self._end_reason(status, finding.end),
            onset_step=whole(finding.onset),
            onset_epoch=epoch_of(finding.onset),
            confirm_step=whole(finding.confirmed),
            confirm_epoch=epoch_of(finding.confirmed),
            signal=finding.signal or (alarm.signal if alarm else None),
            alarm_step=whole(alarm.step) if alarm else None,
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
            length_step=whole(length),
            length_epoch=epoch_of(length),
            loss=alarms.family.name if alarms.family else None,
            loss_source=alarms.family.source if alarms.family else None,
            watched=Watched(
                alarms.rows,
                {name: count for name, count in alarms.windows.items() if count},
                alarms.charted,
                whole(alarms.charted_from),
                len(steps),
            ),
            unknown=tuple(self.seen.unknown()),
            remedies=remedies(status, self._states(alarm)),
        )

    def _interval(self) -> tuple[tuple[float, float] | None, str | None]:
        """The 95 % interval of the best value, and where its deviation is from."""
        best = self.quality.improvement.best
        if best is None or best.value is None:
            return None, None
        if not best.is_given and self.quality.values.metric.about_nothing:
            return None, None  # a share of next to nothing is no deviation
        reach = 1.96 * best.sigma
        noise = "given" if best.is_given else "assumed 1 %"
        return (best.value - reach, best.value + reach), noise

    def _states(self, alarm: Alarm | None) -> list[str]:
        """The states that hold, first the one that explains the finding."""
        first = alarm.signal if alarm else None
        return sorted(self.alarms.states.holding, key=lambda name: name != first)

    def _end_reason(self, status: Status, end: End) -> str:
        best = self.quality.improvement.best
        if status == "metric_broken":
            return "what the metric says cannot be gone by: mend it first"
        if end == "go_on":
            return self._not_yet(status)
        if best is None and status == "diverged":
            return "no weights from there on are of use: start again with the remedy, or before it"
        if best is None:
            return "nothing teaches G any more: change something before going on"
        keep = f"{self.timeline.at(best.step)} has the best samples so far"
        if end == "roll_back":
            return f"{keep}; end here, or go on from there with the remedy"
        return f"{keep}, and nothing says that better ones will come"

    def _not_yet(self, status: Status) -> str:
        """Why to go on where samples do not improve; empty where nothing is wrong."""
        if status == "plateau":
            more = self.quality.improvement.plateau_ends
            if not more:
                return "the latest evaluation is the best so far, if not by much"
            change = f"{self.params.plateau_change:.0%}"
            if more == 1:
                return f"for one more evaluation, and end unless it is better by {change}"
            return f"for {more} more evaluations, and end unless one of them is better by {change}"
        if status not in ("stall", "never_learned"):
            return ""
        if self.quality.improvement.best is None:
            return f"it may pass: that is certain after {self.params.stall_windows} windows of it"
        waited, wanted = self.quality.improvement.since_best, self.params.patience
        return f"{waited} of {wanted} evaluations without a better one: not long enough to end"
