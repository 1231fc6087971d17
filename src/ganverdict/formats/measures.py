"""The measures of evaluations among the columns, and the one that counts."""

from ganverdict.formats.errors import ReadError
from ganverdict.formats.names import checkpoint_unit, role
from ganverdict.formats.tracks import (
    Gathered,
    Track,
    all_names,
    equal,
    layout_rank,
    shown_name,
    track_of,
)
from ganverdict.metrics import metric_rank
from ganverdict.naming import name_words, word_set

_NO_TABLES = ("text", "TensorBoard", "MLflow")
_FEW = 3  # columns, so many that a note of them helps
_NO_MEASURE = word_set(
    "loss losses lr rate penalty gp grad norm acc accuracy size memory id run name"
)


def measures_of(gathered: Gathered, metric: str | None) -> dict[str, Track]:
    """The columns of evaluations, by the name that the log or the verdict has for them."""
    tracks: dict[str, Track] = {}
    for name in all_names(gathered):
        meaning = role(name)
        asked = metric is not None and _alike(name, metric) and meaning.kind != "step"
        known = meaning.kind == "measure" or asked
        if not known and not (meaning.kind == "unknown" and _beside_measures(gathered, name)):
            continue
        track = track_of(gathered, name, meaning)
        if track is None:
            continue
        key = meaning.name or name
        if key in tracks and key != name:
            key = name
        if key not in tracks:
            tracks[key] = track
    return tracks


def _alike(name: str, other: str) -> bool:
    """Whether two names are the same but for capitals and what parts their words."""
    return name == other or (name_words(name) == name_words(other) != ())


def _beside_measures(gathered: Gathered, name: str) -> bool:
    """Whether an unknown column stands in a table of evaluations alone."""
    if name.startswith("#") or name.endswith("/of") or checkpoint_unit(name) is not None:
        return False
    for table in gathered.tables:
        if name not in table.columns or table.layout in _NO_TABLES:
            continue
        kinds = {role(other).kind for other in table.columns}
        if "measure" in kinds and not kinds & {"signal", "half"}:
            return True
    return False


def metric_of(
    gathered: Gathered, measures: dict[str, Track], asked: str | None, name: str
) -> str | None:
    """The measure that counts."""
    if asked is not None:
        names = {name: key for key, track in measures.items() for name in (track.name, key)}
        if asked in names:
            return names[asked]
        alike = {key for name, key in names.items() if _alike(name, asked)}
        if len(alike) == 1:
            return alike.pop()
        listed = ", ".join(map(shown_name, measures)) or "none"
        raise ReadError(f"{name}: no measure {shown_name(asked)!r}; there are {listed}")
    ranked = [
        ((rank, layout_rank(gathered.tables[track.tables[0]])), key)
        for key, track in measures.items()
        if (rank := metric_rank(track.name))
    ]
    ranked.sort(key=lambda pair: pair[0])
    best = [key for rank, key in ranked if rank == ranked[0][0]]
    different = [key for key in best[1:] if not equal(measures[best[0]], measures[key])]
    if different:
        listed = ", ".join(map(shown_name, [best[0], *different]))
        raise ReadError(f"{name}: {listed} may each be the measure; choose one with --metric NAME")
    if best:
        return best[0]
    if others := [key for key, track in measures.items() if role(track.name).kind == "measure"]:
        listed = ", ".join(map(shown_name, others))
        gathered.notes.append(f"the verdict goes by {listed} only where --metric names it")
    elif 0 < len(unused := _unused(gathered)) <= _FEW:
        listed = ", ".join(map(shown_name, unused))
        gathered.notes.append(f"not used: {listed}; name what measures samples with --metric")
    return None


def _unused(gathered: Gathered) -> list[str]:
    """The columns that may be measures of samples: of names that tell nothing."""
    tables = [table for table in gathered.tables if table.layout not in _NO_TABLES]
    return [
        name
        for name in all_names(gathered)
        if may_measure(name) and any(name in table.columns for table in tables)
    ]


def may_measure(name: str) -> bool:
    """Whether a name that tells nothing may be of a measure of samples."""
    return (
        role(name).kind == "unknown"
        and not name.startswith("#")
        and not name.endswith("/of")
        and checkpoint_unit(name) is None
        and _NO_MEASURE.isdisjoint(name_words(name))
    )
