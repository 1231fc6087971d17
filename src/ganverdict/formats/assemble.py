"""From tables to runs: which columns are meant, at which steps, in how many runs."""

from collections.abc import Mapping, Sequence

import numpy as np

from ganverdict.families import infer
from ganverdict.formats.clocks import clock_of, in_order
from ganverdict.formats.columns import (
    main_column,
    named,
    named_by_others,
    renamed,
)
from ganverdict.formats.errors import ReadError
from ganverdict.formats.kinds import UNITS, kind_of
from ganverdict.formats.measures import measures_of, metric_of
from ganverdict.formats.recorded import settings_of, without_settings
from ganverdict.formats.runs import Found, runs_of
from ganverdict.formats.signals import signals_of
from ganverdict.formats.table import Table
from ganverdict.formats.tracks import Gathered, Track, shown_name
from ganverdict.log import Log

_TELLING = 8  # rows
_BELOW = 0.1  # of the rows below zero


def assemble(
    name: str, tables: Sequence[Table], metric: str | None, rename: Mapping[str, str]
) -> list[Log]:
    """The runs in `tables`, which belong together."""
    told = next(filter(None, map(settings_of, tables)), None)
    tables = [named(table) for table in without_settings(tables)]
    tables = renamed(tables, rename)
    kind, loss = kind_of(tables)
    tables = named_by_others(tables)
    told_of_none = [note for table in tables if not table.columns for note in table.notes]
    tables = [table for table in tables if table.columns]
    gathered = Gathered(tables, [], [])
    offset = 0
    for index, table in enumerate(tables):
        clock = clock_of(table, main_column(table))
        tables[index] = in_order(table, clock)
        if clock.unit == "iteration":
            clock.unit = UNITS.get(kind, clock.unit)
        gathered.clocks.append(clock)
        gathered.offsets.append(offset)
        offset += 1 + max(int(series.rows[-1]) for series in table.columns.values() if len(series))
    if told is not None:
        for clock in gathered.clocks:
            clock.per_epoch = told.steps_per_epoch
        metric = metric or told.metric
    signals = signals_of(gathered)
    measures = measures_of(gathered, metric)
    if not any(signals.values()) and not measures:
        raise ReadError(_nothing(name, tables, told_of_none))
    chosen = metric_of(gathered, measures, metric, name)
    if loss is not None and any(_contradicts(own, loss) for own in signals.values()):
        loss = None
    loss = loss if told is None else told.loss
    return runs_of(Found(name, kind, loss, gathered, signals, measures, chosen))


def _contradicts(signals: Mapping[str, Track], loss: str) -> bool:
    """Whether the numbers tell of another loss than a log of this kind is known for.

    Cross-entropies and squares are never below zero, as the estimate of a distance mostly is; D's
    answers give its cross-entropy.
    """
    if loss == "wasserstein" and "d_loss" in signals:
        d_loss = signals["d_loss"].values
        return len(d_loss) >= _TELLING and bool(np.min(d_loss, initial=np.inf) >= 0)
    if not loss.startswith(("bce", "lsgan")):
        return False
    losses = [signals[side].values for side in ("d_loss", "g_loss") if side in signals]
    if any(np.mean(values < 0) > _BELOW for values in losses):
        return True
    answers = {"d_loss", "d_real", "d_fake"} <= signals.keys()
    if loss.startswith("lsgan") or not answers or len(signals["d_loss"]) < _TELLING:
        return False
    length = len(signals["d_loss"])
    values = {n: t.values for n, t in signals.items() if len(t) == length}
    family = infer(values)
    return family is None or not family.name.startswith("bce")


def _nothing(name: str, tables: Sequence[Table], told: Sequence[str]) -> str:
    names = [n for table in tables for n in table.columns if not n.startswith("#")]
    if told and not names:
        return f"{name}: {'; '.join(told)}"
    listed = ", ".join(dict.fromkeys(shown_name(n) for n in names[:12])) or "no names with numbers"
    return (
        f"{name}: neither a loss of D or G nor a measure such as fid was found ({listed});"
        " name yours with --map d_loss=NAME, or --metric NAME"
    )
