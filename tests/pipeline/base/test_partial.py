"""What a killed process was writing is cleared away; what a living one writes is not."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.base.partial import clear_abandoned, partial_name


def left_by(process: int, folder: Path) -> Path:
    """A file that `process` of this machine was writing."""
    name = re.sub(rf"-{os.getpid()}\.", f"-{process}.", partial_name("table.csv"))
    assert f"-{process}." in name
    file = folder / name
    file.touch()
    return file


def test_only_what_the_dead_were_writing_is_removed(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead = [left_by(ended.pid, tmp_path), left_by(10**30, tmp_path)]  # no process has that number
    alive = left_by(os.getpid(), tmp_path)
    elsewhere = tmp_path / f".table.csv.another-machine-{ended.pid}.01234567.partial"
    elsewhere.touch()
    clear_abandoned(tmp_path)
    assert not any(file.exists() for file in dead)
    assert alive.exists()
    assert elsewhere.exists()


def test_what_another_user_writes_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", forbidden)
    file = left_by(12345, tmp_path)
    clear_abandoned(tmp_path)
    assert file.exists()
