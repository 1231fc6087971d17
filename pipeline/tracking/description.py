"""The text on a run's page in MLflow: how it went, how good it was, and where to look."""

from collections.abc import Mapping
from typing import Any

from tabulate import tabulate

from ganverdict.words import do

MATTERS = {
    "fd": "Frechet distance of the judge's features to the real digits'; the lower, the better",
    "class_kl": "how far the digits' shares are from the true ones, in nats; 0 is best",
    "as_asked": "share of the samples that the judge reads as the digit asked for; 1 is best",
    "min_share": "the rarest digit's share over its true share; 1 is best",
    "confident": "share of the samples that the judge is sure of",
    "coverage": "share of the real digits that have a sample near; the higher, the better",
}
"""Of all metrics those that are told first, in words."""


def description(
    verdict: Mapping[str, Any],
    samples: str,
    metrics: Mapping[str, float],
    scale: Mapping[str, Mapping[str, float]],
    pictures: str,
) -> str:
    """Markdown for people who see nothing but the run's page.

    Args:
        verdict: the content of stop.json.
        samples: what `metrics` are of.
        metrics: those of the best stopping point, as far as they are known.
        scale: for each metric, what it is for known sets of images; may lack any.
        pictures: where they are.
    """
    return "\n\n".join([_verdict(verdict), *_table(samples, metrics, scale), pictures]) + "\n"


def _verdict(verdict: Mapping[str, Any]) -> str:
    parts = [f"**{verdict['status']}**: {verdict['reason']}"]
    if verdict["best_epoch"] is None:
        parts.append("Best stopping point: unknown, nothing was measured before it went wrong")
    else:
        parts.append(f"Best stopping point: {_place(verdict, 'best')}")
    parts.append(f"Training: {do(verdict['end'], verdict['end_reason'])}")
    if verdict["onset_epoch"] is not None:
        after = ", but samples recovered later" if verdict["recovered"] else ""
        parts.append(f"Onset: {_place(verdict, 'onset')}{after}")
    for begun in verdict.get("branches", ()):
        back = f"epoch {begun['best_epoch']:,.10g}, step {begun['best_step']:,.10g}"
        parts.append(f"Rolled back: at step {begun['step']:,.10g} to {back}")
    if verdict["remedies"]:
        tries = (f"- {remedy['words']} ({remedy['source']})" for remedy in verdict["remedies"])
        parts.append("What to try:\n\n" + "\n".join(tries))
    return "\n\n".join(parts)


def _place(verdict: Mapping[str, Any], of: str) -> str:
    return f"epoch {verdict[f'{of}_epoch']:,.10g}, step {verdict[f'{of}_step']:,.10g}"


def _table(
    samples: str, metrics: Mapping[str, float], scale: Mapping[str, Mapping[str, float]]
) -> list[str]:
    names = [name for name in MATTERS if name in metrics]
    if not names:
        return []
    known = list(dict.fromkeys(kind for name in names for kind in scale.get(name, {})))
    rows = [
        [
            f"`{name}`",
            f"{metrics[name]:.4g}",
            *(_number(scale.get(name, {}).get(kind)) for kind in known),
            MATTERS[name],
        ]
        for name in names
    ]
    titles = [samples, "this run", *(kind.replace("_", " ") for kind in known), ""]
    return [tabulate(rows, titles, tablefmt="github", disable_numparse=True)]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
