"""When each row of a table was: the step columns of a log, made one."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ganverdict.formats.names import checkpoint_unit, role
from ganverdict.formats.steps import restarts
from ganverdict.formats.table import Floats, Series, Table

_MANY_BATCHES = 1_000  # a fraction without a name, of fewer than these, counts epochs
_MOSTLY = 0.5  # of the rows have another step than the one before: a clock goes on
_HARDLY = 0.05  # of so few rows: it stands still
_NEARLY = 0.9  # of the steps
_FEW = 3  # rows, fewer tell nothing of it
_MANY_TIMES = 10  # as many values as another column has
_OFTEN = 1.5  # rows of one quantity an epoch, from which on epochs are too coarse for steps

_VALUES = ("signal", "half", "measure")

Mask = NDArray[np.bool_]


@dataclass
class Clock:
    """The steps of a table's rows.

    - `steps`: by row; None where rows are only numbered.
    - `unit`: what a step counts.
    - `per_epoch`: steps an epoch, where the table tells.
    - `epochs`: the epoch by row, where it tells.
    """

    unit: str
    steps: Series | None
    carry: bool
    per_epoch: float | None = None
    epochs: Series | None = None
    notes: list[str] = field(default_factory=list)

    def at(self, rows: NDArray[np.uint32]) -> tuple[Floats, Mask]:
        """The steps of `rows` [n] and whether they are known."""
        if self.steps is None:
            return rows.astype(np.float64), np.ones(len(rows), bool)
        if self.carry and _stand_behind(self.steps, rows):
            steps = self.steps.values[np.searchsorted(self.steps.rows, rows)]
            return steps, np.isfinite(steps)
        return look_up(self.steps, rows, self.carry)

    def epoch_at(self, rows: NDArray[np.uint32]) -> Floats | None:
        """The epochs of `rows` [n], NaN where they are not known; None where none is."""
        if self.epochs is None:
            return None
        epochs, known = (
            self.at(rows) if self.epochs is self.steps else look_up(self.epochs, rows, carry=True)
        )
        return np.where(known, epochs, np.nan)


def _stand_behind(steps: Series, rows: NDArray[np.uint32]) -> bool:
    """Whether each step is printed behind its values, as in `Time for epoch 3 is 11 sec`.

    The first value comes before the first step, the last step after the last value, and one value
    stands before nearly every step.
    """
    if len(rows) < _FEW or not (rows[0] < steps.rows[0] and rows[-1] < steps.rows[-1]):
        return False
    own = np.isin(rows, steps.rows).any()
    places, counts = np.unique(np.searchsorted(steps.rows, rows), return_counts=True)
    return not own and bool(counts.max() == 1) and len(places) > _NEARLY * len(steps)


def look_up(series: Series, rows: NDArray[np.uint32], carry: bool) -> tuple[Floats, Mask]:
    """The value that holds in each row: the row's own, or with `carry` the last one before it."""
    if not len(series):
        return np.zeros(len(rows)), np.zeros(len(rows), bool)
    if len(series.rows) == len(rows) and np.array_equal(series.rows, rows):
        return series.values, np.isfinite(series.values)
    place = np.searchsorted(series.rows, rows, side="right") - 1
    known = place >= 0
    place = np.maximum(place, 0)
    if not carry:
        known &= series.rows[place] == rows
    values = series.values[place]
    return values, known & np.isfinite(values)


def clock_of(table: Table, main: Series | None) -> Clock:
    """The clock of a table; by `main` rows are counted where there is no step.

    The best name counts, but a clock must go on: a progress bar that is printed once an epoch, or
    an iteration that is always 100, is not when the rows were.
    """
    best: Clock | None = None
    # Several rows a step may be the updates of D; where it stands still, better no step at all.
    most, numbered = _HARDLY, None
    for clock in _candidates(table, main):
        if clock.unit == "row":
            numbered = clock
            continue
        if _comes_too_late(clock, table):
            continue
        share = _going(clock, main)
        if share > _MOSTLY:
            return clock
        if share > most:
            best, most = clock, share
    return best or numbered or _numbered(table, main)


def _comes_too_late(clock: Clock, table: Table) -> bool:
    """Whether the first step is printed after all values: it is none of theirs."""
    values = [s.rows[-1] for name, s in table.columns.items() if role(name).kind in _VALUES]
    steps = clock.steps
    return bool(table.carry and values and steps and steps.rows[0] > max(values))


def _going(clock: Clock, main: Series | None) -> float:
    """The share of rows whose step is another than that of the row before."""
    if main is None or len(main) < _FEW:
        return 1.0
    steps, known = clock.at(main.rows)
    changed = (np.diff(steps) != 0) & known[1:]
    return float(np.mean(changed)) if len(changed) else 1.0


def _candidates(table: Table, main: Series | None) -> Iterator[Clock]:
    """Clocks by all the step columns of a table, the best name first."""
    found = _step_columns(table, main)
    epochs = found["epoch"][0] if "epoch" in found else None
    base = _first(found.get("epoch"))
    if "fraction" in found and epochs is None:
        clock = _fraction(*found["fraction"], table)
        if clock is not None:
            yield clock
    for kind in ("iteration", "fraction", "kimg", "image"):
        if kind in found:
            series, of = found[kind]
            within = kind == "fraction" or (
                kind == "iteration" and epochs and _starts_again(series, epochs, table.carry)
            )
            if within and epochs:
                yield _within(series, of, epochs, base, table)
                continue
            per_epoch = slope(series, epochs, table.carry) if epochs else None
            unit = "iteration" if kind == "fraction" else kind
            yield Clock(unit, series, table.carry, per_epoch, epochs)
    if "batch" in found:
        yield _batches(*found["batch"], epochs, base, table)
    if epochs is not None:
        yield _by_epoch(epochs, table, main)
    if (clock := _by_checkpoint(table)) is not None:
        yield clock
    if "index" in found:
        yield Clock("iteration", found["index"][0], table.carry)


def _by_checkpoint(table: Table) -> Clock | None:
    """By the number of the checkpoint that a row of a table of evaluations is of."""
    if not _is_of_evaluations(table):
        return None
    for name, series in table.columns.items():
        unit = checkpoint_unit(name)
        if unit is not None and len(series) and _are_apart(series.values):
            epochs = series if unit == "epoch" else None
            notes = [f"steps are the numbers of {name}"]
            return Clock(unit or "iteration", series, False, None, epochs, notes)
    return None


def _is_of_evaluations(table: Table) -> bool:
    """Whether a table has no losses, and is none that was read out of prints."""
    return not table.carry and not any(
        role(name).kind in ("signal", "half") for name in table.columns
    )


def _are_apart(values: Floats) -> bool:
    """Whether numbers may be those of checkpoints: whole, and seldom one of them twice."""
    whole = bool(np.all(np.isfinite(values)) and np.all(values == np.floor(values)))
    changed = np.mean(np.diff(values) != 0) if len(values) > 1 else 1.0
    return whole and bool(changed > _NEARLY) and len(np.unique(values)) >= _MOSTLY * len(values)


def in_order(table: Table, clock: Clock) -> Table:
    """The table with its rows by step, where it is one of evaluations and has hardly a step twice.

    Such a table may be sorted as texts are, 1, 10, 2; a log whose steps go back has them again.
    """
    steps = clock.steps
    if steps is None or not _is_of_evaluations(table) or np.all(np.diff(steps.values) >= 0):
        return table
    if len(np.unique(steps.values)) <= _NEARLY * len(steps):
        return table  # perhaps several runs
    places = np.argsort(np.argsort(steps.values, kind="stable"))

    def moved(series: Series) -> Series:
        rows = np.array(series.rows)
        known = np.isin(rows, steps.rows)
        rows[known] = steps.rows[places[np.searchsorted(steps.rows, rows[known])]]
        order = np.argsort(rows)
        return Series(rows[order], series.values[order])

    clock.steps = moved(steps)
    clock.epochs = clock.epochs and clock.steps
    clock.notes.append("rows are out of order: sorted by step")
    return replace(table, columns={name: moved(s) for name, s in table.columns.items()})


def _batches(
    series: Series, of: Series | None, epochs: Series | None, base: float, table: Table
) -> Clock:
    """Batches are counted within epochs, or on and on."""
    if epochs is not None and of is None and _goes_on(series, epochs):
        length = slope(series, epochs, table.carry)
        return Clock("iteration", series, table.carry, length, epochs)
    if epochs is not None:
        return _within(series, of, epochs, base, table)
    if not _goes_back(series):
        return Clock("iteration", series, table.carry)
    return _counted(series, of, table)


Column = tuple[Series, Series | None]


def _step_columns(table: Table, main: Series | None) -> dict[str, Column]:
    """For each kind of step the column that is called most like it, and of how many it is."""
    found: dict[str, list[tuple[int, str]]] = {}
    index: str | None = None
    for name, series in table.columns.items():
        if name in ("#fraction", "#bar"):
            found["fraction"] = [(0, name)]
            continue
        meaning = role(name)
        if meaning.kind != "step" or not len(series):
            continue
        if meaning.weak:
            index = name if index is None and _is_index(series) else index
            continue
        found.setdefault(meaning.name, []).append((meaning.rank, name))
    if not found and index is not None:
        found["index"] = [(0, index)]
    best = {kind: _best_name(table, ranked, main) for kind, ranked in found.items()}
    if table.layout == "TensorBoard" and "kimg" in best and "iteration" in best:
        # StyleGAN's own event files: their steps are thousands of images.
        best["kimg"] = best.pop("iteration")
    columns = table.columns
    result: dict[str, Column] = {
        kind: (_with_other_names(table, kind, name), columns.get(f"{name}/of"))
        for kind, name in best.items()
    }
    if "epoch" in result and _is_a_setting(result["epoch"][0], table, main):
        del result["epoch"]
    if best.get("fraction") == "#bar" and main is not None and len(result) > 1:
        bars = _bars_of(*result.pop("fraction"), main)
        return result if bars is None else {"fraction": bars, **result}
    return result


def _is_a_setting(epochs: Series, table: Table, main: Series | None) -> bool:
    """Whether epochs were only printed before all rows: `epochs: 100`, `Namespace(epochs=100)`."""
    return table.carry and main is not None and bool(epochs.rows[-1] < main.rows[0])


def _bars_of(series: Series, of: Series | None, main: Series) -> Column | None:
    """The progress bars of training, by their total; None where no loss stands beside a bar.

    Bars of validation or of drawing samples count something of their own.
    """
    beside = np.isin(series.rows, main.rows)
    if not beside.any():
        return None
    if of is None:
        return series, of
    total, known = look_up(of, series.rows, False)
    totals, counts = np.unique(total[beside & known], return_counts=True)
    if not len(totals):
        return series, of
    own = known & (total == totals[np.argmax(counts)])
    rows = series.rows[own]
    return Series(rows, series.values[own]), Series(rows, total[own])


def _nearest(table: Table, names: list[str], main: Series | None) -> str | None:
    """Of two epochs in prints the one that starts them: `Train Epoch: 2`, losses, `=> Epoch: 2`.

    None where neither stands nearer before most rows than the other.
    """
    if not table.carry or main is None or len(names) != 2 or role(names[0]).name != "epoch":
        return None
    printed = [np.append(-1, table.columns[name].rows) for name in names]
    before = [rows[np.searchsorted(rows[1:], main.rows, side="right")] for rows in printed]
    for name, own, other in zip(names, before, before[::-1], strict=True):
        if np.mean(own > other) > _NEARLY:
            return name
    return None


def _best_name(table: Table, ranked: list[tuple[int, str]], main: Series | None) -> str:
    """The plainest of names that mean the same, of columns that serve.

    One with far fewer values than another does not, nor one that is first printed after the rows
    whose step it would be.
    """
    longest = max(len(table.columns[name]) for _, name in ranked)
    nearest = _nearest(table, [name for _, name in ranked], main)

    def key(entry: tuple[int, str]) -> tuple[bool, bool, bool, int, int]:
        rank, name = entry
        series = table.columns[name]
        late = table.carry and main is not None and series.rows[0] > main.rows[0]
        return _MANY_TIMES * len(series) < longest, late, name != nearest, rank, -len(series)

    return min(ranked, key=key)[1]


def _with_other_names(table: Table, kind: str, name: str) -> Series:
    """In prints, the step of a line that calls it otherwise: `Step: 10 ...`, `FID at iteration 9`.

    Only of lines that have a loss or a measure: others count something of their own.
    """
    series = table.columns[name]
    if not table.carry or kind not in ("iteration", "epoch"):
        return series
    valued = [s.rows for n, s in table.columns.items() if role(n).kind in _VALUES]
    for other, more in table.columns.items():
        meaning = role(other)
        if other == name or meaning.kind != "step" or meaning.name != kind or not valued:
            continue
        own = np.isin(more.rows, np.concatenate(valued)) & ~np.isin(more.rows, series.rows)
        if own.any():
            rows = np.concatenate([series.rows, more.rows[own]])
            order = np.argsort(rows, kind="stable")
            values = np.concatenate([series.values, more.values[own]])
            series = Series(rows[order], values[order])
    return series


def _is_index(series: Series) -> bool:
    """Whether a column without a name counts rows."""
    values = series.values
    return bool(np.all(np.isfinite(values)) and np.all(values == np.floor(values))) and (
        len(values) < 2 or bool(np.mean(np.diff(values) > 0) > 0.9)
    )


def _first(epochs: Column | None) -> float:
    """The number of the first epoch: 1 where the last is as high as their count, else 0."""
    if epochs is None:
        return 0.0
    series, of = epochs
    finite = series.values[np.isfinite(series.values)]
    if not len(finite):
        return 0.0
    if of is not None and len(of) and finite.max() == _highest(of):
        return 1.0
    return 1.0 if finite[0] == 1 and finite.min() >= 1 else 0.0


def _highest(series: Series) -> float:
    """The highest of finite values, 0 at least."""
    return float(np.max(series.values[np.isfinite(series.values)], initial=0.0))


def _goes_back(series: Series) -> bool:
    return bool(np.any(np.diff(series.values) < 0))


def _goes_on(series: Series, epochs: Series) -> bool:
    """Whether batches are counted on and on over epochs: `[0/9][400]`, then `[1/9][500]`."""
    epoch, known = look_up(epochs, series.rows, True)
    values, next_epoch = series.values[known], np.diff(epoch[known]) > 0
    steps = np.diff(values)
    return bool(next_epoch.any() and np.all(steps[next_epoch] > 0) and np.all(steps >= 0))


def _starts_again(series: Series, epochs: Series, carry: bool) -> bool:
    """Whether steps go back where the epoch goes on: they count within the epoch."""
    epoch, known = look_up(epochs, series.rows, carry)
    values, epoch = series.values[known], epoch[known]
    back = np.flatnonzero(np.diff(values) < 0)
    if not len(back):
        return False
    return bool(np.mean(np.diff(epoch)[back] > 0) > 0.5)


def _within(series: Series, of: Series | None, epochs: Series, base: float, table: Table) -> Clock:
    """Epoch and batch: the step is the epochs before times their length, and the batch."""
    epoch, known = _epochs_of(series, epochs)
    if of is not None:
        length, has = look_up(of, series.rows, True)
        known &= has
    if not known.any():  # neither stands with or before any batch
        return Clock("iteration", series, table.carry)
    if of is not None:
        lengths = length[known]
        per_epoch = float(np.median(lengths)) if len(lengths) else 1.0
    else:
        per_epoch = _length(series.values[known], epoch[known])
    steps = (epoch - base) * per_epoch + series.values
    clock = Clock("iteration", Series(series.rows[known], steps[known]), table.carry, per_epoch)
    clock.notes.append(f"steps are counted from epoch and batch, {per_epoch:,.6g} an epoch")
    clock.epochs = Series(series.rows[known], epoch[known])
    return clock


def _epochs_of(series: Series, epochs: Series) -> tuple[Floats, Mask]:
    """The epoch of each batch, and whether it is known: the one printed before it.

    Where epochs are first printed after batches, and each after the last of its own, it is the one
    that is printed next.
    """
    after = np.searchsorted(series.rows, epochs.rows)  # the batch that follows an epoch's line
    inner = after[(after > 0) & (after < len(series))]
    last = len(epochs) > 1 and len(inner) and series.rows[0] < epochs.rows[0]
    if not last or np.mean(series.values[inner] < series.values[inner - 1]) <= _MOSTLY:
        return look_up(epochs, series.rows, True)
    place = np.searchsorted(epochs.rows, series.rows)
    values = np.append(epochs.values, epochs.values[-1] + 1)
    return values[place], np.isfinite(values[place])


def _length(batches: Floats, epochs: Floats) -> float:
    """Steps an epoch, where no number of batches was printed.

    Prints come at equal distances, so the first of an epoch stands one distance after the last of
    the epoch before.
    """
    inner = np.diff(batches)[np.diff(epochs) == 0]
    inner = inner[inner > 0]
    if not len(inner):  # a row an epoch, at its end
        return max(float(np.max(batches, initial=0.0)), 1.0)
    distance = float(np.median(inner))
    ends = np.flatnonzero(np.diff(epochs) == 1)
    if not len(ends):
        return float(np.max(batches, initial=0.0)) + distance
    lengths = batches[ends] + distance - batches[ends + 1]
    return max(float(np.median(lengths)), distance)


def _counted(series: Series, of: Series | None, table: Table) -> Clock:
    """Batches that start again and again without an epoch's number: each start is an epoch."""
    values = series.values
    epoch = np.concatenate([[0.0], np.cumsum(np.diff(values) < 0).astype(np.float64)])
    epochs = Series(series.rows, epoch)
    return _within(series, of, epochs, 0.0, table)


def _fraction(series: Series, of: Series | None, table: Table) -> Clock | None:
    """`3/25` without a name: batches where it starts again, epochs where it is of few."""
    if _goes_back(series) and len(series) > 3:
        return _counted(series, of, table)
    if "#bar" not in table.columns and of is not None and _highest(of) <= _MANY_BATCHES:
        return Clock("epoch", series, table.carry, epochs=series)
    return None


def _by_epoch(epochs: Series, table: Table, main: Series | None) -> Clock:
    """Epochs alone: the step, unless each has many rows, which then are numbered."""
    clock = Clock("epoch", epochs, table.carry, epochs=epochs)
    if main is None or len(main) < 2:
        return clock
    epoch, known = look_up(epochs, main.rows, table.carry)
    distinct = _distinct(epoch[known])
    if distinct == 0 or np.count_nonzero(known) <= _OFTEN * distinct:
        return clock
    numbered = _numbered(table, main)
    assert numbered.steps is not None
    numbered.epochs = epochs
    numbered.per_epoch = slope(numbered.steps, epochs, table.carry)
    numbered.notes[:] = ["several rows an epoch and no other step: rows are numbered"]
    return numbered


def _distinct(epochs: Floats) -> int:
    """How many different epochs there are, those of each of several runs."""
    return sum(len(np.unique(own)) for own in np.split(epochs, restarts(epochs)))


def _numbered(table: Table, main: Series | None) -> Clock:
    """No step at all: the rows of the main column are counted from 1."""
    if main is None:
        series = max(table.columns.values(), key=len, default=None)
        main = series
    if main is None:
        return Clock("row", None, False)
    steps = Series(main.rows, np.arange(1.0, len(main) + 1))
    # What is printed between two rows belongs to the one before.
    return Clock("row", steps, True, notes=["no step was found: rows are numbered"])


def slope(steps: Series, epochs: Series, carry: bool) -> float | None:
    """Steps an epoch, from the last step of each epoch; None where fewer than two have one."""
    epoch, known = look_up(epochs, steps.rows, carry)
    values, epoch = steps.values[known], epoch[known]
    last = np.flatnonzero(np.diff(epoch) > 0)
    if len(last) < 2 or np.any(np.diff(epoch) < 0):
        return None
    # The whole way at once: where every 50th step is logged, single epochs look up to 50 shorter.
    length = float((values[last[-1]] - values[last[0]]) / (epoch[last[-1]] - epoch[last[0]]))
    return length if length > 0 else None
