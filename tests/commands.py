"""Real commands, run in the process of the test: their imports take longer than their work."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from pipeline import sync
from pipeline.base import cli
from pipeline.store import checkpoints
from pipeline.tracking import registry, server
from pipeline.tracking import run as tracked_run

DEAD = "http://127.0.0.1:9"  # nothing listens there


def enter(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Let commands work in a clone."""
    patch.chdir(folder)
    for name in list(os.environ):
        if name.startswith(("DVC_", "MLFLOW_TRACKING")):
            patch.delenv(name)
    patch.setattr(checkpoints, "CHECKPOINTS", folder / "checkpoints")
    own_tracker(folder, patch)


def own_tracker(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Let what is tracked go to a database in a folder."""
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    patch.setattr(server, "ROOT", folder)
    for module in (server, tracked_run, registry, sync):
        patch.setattr(module, "OUTBOX", folder / ".tracking")


def run_stages(folder: Path, *stages: ModuleType) -> None:
    """Run stages in a clone, each to its end; where they would track, no server is there."""
    with pytest.MonkeyPatch.context() as patch:
        enter(folder, patch)
        patch.setenv("MLFLOW_TRACKING_URI", DEAD)
        for stage in stages:
            assert status_of(stage.main) == 0, stage.__name__


def status_of(main: Callable[[], None], *arguments: str) -> int:
    """Run a command; returns its exit status. An error that it does not turn into one is raised."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["command", *arguments])
        try:
            cli.run(main)
        except SystemExit as end:
            return int(end.code or 0)
    return 0


def refusal(
    capsys: pytest.CaptureFixture[str], main: Callable[[], None], *arguments: str, status: int = 1
) -> str:
    """The one line with which a command ends that must not work."""
    capsys.readouterr()
    assert status_of(main, *arguments) == status, capsys.readouterr()
    errors = capsys.readouterr().err
    assert "Traceback" not in errors
    lines = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, errors
    assert errors.endswith(f"{lines[0]}\n"), errors
    assert len(lines[0]) < 600
    return lines[0]
