"""Quantities over time: a column of one or more tables with the steps of its rows."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ganverdict.formats.clocks import Clock
from ganverdict.formats.delimited import count
from ganverdict.formats.names import Role
from ganverdict.formats.table import Floats, Series, Table

_MOSTLY = 0.5  # of a column's rows
# Where a quantity stands in several kinds of files the first of these counts.
_BEST_LAYOUT = ("JSON lines", "CSV", "parquet", "NumPy", "JSON", "MLflow", "TensorBoard", "text")


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

    def __len__(self) -> int:
        return len(self.rows)

    def cut(self, keep: NDArray[np.bool_] | NDArray[np.int64]) -> "Track":
        """Only some of the rows: a mask, or their places."""
        epochs = self.epochs[keep] if self.epochs is not None else None
        return replace(
            self,
            rows=self.rows[keep],
            steps=self.steps[keep],
            values=self.values[keep],
            epochs=epochs,
        )


@dataclass
class Gathered:
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
    if clock.carry and clock.steps is not None:
        # A line without a step of its own, beside those that have one, sums an epoch up.
        own = np.isin(series.rows, clock.steps.rows)
        if np.mean(own) > _MOSTLY:
            known = known & own
    epochs = clock.epoch_at(series.rows)
    rows = series.rows.astype(np.int64) + offset
    if known.all():
        return _Times(rows, steps, epochs, known)
    return _Times(rows[known], steps[known], epochs[known] if epochs is not None else None, known)


def track_of(gathered: Gathered, name: str, meaning: Role) -> Track | None:
    """A column of all the tables that have it, of the best layout where it is in several."""
    having = [i for i, t in enumerate(gathered.tables) if name in t.columns]
    layouts = [layout_rank(gathered.tables[i]) for i in having]
    having = [i for i, layout in zip(having, layouts, strict=True) if layout == min(layouts)]
    unit = _main_unit(gathered, name, having)
    parts = []
    for index in having:
        table, clock = gathered.tables[index], gathered.clocks[index]
        if clock.unit != unit:
            gathered.notes.append(
                f"{shown_name(name)} by {clock.unit} in {table.file} is left out: it counts by"
                f" {unit} elsewhere"
            )
            continue
        series = table.columns[name]
        times = gathered.times(index, series)
        values = series.values
        if not times.known.all():
            lost = count(int(np.count_nonzero(~times.known)), "value")
            gathered.notes.append(f"{shown_name(name)}: {lost} without a step left out")
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


def _main_unit(gathered: Gathered, name: str, having: list[int]) -> str:
    """The unit by which most of a column's values are counted."""
    values: dict[str, int] = {}
    for index in having:
        unit = gathered.clocks[index].unit
        values[unit] = values.get(unit, 0) + len(gathered.tables[index].columns[name])
    return max(values, key=lambda unit: values[unit])


def layout_rank(table: Table) -> int:
    """How good a layout is for what stands in several: the lowest is the best."""
    return _BEST_LAYOUT.index(table.layout) if table.layout in _BEST_LAYOUT else len(_BEST_LAYOUT)


def all_names(gathered: Gathered) -> list[str]:
    """The names of all columns, in the order of the files."""
    return list(dict.fromkeys(n for table in gathered.tables for n in table.columns))


def equal(one: Track, other: Track) -> bool:
    """Whether two tracks hold the same."""
    return np.array_equal(one.steps, other.steps) and np.array_equal(
        one.values, other.values, equal_nan=True
    )


def shown_name(name: str) -> str:
    """A name as a message may show it."""
    clean = "".join(c if c.isprintable() else "?" for c in name)
    return clean[:60] if clean else "''"
