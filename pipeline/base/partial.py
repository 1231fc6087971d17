"""Names of what is being written: they tell what a killed process has left, which is cleared."""

import os
import re
import shutil
import uuid
from pathlib import Path

_SUFFIX = ".partial"


def partial_name(name: str) -> str:
    """What a file or folder is called until it is whole and gets its `name`; never twice."""
    return f".{name}.{_process(os.getpid())}.{uuid.uuid4().hex[:8]}{_SUFFIX}"


def clear_abandoned(folder: Path) -> None:
    """Remove what processes of this machine were writing into `folder` when they were killed."""
    for path in folder.glob(f".*{_SUFFIX}"):
        maker = re.search(rf"\.{re.escape(_process(''))}(\d+)\.\w+\{_SUFFIX}$", path.name)
        if maker is None or _runs(int(maker[1])):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _process(number: object) -> str:
    return f"{os.uname().nodename}-{number}"


def _runs(number: int) -> bool:
    """Whether there is such a process; by signal 0, because a bare GPU machine lacks psutil."""
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        pass
    return True
