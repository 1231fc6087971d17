"""A mean over seeds, and how far to trust it."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

CONFIDENCE = 0.90  # of the two-sided interval: a choice by its upper end errs in one case of twenty


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean of at least two values that cannot be negative, and Student's interval for it."""
    mean, deviation = float(np.mean(values)), float(np.std(values, ddof=1))
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1))
    reach *= deviation / math.sqrt(len(values))
    return mean, max(mean - reach, 0.0), mean + reach
