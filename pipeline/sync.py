"""Send what the tracking server or database has not got yet, run by run, in order.

Exit status 1 says that something is still missing; the same command goes on from there.
"""

from pipeline.base.cli import Parser, UserError, run

if __name__ == "__main__":  # --help and wrong options first: the imports below take seconds
    run(Parser("sync", __doc__).parse_args)

from pipeline.base.paths import OUTBOX
from pipeline.tracking.run import TrackedRun
from pipeline.tracking.server import FAILURES, brief, close_dead_runs, connect


def main() -> None:
    Parser("sync", __doc__).parse_args()
    folders = sorted(OUTBOX.iterdir()) if OUTBOX.is_dir() else []
    runs = {folder.name: TrackedRun(folder.name) for folder in folders if folder.is_dir()}
    if not runs:
        print("no run of this project was ever tracked; nothing is missing")
        return
    _ask_once(runs)
    missing = sum(_send(key, tracked) for key, tracked in runs.items())
    closed = close_dead_runs()
    if closed:
        print(f"{closed} RUNNING without a process any more: marked KILLED")
    if missing:
        raise UserError(f"{_entries(missing)} still missing; `python -m pipeline.sync` tries again")
    print("nothing is missing")


def _ask_once(runs: dict[str, TrackedRun]) -> None:
    """Fail at once if the server is away, instead of once for each run."""
    try:
        connect()
    except FAILURES as error:
        missing = sum(tracked.waiting() for tracked in runs.values())
        raise UserError(
            f"the tracking server does not answer ({brief(error)}); {_entries(missing)} missing; "
            "`python -m pipeline.sync` tries again"
        ) from None


def _send(key: str, tracked: TrackedRun) -> int:
    """Send what waits of one run, and say so; returns how many entries are still missing."""
    before = tracked.waiting()
    if not before:
        return 0
    try:
        tracked.send()
        reason = ""
    except FAILURES as error:
        reason = f" ({brief(error)})"
    left = tracked.waiting()
    print(f"run {key}: {_entries(before - left)} sent, {left} missing{reason}")
    return left


def _entries(number: int) -> str:
    return f"{number} {'entry' if number == 1 else 'entries'}"


if __name__ == "__main__":
    run(main)
