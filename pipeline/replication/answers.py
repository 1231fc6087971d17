"""What the seeds of a recipe say together: each answer with an interval."""

import math
from collections import Counter
from collections.abc import Callable, Sequence

from tabulate import tabulate

from pipeline.base.interval import interval
from pipeline.replication.assessment import ORIGINAL_EPOCH, Record

Answer = dict[str, float]
"""`runs`, how many have one; their `mean`; of two or more also `low` and `high`, its interval."""


def _lost(choice: Callable[[Record], float | None]) -> Callable[[Record], float | None]:
    """What a rule costs: fd at the epoch that it chooses less the lowest fd of the run."""

    def lost(record: Record) -> float | None:
        epoch = choice(record)
        return None if epoch is None else record.fd_at(epoch) - record.epochs["fd"][record.best_row]

    return lost


def _growth(signal: str) -> Callable[[Record], float | None]:
    """A signal in the last epoch over what it was where fd is lowest; None if an epoch lacks it."""

    def growth(record: Record) -> float | None:
        values = record.by_epoch(signal)
        ratio = float(values[-1] / values[record.best_row])
        return ratio if math.isfinite(ratio) else None

    return growth


QUESTIONS: dict[str, Callable[[Record], float | None]] = {
    "lowest fd": lambda record: float(record.epochs["fd"][record.best_row]),
    "its epoch": lambda record: float(record.epochs["epoch"][record.best_row]),
    "lost by the verdict's stop": _lost(lambda record: record.verdict.best_epoch),
    f"lost at epoch {ORIGINAL_EPOCH}": _lost(lambda _: ORIGINAL_EPOCH),
    "lost at the last epoch": _lost(lambda record: int(record.epochs["epoch"][-1])),
    "lost at the lowest g_loss": _lost(lambda record: record.epoch_of("g_loss", "lowest")),
    "lost at the highest d_loss": _lost(lambda record: record.epoch_of("d_loss", "highest")),
    "epoch of the first alarm": lambda record: next(
        (alarm.step / record.epoch_length for alarm in record.alarms), None
    ),
    "epoch of the onset": lambda record: record.verdict.onset_epoch,
    "epoch of the lowest g_loss": lambda record: record.epoch_of("g_loss", "lowest"),
    "epoch of the highest d_loss": lambda record: record.epoch_of("d_loss", "highest"),
    "D's gradient norm, last epoch over best": _growth("d_grad_norm"),
    "G's gradient norm, last epoch over best": _growth("g_grad_norm"),
}
"""What is asked of every run that has come to its end."""


def answers(records: Sequence[Record]) -> dict[str, dict[str, Answer]]:
    """The answers by recipe and question; one that no run has is left out."""
    return {
        recipe: {
            question: _answer(values)
            for question, ask in QUESTIONS.items()
            if (values := [value for run in runs if (value := ask(run)) is not None])
        }
        for recipe, runs in _by_recipe(records).items()
    }


def _answer(values: Sequence[float]) -> Answer:
    if len(values) == 1:
        return {"runs": 1, "mean": values[0]}
    mean, low, high = interval(values)
    return {"runs": len(values), "mean": mean, "low": low, "high": high}


def answers_table(records: Sequence[Record]) -> str:
    """The answers as a Markdown table; "" while no run has come to its end."""
    by_recipe, runs = answers(records), _by_recipe(records)
    if not by_recipe:
        return ""
    headers = ["", *(f"{recipe} (n = {len(runs[recipe])})" for recipe in by_recipe)]
    rows = [["verdicts", *(_counted(runs[recipe]) for recipe in by_recipe)]]
    for question in QUESTIONS:
        cells = (_shown(by_recipe[recipe].get(question), len(runs[recipe])) for recipe in by_recipe)
        rows.append([question, *cells])
    text: str = tabulate(rows, headers, tablefmt="github", disable_numparse=True)
    return text


def _by_recipe(records: Sequence[Record]) -> dict[str, list[Record]]:
    whole = [record for record in records if record.is_whole]
    runs: dict[str, list[Record]] = {}
    for record in whole:
        runs.setdefault(record.recipe, []).append(record)
    return runs


def _counted(runs: Sequence[Record]) -> str:
    counts = Counter(run.verdict.status for run in runs)
    return ", ".join(f"{number} {status}" for status, number in counts.items())


def _shown(answer: Answer | None, runs: int) -> str:
    if answer is None:
        return "none"
    text = f"{answer['mean']:.3g}"
    if "low" in answer:
        text += f" ({answer['low']:.3g} to {answer['high']:.3g})"
    return text if answer["runs"] == runs else f"{text}, {answer['runs']} of {runs}"
