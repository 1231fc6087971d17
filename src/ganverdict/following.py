"""The command's `--watch`: follow logs, and tell each change of a verdict."""

import json
import subprocess
from datetime import datetime
from time import sleep

from ganverdict.assessment import Assessment
from ganverdict.command import Options, failed, judge, say, show, write_files
from ganverdict.formats import ReadError
from ganverdict.log import Log
from ganverdict.verdict import Verdict
from ganverdict.watch import watch
from ganverdict.words import do, keep, plain

_MOST_SECONDS = 60.0  # that a command on a change, or an address, may take
_STANDARD_ERROR = 2  # what a command prints must not be taken for the verdict


class _EndError(Exception):
    """Everything that is followed went wrong, or nobody reads what is told."""


def follow(options: Options) -> int:
    """Tell changes until each run that is followed went wrong, or Ctrl-C; return the status.

    Raises ReadError for a path that is not there.
    """
    latest: dict[str, Assessment] = {}

    def verdict_of(log: Log) -> Verdict:
        latest[log.name] = judge(options, log)
        return latest[log.name].verdict

    def rest(seconds: float) -> None:
        if latest and all(_is_over(options, assessment) for assessment in latest.values()):
            raise _EndError
        sleep(seconds)

    def trouble(error: ReadError) -> None:
        say(f"{_now()} waiting: {error}", 0)

    changes = watch(
        options.paths,
        verdict_of,
        every=options.every,
        metric=options.metric,
        rename=options.rename or {},
        on_trouble=trouble,
        sleep=rest,
    )
    try:
        for log, _ in changes:
            assessment = latest[log.name]
            if not show(_line(options, assessment)):
                break
            write_files(options, [*latest.values()])
            _tell(options, assessment)
    except _EndError:
        pass
    except KeyboardInterrupt:
        say("no longer followed", 0)
    return int(any(failed(options, assessment) for assessment in latest.values()))


def _is_over(options: Options, assessment: Assessment) -> bool:
    """Whether nothing more is to be waited for: it failed, and does not say what it waits for."""
    waits = assessment.verdict.end == "go_on" and assessment.verdict.end_reason
    return failed(options, assessment) and not waits


def _now() -> str:
    return datetime.now().astimezone().strftime("%H:%M:%S")


def _line(options: Options, assessment: Assessment) -> str:
    if options.as_json:
        return _json(assessment)
    verdict = assessment.verdict
    words = (
        f"{_now()} {assessment.log.name}: {_reason(verdict)}; {do(verdict.end, verdict.end_reason)}"
    )
    words += f"; keep {keep(assessment)}" if verdict.best_value is not None else ""
    return plain(words)


def _reason(verdict: Verdict) -> str:
    return f"{verdict.status}: {verdict.reason}"


def _json(assessment: Assessment) -> str:
    return json.dumps(assessment.to_json(), allow_nan=False)


def _tell(options: Options, assessment: Assessment) -> None:
    """Run the command on a change, and send it to the address; a failure is one line."""
    content = _json(assessment).encode()
    if options.on_change:
        # A status comes first, so that no reason can be taken for an option.
        words = [*options.on_change, plain(_reason(assessment.verdict))]
        try:
            done = subprocess.run(
                words, input=content, check=False, timeout=_MOST_SECONDS, stdout=_STANDARD_ERROR
            )
            if done.returncode:
                say(f"{words[0]}: ended with status {done.returncode}", 0)
        except (OSError, subprocess.TimeoutExpired) as error:
            say(f"{words[0]}: {error}", 0)
    if options.webhook is not None:
        _send(options.webhook, content)


def _send(address: str, content: bytes) -> None:
    from urllib.request import Request, urlopen

    # Only http and https come here.
    request = Request(address, content, {"Content-Type": "application/json"})  # noqa: S310
    try:
        with urlopen(request, timeout=_MOST_SECONDS):  # noqa: S310
            pass
    except (OSError, ValueError) as error:
        say(f"{address}: {error}", 0)
