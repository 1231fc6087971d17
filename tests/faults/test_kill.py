"""Kills: stages at random moments, and the DVC that runs them."""

import json
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.faults.length import times
from tests.project import Project

pytestmark = pytest.mark.slow

STEPS = 60
STAGES = ("train", "evaluate", "export")
# Bit for bit the same after any kill. Times and the run's random name are in the other files.
RESULTS = (
    "models/generator_best.safetensors",
    "models/generator_last.safetensors",
    "models/samples.npz",
    "reports/steps.csv",
    "reports/stop.json",
    "reports/metrics.json",
    "reports/plots/fd.png",
    "export/generator.onnx",
    "export/generator.safetensors",
)


class Stages:
    """The process that starts stages, and the stage that it runs now."""

    def __init__(self, project: Project) -> None:
        self._process = subprocess.Popen(
            ["python", "-m", "tests.faults.stages"],
            cwd=project.folder,
            env=project.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._answer() == "ready"

    def run(self, name: str, kill_after: float | None = None, by: int = 0) -> int:
        """Run a stage, perhaps killed after some seconds; returns its exit status."""
        kill = "" if kill_after is None else f" {kill_after} {int(by)}"
        assert self._process.stdin is not None
        self._process.stdin.write(f"{name}{kill}\n")
        self._process.stdin.flush()
        return int(self._answer())

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def end(self) -> None:
        self._process.communicate(timeout=60)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A clone with small parameters."""
    project = Project(tmp_path_factory.mktemp("kill") / "clone")
    project.set_params({"judge": {"epochs": 1, "min_accuracy": 0.0}})
    return project


@pytest.fixture(scope="module")
def stages(project: Project) -> Iterator[Stages]:
    """The clone's stages, all of which have come undisturbed to their end."""
    stages = Stages(project)
    for name in ("fetch", "judge", *STAGES):
        assert stages.run(name) == 0, output(project)
    yield stages
    stages.end()


def test_stages_killed_at_random_moments_come_to_the_undisturbed_end(
    project: Project, stages: Stages, attacked: Callable[[int, str], None]
) -> None:
    undisturbed = {name: (project.folder / name).read_bytes() for name in RESULTS}
    rng, kills, by_stage = random.Random(6), times(5, 36), dict.fromkeys(STAGES, 0)
    durations = dict.fromkeys(STAGES, 3.0)
    while sum(by_stage.values()) < kills:
        clear(project)
        for stage in STAGES:
            status, left = None, rng.randint(1, 4)
            while status != 0:
                ending = rng.choice((signal.SIGKILL, signal.SIGTERM))
                started = time.monotonic()
                if left:
                    status = stages.run(stage, rng.uniform(0, durations[stage]), ending)
                else:
                    status = stages.run(stage)
                    durations[stage] = time.monotonic() - started
                assert status in (0, -ending, 128 + ending), output(project)
                by_stage[stage] += status != 0
                left -= bool(left)
        for name, content in undisturbed.items():
            assert (project.folder / name).read_bytes() == content, name
        assert "Traceback" not in output(project)
        assert leftovers(project) == []
        assert_tracked_once(project)
    for stage, number in by_stage.items():
        attacked(number, f"kills of {stage}")


def clear(project: Project) -> None:
    """As before the first training; what is tracked stays."""
    for name in ("checkpoints", "export", "reports/plots"):
        shutil.rmtree(project.folder / name, ignore_errors=True)
    for name in RESULTS:
        (project.folder / name).unlink(missing_ok=True)
    (project.folder / "output.txt").unlink(missing_ok=True)


def output(project: Project) -> str:
    return (project.folder / "output.txt").read_text()


def leftovers(project: Project) -> list[Path]:
    """What was being written when a process was killed."""
    places = ("checkpoints", "models", "reports", "export", ".tracking")
    return [path for place in places for path in (project.folder / place).rglob(".*.partial")]


def assert_tracked_once(project: Project) -> None:
    """The newest run is there once, with every value of every metric and one model."""
    tagged = "select run_uuid from tags where key = 'run_key' and value = ?"
    (run,) = project.query(tagged, key_of(project.folder / "models/run.json"))
    assert project.query("select status from runs where run_uuid = ?", run) == ["FINISHED"]
    by_metric: dict[str, list[int]] = {}
    rows = "select key, step from metrics where run_uuid = ? order by step"
    for metric, step in project.query(rows, run):
        by_metric.setdefault(metric, []).append(step)
    for metric, steps in by_metric.items():
        if metric.startswith("train/"):
            assert steps == list(range(1, STEPS + 1)), metric
        elif metric.startswith("eval/"):
            assert steps == [20, 40, 60], metric
        elif metric.startswith(("final/", "last/", "stop/")):
            assert len(steps) == 1, metric
    assert {"train/d_loss", "eval/fd", "final/fd", "last/fd"} <= set(by_metric)
    images = project.folder / "mlartifacts" / run / "artifacts/images"
    pictures = sorted(int(file.name.split("+")[2]) for file in images.glob("*.png"))
    assert pictures == [8, 16, 20, 24, 32, 40, 48, 56, 60]
    assert len(project.query("select version from model_versions where run_id = ?", run)) == 1


@pytest.mark.parametrize("shell", ["/bin/bash", "/bin/dash"][: times(1, 2)])
def test_a_stage_ends_with_the_dvc_that_runs_it_and_the_same_command_continues(
    project: Project, stages: Stages, attacked: Callable[[int, str], None], shell: str
) -> None:
    clear(project)
    project.set_params({"train": {"epochs": 500}})
    endings = (signal.SIGKILL, signal.SIGTERM)[: times(1, 2)]
    for ending in endings:
        before = saved(project)
        dvc = project.start("dvc", "repro", "-s", "train", SHELL=shell)
        wait_until(lambda: saved(project) > before, dvc)  # noqa: B023
        (training,) = (p for p in psutil.Process(dvc.pid).children(recursive=True) if trains(p))
        dvc.send_signal(ending)
        said, _ = dvc.communicate(timeout=120)  # the pipe is open as long as the stage is there
        assert "interrupted at step" in said, said
        assert not training.is_running() or training.status() == psutil.STATUS_ZOMBIE
    (file,) = (project.folder / "checkpoints").glob("*/run.json")  # all of them were one run
    assert len(project.query("select run_uuid from tags where value = ?", key_of(file))) == 1
    project.set_params({"train": {"epochs": 3}})
    attacked(len(endings), f"kills of dvc, {shell}")


def saved(project: Project) -> float:
    """When the newest state was saved."""
    files = (project.folder / "checkpoints").glob("*/state.pt")
    return max((file.stat().st_mtime for file in files), default=0.0)


def key_of(file: Path) -> str:
    return str(json.loads(file.read_text())["key"])


def trains(process: psutil.Process) -> bool:
    return process.cmdline()[-1:] == ["pipeline.train"]


def wait_until(true: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 600
    while not true():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)
