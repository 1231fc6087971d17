"""The command: `python -m ganverdict PATH...`."""

import argparse
import io
import shlex
import shutil
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import NoReturn

import numpy as np

from ganverdict.assessment import LOSSES
from ganverdict.command import (
    CallError,
    Options,
    as_lines,
    failed,
    from_extra,
    judge,
    say,
    show,
    write_files,
)
from ganverdict.following import follow
from ganverdict.formats import ReadError, read
from ganverdict.formats.names import role
from ganverdict.log import Log
from ganverdict.naming import name_words
from ganverdict.signals import SIGNALS
from ganverdict.verdict import STATUSES, WENT_WRONG
from ganverdict.words import answer, table

_DESCRIPTION = """\
Say when a GAN's training was at its best and when it went wrong, from the logs that it left.

Any usual log will do: CSV, JSON lines, printed lines, notebooks, TensorBoard, MLflow, W&B; losses,
or a metric of samples such as FID, or both. Losses alone raise alarms; only a metric tells which
weights to keep."""
_EPILOG = """\
exit status: 0 nothing went wrong, 1 something did, 2 the log cannot be read or the call is bad"""
_PLOTS = (".png", ".svg", ".pdf")
_MAPPED = ("step", "epoch", *SIGNALS, "fd", "fid", "kid", "class_kl", "coverage", "min_share")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status. Whatever goes wrong is one line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        parser = _parser()
        found = parser.parse_args(arguments)
        if found.version:
            show(f"ganverdict {version('ganverdict')}")
            return 0
        if found.help or found.schema:
            show((schema() if found.schema else parser.format_help()).rstrip())
            return 0
        with np.errstate(all="ignore"):  # numbers of any size are no news of ours
            return run(_options(found))
    except (CallError, ReadError) as error:
        return say(f"error: {error}", 2)
    except KeyboardInterrupt:
        return say("interrupted", 130)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return say(f"error: {where}{error.strerror or error}", 2)
    except MemoryError:
        return say("error: the log is too large for the memory here", 2)


def run(options: Options) -> int:
    """Do what was asked for; return the exit status. Raises ReadError, CallError or OSError."""
    if options.watch:
        return follow(options)
    return tell(options, read(options.paths, metric=options.metric, rename=options.rename or {}))


def tell(options: Options, logs: Iterable[Log]) -> int:
    """Print and write the verdicts on logs; return the exit status. Raises as `run` does."""
    assessments = [judge(options, log) for log in logs]
    write_files(options, assessments)
    if options.as_json:
        show(as_lines(assessments).rstrip("\n"))
    elif len(assessments) == 1:
        show(answer(assessments[0]))
    else:
        show("\n\n".join([table(assessments), *map(answer, assessments)]))
    return int(any(failed(options, assessment) for assessment in assessments))


def parse(arguments: Sequence[str]) -> Options:
    """The options in a command line. Raises CallError."""
    return _options(_parser().parse_args(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m ganverdict",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    _add_arguments(parser)
    return parser


def _options(found: argparse.Namespace) -> Options:
    if not found.paths:
        raise CallError("give a log: a file, the folder of a run, - or mlflow:RUN_ID")
    if found.plot is not None and found.plot.suffix.lower() not in _PLOTS:
        raise CallError(f"--plot {found.plot}: its name must end in {', '.join(_PLOTS)}")
    for name in ("plot", "report"):
        if getattr(found, name) is not None:
            from_extra(name)
    if not found.watch and (found.on_change or found.webhook):
        raise CallError("--on-change and --webhook go with --watch")
    return Options(
        paths=tuple(found.paths),
        as_json=found.json,
        plot=found.plot,
        report=found.report,
        out=found.out,
        loss=None if found.loss == "auto" else found.loss,
        metric=found.metric,
        rename=_renamed(found.map),
        steps_per_epoch=found.steps_per_epoch,
        fail_on=_statuses(found.fail_on),
        watch=found.watch,
        every=found.every,
        on_change=_command(found.on_change),
        webhook=_address(found.webhook),
    )


def schema() -> str:
    """The JSON schema of what `--json` prints for a run."""
    return files("ganverdict").joinpath("verdict.schema.json").read_text(encoding="utf-8")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise CallError(f"{message}; --help tells more")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "paths",
        nargs="*",
        metavar="PATH",
        help="a file, several files of one run, a folder of a run or of runs, - for standard "
        "input, or mlflow:RUN_ID",
    )
    add("-h", "--help", action="store_true", help="show this")
    add("--version", action="store_true", help="show which this is")
    add("--json", action="store_true", help="print one JSON object a run; --schema describes it")
    add("--schema", action="store_true", help="print the JSON schema")
    add(
        "--plot",
        type=Path,
        metavar="OUT.png|svg|pdf",
        help="draw curves and verdict; of several runs OUT-1.png, ...",
    )
    add("--report", type=Path, metavar="OUT.html", help="write a page to look at, in one file")
    add("--out", type=Path, metavar="OUT.json", help="write to a file what --json prints")
    add(
        "--loss",
        choices=LOSSES,
        default="auto",
        help="the family of D's loss, where the log and its numbers do not tell it",
    )
    add(
        "--metric",
        metavar="NAME",
        help="the measure of samples that counts; lower is better, but for the Inception Score, "
        "precision, recall and their like, which are judged by their reciprocal",
    )
    add(
        "--map",
        action="append",
        default=[],
        metavar="OURS=THEIRS",
        help="a column of another name, such as d_loss=disc; `step=` is the one without a name; "
        "repeatable",
    )
    add(
        "--steps-per-epoch",
        type=_length,
        metavar="N",
        help="iterations in an epoch, where the log does not tell",
    )
    add(
        "--fail-on",
        metavar="STATUS,...",
        help=f"verdicts that give exit status 1, of {', '.join(STATUSES)} "
        f"(default: {', '.join(s for s in STATUSES if s in WENT_WRONG)})",
    )
    add(
        "--watch",
        action="store_true",
        help="follow a growing log until it went wrong for good, or Ctrl-C",
    )
    add("--every", type=_seconds, default=30.0, metavar="SECONDS", help="between looks (30)")
    add(
        "--on-change",
        metavar="CMD",
        help="run this when a verdict changes: the verdict is its last argument, and JSON on its "
        "standard input; no shell is used",
    )
    add("--webhook", metavar="URL", help="send the JSON there when a verdict changes")


def _length(text: str) -> float:
    value = _number(text)
    if not 1 <= value <= 1e9:
        raise argparse.ArgumentTypeError("must be a number from 1 to 1e+09")
    return value


def _seconds(text: str) -> float:
    value = _number(text)
    if not 0 < value <= 86_400:
        raise argparse.ArgumentTypeError("must be over 0 and at most a day")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None


def _renamed(pairs: Sequence[str]) -> dict[str, str]:
    renamed: dict[str, str] = {}
    for pair in pairs:
        ours, equals, theirs = pair.partition("=")
        # A column without a word for a name is an index; nobody calls one of ours so.
        if (
            not equals
            or not name_words(ours)
            or role(ours).kind not in ("step", "signal", "measure")
        ):
            raise CallError(
                f"--map {pair}: must be OURS=THEIRS, where OURS is one of {', '.join(_MAPPED)}"
            )
        if renamed.get(ours, theirs) != theirs:
            raise CallError(f"--map {pair}: {ours} is {renamed[ours]} already")
        renamed[ours] = theirs
    return renamed


def _statuses(text: str | None) -> frozenset[str]:
    if text is None:
        return WENT_WRONG
    names = frozenset(name.strip() for name in text.split(","))
    if unknown := sorted(names - STATUSES.keys()):
        raise CallError(f"--fail-on: {unknown[0]!r} is none of {', '.join(STATUSES)}")
    return names


def _command(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise CallError(f"--on-change {text}: {error}") from None
    if not words or shutil.which(words[0]) is None:
        raise CallError(f"--on-change {text}: there is no such command")
    return words


def _address(text: str | None) -> str | None:
    if text is not None and not text.startswith(("http://", "https://")):
        raise CallError(f"--webhook {text}: must begin with http:// or https://")
    return text
