"""What deploy/slurm.sh does with SIGTERM, run as Slurm runs it, on stand-ins for its programs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project import REPOSITORY

SCRIPT = REPOSITORY / "deploy/slurm.sh"

# Ends with `status` after SIGTERM, as a search does that puts its trials back; without, at once.
WORKER = """\
#!{python}
import os, signal, sys, time
from pathlib import Path

def end(*_):
    time.sleep(0.3)  # what it puts back takes a while
    Path("ended").touch()
    sys.exit(int(os.environ["STATUS"]))

Path("arguments").write_text(" ".join(sys.argv[1:]))
signal.signal(signal.SIGTERM, end)
if "WAIT" not in os.environ:
    sys.exit(int(os.environ["STATUS"]))
print("at work", flush=True)
time.sleep(60)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    programs = tmp_path / ".venv/bin"
    programs.mkdir(parents=True)
    (programs / "python").write_text(WORKER.format(python=sys.executable))
    (programs / "scontrol").write_text('#!/bin/sh\necho "$*" > told_slurm\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    return tmp_path


def started(project: Path, **environment: str) -> "subprocess.Popen[str]":
    slurm = {
        "SLURM_SUBMIT_DIR": str(project),
        "SLURM_ARRAY_JOB_ID": "7",
        "SLURM_ARRAY_TASK_ID": "2",
        "STORAGE": "postgresql+psycopg://gan@host/tune",
        "MLFLOW_TRACKING_URI": "http://host:5000",
    }
    return subprocess.Popen(
        ["bash", str(SCRIPT)],
        cwd="/",
        env={"PATH": os.environ["PATH"]} | slurm | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("status", "requeued"), [("143", "requeue 7_2\n"), ("0", None)], ids=["unfinished", "finished"]
)
def test_sigterm_reaches_the_worker_which_ends_first_and_joins_again_if_need_be(
    project: Path, status: str, requeued: str | None
) -> None:
    job = started(project, WAIT="yes", STATUS=status)
    assert job.stdout
    assert job.stdout.readline() == "at work\n"
    job.send_signal(signal.SIGTERM)  # to the script alone, as --signal=B: has it
    assert job.wait(timeout=30) == int(status)
    assert (project / "ended").exists()
    told = project / "told_slurm"
    assert (told.read_text() if told.exists() else None) == requeued


@pytest.mark.parametrize("status", ["0", "2"])
def test_without_a_signal_the_job_ends_as_the_worker_did(project: Path, status: str) -> None:
    job = started(project, STATUS=status)
    assert job.wait(timeout=30) == int(status)
    assert not (project / "told_slurm").exists()
    said = (project / "arguments").read_text()
    assert said.startswith("-m pipeline.tune --join --storage postgresql+psycopg://gan@host/tune")


@pytest.mark.parametrize("missing", ["STORAGE", "MLFLOW_TRACKING_URI"])
def test_an_address_that_is_missing_is_one_line(project: Path, missing: str) -> None:
    job = started(project, STATUS="0", **{missing: ""})
    _, said = job.communicate(timeout=30)
    assert job.returncode != 0
    assert len(said.splitlines()) == 1
    assert f"{missing}: export it" in said
    assert not (project / "arguments").exists()


def test_shellcheck_finds_nothing() -> None:
    checker = Path(sys.executable).parent / "shellcheck"
    done = subprocess.run([checker, SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    lines = SCRIPT.read_text().splitlines()
    directives = [number for number, line in enumerate(lines) if line.startswith("#SBATCH")]
    commands = [number for number, line in enumerate(lines) if line and not line.startswith("#")]
    assert directives
    assert max(directives) < min(commands)  # Slurm reads no further than the first command
