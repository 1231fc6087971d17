"""What every command shares: how it ends, what it reads, and how it writes."""

import contextlib
import errno
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from tqdm import tqdm

from dcgan.params import Params

PARAMS_FILE = Path("params.yaml")
# Full or read-only disks, missing rights, a file where a folder should be or the reverse.
_OF_THE_MACHINE = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EACCES,
    errno.EROFS,
    errno.EPERM,
    errno.EEXIST,
    errno.ENOTDIR,
    errno.EISDIR,
)


class UserError(Exception):
    """Something the user can mend: one line saying what, where and what to do."""

    def __init__(self, message: str, exit_status: int = 1) -> None:
        super().__init__(message)
        self.exit_status = exit_status


def run(main: Callable[[], None]) -> None:
    """Run a command. Errors of the user or of the machine become one line and an exit status."""
    try:
        main()
    except UserError as error:
        sys.exit(_say(str(error), error.exit_status))
    except KeyboardInterrupt:
        sys.exit(_say("interrupted; the same command continues", 130))
    except OSError as error:
        if error.errno not in _OF_THE_MACHINE:
            raise
        where = error.filename or "the disk"
        sys.exit(_say(f"{where}: {error.strerror}; nothing half-written was left", 1))


def _say(message: str, status: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return status


def read_yaml(path: Path) -> Any:
    """The content of a YAML file, by YAML 1.2, in which `2e-4` is a number."""
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
        raise UserError(f"{path}: {error}", 2) from None


def progress_bar(**options: Any) -> "tqdm[Any]":
    """A bar with time left; in a log file, a line every half minute."""
    interval = 0.5 if sys.stderr.isatty() else 30.0
    return tqdm(**options, file=sys.stderr, mininterval=interval, dynamic_ncols=True)


@contextlib.contextmanager
def write_whole(path: Path) -> Iterator[IO[bytes]]:
    """Open `path` for writing so that it appears whole or not at all, parent folders included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: object) -> None:
    with write_whole(path) as file:
        file.write((json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path, made_by: str) -> Any:
    """Read a JSON file that the stage `made_by` writes."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: missing; `dvc repro {made_by}` makes it") from None
    except ValueError:
        raise UserError(
            f"{path}: corrupt; delete it, then `dvc repro {made_by}` makes it"
        ) from None
