"""When was a GAN at its best, and when did it go wrong? NumPy alone.

    from ganverdict import Monitor

    monitor = Monitor(loss="bce_mean", metric="fid")
    for step in ...:
        monitor.log(step, d_loss=..., g_loss=...)
        if ...:  # samples were measured
            verdict = monitor.evaluate(step, fid=...)

`python -m ganverdict LOG` reads the logs that there are.
"""

from ganverdict.monitor import Monitor, assess
from ganverdict.thresholds import Thresholds
from ganverdict.verdict import Verdict

__all__ = ["Monitor", "Thresholds", "Verdict", "assess"]
