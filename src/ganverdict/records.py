"""What a record of a training loop says, whatever its names."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ganverdict.evaluations import MEASURES
from ganverdict.formats.columns import means_the_same
from ganverdict.formats.measures import may_measure
from ganverdict.formats.names import Role, role, whole_pairs
from ganverdict.formats.signals import meanings, takes_the_mean
from ganverdict.metrics import metric_rank

_LOGGER = logging.getLogger("ganverdict")
_UNKNOWN = Role("unknown")
_REAL, _FAKE = "half d_real", "half d_fake"

Candidate = tuple[Role, str]  # what a name means, and the name


class Said(NamedTuple):
    """A record by our names: its steps by what they count, signals and measures that go with them,
    and the measures of an evaluation."""

    steps: dict[str, float]
    row: dict[str, float]
    measures: dict[str, float]


class Names:
    """What names mean where some are given: ours -> the loop's; `metric` by either's name.

    Attributes:
        metric: the measure that was asked for, by our name.
        are_scores: whether what was given as D's probabilities were none.
    """

    def __init__(self, names: Mapping[str, str], metric: str | None) -> None:
        self._ours = {theirs: ours for ours, theirs in names.items()}
        self.metric = None if metric is None else _measure(self._ours.get(metric, metric))
        self.are_scores = False
        self._plain: set[str] = set()  # the signals that have had a name without a label
        self._left_out: set[str] = set()
        self._labels: dict[str, str] = {}  # of the other signals, as they came first

    def is_signal(self, name: str) -> bool:
        """Whether it belongs to an iteration."""
        return self._role(name).kind in ("signal", "half")

    def is_evaluated(self, name: str) -> bool:
        """Whether it makes a record an evaluation."""
        meaning = self._role(name)
        return meaning.kind == "measure" and self.tells(meaning.name)

    def tells(self, measure: str) -> bool:
        """Whether a measure, by our name, can count or confirm: else it is one more of a row."""
        return measure == self.metric or measure in MEASURES or metric_rank(measure) is not None

    def said(self, record: Mapping[str, Any]) -> Said:
        """What a record says. Raises ValueError where that has two meanings or is no number."""
        steps: dict[str, float] = {}
        measures: dict[str, float] = {}
        candidates: dict[str, list[Candidate]] = {}
        meant = meanings(list(record))
        for name, value in record.items():
            if value is None:
                continue
            meaning = self._role(name, meant[name])
            if meaning.kind == "step":
                if meaning.name == "image" and not _is_number(value):
                    continue  # `img` is a picture
                steps.setdefault(meaning.name, _number(name, value))
            elif meaning.kind == "measure":
                measures[meaning.name] = _number(name, value)
            elif meaning.kind in ("signal", "half"):
                ours = meaning.name if meaning.kind == "signal" else f"half {meaning.name}"
                candidates.setdefault(ours, []).append((meaning, name))
            elif name not in self._left_out:
                self._leave_out(name, value)
        _leave_one_pair(candidates)
        row = self._scored(self._signals(record, candidates))
        if any(map(self.tells, measures)):
            return Said(steps, row, measures)
        return Said(steps, row | measures, {})

    def _leave_out(self, name: str, value: Any) -> None:
        """Say once that a name means nothing, where it may be of the measure that counts."""
        self._left_out.add(name)
        if name not in self._ours and may_measure(name) and _is_number(value):
            _LOGGER.warning(
                "%r is not known and left out; if it tells how good samples are: metric=%r",
                name,
                name,
            )

    def _role(self, name: str, meant: Role | None = None) -> Role:
        """What a name means, which is `meant` beside others, unless it was given."""
        meaning, ours = meant or role(name), self._ours.get(name)
        if ours is None:
            ours = name
            for other in self._ours.values():
                if means_the_same(meaning, role(other), _measure(name), other):
                    return _UNKNOWN
        else:
            meaning = role(ours)
        measure = _measure(ours)
        if meaning.kind == "measure" or measure == self.metric:
            return Role("measure", measure)
        return meaning

    def _signals(
        self, record: Mapping[str, Any], candidates: Mapping[str, list[Candidate]]
    ) -> dict[str, float]:
        chosen: dict[str, Candidate] = {}
        for ours in sorted(candidates):  # D's loss before its halves and before G's loss
            if (found := self._chosen(ours, candidates[ours])) is not None:
                chosen[ours] = found
        values = {ours: _number(name, record[name]) for ours, (_, name) in chosen.items()}
        real, fake = values.pop(_REAL, None), values.pop(_FAKE, None)
        if real is not None and fake is not None:
            halves, whole = (chosen[_REAL], chosen[_FAKE]), chosen.get("d_loss")
            weak = any(meaning.weak for meaning, _ in halves)
            if whole is None or whole[0].label or (whole[0].weak and not weak):
                mean = takes_the_mean(chosen[_REAL][1], record)
                values["d_loss"] = (real + fake) / 2 if mean else real + fake
        return values

    def _chosen(self, ours: str, candidates: Sequence[Candidate]) -> Candidate | None:
        """The name for a signal: the plain one, or else that of the one pair that there is."""
        if plain := [one for one in candidates if not one[0].label]:
            self._plain.add(ours)
            return _plainest(ours, plain)
        if ours in self._plain or (ours in (_REAL, _FAKE) and "d_loss" in self._plain):
            return None
        labels = {meaning.label for meaning, _ in candidates}
        if len(labels) == 1 and self._labels.setdefault(ours, *labels) in labels:
            return _plainest(ours, candidates)
        if self._ours or "d_loss" in self._plain:
            return None
        raise ValueError(
            f"{candidates[-1][1]!r} belongs to one of several pairs of D and G; say which to "
            "watch: names={'d_loss': 'loss_D_A', 'g_loss': 'loss_G_A'}, say"
        )

    def _scored(self, signals: dict[str, float]) -> dict[str, float]:
        """D's answers, which are scores from where on one of them is no probability."""
        for side in ("real", "fake"):
            value = signals.get(f"d_{side}", 0.0)
            self.are_scores |= value < 0 or value > 1
        for side in ("real", "fake"):
            if self.are_scores and f"d_{side}" in signals:
                signals[f"d_score_{side}"] = signals.pop(f"d_{side}")
        return signals


def _measure(name: str) -> str:
    """A measure by our name, where we have one for it."""
    meaning = role(name)
    return meaning.name if meaning.kind == "measure" and meaning.name else name


def _leave_one_pair(candidates: dict[str, list[Candidate]]) -> None:
    """Of several whole pairs of names for the same D and G leave the first: each tells of both."""
    tied = {}
    for side in ("d_loss", "g_loss"):
        there = candidates.get(side, [])
        best = min((_rank(meaning) for meaning, _ in there), default=0)
        tied[side] = [one for one in there if _rank(one[0]) == best]
    of_d, of_g = ([name for _, name in ones] for ones in tied.values())
    for d_name, g_name in whole_pairs(of_d, of_g):
        if d_name == of_d[0]:
            candidates["d_loss"] = tied["d_loss"][:1]
            candidates["g_loss"] = [one for one in tied["g_loss"] if one[1] == g_name]


def _plainest(ours: str, candidates: Sequence[Candidate]) -> Candidate:
    """The plainest of the names that mean one signal."""
    ranked = sorted(candidates, key=lambda one: _rank(one[0]))
    first = ranked[0]
    if len(ranked) > 1 and _rank(ranked[1][0]) == _rank(first[0]):
        raise ValueError(
            f"{first[1]!r} and {ranked[1][1]!r} may each be {ours}; say which: "
            f"names={{{ours!r}: {first[1]!r}}}"
        )
    return first


def _rank(meaning: Role) -> int:
    return meaning.rank + 1000 * meaning.weak


def _is_number(value: Any) -> bool:
    try:
        _number("", value)
    except ValueError:
        return False
    return True


def _number(name: str, value: Any) -> float:
    try:
        return float(value.item() if hasattr(value, "item") else value)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{name}: {type(value).__name__} is not one number") from None
