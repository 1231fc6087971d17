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


def measures_of(gathered: Gathered, metric: str | None) -> dict[str, Track]:
    """The columns of evaluations, by the name that the log or the verdict has for them."""
    tracks: dict[str, Track] = {}
    for name in all_names(gathered):
        meaning = role(name)
        known = meaning.kind == "measure" or name == metric
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


def _beside_measures(gathered: Gathered, name: str) -> bool:
    """Whether an unknown column stands in a table of evaluations alone."""
    if name.startswith("#") or name.endswith("/of") or checkpoint_unit(name) is not None:
        return False
    for table in gathered.tables:
        if name not in table.columns or table.layout in ("text", "TensorBoard", "MLflow"):
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
        for key, track in measures.items():
            if asked in (key, track.name):
                return key
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
    return None
