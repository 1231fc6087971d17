"""What the command does with a verdict: judge, print, write files."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ganverdict.assessment import Assessment, assess_log
from ganverdict.formats import ReadError
from ganverdict.log import Log
from ganverdict.output import write_whole
from ganverdict.thresholds import Thresholds
from ganverdict.verdict import WENT_WRONG
from ganverdict.words import plain


class CallError(Exception):
    """Something in the call that the user can mend, in one line."""


@dataclass(frozen=True)
class Options:
    """What the command was asked for.

    Attributes:
        paths: of one or several runs.
        as_json: one object a run on standard output instead of the answer for people.
        plot, report, out: files to write, each if it is not None.
        loss, metric, rename, steps_per_epoch: as `assess_log` and `read` take them.
        fail_on: the statuses of a verdict that give exit status 1.
        watch: whether to follow the log; `every` so many seconds it is looked at.
        on_change: a command to run when a verdict changes, as its words.
        webhook: an address that is sent each change.
        thresholds: what the verdict goes by; None: the defaults.
    """

    paths: tuple[str, ...]
    as_json: bool = False
    plot: Path | None = None
    report: Path | None = None
    out: Path | None = None
    loss: str | None = None
    metric: str | None = None
    rename: dict[str, str] | None = None
    steps_per_epoch: float | None = None
    fail_on: frozenset[str] = WENT_WRONG
    watch: bool = False
    every: float = 30.0
    on_change: tuple[str, ...] = ()
    webhook: str | None = None
    thresholds: Thresholds | None = None


def judge(options: Options, log: Log) -> Assessment:
    """Assess one run. Raises ReadError where that cannot be."""
    try:
        return assess_log(
            log,
            options.thresholds,
            loss=options.loss,
            steps_per_epoch=options.steps_per_epoch,
        )
    except ValueError as error:
        raise ReadError(f"{log.name}: cannot be judged: {error}") from None


def failed(options: Options, assessment: Assessment) -> bool:
    """Whether a verdict is one of those that give exit status 1."""
    return assessment.verdict.status in options.fail_on


def as_lines(assessments: Iterable[Assessment]) -> str:
    """One JSON object a line."""
    lines = [json.dumps(a.to_json(), allow_nan=False) + "\n" for a in assessments]
    return "".join(lines)


def write_files(options: Options, assessments: Sequence[Assessment]) -> None:
    """Write the files that were asked for."""
    if options.out is not None:
        write_whole(options.out, as_lines(assessments).encode())
    if options.plot is not None:
        draw = from_extra("plot")
        kind = options.plot.suffix[1:].lower()
        for path, assessment in _numbered(options.plot, assessments):
            write_whole(path, draw(assessment, kind))
    if options.report is not None:
        page = from_extra("report")
        write_whole(options.report, page(assessments))


def show(text: str) -> bool:
    """Print text on standard output at once; return whether anybody still reads it."""
    if sys.stdout is None:  # it was closed before this began
        return False
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still in the buffer would complain when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True


def say(message: str, status: int) -> int:
    """Print one line on standard error; return `status`."""
    sys.stderr.write(plain(" ".join(message.split())) + "\n")
    return status


def from_extra(name: str) -> Callable[..., bytes]:
    """What draws a plot or a report; their libraries are extras, and slow to import."""
    # A notebook's commands inherit its backend, which need not exist here, and files need none.
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        if name == "plot":
            from ganverdict.plot import draw

            return draw
        from ganverdict.report import page

        return page
    except ImportError as error:
        missing = error.name or "a library"
        raise CallError(f"--{name} needs {missing}: pip install {missing}") from None
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend


def _numbered(path: Path, assessments: Sequence[Assessment]) -> Iterable[tuple[Path, Assessment]]:
    """A file for each run: `a.png`; of several `a-1.png`, `a-2.png`."""
    if len(assessments) == 1:
        return [(path, assessments[0])]
    names = (path.with_stem(f"{path.stem}-{number}") for number in range(1, len(assessments) + 1))
    return zip(names, assessments, strict=True)
