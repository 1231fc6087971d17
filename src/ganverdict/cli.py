"""The command: `python -m ganverdict PATH...`."""

import argparse
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import NoReturn

from ganverdict.assessment import LOSSES, Assessment, assess_log
from ganverdict.formats import ReadError, read
from ganverdict.formats.names import role
from ganverdict.log import SIGNALS, Log
from ganverdict.output import write_whole
from ganverdict.thresholds import Thresholds
from ganverdict.verdict import STATUSES, WENT_WRONG
from ganverdict.words import answer, plain, table

_DESCRIPTION = """\
Say when a GAN's training was at its best and when it went wrong, from the logs that it left.

Any usual log will do: CSV, JSON lines, printed lines, TensorBoard, MLflow, W&B; losses, or a
metric of samples such as FID, or both. Losses alone raise alarms; only a metric tells which
weights to keep."""
_EPILOG = """\
exit status: 0 nothing went wrong, 1 something did, 2 the log cannot be read or the call is bad"""
_PLOTS = (".png", ".svg", ".pdf")
_MAPPED = ("step", "epoch", *SIGNALS, "fd", "fid", "kid", "class_kl", "coverage", "min_share")


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status. Whatever goes wrong is one line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        options = parse(sys.argv[1:] if arguments is None else arguments)
        return 0 if options is None else run(options)
    except (CallError, ReadError) as error:
        return say(f"error: {error}", 2)
    except KeyboardInterrupt:
        return say("interrupted", 130)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return say(f"error: {where}{error.strerror or error}", 2)
    except MemoryError:
        return say("error: the log is too large for the memory here", 2)


def say(message: str, status: int) -> int:
    """Print one line on standard error; return `status`."""
    sys.stderr.write(plain(" ".join(message.split())) + "\n")
    return status


def run(options: Options) -> int:
    """Do what was asked for; return the exit status. Raises ReadError, CallError or OSError."""
    if options.watch:
        from ganverdict.following import follow

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
        draw = _from_extra("plot")
        kind = options.plot.suffix[1:].lower()
        for path, assessment in _numbered(options.plot, assessments):
            write_whole(path, draw(assessment, kind))
    if options.report is not None:
        page = _from_extra("report")
        write_whole(options.report, page(assessments))


def show(text: str) -> bool:
    """Print text on standard output at once; return whether anybody still reads it."""
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still in the buffer would complain when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True


def parse(arguments: Sequence[str]) -> Options | None:
    """The options in a command line; None where it asked for help or the schema only."""
    parser = _Parser(
        prog="python -m ganverdict",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    _add_arguments(parser)
    found = parser.parse_args(arguments)
    if found.help:
        show(parser.format_help().rstrip())
        return None
    if found.schema:
        show(schema().rstrip())
        return None
    if not found.paths:
        raise CallError("give a log: a file, the folder of a run, - or mlflow:RUN_ID")
    if found.plot is not None and found.plot.suffix.lower() not in _PLOTS:
        raise CallError(f"--plot {found.plot}: its name must end in {', '.join(_PLOTS)}")
    for name in ("plot", "report"):
        if getattr(found, name) is not None:
            _from_extra(name)
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
    add("--json", action="store_true", help="print one JSON object a run; --schema describes it")
    add("--schema", action="store_true", help="print the JSON schema")
    add("--plot", type=Path, metavar="OUT.png|svg|pdf", help="draw curves and verdict")
    add("--report", type=Path, metavar="OUT.html", help="write a page to look at, in one file")
    add("--out", type=Path, metavar="OUT.json", help="write to a file what --json prints")
    add(
        "--loss",
        choices=LOSSES,
        default="auto",
        help="the family of D's loss, where the log and its numbers do not tell it",
    )
    add("--metric", metavar="NAME", help="the measure of samples that counts; lower is better")
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
    add("--watch", action="store_true", help="follow a growing log until it went wrong, or Ctrl-C")
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
        if not equals or role(ours).kind not in ("step", "signal", "measure"):
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
    import shlex
    import shutil

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


def _numbered(path: Path, assessments: Sequence[Assessment]) -> Iterable[tuple[Path, Assessment]]:
    """A file for each run: `a.png`; of several `a-1.png`, `a-2.png`."""
    if len(assessments) == 1:
        return [(path, assessments[0])]
    names = (path.with_stem(f"{path.stem}-{number}") for number in range(1, len(assessments) + 1))
    return zip(names, assessments, strict=True)


def _from_extra(name: str) -> Callable[..., bytes]:
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
        raise CallError(f"--{name} needs {missing}: pip install 'ganverdict[{name}]'") from None
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
