"""What a `ganverdict.recorder.Recorder` tells of itself in the first record of its log."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ganverdict.families import FAMILIES
from ganverdict.formats.table import Table

KEY = "ganverdict"


@dataclass(frozen=True)
class Settings:
    """What a verdict went by beside the numbers; None: by the numbers alone."""

    steps_per_epoch: float | None
    loss: str | None
    metric: str | None


def settings_of(table: Table) -> Settings | None:
    """What a Recorder told; None where it is not its log."""
    if KEY not in table.sample:
        return None
    try:
        told = json.loads(table.sample)[KEY]
        length, loss, metric = (told[k] for k in ("steps_per_epoch", "loss", "metric"))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    numbered = isinstance(length, int | float) and 1 <= length < math.inf
    return Settings(
        float(length) if numbered else None,
        loss if isinstance(loss, str) and loss in FAMILIES else None,
        metric if isinstance(metric, str) and metric in table.columns else None,
    )


def without_settings(tables: Iterable[Table]) -> list[Table]:
    """The tables without the columns that those would be."""
    return [
        replace(t, columns={n: s for n, s in t.columns.items() if not n.startswith(f"{KEY}/")})
        for t in tables
    ]
