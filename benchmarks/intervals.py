"""How far to trust a share of runs."""

from scipy import stats

CONFIDENCE = 0.90


def share_interval(hits: int, count: int) -> tuple[float, float]:
    """The interval of a share, `hits` of `count` > 0 (Clopper and Pearson 1934).

    Exact, where resampling runs of which none hit would say never.
    """
    tail = (1 - CONFIDENCE) / 2
    low = stats.beta.ppf(tail, hits, count - hits + 1) if hits else 0.0
    high = stats.beta.ppf(1 - tail, hits + 1, count - hits) if hits < count else 1.0
    return float(low), float(high)
