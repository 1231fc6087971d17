"""What is known of a metric by its name: what it cannot be, and what is little but noise."""

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ganverdict.naming import name_words, word_set

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

_METRIC = re.compile(r"^(fd|fid|kid|frechet|sfid|cfid|cleanfid|fvd|fad|fcd|cmmd)(\d+k?)?$")
# Lowest first; all others are an FID. Of videos, sounds and molecules there is nothing better.
_FAMILY = {"fd": 0, "kid": 2, "fvd": 3, "fad": 3, "fcd": 3, "cmmd": 3}
_SCORE_FAMILY = 4
INCEPTION_SCORE = re.compile(
    r"(?:(?:eval|evaluation|val|valid|validation|test|metrics?|ema|gan)_)*"
    r"(?:is(\d+k?)?|inception)(?:_(?:score|mean|avg|average|value|full|ema))*"
)
_BETTER_HIGHER = re.compile(
    r"(?:^|_)(?:precision|recall|density|coverage|psnr|ssim|min_share|eq[tr]\d+\w*|f_8|f_1_8"
    r"|f_?beta\w*)(?:_|$)"
)
_NOT_METRIC = word_set(
    "best min lowest std sigma se time sec secs duration var stddev num n ci low high upper lower",
    "per intra precision recall samples images count ref patience prev previous",
)
_IDLE_WORDS = word_set("score full value metric metrics distance eval evaluation frechet inception")


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


def metric_rank(name: str) -> tuple[int, int, int] | None:
    """How well a measure serves as the one that counts: lowest first; None where it cannot.

    FD before FID before KID before their like for other data (FVD, FAD, FCD, CMMD) before the
    Inception Score; averaged weights before others, more samples before fewer, the plain name
    before the longer one.
    """
    parts = name_words(name)
    if set(parts) & _NOT_METRIC:
        return None
    averaged = 0 if "ema" in parts else 1
    for part in parts:
        if match := _METRIC.match(part):
            family = _FAMILY.get(match[1], 1)
            extra = [p for p in parts if p != part and p not in _IDLE_WORDS and p != "ema"]
            return family, averaged, len(extra) * 10**9 - _samples(match[2])
    if score := INCEPTION_SCORE.fullmatch("_".join(parts)):
        return _SCORE_FAMILY, averaged, -_samples(score[1])
    return None


def judged_name(name: str) -> str:
    """The measure by which `name` is judged: itself, or `1/NAME` where higher values are better,
    as of the Inception Score or of recall."""
    parts = name_words(name)
    if name.startswith(ONE_OVER) or any(_METRIC.match(part) for part in parts):
        return name
    joined = "_".join(parts)
    higher = INCEPTION_SCORE.fullmatch(joined) or _BETTER_HIGHER.search(joined)
    return ONE_OVER + name if higher else name


def _samples(size: str | None) -> int:
    """How many samples the number in a measure's name says: `50k` is 50,000."""
    number = int(re.sub(r"\D", "", size or "") or 0)
    return min(number * (1000 if size and size.endswith("k") else 1), 10**8)


def deviation_of(metric: str, measures: Collection[str]) -> str | None:
    """The measure that is a metric's deviation: `kid_std` of `kid` or of `kid_mean`."""
    if metric.startswith("fd") and "fd_sigma" in measures:
        return "fd_sigma"
    stem = metric.lower().removesuffix("_mean")
    return next((n for n in measures if n.lower() in (f"{stem}_std", f"{stem}_sigma")), None)


def metric_of(measures: Collection[str]) -> str | None:
    """The measure that counts, of those of an evaluation; None where none can.

    Raises ValueError where several may.
    """
    ranks = sorted((rank, name) for name in measures if (rank := metric_rank(name)) is not None)
    found = [name for rank, name in ranks if rank == ranks[0][0]]
    if len(found) > 1:
        named = " and ".join(map(repr, found))
        raise ValueError(f"{named} may each count; say which: metric={found[0]!r}")
    return found[0] if found else None


def judged_measures(metric: str, measures: Mapping[str, float]) -> dict[str, float]:
    """Measures as they are judged: the metric's reciprocal where higher values are better, else
    its deviation by its name."""
    judged, value = judged_name(metric), measures.get(metric)
    if judged != metric and value is not None:
        return dict(measures) | {judged: reciprocal(value)}
    deviation = deviation_of(metric, measures)
    if deviation is None:
        return dict(measures)
    return {f"{metric}_sigma": measures[deviation]} | dict(measures)
