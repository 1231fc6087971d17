"""What the files of deploy/ call exists, with these options."""

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.project import REPOSITORY


def calls() -> Iterator[tuple[str, str, frozenset[str]]]:
    """File, command and options of every call; a list of YAML is one line of words here."""
    for file in ("compose.yaml", "slurm.sh", "skypilot.yaml"):
        text = (REPOSITORY / "deploy" / file).read_text()
        text = re.sub(r"#.*", "", text)
        text = re.sub(r"\n +- ", " ", text)
        for line in text.splitlines():
            for call in line.split("&&"):
                named = re.search(r"python -m pipeline\.(\w+)(.*)", call)
                if named:
                    options = re.findall(r"(?<!\S)--[\w-]+", named[2])
                    yield file, named[1], frozenset(options)


CALLS = [*calls()]


def test_each_file_has_a_worker_that_joins() -> None:
    joining = [file for file, name, options in CALLS if name == "tune" and "--join" in options]
    assert joining == ["compose.yaml", "slurm.sh", "skypilot.yaml"]
    assert len(CALLS) == 7


@pytest.mark.parametrize(("file", "name", "options"), CALLS)
def test_a_call_is_one_that_the_command_takes(
    file: str, name: str, options: frozenset[str]
) -> None:
    command = [sys.executable, "-m", f"pipeline.{name}", "--help"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert options <= {*re.findall(r"--[\w-]+", done.stdout)}
