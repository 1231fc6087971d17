"""The losses and outputs of D and G among the columns, pair by pair."""

import re
import shlex
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from ganverdict.formats.errors import ReadError
from ganverdict.formats.names import HELD_OUT, Role, is_adversarial, role, whole_pairs
from ganverdict.formats.tracks import (
    Gathered,
    Track,
    all_names,
    equal,
    layout_rank,
    shown_name,
    track_of,
)
from ganverdict.naming import name_words
from ganverdict.signals import SIGNALS

_MANY_TIMES = 5
_TELLING = 16  # outputs of D
_UNSURE = 0.5  # what D answers that knows nothing
_LISTED = 6  # names in a note
_SEVERAL = "; choose one with --map {0}=NAME"

Pairs = dict[str, dict[str, Track]]  # by label


Candidates = dict[tuple[str, str], list[tuple[str, Role]]]  # by label and signal


def signals_of(gathered: Gathered) -> Pairs:
    """For each pair its signals."""
    found = _candidates(gathered)
    strong_names = {s for (_, s), c in found.items() for _, meaning in c if not meaning.weak}
    for side in ("d_loss", "g_loss"):
        halves = side == "d_loss" and {"half d_real", "half d_fake"} <= strong_names
        strong = side in strong_names or halves
        for key in [k for k in found if k[1] == side and strong]:
            found[key] = [c for c in found[key] if not c[1].weak]
            if not found[key]:
                del found[key]
    tied = {key: best for key, c in found.items() if (best := _best(gathered, c))}
    for label in dict.fromkeys(label for label, _ in tied):
        _take_one_pair(gathered, tied, label)
    tracks: Pairs = {}
    for (label, signal), best in tied.items():
        if _differ(best) and not signal.startswith("half"):
            raise ReadError(_may_each_be(gathered, signal, best))
        tracks.setdefault(label, {})[signal] = best[0]
    return _paired(gathered, tracks)


def _candidates(gathered: Gathered) -> Candidates:
    """The columns that may be a signal or half of D's loss."""
    found: Candidates = {}
    for name, meaning in meanings(all_names(gathered)).items():
        if meaning.kind == "signal":
            found.setdefault((meaning.label, meaning.name), []).append((name, meaning))
        elif meaning.kind == "half":
            key = (meaning.label, f"half {meaning.name}")
            found.setdefault(key, []).append((name, meaning))
    if found and "g_loss" not in {signal for _, signal in found}:
        others = [name for name in all_names(gathered) if is_adversarial(name)]
        if others:
            found["", "g_loss"] = [(name, Role("signal", "g_loss")) for name in others]
    return found


def meanings(names: list[str]) -> dict[str, Role]:
    """What names mean, some of them only by what is beside them.

    In pix2pix's family, where G's adversarial loss is called `G_GAN` (SPADE: `GAN`), `D_real` and
    `D_fake` (SPADE: `D_Fake`) are the halves of D's loss, not D's outputs.
    """
    meanings = {name: role(name) for name in names}
    trained = {name: _last_part(name) for name in names if HELD_OUT.isdisjoint(name_words(name))}
    there = {*trained.values()}
    if "G_GAN" not in there and not {"GAN", "D_Fake"} <= there:
        return meanings
    for name, last in trained.items():
        if last in ("D_real", "D_fake", "D_Fake"):
            meanings[name] = Role("half", last.lower())
        elif last == "GAN":
            meanings[name] = Role("signal", "g_loss")
    return meanings


def _best(gathered: Gathered, candidates: list[tuple[str, Role]]) -> list[Track]:
    """The plainest name's column, of the best layout, and those of the same rank."""
    ranked = [
        ((meaning.rank, layout_rank(gathered.tables[track.tables[0]])), track)
        for name, meaning in candidates
        if (track := track_of(gathered, name, meaning)) is not None
    ]
    if not ranked:
        return []
    ranked.sort(key=lambda pair: (pair[0], -len(pair[1])))
    first_rank, first = ranked[0]
    rivals = [
        track
        for rank, track in ranked[1:]
        if rank == first_rank
        # Beside a row an iteration one of an epoch's means.
        and len(track) * _MANY_TIMES > len(first)
        # Each file may call it its own way.
        and not set(first.tables).isdisjoint(track.tables)
    ]
    return [first, *rivals]


def _take_one_pair(
    gathered: Gathered, tied: dict[tuple[str, str], list[Track]], label: str
) -> None:
    """Of several whole pairs of names for the same D and G the first, since each tells of both.

    Keras 3 prints what a step returns, as `d_loss` and `g_loss`, and then its metrics, as
    `discriminator_loss` and `generator_loss`.
    """
    of_d, of_g = (tied.get((label, side), []) for side in ("d_loss", "g_loss"))
    if not _differ(of_d) and not _differ(of_g):
        return
    pairs = whole_pairs([track.name for track in of_d], [track.name for track in of_g])
    if not pairs:
        return
    taken = next(pair for pair in pairs if pair[0] == of_d[0].name)
    tied[label, "d_loss"] = of_d[:1]
    tied[label, "g_loss"] = [track for track in of_g if track.name == taken[1]]
    other = next(pair for pair in pairs if pair is not taken)
    ours, others = ([shown_name(name) for name in pair] for pair in (taken, other))
    options = (shlex.quote(f"{side}_loss={name}") for side, name in zip("dg", others, strict=True))
    gathered.notes.append(
        f"{' and '.join(ours)} are taken, {' and '.join(others)} are another pair: choose it with"
        f" {' '.join(f'--map {option}' for option in options)}"
    )


def _differ(tracks: list[Track]) -> bool:
    return any(not equal(tracks[0], track) for track in tracks[1:])


def _may_each_be(gathered: Gathered, signal: str, tracks: list[Track]) -> str:
    listed = ", ".join(shown_name(track.name) for track in tracks)
    file = gathered.tables[tracks[0].tables[0]].file
    return f"{file}: {listed} may each be {signal}" + _SEVERAL.format(signal)


def _paired(gathered: Gathered, tracks: Pairs) -> Pairs:
    """Pairs of D and G: the plain one, or one for each label."""
    for label, own in tracks.items():
        _join_halves(gathered, label, own)
    plain = tracks.pop("", {})
    with_d = [label for label, own in tracks.items() if "d_loss" in own]
    with_g = [label for label, own in tracks.items() if "g_loss" in own]
    several_g = len(with_g) > 1 and "g_loss" not in plain
    if "d_loss" in plain or (len(with_d) <= 1 and not several_g):
        pairs = {"": _plain_pair(plain, tracks, with_d, with_g)}
    else:
        pairs = {
            _label(own, label): own
            for label in with_d or with_g
            if (own := _labelled_pair(label, plain, tracks, with_g))
        }
    for own in pairs.values():
        _losses_or_probabilities(gathered, own)
        _scores_or_probabilities(gathered, own)
    known = [
        (label, {s: t for s, t in own.items() if s in SIGNALS}) for label, own in pairs.items()
    ]
    for ours, other in (("d_loss", "g_loss"), ("g_loss", "d_loss")):
        if any(other in own and ours not in own for _, own in known):
            gathered.notes.append(_missing(gathered, ours))
    unused = _unused_losses(gathered)
    if not any(own for _, own in known) and len(unused) > 1:
        listed = ", ".join(unused[:_LISTED])
        words = f"whose losses {listed} are is not told: --map d_loss=NAME --map g_loss=NAME"
        gathered.notes.append(words)
    return {label: own for label, own in known if own}


def _plain_pair(
    plain: dict[str, Track], tracks: Pairs, with_d: list[str], with_g: list[str]
) -> dict[str, Track]:
    """The one pair, whose losses may have a label that the other has not."""
    pair = dict(plain)
    if "d_loss" not in pair and len(with_d) == 1:
        pair = {**tracks[with_d[0]], **pair}
    if "g_loss" not in pair and len(with_g) == 1:
        pair["g_loss"] = tracks[with_g[0]]["g_loss"]
    return pair


def _labelled_pair(
    label: str, plain: dict[str, Track], tracks: Pairs, with_g: list[str]
) -> dict[str, Track]:
    """A labelled D with the G of the same label, of one that ends with it (`a2b`), or of all."""
    pair = dict(tracks[label])
    if "g_loss" not in pair:
        fitting = [other for other in with_g if other.endswith(label)]
        if len(fitting) == 1:
            pair["g_loss"] = tracks[fitting[0]]["g_loss"]
        elif "g_loss" in plain:
            pair["g_loss"] = plain["g_loss"]
    return pair


def _label(own: dict[str, Track], label: str) -> str:
    """A label as the log writes it: `A` of `D_A`."""
    track = own.get("d_loss") or own.get("g_loss")
    if track is not None:
        match = re.search(rf"(?i)(?<![a-z]){re.escape(label)}(?![a-z0-9])", track.name)
        if match:
            return match[0]
    return label


def _join_halves(gathered: Gathered, label: str, own: dict[str, Track]) -> None:
    """D's loss from its halves on real and on generated images."""
    real, fake = own.pop("half d_real", None), own.pop("half d_fake", None)
    if "d_loss" in own or real is None or fake is None:
        return
    steps, at_real, at_fake = np.intersect1d(real.steps, fake.steps, return_indices=True)
    if real.unit != fake.unit or not len(steps):
        return
    if len(real.steps) == len(fake.steps) and np.array_equal(real.steps, fake.steps):
        at_real = at_fake = np.arange(len(real.steps))
    mean = takes_the_mean(real.name, {name for t in gathered.tables for name in t.columns})
    total = real.values[at_real] + fake.values[at_fake]
    order = np.argsort(at_real)
    track = real.cut(np.isin(np.arange(len(real.steps)), at_real))
    own["d_loss"] = replace(
        track,
        name=f"{real.name} and {fake.name}",
        meaning=Role("signal", "d_loss", label),
        values=(total / 2 if mean else total)[order],
    )
    how = "mean" if mean else "sum"
    gathered.notes.append(
        f"D's loss is the {how} of {shown_name(real.name)} and {shown_name(fake.name)}"
    )


def takes_the_mean(real: str, names: Iterable[str]) -> bool:
    """Whether D's loss is the mean of its halves, of which `real` is one, among other `names`.

    pix2pix and the book that prints d1 and d2 take the mean; others update D by the sum.
    """
    return real in ("d1", "c1") or "G_GAN" in map(_last_part, names)


def _last_part(name: str) -> str:
    """A name without the folders that a tracker puts before it: `train/G_GAN`."""
    return name.rpartition("/")[2]


def _missing(gathered: Gathered, ours: str) -> str:
    """That a loss was not found, and what else there is."""
    unused = _unused_losses(gathered)
    listed = f" (not used: {', '.join(unused[:_LISTED])})" if unused else ""
    return f"no loss of {ours[0].upper()} was found{listed}: name it with --map {ours}=NAME"


def _unused_losses(gathered: Gathered) -> list[str]:
    """The columns that are some loss, and whose is not known."""
    return [
        shown_name(name)
        for name in all_names(gathered)
        if "loss" in name.lower() and role(name).kind == "unknown" and not name.endswith("/of")
    ]


def _losses_or_probabilities(gathered: Gathered, own: dict[str, Track]) -> None:
    """`d_real` and `d_fake` are D's losses where no other is, and as answers they would be wrong.

    A D that learns gives real images more than 1/2; what it pays for them may be anything from 0.
    """
    real, fake = own.get("d_real"), own.get("d_fake")
    if "d_loss" in own or "g_loss" not in own or real is None or fake is None:
        return
    named = [name_words(track.name) for track in (real, fake)] == [("d", "real"), ("d", "fake")]
    known = np.concatenate([track.values[np.isfinite(track.values)] for track in (real, fake)])
    answers = real.values[np.isfinite(real.values)]
    if not named or len(known) < _TELLING or np.any(known < 0) or np.median(answers) >= _UNSURE:
        return
    own["half d_real"], own["half d_fake"] = own.pop("d_real"), own.pop("d_fake")
    _join_halves(gathered, real.meaning.label, own)


def _scores_or_probabilities(gathered: Gathered, own: dict[str, Track]) -> None:
    """Means of D's outputs outside [0, 1] are scores, not probabilities; all inside, these are."""
    scores = [own[s] for s in ("d_score_real", "d_score_fake") if s in own]
    if len(scores) == 2 and not {"d_real", "d_fake"} & own.keys():
        known = np.concatenate([track.values[np.isfinite(track.values)] for track in scores])
        named = any({"logit", "logits", "loss"} & {*name_words(track.name)} for track in scores)
        if not named and len(known) >= _TELLING and np.all((known >= 0) & (known <= 1)):
            own["d_real"], own["d_fake"] = own.pop("d_score_real"), own.pop("d_score_fake")
            names = " and ".join(shown_name(track.name) for track in scores)
            gathered.notes.append(f"{names} are within [0, 1]: taken for probabilities")
            return
    outputs = [own[s] for s in ("d_real", "d_fake") if s in own]
    outside = [
        t
        for t in outputs
        if np.any((t.values < -1e-6) | (t.values > 1 + 1e-6), where=np.isfinite(t.values))
    ]
    if not outside:
        return
    names = " and ".join(shown_name(t.name) for t in outputs)
    gathered.notes.append(f"{names} are outside [0, 1]: D's scores, not probabilities")
    for side in ("real", "fake"):
        if f"d_{side}" in own:
            track = own.pop(f"d_{side}")
            own.setdefault(f"d_score_{side}", track)
