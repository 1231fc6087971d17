"""What the Makefile's targets do is what they say."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).resolve().parent.parent / "Makefile"


def make(folder: Path, *words: str, expect: int = 0, **environment: str) -> str:
    command = ["make", "--no-print-directory", "-C", str(folder), "-f", str(MAKEFILE), *words]
    given = os.environ | environment
    done = subprocess.run(command, env=given, capture_output=True, text=True, timeout=60)
    assert done.returncode == expect, done.stderr
    return done.stdout


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


@pytest.fixture
def ready_project(project: Path) -> Path:
    """A project whose environment is there: its `mlflow` tells how it was called."""
    programs = project / ".venv/bin"
    programs.mkdir(parents=True)
    for name in ("pyproject.toml", "constraints.txt", ".venv/ready"):  # oldest first
        (project / name).touch()
    (programs / "python").symlink_to(sys.executable)
    (programs / "mlflow").write_text('#!/bin/sh\necho "mlflow $*"\n')
    (programs / "mlflow").chmod(0o755)
    return project


def test_the_ui_is_where_it_is_said_to_be(ready_project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    told = make(ready_project, "ui", MLFLOW_PORT=port)
    assert f"http://127.0.0.1:{port}/" in told
    assert f"--port {port}" in told.splitlines()[-1]


def test_the_address_of_another_server_is_not_told_as_the_uis(ready_project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        told = make(ready_project, "ui", expect=2, MLFLOW_PORT=port)
    assert told.startswith(f"error: port {port} cannot be had")
    assert "http" not in told
