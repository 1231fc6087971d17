"""What every reader hands on: one run's losses, signals and measures, by the log's own steps."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

# float64 [n]; missing values are masked, NaN and infinity are values.
Column = np.ma.MaskedArray[Any, Any]
Columns = dict[str, Column]


@dataclass(frozen=True)
class Log:
    """What was read of one run, in the log's own steps.

    - `name`: how the run is called: the path as given, with "#2" for a second run in one file.
    - `kind`: what it was recognised as, for people: "StyleGAN", "CSV", ...
    - `unit`: what a step counts: "iteration", "epoch", "kimg", "image" or "row".
    - `pairs`: the label of a pair of D and G ("" where there is one pair) -> its signals. Each has
      "step" [n], strictly increasing and never masked, and any of
      `ganverdict.signals.SIGNALS`.
    - `evaluations`: "step" [m], strictly increasing and in the same unit, "epoch" where the log
      tells it, and each measure under the log's own name.
    - `metric`: the measure that counts, a key of `evaluations`. One that is better the higher it is
      is judged by its reciprocal, see `ganverdict.assessment.judged_log`.
    - `steps_per_epoch`: where the log tells it.
    - `loss`: one of `ganverdict.families.FAMILIES` where this kind of log is known to have it,
      else None.
    - `notes`: what a reader had to decide or mend.
    - `files`: every file read.
    - `epochs`: "step" [k] and "epoch" [k] of the losses' rows, where steps count something else and
      the log tells both.
    """

    name: str
    kind: str
    unit: str
    pairs: dict[str, Columns]
    evaluations: Columns
    metric: str | None
    steps_per_epoch: float | None
    loss: str | None
    notes: tuple[str, ...]
    files: tuple[str, ...]
    epochs: Columns = field(default_factory=dict)
