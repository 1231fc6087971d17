"""Downloads by the package managers that are there, from the registries that they are set up for.

What fails is a ValueError that says why in a line.
"""

import re
import shutil
import subprocess
from pathlib import Path

DOWNLOAD_SECONDS = 300


def call(command: list[str], work: Path) -> None:
    """Run a download in `work`; raises ValueError with what it had to say if it failed."""
    try:
        finished = subprocess.run(
            command,
            cwd=work,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=DOWNLOAD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"not done after {DOWNLOAD_SECONDS} s") from None
    if finished.returncode:
        lines = [line.strip() for line in finished.stderr.splitlines() if line.strip()]
        # pip and npm begin a line with it; of a Python traceback the last line says it.
        errors = [line for line in lines if re.match("(npm )?err(or|!)", line, re.IGNORECASE)]
        raise ValueError((errors[:1] or lines[-1:] or [f"exit status {finished.returncode}"])[0])


def npm_tarball(package: str, work: Path) -> Path:
    """The tarball of `name@version`; never installed, nothing of it run."""
    npm = shutil.which("npm")
    if npm is None:
        raise ValueError("npm is not installed")
    call([npm, "pack", "--ignore-scripts", package], work)
    return only_file(work, "*.tgz")


def only_file(folder: Path, pattern: str) -> Path:
    """The one file that a download has left."""
    files = list(folder.glob(pattern))
    if len(files) != 1:
        raise ValueError(f"the download left {len(files)} files {pattern}, not one")
    return files[0]
