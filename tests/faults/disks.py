"""Small disks that can be filled to the last byte."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from os import statvfs
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, mebibytes: int = 32) -> Iterator[Path]:
    """A disk of its own at `folder`, in memory; the test is skipped where mounting is forbidden."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "faults", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("no disk to fill: mount is not installed")
    if mounted.returncode:
        pytest.skip(f"no disk to fill: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def filled(disk: Path, left: int = 0) -> Iterator[None]:
    """All but the last `left` bytes of a disk taken."""
    filler = disk / "filler"
    status = statvfs(disk)
    with filler.open("wb") as file:
        todo = status.f_bavail * status.f_frsize - left
        while todo > 0:
            todo -= file.write(bytes(min(todo, 2**20)))
    try:
        yield
    finally:
        filler.unlink()
