"""What was read, in one or two lines for people."""

import numpy as np

from ganverdict.counting import counted
from ganverdict.log import Log
from ganverdict.metrics import ONE_OVER


def describe(log: Log) -> str:
    """`StyleGAN: losses by kimg, 751 rows; fid50k_full, 26 evaluations`, and the file's name."""
    parts = []
    for label, columns in log.pairs.items():
        what = "losses" if "d_loss" in columns or "g_loss" in columns else "signals"
        of = f" of {label}" if label else ""
        parts.append(f"{what}{of} by {log.unit}, {counted(len(columns['step']), 'row')}")
    if log.metric is not None:
        # A log may say NaN of every row that was not evaluated.
        measured = int(np.ma.filled(np.isfinite(log.evaluations[log.metric]), False).sum())
        parts.append(f"{log.metric.removeprefix(ONE_OVER)}, {counted(measured, 'evaluation')}")
    elif log.evaluations:
        parts.append("no measure that counts among the evaluations")
    else:
        parts.append("no evaluations")
    return f"{log.name}\n{log.kind}: {'; '.join(parts)}"
