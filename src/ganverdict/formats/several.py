"""The runs of one table that its columns tell apart: a chart of several, or `seed,epoch,fid`."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ganverdict.formats.columns import CHART, main_column
from ganverdict.formats.names import is_split, role
from ganverdict.formats.steps import restarts
from ganverdict.formats.table import Floats, Series, Table
from ganverdict.formats.tracks import shown_name
from ganverdict.naming import name_words, word_set

_OF_RUN = word_set(
    "run runs seed seeds trial experiment exp fold recipe config configuration setting settings",
    "variant model method name arch architecture dataset algorithm algo gan id repeat repetition",
)
_NEARLY = 0.9  # of the rows
_AGAIN = 0.75  # of the rows have a step of their own: of fewer, several runs have the same
_FEWEST = 3  # rows of a run

Runs = list[tuple[str, Table]]
Groups = NDArray[np.int64]


def runs_in(table: Table) -> Runs:
    """The runs of a table, each with what it is called; none where columns tell nothing of them."""
    return _charted(table) or _told_by_settings(table)


def _charted(table: Table) -> Runs:
    """The runs of a chart of several, whose columns are called `run - name`."""
    runs: dict[str, dict[str, Series]] = {}
    shared: dict[str, Series] = {}
    for name, series in table.columns.items():
        match = CHART.match(name)
        if match and role(match["name"]).kind in ("signal", "measure"):
            runs.setdefault(match["run"], {})[match["name"]] = series
        elif role(name).kind == "step":
            shared[name] = series
    if len(runs) < 2:
        return []
    return [(run, replace(table, columns={**shared, **own})) for run, own in runs.items()]


def _told_by_settings(table: Table) -> Runs:
    """Runs that stand below each other, or row by row, and differ in what they were run with."""
    main = main_column(table)
    if table.carry or main is None or len(main) < 2 * _FEWEST:
        return []
    steps = [s for name, s in table.columns.items() if role(name).kind == "step"]
    known = [values for s in steps if (values := _at(s, main.rows)) is not None]
    settings = _settings(table, main.rows)
    if not known or not settings:
        return []
    groups = _by_keys(settings, known)
    if groups is None:
        groups = _by_starts(known)
    if groups is None:
        return []
    titles = _titles(table, settings, groups)
    if titles is None:
        return []
    of_row = np.full(int(max(s.rows[-1] for s in table.columns.values())) + 1, -1)
    of_row[main.rows] = groups
    of_row = _between(of_row) if np.all(np.diff(groups) >= 0) else of_row
    parts = {name: _parts(s, of_row, len(titles)) for name, s in table.columns.items()}
    return [
        (title, replace(table, columns={n: own[i] for n, own in parts.items() if len(own[i])}))
        for i, title in enumerate(titles)
    ]


def _at(series: Series, rows: NDArray[np.uint32]) -> Floats | None:
    """The values of a column in `rows` [n], where it has one in each."""
    place = np.minimum(np.searchsorted(series.rows, rows), max(len(series) - 1, 0))
    if not len(series) or not np.array_equal(series.rows[place], rows):
        return None
    return series.values[place]


def _settings(table: Table, rows: NDArray[np.uint32]) -> dict[str, Floats]:
    """The columns [n] that may be settings: they have a value in each row, and few of them."""
    texts = {name: text.codes for name, text in table.texts.items() if not is_split(name)}
    numbers = {n: s for n, s in table.columns.items() if role(n).kind in ("unknown", "time")}
    found = {}
    for name, series in {**texts, **numbers}.items():
        values = _at(series, rows)
        if values is not None and 1 < len(np.unique(values)) <= len(rows) / _FEWEST:
            found[name] = values
    return found


def _by_keys(settings: dict[str, Floats], steps: list[Floats]) -> Groups | None:
    """The run of each row by `seed`, `run` and the like, if it explains why steps come again."""
    keys = [values for name, values in settings.items() if not _OF_RUN.isdisjoint(name_words(name))]
    if not keys or _own(steps) > _AGAIN or _own([*keys, *steps]) < _NEARLY:
        return None
    _, first, groups = np.unique(np.stack(keys), axis=1, return_index=True, return_inverse=True)
    if np.bincount(groups.ravel()).min() < _FEWEST:
        return None
    order = np.argsort(np.argsort(first))
    return order[groups.ravel()]


def _own(columns: list[Floats]) -> float:
    """The share of rows that the columns tell apart."""
    return float(np.unique(np.stack(columns), axis=1).shape[1] / len(columns[0]))


def _by_starts(steps: list[Floats]) -> Groups | None:
    """The run of each row, where all steps start anew between runs."""
    steadiest = min(steps, key=lambda values: int(np.count_nonzero(np.diff(values) < 0)))
    places = restarts(steadiest)
    if not places:
        return None
    return np.searchsorted(np.array(places), np.arange(len(steadiest)), side="right")


def _titles(table: Table, settings: dict[str, Floats], groups: Groups) -> list[str] | None:
    """What tells the runs apart, by run; None where no column is the same all through each."""
    runs = int(groups.max()) + 1
    _, first = np.unique(groups, return_index=True)
    telling = {
        name: values[first]
        for name, values in settings.items()
        if np.array_equal(values[first][groups], values)
    }
    if not telling:
        return None
    titles: list[str] = []
    for run in range(runs):
        told = [_told(table, name, float(values[run])) for name, values in telling.items()]
        title = ", ".join(told)
        titles.append(title if title not in titles else f"{title} #{run + 1}")
    return titles


def _told(table: Table, name: str, value: float) -> str:
    if name in table.texts:
        return shown_name(table.texts[name].names[int(value)])
    return f"{shown_name(name)} {value:g}"


def _between(of_row: Groups) -> Groups:
    """Rows of runs below each other: what stands between two rows of a run is its own, too."""
    place = np.maximum.accumulate(np.where(of_row >= 0, np.arange(len(of_row)), 0))
    filled: Groups = of_row[place]
    return np.maximum(filled, 0)


def _parts(series: Series, of_row: Groups, runs: int) -> list[Series]:
    """A column cut by run."""
    own = of_row[series.rows]
    order = np.argsort(own, kind="stable")
    edges = np.searchsorted(own[order], np.arange(runs + 1))
    places = [order[a:b] for a, b in pairwise(edges)]
    return [Series(series.rows[p], series.values[p]) for p in places]
