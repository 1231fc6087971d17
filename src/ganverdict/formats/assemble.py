"""From tables to runs: which columns are meant, at which steps, in how many runs."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ganverdict.formats.clocks import Clock, clock_of
from ganverdict.formats.delimited import count
from ganverdict.formats.errors import ReadError
from ganverdict.formats.kinds import UNITS, kind_of
from ganverdict.formats.names import Role, metric_rank, role
from ganverdict.formats.steps import Align, mended, restarts
from ganverdict.formats.table import Floats, Series, Table
from ganverdict.log import SIGNALS, Column, Columns, Log

# Where a quantity stands in several kinds of files the first of these counts.
_BEST_LAYOUT = ("JSON lines", "CSV", "parquet", "JSON", "MLflow", "TensorBoard", "text")
_SEVERAL = "; choose one with --map {0}=NAME"


@dataclass
class Track:
    """One quantity of one or more tables, in the order of the files.

    `rows` [n] are places in all the tables together, `steps` and `values` [n] float64.
    """

    name: str
    meaning: Role
    unit: str
    rows: NDArray[np.int64]
    steps: Floats
    values: Floats
    tables: tuple[int, ...]
    epochs: Floats | None = None

    def cut(self, keep: NDArray[np.bool_]) -> "Track":
        """Only some of the rows."""
        epochs = self.epochs[keep] if self.epochs is not None else None
        return replace(
            self,
            rows=self.rows[keep],
            steps=self.steps[keep],
            values=self.values[keep],
            epochs=epochs,
        )


@dataclass
class _Gathered:
    """What is known of a run, or of several runs in the same files, before it is cut."""

    tables: list[Table]
    clocks: list[Clock]
    offsets: list[int]
    notes: list[str] = field(default_factory=list)
    _known: dict[tuple[int, int], "_Times"] = field(default_factory=dict)

    def times(self, index: int, series: Series) -> "_Times":
        """When the rows of a column were; columns of the same rows share what they need."""
        key = (index, series.rows.__array_interface__["data"][0])
        found = self._known.get(key)
        if found is None or len(found.known) != len(series):
            found = _times(self.clocks[index], series, self.offsets[index])
            self._known[key] = found
        return found


@dataclass(frozen=True)
class _Times:
    """Rows, steps and epochs where the step is known; `known` says where that is."""

    rows: NDArray[np.int64]
    steps: Floats
    epochs: Floats | None
    known: NDArray[np.bool_]


def _times(clock: Clock, series: Series, offset: int) -> _Times:
    steps, known = clock.at(series.rows)
    epochs = None
    if clock.epochs is not None:
        place = np.searchsorted(clock.epochs.rows, series.rows, side="right") - 1
        epochs = np.where(place >= 0, clock.epochs.values[np.maximum(place, 0)], np.nan)
    rows = series.rows.astype(np.int64) + offset
    if known.all():
        return _Times(rows, steps, epochs, known)
    return _Times(rows[known], steps[known], epochs[known] if epochs is not None else None, known)


def assemble(
    name: str, tables: Sequence[Table], metric: str | None, rename: Mapping[str, str]
) -> list[Log]:
    """The runs in `tables`, which belong together."""
    tables = [_named(table) for table in tables]
    tables = _renamed(tables, rename)
    kind, loss = kind_of(tables)
    if kind == "pix2pix":
        tables = [_halves_of_pix2pix(table) for table in tables]
    tables = [table for table in tables if table.columns]
    gathered = _Gathered(tables, [], [])
    offset = 0
    for table in tables:
        clock = clock_of(table, _main(table))
        clock.unit = UNITS.get(kind, clock.unit)
        gathered.clocks.append(clock)
        gathered.offsets.append(offset)
        offset += 1 + max(int(series.rows[-1]) for series in table.columns.values() if len(series))
    signals = _signals(gathered)
    measures = _measures(gathered, metric)
    if not any(signals.values()) and not measures:
        raise ReadError(_nothing(name, tables))
    chosen = _metric(measures, metric, name)
    return _runs(name, kind, loss, gathered, signals, measures, chosen)


def _nothing(name: str, tables: Sequence[Table]) -> str:
    names = [n for table in tables for n in table.columns if not n.startswith("#")]
    listed = ", ".join(dict.fromkeys(_shown(n) for n in names[:12])) or "no names with numbers"
    return (
        f"{name}: neither a loss of D or G nor a measure such as fid was found ({listed});"
        " name yours with --map d_loss=NAME"
    )


def _shown(name: str) -> str:
    clean = "".join(c if c.isprintable() else "?" for c in name)
    return clean[:60] if clean else "''"


# Names ------------------------------------------------------------------------------------------

_CHART = re.compile(r"^(?P<run>.+?) - (?P<name>.+)$")
_TAG = re.compile(r"(?:^|.*[-_])tag[-_](?P<name>.+)$")


def _named(table: Table) -> Table:
    """The table with names for columns that have their name from the file."""
    columns: dict[str, Series] = {}
    names = list(table.columns)
    anonymous = _has_anonymous_value(names)
    stem = table.stem
    if match := _TAG.match(stem):
        stem = match["name"]
    for name, series in table.columns.items():
        new = name
        if name == "#value" or (anonymous and name.lower() == "value"):
            new = stem or "value"
        elif name.endswith(("__MIN", "__MAX")) and name[:-5] in table.columns:
            continue
        elif (match := _CHART.match(name)) and role(match["name"]).kind in ("signal", "measure"):
            new = match["name"] if _one_run(names) else name
        columns.setdefault(new, series)
    return replace(table, columns=columns)


def _has_anonymous_value(names: Iterable[str]) -> bool:
    """Whether `Step, Value` is all there is, so that the file's name says of what."""
    known = [n for n in names if role(n).kind in ("signal", "measure", "half")]
    return not known and any(n.lower() == "value" for n in names)


def _one_run(names: Iterable[str]) -> bool:
    """Whether a chart shows one run."""
    runs = {match["run"] for n in names if (match := _CHART.match(n))}
    return len(runs) == 1


def charted_runs(table: Table) -> list[tuple[str, Table]]:
    """The runs of a chart of several, each a table of its own; none where it is no such chart."""
    runs: dict[str, dict[str, Series]] = {}
    shared: dict[str, Series] = {}
    for name, series in table.columns.items():
        match = _CHART.match(name)
        if match and role(match["name"]).kind in ("signal", "measure"):
            runs.setdefault(match["run"], {})[match["name"]] = series
        elif role(name).kind == "step":
            shared[name] = series
    if len(runs) < 2:
        return []
    return [(run, replace(table, columns={**shared, **own})) for run, own in runs.items()]


def _renamed(tables: list[Table], rename: Mapping[str, str]) -> list[Table]:
    """The tables under the names that the user gave: ours -> theirs."""
    for ours, theirs in rename.items():
        if not any(theirs in table.columns for table in tables):
            there = dict.fromkeys(
                _shown(n) for table in tables for n in table.columns if not n.startswith("#")
            )
            raise ReadError(
                f"{tables[0].file if tables else 'the log'}: no column {_shown(theirs)!r} for"
                f" {ours}; there are {', '.join(list(there)[:30])}"
            )
    result = []
    for table in tables:
        columns = dict(table.columns)
        for ours, theirs in rename.items():
            if theirs not in columns:
                continue
            meant = role(ours)
            for name in list(columns):
                if name != theirs and _means_the_same(role(name), meant, name, ours):
                    del columns[name]
            columns[ours] = columns.pop(theirs)
            if f"{theirs}/of" in columns:
                columns[f"{ours}/of"] = columns.pop(f"{theirs}/of")
        result.append(replace(table, columns=columns))
    return result


def _means_the_same(one: Role, other: Role, name: str, ours: str) -> bool:
    if other.kind == "step":
        return one.kind == "step" and one.name == other.name
    if other.kind == "signal":
        half = one.kind == "half" and other.name == "d_loss"
        return half or (one.kind == "signal" and one.name == other.name)
    return name == ours


def _halves_of_pix2pix(table: Table) -> Table:
    """Its `D_real` and `D_fake` are the halves of D's loss, not D's outputs."""
    names = {"D_real": "D_loss_real", "D_fake": "D_loss_fake"}
    return replace(table, columns={names.get(n, n): s for n, s in table.columns.items()})


def _main(table: Table) -> Series | None:
    """The column by which rows are counted: the first loss, else the first measure."""
    for kind in ("signal", "half", "measure"):
        found = [
            (name, s) for name, s in table.columns.items() if role(name).kind == kind and len(s)
        ]
        losses = [s for name, s in found if role(name).name.endswith("_loss")]
        if found:
            candidates = losses or [s for _, s in found]
            return min(candidates, key=lambda s: int(s.rows[0]))
    return max(table.columns.values(), key=len, default=None)


# Tracks -----------------------------------------------------------------------------------------


def _track(gathered: _Gathered, name: str, meaning: Role) -> Track | None:
    """A column of all the tables that have it, of the best layout where it is in several."""
    having = [i for i, t in enumerate(gathered.tables) if name in t.columns]
    layouts = [_layout(gathered.tables[i]) for i in having]
    having = [i for i, layout in zip(having, layouts, strict=True) if layout == min(layouts)]
    unit = ""
    parts = []
    for index in having:
        table, clock = gathered.tables[index], gathered.clocks[index]
        series = table.columns[name]
        if clock.unit != unit and unit:
            gathered.notes.append(
                f"{_shown(name)} counts by {unit} and by {clock.unit}: {table.file} left out"
            )
            continue
        unit = clock.unit
        times = gathered.times(index, series)
        values = series.values
        if not times.known.all():
            lost = count(int(np.count_nonzero(~times.known)), "value")
            gathered.notes.append(f"{_shown(name)}: {lost} without a step left out")
            values = values[times.known]
        parts.append((times.rows, times.steps, values, times.epochs, index))
    if not parts or not sum(len(p[0]) for p in parts):
        return None
    tables = tuple(p[4] for p in parts)
    if len(parts) == 1:
        rows, steps, values, epochs, _ = parts[0]
        return Track(name, meaning, unit, rows, steps, values, tables, epochs)
    rows, steps, values = (np.concatenate([p[k] for p in parts]) for k in range(3))
    none = [np.full(len(p[0]), np.nan) if p[3] is None else p[3] for p in parts]
    epochs = np.concatenate(none)
    return Track(name, meaning, unit, rows, steps, values, tables, epochs)


def _layout(table: Table) -> int:
    return _BEST_LAYOUT.index(table.layout) if table.layout in _BEST_LAYOUT else len(_BEST_LAYOUT)


def _all_names(gathered: _Gathered) -> list[str]:
    return list(dict.fromkeys(n for table in gathered.tables for n in table.columns))


# Signals ----------------------------------------------------------------------------------------


def _signals(gathered: _Gathered) -> dict[str, dict[str, Track]]:
    """For each pair its signals."""
    found: dict[tuple[str, str], list[tuple[str, Role]]] = {}
    for name in _all_names(gathered):
        meaning = role(name)
        if meaning.kind == "signal":
            found.setdefault((meaning.label, meaning.name), []).append((name, meaning))
        elif meaning.kind == "half":
            key = (meaning.label, f"half {meaning.name}")
            found.setdefault(key, []).append((name, meaning))
    for side in ("d_loss", "g_loss"):
        strong = any(not m.weak for (_, s), c in found.items() if s == side for _, m in c)
        for key in [k for k in found if k[1] == side and strong]:
            found[key] = [c for c in found[key] if not c[1].weak]
            if not found[key]:
                del found[key]
    tracks: dict[str, dict[str, Track]] = {}
    for (label, signal), candidates in found.items():
        track = _best(gathered, signal, candidates)
        if track is not None:
            tracks.setdefault(label, {})[signal] = track
    return _paired(gathered, tracks)


def _best(gathered: _Gathered, signal: str, candidates: list[tuple[str, Role]]) -> Track | None:
    """The plainest name's column; two that are equally plain must hold the same."""
    ranked = sorted(candidates, key=lambda c: c[1].rank)
    tracks = [
        (meaning.rank, track)
        for name, meaning in ranked
        if (track := _track(gathered, name, meaning)) is not None
    ]
    if not tracks:
        return None
    first_rank, first = tracks[0]
    for rank, other in tracks[1:]:
        if rank == first_rank and not _equal(first, other) and not signal.startswith("half"):
            names = [t.name for r, t in tracks if r == first_rank]
            if set(first.tables).isdisjoint(other.tables):
                continue  # each file calls it its own way
            listed = ", ".join(map(_shown, names))
            raise ReadError(
                f"{gathered.tables[first.tables[0]].file}: {listed} may each be {signal}"
                + _SEVERAL.format(signal)
            )
    return first


def _equal(one: Track, other: Track) -> bool:
    return np.array_equal(one.steps, other.steps) and np.array_equal(
        one.values, other.values, equal_nan=True
    )


def _paired(
    gathered: _Gathered, tracks: dict[str, dict[str, Track]]
) -> dict[str, dict[str, Track]]:
    """Pairs of D and G: the plain one, or one for each label."""
    for label, own in tracks.items():
        _join_halves(gathered, label, own)
    plain = tracks.get("", {})
    d_labels = [label for label, own in tracks.items() if label and "d_loss" in own]
    g_labels = [label for label, own in tracks.items() if label and "g_loss" in own]
    if "d_loss" in plain or not (d_labels or g_labels):
        if "g_loss" not in plain and len(g_labels) == 1:
            plain["g_loss"] = tracks[g_labels[0]]["g_loss"]
        pairs = {"": plain}
    elif len(d_labels) <= 1 and (len(g_labels) <= 1 or "g_loss" in plain):
        if d_labels:
            plain = {**tracks[d_labels[0]], **plain}
        if "g_loss" not in plain and g_labels:
            plain["g_loss"] = tracks[g_labels[0]]["g_loss"]
        pairs = {"": plain}
    elif not d_labels and "g_loss" in plain:
        pairs = {"": plain}
    else:
        pairs = {}
        for label in d_labels or g_labels:
            own = dict(tracks[label])
            if "g_loss" not in own:
                fitting = [g for g in g_labels if g.endswith(label) and g not in d_labels]
                if len(fitting) == 1:
                    own["g_loss"] = tracks[fitting[0]]["g_loss"]
                elif "g_loss" in plain:
                    own["g_loss"] = plain["g_loss"]
            pairs[_label(own, label)] = own
    for own in pairs.values():
        _scores_or_probabilities(gathered, own)
        for signal in list(own):
            if signal not in SIGNALS:
                del own[signal]
    return {label: own for label, own in pairs.items() if own}


def _label(own: dict[str, Track], label: str) -> str:
    """A label as the log writes it: `A` of `D_A`."""
    track = own.get("d_loss") or own.get("g_loss")
    if track is not None:
        match = re.search(rf"(?i)(?<![a-z]){re.escape(label)}(?![a-z0-9])", track.name)
        if match:
            return match[0]
    return label


def _join_halves(gathered: _Gathered, label: str, own: dict[str, Track]) -> None:
    """D's loss from its halves on real and on generated images."""
    real, fake = own.pop("half d_real", None), own.pop("half d_fake", None)
    if "d_loss" in own or real is None or fake is None:
        return
    steps, at_real, at_fake = np.intersect1d(real.steps, fake.steps, return_indices=True)
    if real.unit != fake.unit or not len(steps):
        return
    if len(real.steps) == len(fake.steps) and np.array_equal(real.steps, fake.steps):
        at_real = at_fake = np.arange(len(real.steps))
    mean = real.name in ("D_loss_real", "d1", "c1") and fake.name in ("D_loss_fake", "d2", "c2")
    mean = mean and any("G_GAN" in t.columns or "d1" in t.columns for t in gathered.tables)
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
    gathered.notes.append(f"D's loss is the {how} of {_shown(real.name)} and {_shown(fake.name)}")


def _scores_or_probabilities(gathered: _Gathered, own: dict[str, Track]) -> None:
    """Means of D's outputs outside [0, 1] are scores, not probabilities."""
    outputs = [own[s] for s in ("d_real", "d_fake") if s in own]
    outside = [
        t
        for t in outputs
        if np.any((t.values < -1e-6) | (t.values > 1 + 1e-6), where=np.isfinite(t.values))
    ]
    if not outside:
        return
    names = " and ".join(_shown(t.name) for t in outputs)
    gathered.notes.append(f"{names} are outside [0, 1]: D's scores, not probabilities")
    for side in ("real", "fake"):
        if f"d_{side}" in own:
            track = own.pop(f"d_{side}")
            own.setdefault(f"d_score_{side}", track)


# Measures ---------------------------------------------------------------------------------------


def _measures(gathered: _Gathered, metric: str | None) -> dict[str, Track]:
    """The columns of evaluations, by the name that the log or the verdict has for them."""
    tracks: dict[str, Track] = {}
    for name in _all_names(gathered):
        meaning = role(name)
        known = meaning.kind == "measure" or name == metric
        if not known and not (meaning.kind == "unknown" and _beside_measures(gathered, name)):
            continue
        track = _track(gathered, name, meaning)
        if track is None:
            continue
        key = meaning.name or name
        if key in tracks and key != name:
            key = name
        if key not in tracks:
            tracks[key] = track
    return tracks


def _beside_measures(gathered: _Gathered, name: str) -> bool:
    """Whether an unknown column stands in a table of evaluations alone."""
    if name.startswith("#") or name.endswith("/of"):
        return False
    for table in gathered.tables:
        if name not in table.columns or table.layout in ("text", "TensorBoard", "MLflow"):
            continue
        kinds = {role(other).kind for other in table.columns}
        if "measure" in kinds and not kinds & {"signal", "half"}:
            return True
    return False


def _metric(measures: dict[str, Track], asked: str | None, name: str) -> str | None:
    """The measure that counts."""
    if asked is not None:
        for key, track in measures.items():
            if asked in (key, track.name):
                return key
        listed = ", ".join(map(_shown, measures)) or "none"
        raise ReadError(f"{name}: no measure {_shown(asked)!r}; there are {listed}")
    ranked = [(rank, k) for k, track in measures.items() if (rank := metric_rank(track.name))]
    ranked.sort(key=lambda pair: pair[0])
    if not ranked:
        return None
    best = [key for rank, key in ranked if rank == ranked[0][0]]
    different = [k for k in best[1:] if not _equal(measures[best[0]], measures[k])]
    if different:
        listed = ", ".join(map(_shown, [best[0], *different]))
        raise ReadError(f"{name}: {listed} may each be the measure; choose one with --metric NAME")
    return best[0]


# Runs -------------------------------------------------------------------------------------------


def _runs(
    name: str,
    kind: str,
    loss: str | None,
    gathered: _Gathered,
    signals: dict[str, dict[str, Track]],
    measures: dict[str, Track],
    metric: str | None,
) -> list[Log]:
    """Cut what was gathered where a run starts anew, and build a log of each."""
    main = _main_track(signals, measures, metric)
    places = restarts(main.steps)
    bounds = [0, *(int(main.rows[place]) for place in places), np.iinfo(np.int64).max]
    parts = _cut(name, gathered, signals, measures, main, bounds)
    logs = []
    for number, (own_signals, own_measures) in enumerate(parts, 1):
        title, files = _title(name, gathered, own_signals, own_measures, number, len(parts))
        logs.append(_log(title, kind, loss, gathered, own_signals, own_measures, metric, files))
    return logs


def _main_track(
    signals: dict[str, dict[str, Track]], measures: dict[str, Track], metric: str | None
) -> Track:
    """The track by which runs are told apart: the loss of D, or else what there is."""
    for signal in SIGNALS:
        for own in signals.values():
            if signal in own:
                return own[signal]
    return measures[metric] if metric else next(iter(measures.values()))


_Part = tuple[dict[str, dict[str, Track]], dict[str, Track]]


def _cut(
    name: str,
    gathered: _Gathered,
    signals: dict[str, dict[str, Track]],
    measures: dict[str, Track],
    main: Track,
    bounds: list[int],
) -> list[_Part]:
    """The tracks of each run."""
    runs = len(bounds) - 1
    if runs == 1:
        return [(signals, measures)]
    parts: list[_Part] = [({label: {} for label in signals}, {}) for _ in range(runs)]
    for label, own in signals.items():
        for signal, track in own.items():
            for part, piece in zip(parts, _pieces(track, main, bounds), strict=True):
                if piece is not None:
                    part[0][label][signal] = piece
    for key, track in measures.items():
        if not set(track.tables).isdisjoint(main.tables) or any(
            track is t for own in signals.values() for t in own.values()
        ):
            pieces = _pieces(track, main, bounds)
        else:
            pieces = _own_pieces(track, runs)
            if pieces is None:
                raise ReadError(
                    f"{name}: {runs} runs, but one series of {_shown(key)}; give the files of one"
                    " run"
                )
        for part, piece in zip(parts, pieces, strict=True):
            if piece is not None:
                part[1][key] = piece
    return parts


def _pieces(track: Track, main: Track, bounds: list[int]) -> list[Track | None]:
    """A track cut at the rows where runs begin, or at its own starts where it is elsewhere."""
    if set(track.tables).isdisjoint(main.tables):
        own = _own_pieces(track, len(bounds) - 1)
        if own is not None:
            return own
    pieces: list[Track | None] = []
    for start, end in zip(bounds, bounds[1:], strict=False):
        keep = (track.rows >= start) & (track.rows < end)
        pieces.append(track.cut(keep) if keep.any() else None)
    return pieces


def _own_pieces(track: Track, runs: int) -> list[Track | None] | None:
    """A track in its own runs, where it has as many."""
    places = restarts(track.steps)
    if len(places) + 1 != runs:
        return None
    edges = [0, *places, len(track.steps)]
    index = np.arange(len(track.steps))
    return [track.cut((index >= a) & (index < b)) for a, b in zip(edges, edges[1:], strict=False)]


def _title(
    name: str,
    gathered: _Gathered,
    signals: dict[str, dict[str, Track]],
    measures: dict[str, Track],
    number: int,
    runs: int,
) -> tuple[str, tuple[str, ...]]:
    """How a run is called, and the files it was in."""
    all_files = tuple(dict.fromkeys(table.file for table in gathered.tables))
    if runs == 1:
        return name, all_files
    inside = {
        gathered.tables[index].file
        for track in [*(t for own in signals.values() for t in own.values()), *measures.values()]
        for index in _tables_of(track, gathered)
    }
    files = tuple(file for file in all_files if file in inside)
    if len(files) == 1 and len(all_files) >= runs:
        return files[0], files
    return (name if number == 1 else f"{name}#{number}"), files or all_files


def _tables_of(track: Track, gathered: _Gathered) -> set[int]:
    """The tables in which a track's rows are."""
    edges = np.array(gathered.offsets)
    places = np.searchsorted(edges, track.rows, side="right") - 1
    return {int(place) for place in np.unique(places)}


def _log(
    title: str,
    kind: str,
    loss: str | None,
    gathered: _Gathered,
    signals: dict[str, dict[str, Track]],
    measures: dict[str, Track],
    metric: str | None,
    files: tuple[str, ...],
) -> Log:
    """One run's log: its steps mended, its evaluations in the unit of its losses."""
    notes: list[str] = []
    several = len(gathered.tables) > 1
    for table, clock in zip(gathered.tables, gathered.clocks, strict=True):
        if table.file in files:
            notes += [f"{table.file}: {n}" if several else n for n in (*table.notes, *clock.notes)]
    notes += gathered.notes
    taken = [
        f"{signal} is {_shown(track.name)}" + (f" of {label}" if len(signals) > 1 else "")
        for label, own in signals.items()
        for signal, track in own.items()
        if track.name != signal
    ]
    notes += [", ".join(taken)] if taken else []
    pairs: dict[str, Columns] = {}
    unit, per_epoch = "", None
    for label, own in signals.items():
        own, dropped = _one_unit(own)
        notes += dropped
        if own:
            unit = unit or next(iter(own.values())).unit
            pairs[label] = _columns(gathered, own, notes)
    for track in (t for own in signals.values() for t in own.values()):
        per_epoch = per_epoch or _per_epoch(gathered, track)
    evaluations: Columns = {}
    if measures:
        align = Align(unit, _last_step(pairs), _first_step(pairs), per_epoch)
        own, dropped = _one_unit(measures)
        notes += dropped
        first = next(iter(own.values()))
        own_per_epoch = _per_epoch(gathered, first)
        mended_tracks = {key: _mended(gathered, track, notes) for key, track in own.items()}
        steps = np.unique(np.concatenate([t.steps for t in mended_tracks.values()]))
        epochs = _epochs_at(mended_tracks.values(), steps)
        aligned = align.evaluations(steps, first.unit, epochs, own_per_epoch)
        notes += align.notes
        unit = unit or align.unit or first.unit
        per_epoch = align.per_epoch
        evaluations = {"step": np.ma.MaskedArray(aligned)}
        if epochs is not None and np.isfinite(epochs).any():
            evaluations["epoch"] = np.ma.masked_invalid(epochs)
        for key, track in mended_tracks.items():
            evaluations[key] = _at(track, steps)
    if metric is not None and metric not in evaluations:
        metric = None
    return Log(
        title,
        kind,
        unit or "row",
        pairs,
        evaluations,
        metric,
        per_epoch,
        loss,
        tuple(dict.fromkeys(notes)),
        files,
    )


def _per_epoch(gathered: _Gathered, track: Track) -> float | None:
    return next((p for i in track.tables if (p := gathered.clocks[i].per_epoch) is not None), None)


def _one_unit(tracks: dict[str, Track]) -> tuple[dict[str, Track], list[str]]:
    """Only the tracks of the first one's unit."""
    unit = next((t.unit for t in tracks.values()), "")
    kept = {key: track for key, track in tracks.items() if track.unit == unit}
    dropped = [
        f"{_shown(t.name)} counts by {t.unit}, not by {unit}: left out"
        for t in tracks.values()
        if t.unit != unit
    ]
    return kept, dropped


def _mended(gathered: _Gathered, track: Track, notes: list[str]) -> Track:
    offsets = np.array(gathered.offsets)
    lines = track.rows - offsets[np.searchsorted(offsets, track.rows, side="right") - 1]
    order, told = mended(track.steps, lines)
    notes += told
    if order is None:
        return track
    return track.cut(order)


def _columns(gathered: _Gathered, own: dict[str, Track], notes: list[str]) -> Columns:
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
    values = np.ma.masked_all(len(steps), np.float64)
    values[np.searchsorted(steps, track.steps)] = track.values
    return values


def _epochs_at(tracks: Iterable[Track], steps: Floats) -> Floats | None:
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
