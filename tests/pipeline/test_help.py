"""`--help` and wrong options of every command are answered before anything heavy is imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project import REPOSITORY

COMMANDS = sorted(file.stem for file in (REPOSITORY / "pipeline").glob("[a-z]*.py"))
HEAVY = {"torch", "mlflow", "optuna", "matplotlib", "scipy", "dvc", "pandas", "onnxruntime"}
# As `python -m` does, then says what was imported; the output is the command's own.
PROGRAM = f"""
import runpy, sys
sys.argv[0] = sys.argv.pop(1)
try:
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
finally:
    sys.stdout.flush()
    sys.stderr.flush()
    open("imported", "w").write(" ".join(sorted({HEAVY} & set(sys.modules))))
"""


def answer(
    folder: Path, command: str, *options: str
) -> tuple["subprocess.CompletedProcess[str]", str]:
    """What a command says, and what heavy packages it has imported."""
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM, f"pipeline.{command}", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return finished, (folder / "imported").read_text()


def test_there_are_commands() -> None:
    assert {"train", "tune", "replicate", "stop"} < {*COMMANDS}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_imports_nothing_heavy(command: str, tmp_path: Path) -> None:
    finished, imported = answer(tmp_path, command, "--help")
    assert finished.returncode == 0
    assert finished.stdout.startswith(f"usage: python -m pipeline.{command} ")
    assert finished.stderr == ""
    assert imported == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_option_is_refused_in_one_line_and_imports_nothing_heavy(
    command: str, tmp_path: Path
) -> None:
    # What `recipe` does not know is DVC's, but it needs a recipe.
    finished, imported = answer(tmp_path, command, "--no-such-option")
    assert finished.returncode == 2
    assert finished.stdout == ""
    assert finished.stderr.startswith("error: ")
    assert finished.stderr.count("\n") == 1
    assert imported == ""


def test_the_packages_would_be_noticed(tmp_path: Path) -> None:
    """Without this, another name of a package would let everything pass."""
    for package in HEAVY:
        assert __import__(package).__name__ == package
