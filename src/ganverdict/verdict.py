"""The answer: what was seen, which weights to keep, and whether training should go on."""

from dataclasses import asdict, dataclass
from typing import Literal

Status = Literal[
    "diverged",
    "onset",
    "silent",
    "stall",
    "never_learned",
    "metric_broken",
    "excursion",
    "plateau",
    "transient",
    "stable",
    "unwatched",
]
STATUSES: dict[Status, str] = {
    "diverged": "a loss is not finite or grows without bound",
    "onset": "samples declined, and a signal or a state had announced it",
    "silent": "samples declined, and nothing had announced it",
    "stall": "D teaches nothing any more, and samples do not improve",
    "never_learned": "the metric never left its start or the level of noise",
    "metric_broken": "the metric has values that it cannot have",
    "excursion": "samples declined and came back, to a new best or about as good for long",
    "plateau": "nothing went wrong, and nothing has improved for long",
    "transient": "a signal warned, and nothing came of it",
    "stable": "nothing went wrong until the end of what was seen",
    "unwatched": "too little was given to tell",
}
"""Every status, the worst first, and what it means."""

WENT_WRONG: frozenset[Status] = frozenset(
    {"diverged", "onset", "silent", "stall", "never_learned", "metric_broken"}
)

End = Literal["go_on", "end", "roll_back"]


@dataclass(frozen=True)
class HeldState:
    """A state that the run was in: from `since`, certain at `raised`, over at `until` or not."""

    name: str
    words: str
    since: float
    raised: float
    until: float | None


@dataclass(frozen=True)
class Remedy:
    """Something to try, and who found that it helps."""

    words: str
    source: str


@dataclass(frozen=True)
class Watched:
    """What the verdict rests on.

    Attributes:
        rows: of signals.
        windows: how many each signal had.
        charted: how many were compared with the past.
        charted_from: the step from which on.
        evaluations: of the metric.
    """

    rows: int
    windows: dict[str, int]
    charted: int
    charted_from: float | None
    evaluations: int


@dataclass(frozen=True)
class Verdict:
    """What does not apply is None; every number is finite; steps are those of the log.

    Attributes:
        reason: the evidence in words.
        metric: the measure that counts.
        best_epoch, best_step, best_value: the checkpoint to keep, and its metric.
        best_interval: its 95 % interval; `noise` says where the deviation is from.
        end, end_reason: whether to go on, to end, or to return to the checkpoint to keep.
        onset_step, onset_epoch: where it went wrong; by samples, where samples tell.
        confirm_step, confirm_epoch: where that was certain.
        signal: what announced it, else what showed it; `alarm_step`: when it was announced.
        lead: evaluations from the alarm to the confirmation.
        states: the states that the run was in.
        excursions: steps between which samples had declined, until they came back.
        recovered: whether the latest evaluations after a decline were not bad.
        length_step, length_epoch: how long to train with another seed.
        loss, loss_source: the family of the loss, and whether given, known or inferred.
        unknown: what could not be told, and what would tell it.
        remedies: what to try.
    """

    status: Status
    reason: str
    metric: str | None = None
    best_epoch: float | None = None
    best_step: float | None = None
    best_value: float | None = None
    best_interval: tuple[float, float] | None = None
    noise: str | None = None
    end: End = "go_on"
    end_reason: str = ""
    onset_step: float | None = None
    onset_epoch: float | None = None
    confirm_step: float | None = None
    confirm_epoch: float | None = None
    signal: str | None = None
    alarm_step: float | None = None
    lead: int | None = None
    states: tuple[HeldState, ...] = ()
    excursions: tuple[tuple[float, float], ...] = ()
    recovered: bool = False
    length_step: float | None = None
    length_epoch: float | None = None
    loss: str | None = None
    loss_source: str | None = None
    watched: Watched = Watched(0, {}, 0, None, 0)
    unknown: tuple[str, ...] = ()
    remedies: tuple[Remedy, ...] = ()

    @property
    def went_wrong(self) -> bool:
        """Whether something did."""
        return self.status in WENT_WRONG

    @property
    def ends_training(self) -> bool:
        """Whether training as it is should end because it went wrong."""
        return self.went_wrong and self.end != "go_on"

    def to_json(self) -> dict[str, object]:
        """Plain values for `json.dumps`."""
        return asdict(self)
