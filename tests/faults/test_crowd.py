"""Many processes that start at once on a cold project."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.length import LONG
from tests.project import Project

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not LONG, reason="starts many processes; part of `make test-faults`"),
]


def test_many_processes_start_cold_at_once_and_every_run_is_tracked(
    tmp_path: Path, attacked: Callable[[int, str], None]
) -> None:
    project = Project(tmp_path / "clone")
    project.set_params(
        {
            "judge": {"epochs": 1, "min_accuracy": 0.0},
            "train": {"epochs": 2, "steps_per_epoch": 10, "sample_every": 0},
            "tune": {"trials": 2, "workers": 2, "startup_trials": 1, "pruner": "none"},
        }
    )
    project.set_params({"tune": {"epochs": {"min": 1, "max": 2, "mode": "resource"}}})
    project.set_params({"tune": {"confirm": {"top": 0, "seeds": 2}}})
    project.run("git", "commit", "-qam", "small")
    for stage in ("fetch", "judge"):  # which track nothing; the rest is cold
        project.python(f"pipeline.{stage}")
    tunes, queued = 2, 3
    for number in range(queued):  # before all: meanwhile DVC has its values in params.yaml itself
        rate = f"train.lr_g=0.000{number + 1}"
        project.run("dvc", "exp", "run", "--queue", "--name", f"queued-{number}", "-S", rate)
    started = [project.start("python", "-m", "pipeline.train")]
    for number in range(tunes):  # each with two workers: three processes
        study = ("--study", f"study-{number}")
        started.append(project.start("python", "-m", "pipeline.tune", *study))
    project.run("dvc", "queue", "start", "-j", str(queued))
    for process in started:
        output, _ = process.communicate(timeout=1200)
        assert process.returncode == 0, output
        assert "Traceback" not in output
        assert "tracking is behind" not in output
    for _ in range(100):
        if project.run("dvc", "queue", "status").count("Success") == queued:
            break
        time.sleep(6)
    project.python("pipeline.sync")
    names = set(project.query("select name from runs where status = 'FINISHED'"))
    studies = {f"study-{number}" for number in range(tunes)}
    wanted = studies | {f"{study}-{trial}" for study in studies for trial in range(2)}
    wanted |= {f"queued-{number}" for number in range(queued)}
    assert wanted <= names
    assert len(names) == len(wanted) + 1  # and the training's own
    attacked(1 + 3 * tunes + queued, "cold processes")
