"""What every command shares: how it ends, what it reads, and how it writes."""

import argparse
import contextlib
import errno
import json
import os
import signal
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, Any, NoReturn

from pipeline.base.output import let_readers_leave
from pipeline.base.params import Params
from pipeline.base.partial import clear_abandoned, partial_name
from pipeline.base.rank import end_with_launcher, is_rank, speaks

if TYPE_CHECKING:
    from tqdm import tqdm

PARAMS_FILE = Path("params.yaml")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Full or read-only disks, missing rights, a file where a folder should be or the reverse, names
# that cannot be, files that vanish.
_OF_THE_MACHINE = (
    *FULL,
    errno.EACCES,
    errno.EROFS,
    errno.EPERM,
    errno.EEXIST,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EBUSY,
    errno.EIO,
    errno.ENAMETOOLONG,
    errno.ENOENT,
)


class UserError(Exception):
    """Something the user can mend: one line saying what, where and what to do."""

    def __init__(self, message: str, exit_status: int = 1) -> None:
        super().__init__(message)
        self.exit_status = exit_status


def run(main: Callable[[], object]) -> None:
    """Run a command. Errors of the user or of the machine become one line and an exit status."""
    let_readers_leave()
    if is_rank():
        signal.signal(signal.SIGINT, _interrupt)
        end_with_launcher()
    elif "DVC_STAGE" in os.environ:
        from pipeline.base.orphan import end_with_dvc  # here: a bare GPU machine lacks psutil

        end_with_dvc()
    # As Ctrl-C does: what is half-written is cleared away.
    before = signal.signal(signal.SIGTERM, _interrupt)
    hook, sys.unraisablehook = sys.unraisablehook, _lost
    try:
        main()
        sys.stdout.flush()
    except UserError as error:
        sys.exit(_say(str(error), error.exit_status))
    except KeyboardInterrupt as interrupt:
        (number,) = interrupt.args or (signal.SIGINT,)
        sys.exit(_say("interrupted; the same command continues", 128 + number))
    except OSError as error:
        if error.errno not in _OF_THE_MACHINE:
            raise
        where = error.filename or "the disk"
        sys.exit(_say(f"{where}: {error.strerror}; nothing half-written was left", 1))
    finally:
        signal.signal(signal.SIGTERM, before)
        sys.unraisablehook = hook


def _interrupt(number: int, _: FrameType | None) -> None:
    raise KeyboardInterrupt(number)


def _lost(lost: "sys.UnraisableHookArgs") -> None:
    """Send an interrupt once more that came during a callback, such as a destructor's."""
    if not isinstance(lost.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(lost)
        return
    (number,) = lost.exc_value.args or (signal.SIGINT,)
    again = threading.Timer(0.01, os.kill, (os.getpid(), number))
    again.daemon = True
    again.start()


class Parser(argparse.ArgumentParser):
    """A command line whose errors are one line, too."""

    def __init__(self, module: str, description: str | None, **options: Any) -> None:
        super().__init__(
            prog=f"python -m pipeline.{module}",
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **options,
        )

    def error(self, message: str) -> NoReturn:
        shown = " ".join(message.split())
        shown = shown if len(shown) <= 300 else shown[:297] + "..."
        raise UserError(f"{shown}; `{self.prog} --help` tells more", 2)


def _say(message: str, status: int) -> int:
    if speaks():  # one line, whatever it quotes
        print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return status


def read_yaml(path: Path) -> Any:
    """The content of a YAML file, by YAML 1.2, in which `2e-4` is a number."""
    from ruamel.yaml import YAML  # here: a bare GPU machine lacks it
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: missing; run this in the project's root folder", 2) from None
    except (YAMLError, RecursionError, LookupError, ValueError) as error:
        raise UserError(f"{path}: not YAML: {' '.join(str(error).split())}", 2) from None


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and check params.yaml. Raises UserError with one line for anything wrong."""
    try:
        return Params.from_mapping(read_yaml(path))
    except ValueError as error:
        # The place and the fault come first; a list of all keys of a section may be long.
        raise UserError(textwrap.shorten(f"{path}: {error}", 500, placeholder=" ..."), 2) from None


def progress_bar(**options: Any) -> "tqdm[Any]":
    """A bar with time left; in a log file, a line every half minute."""
    from tqdm import tqdm  # here, because `--help` must not wait for it

    interval = 0.5 if sys.stderr.isatty() else 30.0
    return tqdm(**options, file=sys.stderr, mininterval=interval, dynamic_ncols=True)


@contextlib.contextmanager
def write_whole(path: Path) -> Iterator[IO[bytes]]:
    """Open `path` for writing so that it appears whole or not at all, parent folders included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_file():  # such as /dev/stdout, which must not be replaced
        with naming(path), path.open("wb") as device:
            yield device
        return
    clear_abandoned(path.parent)
    partial = path.with_name(partial_name(path.name))
    with naming(path):
        try:
            with partial.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let the error of a full disk say what was being written; by itself, it names nothing."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            error.filename, error.filename2 = str(path), None
        raise


def write_json(path: Path, value: object) -> None:
    with write_whole(path) as file:
        file.write((json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path, made_by: str) -> Any:
    """Read a JSON file that the stage `made_by` writes."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise missing(path, made_by) from None
    except ValueError:
        raise corrupt(path, made_by) from None


def missing(path: Path, made_by: str) -> UserError:
    """What to raise for a file that the stage `made_by` has not made yet."""
    return UserError(f"{path}: missing; `dvc repro {made_by}` makes it")


def corrupt(path: Path, made_by: str) -> UserError:
    """What to raise for a file that is not what the stage `made_by` makes."""
    return UserError(f"{path}: corrupt; delete it, then `dvc repro {made_by}` makes it")
