"""The answer for people: plain text, 80 columns wide."""

import math
import textwrap
from collections.abc import Iterable, Sequence

from ganverdict.assessment import Assessment
from ganverdict.counting import counted
from ganverdict.formats import describe
from ganverdict.metrics import ONE_OVER
from ganverdict.verdict import STATUSES, Verdict

WIDTH = 80
_MARGIN = 12  # of the column of headings

FAMILY_WORDS = {
    "bce_mean": "cross-entropy, mean of D's two halves",
    "bce_sum": "cross-entropy, sum of D's two halves",
    "hinge": "hinge",
    "lsgan_mean": "least squares, mean of D's two halves",
    "lsgan_sum": "least squares, sum of D's two halves",
    "wasserstein": "Wasserstein",
    "relativistic": "relativistic",
}
_UNITS = {"iteration": "step", "epoch": "epoch", "kimg": "kimg", "image": "image", "row": "row"}
_ENDS = {"go_on": "go on", "end": "end the training", "roll_back": "go back to what to keep"}


def plain(text: str) -> str:
    """Text whose control characters are shown and not obeyed; names are other people's."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def place(unit: str, step: float | None, epoch: float | None = None) -> str:
    """`epoch 12, step 5,616`, in the log's own unit; empty for None."""
    if step is None:
        return ""
    number = f"{_UNITS.get(unit, unit)} {step:,.10g}"
    return number if epoch is None or unit == "epoch" else f"epoch {epoch:,.10g}, {number}"


def answer(assessment: Assessment, width: int = WIDTH) -> str:
    """What was read, and the verdict on it."""
    verdict = assessment.verdict
    of = f" (of {plain(assessment.pair)})" if len(assessment.pairs) > 1 else ""
    lines = [*head(assessment, width), ""]
    lines += _wrapped(f"{verdict.status}{of}: {STATUSES[verdict.status]}", width)
    for name, texts in parts(assessment):
        lines += _entry(name, texts, width)
    return "\n".join(lines)


def head(assessment: Assessment, width: int = WIDTH) -> list[str]:
    """The lines of what was read: its name; its kind, rows, evaluations and family of loss."""
    name, _, what = describe(assessment.log).partition("\n")
    return [plain(name), *_wrapped(f"{what}; {loss(assessment.verdict)}", width)]


def loss(verdict: Verdict) -> str:
    """The family of the loss, and how it is known."""
    if verdict.loss is None:
        return "loss family: unknown" if verdict.watched.rows else "loss family: none needed"
    return f"loss family: {FAMILY_WORDS[verdict.loss]}, {verdict.loss_source}"


def parts(assessment: Assessment) -> list[tuple[str, Sequence[str]]]:
    """All but the status: a heading and its texts, in order; what is empty is absent."""
    verdict, unit = assessment.verdict, assessment.log.unit
    found = [
        ("keep", [keep(assessment)]),
        ("do", [do(verdict.end, verdict.end_reason)]),
        ("why", [verdict.reason]),
        ("since", _since(verdict, unit)),
        ("length", _length(verdict, unit)),
        ("states", _states(verdict, unit)),
        ("came back", _excursions(verdict, unit)),
        ("pairs", _others(assessment)),
        ("watched", watched(assessment)),
        ("unknown", list(verdict.unknown)),
        ("try", [f"{remedy.words} ({remedy.source})" for remedy in verdict.remedies]),
        ("notes", list(assessment.log.notes)),
    ]
    return [(name, texts) for name, texts in found if texts]


def keep(assessment: Assessment) -> str:
    """Which weights to keep, and what they are worth."""
    verdict = assessment.verdict
    if verdict.best_value is None:
        return "unknown: only a metric of samples, such as FID, tells which weights were best"
    where = place(assessment.log.unit, verdict.best_step, verdict.best_epoch)
    name, (value, *interval) = as_measured(verdict)
    words = f"{where}: {name} {value:.4g}"
    if interval:
        low, high = interval
        noise = (
            "its deviation is given" if verdict.noise == "given" else "a deviation of 1 % assumed"
        )
        words += f" (95 %: {low:.4g} to {high:.4g}, {noise})"
    return words


def as_measured(verdict: Verdict) -> tuple[str, list[float]]:
    """The metric by the log's name, and its best value with the interval, if there is one.

    What is better the higher is judged by its reciprocal, which nobody has measured.
    """
    name = verdict.metric or ""
    numbers = [] if verdict.best_value is None else [verdict.best_value]
    numbers += verdict.best_interval or ()
    if not name.startswith(ONE_OVER):
        return name, numbers
    value, *interval = (1 / number if number > 0 else math.inf for number in numbers)
    return name.removeprefix(ONE_OVER), [value, *reversed(interval)]


def do(end: str, end_reason: str) -> str:
    """Whether to go on, with the reason: the two fields of a verdict."""
    return _ENDS[end] + (f": {end_reason}" if end_reason else "")


def watched(assessment: Assessment) -> list[str]:
    """What the verdict rests on."""
    seen, unit, texts = assessment.verdict.watched, assessment.log.unit, []
    if seen.rows:
        windows = max(seen.windows.values(), default=0)
        texts.append(
            f"{', '.join(seen.windows) or 'no signal'} in {counted(seen.rows, 'row')}, "
            f"as {counted(windows, 'window')}"
        )
        if seen.charted_from is None:
            texts.append("levels, but no changes: too few windows to compare with their past")
        else:
            texts.append(f"levels, and changes from {place(unit, seen.charted_from)} on")
    if seen.evaluations:
        texts.append(f"{counted(seen.evaluations, 'evaluation')} of {assessment.verdict.metric}")
    return texts or ["nothing"]


def table(assessments: Sequence[Assessment], width: int = WIDTH) -> str:
    """Several runs at a glance: status, where it went wrong, what to keep, and which run."""
    rows = [("verdict", "since", "keep", "value", "run")]
    for assessment in assessments:
        verdict, unit = assessment.verdict, assessment.log.unit
        value = "" if verdict.best_value is None else f"{as_measured(verdict)[1][0]:.4g}"
        rows.append(
            (
                verdict.status,
                place(unit, verdict.onset_step) or "-",
                place(unit, verdict.best_step) or "-",
                value or "-",
                plain(assessment.log.name),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    left = max(width - sum(widths) - 8, 16)
    lines = []
    for *cells, name in rows:
        padded = [f"{cell:<{size}}" for cell, size in zip(cells, widths, strict=True)]
        short = name if len(name) <= left else "..." + name[3 - left :]
        lines.append("  ".join([*padded, short]).rstrip())
    return "\n".join(lines)


def _since(verdict: Verdict, unit: str) -> list[str]:
    if verdict.onset_step is None and verdict.alarm_step is None:
        return []
    told = []
    if verdict.alarm_step is not None:
        told.append(f"first warned at {place(unit, verdict.alarm_step)}")
    if verdict.confirm_step is not None:
        told.append(f"certain at {place(unit, verdict.confirm_step, verdict.confirm_epoch)}")
    began = place(unit, verdict.onset_step, verdict.onset_epoch)
    return ["; ".join([began, *told] if began else told)]


def _length(verdict: Verdict, unit: str) -> list[str]:
    if verdict.length_step is None or verdict.length_step == verdict.best_step:
        return []
    where = place(unit, verdict.length_step, verdict.length_epoch)
    return [f"a run with another seed: {where}, where the smoothed {verdict.metric} is lowest"]


def _states(verdict: Verdict, unit: str) -> list[str]:
    texts = []
    for state in verdict.states:
        until = "" if state.until is None else f" until {place(unit, state.until)}"
        texts.append(f"{state.name} from {place(unit, state.since)}{until or ' on'}: {state.words}")
    return texts


def _excursions(verdict: Verdict, unit: str) -> list[str]:
    return [
        f"samples were worse from {place(unit, since)} on, and back by {place(unit, until)}"
        for since, until in verdict.excursions
    ]


def _others(assessment: Assessment) -> list[str]:
    others = assessment.pairs.items() if len(assessment.pairs) > 1 else ()
    return [f"{label}: {verdict.status}" for label, verdict in others]


def _entry(name: str, texts: Iterable[str], width: int) -> list[str]:
    lines: list[str] = []
    for text in texts:
        first = f"  {name:<{_MARGIN - 2}}" if not lines else " " * _MARGIN
        lines += _wrapped(text, width, first, " " * (_MARGIN + 2))
    return lines


def _wrapped(text: str, width: int, first: str = "", others: str = "") -> list[str]:
    """Lines of text; names of files and numbers of papers stay whole."""
    return textwrap.wrap(
        plain(text),
        width,
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )
