"""The runs of one table that its columns tell apart: a chart of several, or `seed,epoch,fid`."""

from dataclasses import replace
from functools import reduce
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
Rows = NDArray[np.uint32]


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
    rows = main.rows
    steps = [s for name, s in table.columns.items() if _counts(name)]
    known = [values for s in steps if (values := _at(s, rows)) is not None]
    if not known or any(np.all(np.diff(values) > 0) for values in known):
        return []  # one run, as of most logs: told before columns are sorted
    run_of = _by_keys(table, rows, known)
    if run_of is None:
        run_of = _by_starts(table, rows, known)
    titles = [] if run_of is None else _titles(table, rows, run_of[rows])
    if run_of is None or not titles:
        return []
    parts = {name: _parts(s, run_of, len(titles)) for name, s in table.columns.items()}
    return [
        (title, replace(table, columns={n: own[i] for n, own in parts.items() if len(own[i])}))
        for i, title in enumerate(titles)
    ]


def _counts(name: str) -> bool:
    """Whether a column is of steps; one without a name may count the rows of all runs."""
    return role(name).kind == "step" and not role(name).weak


def _at(series: Series, rows: Rows) -> Floats | None:
    """The values of a column in `rows` [n], where it has one in each."""
    place = np.minimum(np.searchsorted(series.rows, rows), max(len(series) - 1, 0))
    if not len(series) or not np.array_equal(series.rows[place], rows):
        return None
    return series.values[place]


def _may_be_settings(table: Table) -> dict[str, Series]:
    """The columns of texts, and of numbers that mean nothing else."""
    texts = {name: text.codes for name, text in table.texts.items() if not is_split(name)}
    numbers = {n: s for n, s in table.columns.items() if role(n).kind in ("unknown", "time")}
    return {**texts, **numbers}


def _by_keys(table: Table, rows: Rows, steps: list[Floats]) -> Groups | None:
    """The run of each row by `seed`, `run` and the like, if it explains why steps come again.

    -1 where a row has none. `steps` are those of the rows that count.
    """
    keys = [
        series
        for name, series in _may_be_settings(table).items()
        if not _OF_RUN.isdisjoint(name_words(name)) and _at(series, rows) is not None
    ]
    if not keys or _own(steps) > _AGAIN:
        return None
    having = reduce(np.intersect1d, [series.rows for series in keys])
    values = np.stack([s.values[np.searchsorted(s.rows, having)] for s in keys])
    _, first, groups = np.unique(values, axis=1, return_index=True, return_inverse=True)
    run_of = np.full(_last_row(table) + 1, -1)
    run_of[having] = np.argsort(np.argsort(first))[groups.ravel()]  # as they first come
    own = run_of[rows]
    several = len(first) > 1 and np.bincount(own, minlength=len(first)).min() >= _FEWEST
    return run_of if several and _own([own.astype(np.float64), *steps]) >= _NEARLY else None


def _own(columns: list[Floats]) -> float:
    """The share of rows that the columns tell apart."""
    return float(np.unique(np.stack(columns), axis=1).shape[1] / len(columns[0]))


def _by_starts(table: Table, rows: Rows, steps: list[Floats]) -> Groups | None:
    """The run of each row, where all steps start anew between runs; None where they do not."""
    steadiest = min(steps, key=lambda values: int(np.count_nonzero(np.diff(values) < 0)))
    places = restarts(steadiest)
    if not places:
        return None
    return np.searchsorted(rows[places], np.arange(_last_row(table) + 1), side="right")


def _last_row(table: Table) -> int:
    return max(int(series.rows[-1]) for series in table.columns.values() if len(series))


def _titles(table: Table, rows: Rows, groups: Groups) -> list[str]:
    """What tells the runs apart, by run; none where no column is the same all through each."""
    runs = int(groups.max()) + 1
    _, first = np.unique(groups, return_index=True)
    telling = {
        name: values[first]
        for name, series in _may_be_settings(table).items()
        if (values := _at(series, rows)) is not None
        and np.array_equal(values[first][groups], values)
        and np.ptp(values)
    }
    if not telling:
        return []
    titles: list[str] = []
    for run in range(runs):
        told = [_told(table, name, float(values[run])) for name, values in telling.items()]
        title = ", ".join(told)
        titles.append(title if title not in titles else f"{title} #{run + 1}")
    return titles


def _told(table: Table, name: str, value: float) -> str:
    if name in table.texts:
        return shown_name(table.texts[name].names[int(value)])
    return f"{shown_name(name)} {value:.15g}"  # a seed may be a date


def _parts(series: Series, run_of: Groups, runs: int) -> list[Series]:
    """A column cut by run."""
    own = run_of[series.rows]
    order = np.argsort(own, kind="stable")
    edges = np.searchsorted(own[order], np.arange(runs + 1))
    places = [order[a:b] for a, b in pairwise(edges)]
    return [Series(series.rows[p], series.values[p]) for p in places]
