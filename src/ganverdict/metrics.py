"""What is known of a metric by its name: what it cannot be, and what is little but noise."""

import math
import re
from dataclasses import dataclass

from ganverdict.naming import name_words

ONE_OVER = "1/"
"""Before the name of a measure that is better the higher: its reciprocal is judged."""

_IDLE = r"(?:_(?:full|score|mean|value|ema|distance|\d+k?))*"
# The least that samples have that are little but noise, of the measures whose scale is known: those
# of Inception's features, and the pipeline's fd.
_NOISE_LEVELS = tuple(
    (re.compile(rf"{over}(?:.*_)?(?:{name})\d*k?{_IDLE}"), level)
    for over, name, level in (
        ("", "fd|[a-z]*fid|frechet(?:_inception)?", 100.0),
        ("", "kid", 0.1),
        (ONE_OVER, "is|inception", 0.8),
    )
)
_NEVER_ZERO = re.compile(r"(?:^|_)(?:fd|f[a-z]d|[a-z]*fid|frechet)\d*k?(?:_|$)")
_ABOUT_NOTHING = re.compile(r"(?:^|_)(?:kid|c?mmd)\d*k?(?:_|$)")


@dataclass(frozen=True)
class Metric:
    """The measure that counts.

    Attributes:
        noise_level: samples with more are little but noise; None: not known.
        never_zero: whether 0 says "not measured".
        about_nothing: whether its estimate lies about 0 at its best, and below it as often.
    """

    name: str
    noise_level: float | None
    never_zero: bool
    about_nothing: bool


def metric_named(name: str) -> Metric:
    """What a name tells of a metric."""
    over = ONE_OVER if name.startswith(ONE_OVER) else ""
    plain = "_".join(name_words(name.removeprefix(over)))
    level = next((v for k, v in _NOISE_LEVELS if k.fullmatch(over + plain)), None)
    never_zero = _NEVER_ZERO.search(plain) is not None
    return Metric(name, level, never_zero, _ABOUT_NOTHING.search(plain) is not None)


def reciprocal(value: float) -> float:
    """What a measure that is better the higher is judged by; NaN where its value can be none."""
    return 1.0 / value if 0 < value < math.inf else math.nan
