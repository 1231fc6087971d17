import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.base.cli import write_json, write_whole
from pipeline.base.folders import folder_whole
from tests.project import REPOSITORY

PRINTS = """
import sys
from pipeline.base.cli import run

def main():
    for line in range(100_000):
        print(line)
    print("a warning", file=sys.stderr)
    open({done!r}, "w").close()

run(main)
"""


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize(
    ("mask", "of_files", "of_folders"),
    [(0o077, 0o600, 0o700), (0o022, 0o644, 0o755), (0o002, 0o664, 0o775)],
)
def test_who_may_read_and_write_a_file_is_up_to_the_umask(
    tmp_path: Path, mask: int, of_files: int, of_folders: int
) -> None:
    before = os.umask(mask)
    try:
        for _ in range(2):  # the second time, there is something to replace
            write_json(tmp_path / "deep" / "a.json", 1)
            with folder_whole(tmp_path / "folder") as folder, write_whole(folder / "b") as file:
                file.write(b"b")
    finally:
        os.umask(before)
    assert mode(tmp_path / "deep" / "a.json") == mode(tmp_path / "folder" / "b") == of_files
    assert mode(tmp_path / "deep") == mode(tmp_path / "folder") == of_folders


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("to", ["{} | head -1", "{} | true", "{} 2>&1 | head -1"])
def test_a_reader_that_leaves_neither_ends_the_work_nor_is_complained_of(
    tmp_path: Path, unbuffered: str, to: str
) -> None:
    done = tmp_path / "done"
    program = tmp_path / "program.py"
    program.write_text(PRINTS.format(done=str(done)))
    shell = ["bash", "-o", "pipefail", "-c", to.format(f"{sys.executable} {program}")]
    finished = subprocess.run(
        shell,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": unbuffered},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert finished.returncode == 0
    assert finished.stdout == ("0\n" if "head" in to else "")
    assert finished.stderr == ("" if "2>&1" in to else "a warning\n")
    assert done.exists()


def test_the_errors_of_a_full_disk_behind_the_output_are_told(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PRINTS.format(done=str(tmp_path / "done")))
    finished = subprocess.run(
        ["bash", "-c", f"{sys.executable} {program} > /dev/full"],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert finished.returncode != 0
    assert "error: the disk: No space left on device" in finished.stderr
    assert "Traceback" not in finished.stderr
