"""From a log to its verdict: each pair of D and G assessed, the worst of them named."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ganverdict.families import CHANCE, FAMILIES
from ganverdict.log import Column, Columns, Log
from ganverdict.metrics import judged_name, reciprocal
from ganverdict.monitor import assess
from ganverdict.thresholds import Thresholds
from ganverdict.verdict import STATUSES, Status, Verdict

LOSSES = ("auto", "bce", "lsgan", *FAMILIES)
"""What a user may say of the loss; the numbers tell whether `bce` and `lsgan` are means or sums."""

_BY_WEIGHT: tuple[Status, ...] = tuple(STATUSES)
_MANY = 1000  # evaluations; so many are rows of a table, filled from one to the next
_STRETCHES = 50  # that a series is cut into, to tell a mean from a sum
_ABOVE_A_MEAN = 1.3  # times the level at chance: no D is worse for long


@dataclass(frozen=True)
class Assessment:
    """A log and its verdict.

    Attributes:
        log: what was read; `metric` is the measure that the verdict goes by.
        pair: the label of the pair of D and G whose verdict it is; "" where there is one.
        verdict: the worst of all pairs'.
        pairs: the verdict of each pair by label.
    """

    log: Log
    pair: str
    verdict: Verdict
    pairs: Mapping[str, Verdict]

    def to_json(self) -> dict[str, object]:
        """Plain values for `json.dumps`, as `ganverdict/verdict.schema.json` describes them."""
        return {
            "name": self.log.name,
            "kind": self.log.kind,
            "unit": self.log.unit,
            "files": list(self.log.files),
            "notes": list(self.log.notes),
            "pair": self.pair,
            "pairs": {
                label: {"status": verdict.status, "reason": verdict.reason}
                for label, verdict in self.pairs.items()
            },
            "went_wrong": self.verdict.went_wrong,
            "ends_training": self.verdict.ends_training,
            **self.verdict.to_json(),
        }


def assess_log(
    log: Log,
    thresholds: Thresholds | None = None,
    *,
    loss: str | None = None,
    steps_per_epoch: float | None = None,
) -> Assessment:
    """Assess what was read of one run.

    Args:
        log: the run; of its metric, if higher values are better, the reciprocal is judged.
        thresholds: what the verdict goes by.
        loss: one of `LOSSES`; None or `auto`: what is known of this kind of log, else the numbers.
        steps_per_epoch: the length of an epoch where the log does not tell it.

    Raises ValueError for a loss that there is not, or steps that do not increase.
    """
    if loss is not None and loss not in LOSSES:
        raise ValueError(f"unknown loss {loss}; there are {', '.join(LOSSES)}")
    length = steps_per_epoch or log.steps_per_epoch
    if length is not None and length < 1:  # in kimg an epoch may be less than a step
        length = None
    log = judged_log(log)
    metric, notes = log.metric, list(log.notes)
    evaluations = _evaluations(log, length)
    if evaluations is not None and len(first := _first_of_repeats(evaluations)) < len(
        evaluations["step"]
    ):
        evaluations = {name: values[first] for name, values in evaluations.items()}
        notes.append(f"measures repeat from row to row: {len(first):,} evaluations")
    pairs: dict[str, Verdict] = {}
    given: Mapping[str, Columns | None] = log.pairs or {"": None}
    for label, columns in given.items():
        family, source, words = _family(loss, log.loss, columns)
        if words and words not in notes:
            notes.append(words)
        verdict = assess(
            columns,
            evaluations,
            thresholds,
            steps_per_epoch=length,
            loss=family,
            loss_source=source,
            unit=log.unit,
            metric=metric or "fd",
        )
        pairs[label] = _with_epochs_of_rows(verdict, log)
    worst = min(pairs, key=lambda label: severity(pairs[label]))
    seen = replace(log, metric=metric, notes=tuple(notes), steps_per_epoch=length)
    return Assessment(seen, worst, pairs[worst], pairs)


def judged_log(log: Log) -> Log:
    """The log with the measure that is judged: a reciprocal, where the one that counts is better
    the higher it is."""
    if log.metric is None or (name := judged_name(log.metric)) == log.metric:
        return log
    values = log.evaluations[log.metric]
    judged = np.ma.array([reciprocal(float(v)) for v in values.data], mask=values.mask)
    evaluations = log.evaluations | {name: judged}
    note = f"higher values of {log.metric} are better: judged by {name}"
    return replace(log, evaluations=evaluations, metric=name, notes=(*log.notes, note))


def severity(verdict: Verdict) -> tuple[int, float]:
    """Lowest for the worst: by status, then by where it went wrong."""
    onset = np.inf if verdict.onset_step is None else verdict.onset_step
    return _BY_WEIGHT.index(verdict.status), onset


def _evaluations(log: Log, length: float | None) -> Columns | None:
    """The measures, and epochs where steps or rows tell."""
    if not log.evaluations:
        return None
    evaluations = dict(log.evaluations)
    if log.unit == "epoch":
        evaluations.setdefault("epoch", evaluations["step"])
    elif length is not None and log.epochs:
        evaluations.setdefault("epoch", _epochs_at(evaluations["step"], log.epochs, length))
    return evaluations


def _epochs_at(steps: Column, rows: Columns, length: float) -> Column:
    """The epochs that `steps` [n] lie in or end, numbered as those of `rows` are."""

    def from_zero(steps: Column) -> Column:
        return np.ma.MaskedArray(np.maximum(np.ceil(steps / length), 1) - 1)

    first = np.floor(np.median((rows["epoch"] - from_zero(rows["step"])).compressed()))
    return np.ma.MaskedArray(from_zero(steps) + first)


def _with_epochs_of_rows(verdict: Verdict, log: Log) -> Verdict:
    """The verdict with the log's own epoch of a step at which losses told, and no evaluation.

    Where evaluations have epochs of their own, those count: losses may then have none.
    """
    step, rows, evaluated = verdict.onset_step, log.epochs, log.evaluations
    if step is None or not rows or step < rows["step"][0]:
        return verdict
    if "epoch" in evaluated or step in evaluated.get("step", ()):
        return verdict
    place = int(np.searchsorted(rows["step"].data, step, side="right")) - 1
    epoch = float(rows["epoch"][place])
    return replace(verdict, onset_epoch=int(epoch) if epoch == int(epoch) else epoch)


def _first_of_repeats(evaluations: Columns) -> NDArray[np.intp]:
    """The rows [k] of evaluations that are not the row before once more.

    Data frames are filled so that every row holds the latest evaluation, so often each. Of few
    rows that repeat otherwise, or where not nearly all do, each counts: a G that stands still
    measures the same again and again.
    """
    count = len(evaluations["step"])
    new = np.zeros(count - 1, dtype=np.bool_)
    for name, values in evaluations.items():
        if name not in ("step", "epoch"):
            plain = np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan)
            same = (plain[1:] == plain[:-1]) | (np.isnan(plain[1:]) & np.isnan(plain[:-1]))
            new |= ~same
    first = np.flatnonzero(np.append(True, new))
    lengths = np.diff(np.append(first, count))
    filled = len(first) > 1 and lengths[0] > 1 and bool(np.all(lengths[:-1] == lengths[0]))
    if filled and lengths[-1] <= lengths[0]:
        return first
    if count <= _MANY:
        return np.arange(count)
    return first if 10 * len(first) < count else np.arange(count)


def _family(
    given: str | None, known: str | None, columns: Columns | None
) -> tuple[str | None, str, str]:
    """The family for the monitor, how it is known, and what had to be decided in words."""
    if given is None or given == "auto":
        return known, "known", ""
    if given not in ("bce", "lsgan"):
        return given, "given", ""
    if known is not None and known.startswith(given):
        return known, "given", ""
    total, why = _is_a_sum(given, columns)
    which = "the sum" if total else "the mean"
    words = f"--loss {given}: D's loss is taken for {which} of its two halves, {why}"
    return f"{given}_{'sum' if total else 'mean'}", "given", words


def _is_a_sum(given: str, columns: Columns | None) -> tuple[bool, str]:
    """Whether D's loss is the sum of its halves, and why.

    Its answers tell: the cross-entropy of an answer is known. Else its level does: a mean is never
    much above chance for long, and where it is, that is a sum; a sum of a good D may be as low as
    a mean, but not from the start on, where D can tell nothing.
    """
    chance = CHANCE[f"{given}_mean"]
    assert chance is not None
    if columns is None or "d_loss" not in columns:
        return True, "as is usual; the log has no loss of D"
    loss = np.ma.filled(np.ma.masked_invalid(columns["d_loss"]), np.nan)
    if given == "bce" and "d_real" in columns and "d_fake" in columns:
        real, fake = (np.ma.filled(columns[n].astype(float), np.nan) for n in ("d_real", "d_fake"))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = loss / -(np.log(real) + np.log1p(-fake))
        ratios = ratios[np.isfinite(ratios) & (ratios > 0)]
        if len(ratios):
            ratio = float(np.median(ratios))
            return ratio > 0.9, f"{ratio:.2f} times what its answers cost"
    highest = _highest(loss)
    if highest > _ABOVE_A_MEAN * chance:
        return True, f"as it reaches {highest:.3g}, where a mean is {chance:.3g} at chance"
    return False, f"as it is never above {highest:.3g}, and {chance:.3g} at chance"


def _highest(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """The highest median of the stretches of [n] values; 0 where there are none."""
    known = values[np.isfinite(values)]
    stretches = np.array_split(known, max(min(_STRETCHES, len(known) // 5), 1))
    return max((float(np.median(part)) for part in stretches if len(part)), default=0.0)
