"""What was seen of a run, and what could not be told from it, in words."""

from ganverdict.alarms import Alarms
from ganverdict.counting import counted
from ganverdict.quality import Quality
from ganverdict.signals import CHARTED, HELD_OUT, LOSSES, TABLE
from ganverdict.thresholds import Thresholds
from ganverdict.timeline import Timeline

_TELL_STATES = (
    *((name,) for name in LOSSES),
    ("d_real", "d_fake"),
    ("d_score_real", "d_score_fake"),
    HELD_OUT,
)
"""The signals by which states are told; of all others only changes are."""


class Seen:
    """Tells what the signals and evaluations so far can tell."""

    def __init__(
        self, params: Thresholds, alarms: Alarms, quality: Quality, timeline: Timeline
    ) -> None:
        self._params, self._alarms, self._quality = params, alarms, quality
        self._timeline = timeline

    def enough(self) -> bool:
        """Whether anything could have been told, had there been something."""
        seen = self._alarms.windows
        windows = max(min(seen[name] for name in names) for names in _TELL_STATES)
        if self._alarms.charted_from is not None:
            return True
        evaluations = len(self._quality.improvement.known)
        params = self._params
        return windows >= params.stall_windows or evaluations >= params.confirm_evaluations

    def words(self) -> str:
        """What was watched, from where on."""
        alarms, known = self._alarms, len(self._quality.improvement.known)
        seen = [TABLE[name].words for name in alarms.seen if name in CHARTED]
        parts = []
        if seen:
            count = max(alarms.windows.values())
            names = "all signals" if len(seen) == len(CHARTED) else " and ".join(seen)
            text = f"watched: {names} in {counted(count, 'window')}"
            if alarms.charted_from is None:
                text += ", too few to tell changes"
            else:
                text += f", changes from {self._timeline.at(alarms.charted_from)} on"
            parts.append(text)
        if known:
            words = f"{counted(known, 'evaluation')} of {self._quality.metric}"
            parts.append(words if parts else f"watched: {words}")
        if not parts and alarms.rows:
            return f"{counted(alarms.rows, 'row')} and no evaluation"
        return "; ".join(parts) if parts else "nothing was given"

    def unknown(self) -> list[str]:
        """What could not be told, and what would tell it."""
        alarms, quality, unknown = self._alarms, self._quality, []
        values = quality.values
        lost, had = values.not_numbers, len(quality.improvement.known) + len(values.broken)
        if lost and not (values.leaves_gaps and lost > had):
            told = f"{quality.metric} in {lost} of {lost + had} evaluations: not a number"
            unknown.append(told)
        if not lost and quality.improvement.best is None:
            unknown.append("which checkpoint was best: no metric of samples was given")
            chance = alarms.family.chance if alarms.family else None
            if chance and alarms.states.at_chance.near[chance] >= self._params.stall_windows:
                level = f"its loss is within 1% of {chance:.3g}"
                unknown.append(f"whether D still tells samples from data: {level}, as in balance")
        if values.broken and not values.metric_broken:
            unknown.append(f"{values.first_broken}: left out")
        for norm in alarms.failures.no_norms:
            since = f"in {norm.rows:,} rows from {self._timeline.at(norm.step)} on"
            unknown.append(f"whether steps are still taken: {norm.words}, {since}")
        if not alarms.rows:
            unknown.append("whether it was announced: no losses were given")
        elif alarms.charted_from is None:
            unknown.append("whether signals changed: too few rows to compare with their past")
        if alarms.rows and alarms.family is None:
            what = "the family of the loss (--loss), and with it whether D was at chance"
            by_heart = " and whether it knew its training images by heart"
            unknown.append(what + by_heart * alarms.states.has_held_out)
        return unknown

    def unconfirmed(self) -> str:
        """Why no evaluation confirmed what signals told."""
        quality = self._quality
        if quality.improvement.best is None:
            return "no evaluations were given, so nothing could confirm it"
        after = sum(e.step > self._alarms.raised[-1].step for e in quality.evaluations)
        if after < self._params.confirm_evaluations:
            last = quality.evaluations[-1].step
            return f"no evaluation until {self._timeline.place(last)} has confirmed it yet"
        return "no evaluation confirmed it"
