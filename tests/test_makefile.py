"""What the Makefile's targets remove is what `make help` says."""

import shutil
import subprocess
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).resolve().parent.parent / "Makefile"


def make(folder: Path, target: str) -> str:
    command = ["make", "--no-print-directory", "-C", str(folder), "-f", str(MAKEFILE), target]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    if shutil.which("make") is None:
        pytest.skip("there is no make")
    for name in ("checkpoints/0123456789abcdef/state.pt", ".ruff_cache/file", "mlflow.db"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def left(project: Path) -> set[str]:
    return {file.name for file in project.iterdir()}


def test_cleaning_loses_no_interrupted_run(project: Path) -> None:
    make(project, "clean")
    assert left(project) == {"checkpoints", "mlflow.db"}


def test_removing_checkpoints_is_asked_for_by_name_and_says_what_it_costs(project: Path) -> None:
    make(project, "clean-checkpoints")
    assert left(project) == {".ruff_cache", "mlflow.db"}
    (line,) = (line for line in make(project, "help").splitlines() if "clean-checkpoints" in line)
    assert "interrupted run then starts anew" in line
