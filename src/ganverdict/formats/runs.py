"""Cuts what was gathered where a run starts anew, and makes a log of each run."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from ganverdict.formats.errors import ReadError
from ganverdict.formats.steps import Align, mended, restarts
from ganverdict.formats.table import Floats
from ganverdict.formats.tracks import Gathered, Track, shown_name
from ganverdict.log import Column, Columns, Log
from ganverdict.signals import SIGNALS

Signals = dict[str, dict[str, Track]]
Measures = dict[str, Track]


@dataclass(frozen=True)
class Found:
    """What was found in the tables of one run, or of several in the same files."""

    name: str
    kind: str
    loss: str | None
    gathered: Gathered
    signals: Signals
    measures: Measures
    metric: str | None

    def tracks(self) -> list[Track]:
        """All of them."""
        own = [track for pair in self.signals.values() for track in pair.values()]
        return own + list(self.measures.values())


def runs_of(found: Found) -> list[Log]:
    """Cut what was found where a run starts anew, and build a log of each."""
    main = _main_track(found)
    places = _starts(main, found.gathered)
    if not places:
        files = tuple(dict.fromkeys(table.file for table in found.gathered.tables))
        return [_log(found, files)]
    bounds = [0, *(int(main.rows[place]) for place in places), np.iinfo(np.int64).max]
    logs = []
    for number, part in enumerate(_cut(found, main, bounds), 1):
        title, files = _title(part, number, len(places) + 1)
        logs.append(_log(replace(part, name=title), files))
    return logs


def _starts(track: Track, gathered: Gathered) -> list[int]:
    """The rows of a track where a run starts anew."""
    begins = np.searchsorted(track.rows, gathered.offsets)
    return restarts(track.steps, {*begins.tolist()})


def _main_track(found: Found) -> Track:
    """The track by which runs are told apart: the loss of D, or else what there is."""
    for signal in SIGNALS:
        for own in found.signals.values():
            if signal in own:
                return own[signal]
    if found.metric is not None:
        return found.measures[found.metric]
    return next(iter(found.measures.values()))


def _cut(found: Found, main: Track, bounds: list[int]) -> list[Found]:
    """The tracks of each run."""
    signals: list[Signals] = [{label: {} for label in found.signals} for _ in bounds[1:]]
    measures: list[Measures] = [{} for _ in bounds[1:]]
    for label, own in found.signals.items():
        for signal, track in own.items():
            for pairs, piece in zip(
                signals, _pieces(track, main, bounds, found.gathered), strict=True
            ):
                if len(piece):
                    pairs[label][signal] = piece
    for key in found.measures:
        for part, piece in zip(measures, _measured(found, key, main, bounds), strict=True):
            if len(piece):
                part[key] = piece
    return [
        replace(found, signals=own, measures=part)
        for own, part in zip(signals, measures, strict=True)
    ]


def _measured(found: Found, key: str, main: Track, bounds: list[int]) -> list[Track]:
    """A measure cut into runs; one that is in a file of its own must be told which it is of."""
    track = found.measures[key]
    runs = len(bounds) - 1
    if (
        not set(track.tables).isdisjoint(main.tables)
        or len(_starts(track, found.gathered)) + 1 == runs
    ):
        return _pieces(track, main, bounds, found.gathered)
    if len(main.tables) > 1:
        raise ReadError(
            f"{found.name}: {runs} runs, but one series of {shown_name(key)}; give the files of"
            " one run"
        )
    found.gathered.notes.append(f"{shown_name(key)} is taken for the last run's")
    none = track.cut(np.zeros(len(track), bool))
    return [none] * (runs - 1) + [track]


def _pieces(track: Track, main: Track, bounds: list[int], gathered: Gathered) -> list[Track]:
    """A track cut at the rows where runs begin, or at its own starts where it is elsewhere."""
    starts = _starts(track, gathered)
    if set(track.tables).isdisjoint(main.tables) and len(starts) + 2 == len(bounds):
        index = np.arange(len(track))
        edges = [0, *starts, len(track)]
        return [track.cut((index >= a) & (index < b)) for a, b in pairwise(edges)]
    return [track.cut((track.rows >= a) & (track.rows < b)) for a, b in pairwise(bounds)]


def _title(part: Found, number: int, runs: int) -> tuple[str, tuple[str, ...]]:
    """How a run is called, and the files it was in."""
    tables = part.gathered.tables
    all_files = tuple(dict.fromkeys(table.file for table in tables))
    inside = {
        tables[index].file for track in part.tracks() for index in _tables_of(track, part.gathered)
    }
    files = tuple(file for file in all_files if file in inside)
    if len(files) == 1 and len(all_files) >= runs:
        return files[0], files
    return (part.name if number == 1 else f"{part.name}#{number}"), files or all_files


def _tables_of(track: Track, gathered: Gathered) -> set[int]:
    """The tables in which a track's rows are."""
    edges = np.array(gathered.offsets)
    places = np.searchsorted(edges, track.rows, side="right") - 1
    return {int(place) for place in np.unique(places)}


def _log(found: Found, files: tuple[str, ...]) -> Log:
    """One run's log: its steps mended, its evaluations in the unit of its losses."""
    gathered, metric = found.gathered, found.metric
    notes = _read_notes(found, files)
    pairs: dict[str, Columns] = {}
    unit, per_epoch = "", None
    epochs: Columns = {}
    for label, own in found.signals.items():
        tracks = _one_unit(own, notes)
        if tracks:
            first = next(iter(tracks.values()))
            unit = unit or first.unit
            per_epoch = per_epoch or _per_epoch(gathered, first)
            pairs[label] = _columns(gathered, tracks, notes)
            epochs = epochs or _epochs_of_rows(_mended(gathered, first, []))
    evaluations: Columns = {}
    if found.measures:
        align = Align(unit, _last_step(pairs), _first_step(pairs), per_epoch)
        evaluations = _evaluations(gathered, _one_unit(found.measures, notes), align, notes)
        unit, per_epoch = align.unit, align.per_epoch
    return Log(
        found.name,
        found.kind,
        unit,
        pairs,
        evaluations,
        metric if metric in evaluations else None,
        per_epoch,
        found.loss,
        tuple(dict.fromkeys(notes)),
        files,
        epochs,
    )


def _epochs_of_rows(track: Track) -> Columns:
    """The epochs of a track's rows, where they are known and are not its steps."""
    if track.epochs is None or track.unit == "epoch":
        return {}
    known = np.isfinite(track.epochs)
    if not known.any():
        return {}
    steps, epochs = track.steps[known], track.epochs[known]
    return {"step": np.ma.MaskedArray(steps), "epoch": np.ma.MaskedArray(epochs)}


def _read_notes(found: Found, files: tuple[str, ...]) -> list[str]:
    """What was taken for what, and what the readers of the files said."""
    signals = found.signals
    taken = [
        f"{signal} is {shown_name(track.name)}" + (f" of {label}" if len(signals) > 1 else "")
        for label, own in signals.items()
        for signal, track in own.items()
        if track.name != signal
    ]
    notes = [", ".join(taken)] if taken else []
    gathered = found.gathered
    several = len(gathered.tables) > 1
    for table, clock in zip(gathered.tables, gathered.clocks, strict=True):
        if table.file in files:
            notes += [f"{table.file}: {n}" if several else n for n in (*table.notes, *clock.notes)]
    return notes + gathered.notes


def _evaluations(gathered: Gathered, measures: Measures, align: Align, notes: list[str]) -> Columns:
    """The measures on all the steps of any of them, in the unit of the losses."""
    first = next(iter(measures.values()))
    tracks = {key: _mended(gathered, track, notes) for key, track in measures.items()}
    steps = np.unique(np.concatenate([track.steps for track in tracks.values()]))
    epochs = _epochs_at(tracks.values(), steps)
    aligned = align.evaluations(steps, first.unit, epochs, _per_epoch(gathered, first))
    notes += align.notes
    evaluations: Columns = {"step": np.ma.MaskedArray(aligned)}
    if np.isfinite(epochs).any():
        evaluations["epoch"] = np.ma.MaskedArray(epochs, mask=~np.isfinite(epochs))
    for key, track in tracks.items():
        evaluations[key] = _at(track, steps)
    return evaluations


def _per_epoch(gathered: Gathered, track: Track) -> float | None:
    return next((p for i in track.tables if (p := gathered.clocks[i].per_epoch) is not None), None)


def _one_unit(tracks: dict[str, Track], notes: list[str]) -> dict[str, Track]:
    """Only the tracks of the first one's unit."""
    unit = next((track.unit for track in tracks.values()), "")
    notes += [
        f"{shown_name(track.name)} counts by {track.unit}, not by {unit}: left out"
        for track in tracks.values()
        if track.unit != unit
    ]
    return {key: track for key, track in tracks.items() if track.unit == unit}


def _mended(gathered: Gathered, track: Track, notes: list[str]) -> Track:
    offsets = np.array(gathered.offsets)
    lines = track.rows - offsets[np.searchsorted(offsets, track.rows, side="right") - 1]
    order, told = mended(track.steps, lines)
    notes += told
    return track if order is None else track.cut(order)


def _columns(gathered: Gathered, own: dict[str, Track], notes: list[str]) -> Columns:
    """Signals on the steps that any of them has."""
    tracks = {signal: _mended(gathered, track, notes) for signal, track in own.items()}
    steps = None
    for track in tracks.values():
        if steps is None:
            steps = track.steps
        elif not np.array_equal(steps, track.steps):
            steps = np.union1d(steps, track.steps)
    assert steps is not None
    columns: Columns = {"step": np.ma.MaskedArray(np.array(steps))}
    for signal in SIGNALS:
        if signal in tracks:
            columns[signal] = _at(tracks[signal], steps)
    return columns


def _at(track: Track, steps: Floats) -> Column:
    """A track's values on `steps` [n], which hold all of its own."""
    if np.array_equal(track.steps, steps):
        return np.ma.MaskedArray(np.array(track.values), mask=np.zeros(len(steps), bool))
    place = np.searchsorted(steps, track.steps)
    values, missing = np.zeros(len(steps)), np.ones(len(steps), bool)
    values[place], missing[place] = track.values, False
    return np.ma.MaskedArray(values, mask=missing)


def _epochs_at(tracks: Iterable[Track], steps: Floats) -> Floats:
    """The epoch of each evaluation, where one of the tracks tells it."""
    epochs = np.full(len(steps), np.nan)
    for track in tracks:
        if track.epochs is not None:
            place = np.searchsorted(steps, track.steps)
            epochs[place] = np.where(np.isnan(track.epochs), epochs[place], track.epochs)
    return epochs


def _last_step(pairs: dict[str, Columns]) -> float | None:
    return max((float(c["step"][-1]) for c in pairs.values() if len(c["step"])), default=None)


def _first_step(pairs: dict[str, Columns]) -> float | None:
    return min((float(c["step"][0]) for c in pairs.values() if len(c["step"])), default=None)
