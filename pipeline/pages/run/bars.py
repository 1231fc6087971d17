"""Metrics beside their scale: where each lies between real digits and noise."""

import math
from collections.abc import Mapping

from ganverdict.report import text_of
from pipeline.tracking.description import MATTERS

BEST, WORST = "floor", "noise"  # of the known sets, the ends of a bar
_MANY_SIZES = 30  # times the lower end: the bar is logarithmic
_ABOUT = {
    **MATTERS,
    "precision": "share of the samples that lie among real digits; the higher, the better",
    "recall": "share of the real digits that lie among samples; the higher, the better",
    "density": "how densely real digits lie around samples; 1 is that of real ones",
    "kid": "kernel distance of the judge's features to the real digits'; the lower, the better",
    "nn_ratio": "distance to the nearest training digit over that of test digits; far below 1 "
    "would be copies",
}
_NO_END = {
    "confident": "no bar: the judge is sure of noise, too",
    "nn_ratio": "no bar: noise is as far from training digits as test digits are",
}
_ERRORS = {"fd": "fd_sigma", "kid": "kid_error"}  # told beside their metric


def bars(metrics: Mapping[str, float], scale: Mapping[str, Mapping[str, float]]) -> str:
    """A bar for each metric that has words: full at real digits, empty at noise.

    Where noise is no opposite of real digits there are numbers alone.

    Args:
        metrics: of the best stopping point.
        scale: for each metric, what it is for known sets of images; may lack any.
    """
    shown = [name for name in _ABOUT if name in metrics]
    return f'<div class="bars">{"".join(_bar(n, metrics, scale.get(n, {})) for n in shown)}</div>'


def _bar(name: str, metrics: Mapping[str, float], known: Mapping[str, float]) -> str:
    value = metrics[name]
    error = metrics.get(_ERRORS.get(name, ""))
    number = f"{value:.4g}" + ("" if error is None else f" ± {error:.2g}")
    without = _NO_END.get(name, "no bar: no scale with real digits and noise apart")
    track = f"<p>{text_of(without)}</p>"
    share = None if name in _NO_END else position(value, known)
    if share is not None:
        ticks = "".join(
            f'<i style="left:{100 * place:.1f}%" title="{text_of(_words(kind, known[kind]))}"></i>'
            for kind in known
            if kind not in (BEST, WORST) and (place := position(known[kind], known)) is not None
        )
        words = f"{name} {number}, {100 * share:.0f} % of the way from noise to real digits"
        track = (
            f'<div class="track" role="img" aria-label="{text_of(words)}">'
            f'<b style="width:{100 * share:.1f}%"></b>{ticks}</div>'
            f'<p class="ends"><span>{text_of(_words(WORST, known[WORST]))}</span>'
            f"<span>{text_of(_words(BEST, known[BEST]))}</span></p>"
        )
    sets = ", ".join(_words(kind, number_of) for kind, number_of in known.items())
    between = f"<p>Known sets: {text_of(sets)}</p>" if sets else ""
    return (
        f'<div class="bar"><h3><code>{text_of(name)}</code> {text_of(number)}</h3>{track}'
        f"<details><summary>{text_of(_ABOUT[name])}</summary>{between}</details></div>"
    )


def position(value: float, known: Mapping[str, float]) -> float | None:
    """Where a value lies from noise, 0, to real digits, 1; None where these do not differ.

    On a logarithmic scale where the two are of different sizes. What lies beyond an end is there.
    """
    best, worst = known.get(BEST), known.get(WORST)
    if best is None or worst is None or not math.isfinite(value):
        return None
    low, high = sorted((best, worst))
    if low > 0 and high > _MANY_SIZES * low:
        value, best, worst = (math.log(max(v, low)) for v in (value, best, worst))
    if math.isclose(best, worst, rel_tol=1e-9, abs_tol=1e-12):
        return None
    return min(max((value - worst) / (best - worst), 0.0), 1.0)


def _words(kind: str, value: float) -> str:
    return f"{'real digits' if kind == BEST else kind.replace('_', ' ')} {value:.4g}"
