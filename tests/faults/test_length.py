"""A run of 70,200 steps, with synthetic numbers: memory stays flat, reports stay readable."""

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from dcgan.training import SIGNALS, GanState, Report
from pipeline import evaluate, fetch, judge, train
from tests.commands import DEAD, enter, status_of
from tests.faults.length import times
from tests.project import Project

pytestmark = pytest.mark.slow

EPOCHS, STEPS_PER_EPOCH = times(9, 150), 468
STEPS = EPOCHS * STEPS_PER_EPOCH
MEBIBYTE = 2**20


def test_a_long_run_keeps_memory_flat_and_its_reports_readable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attacked: Callable[[int, str], None]
) -> None:
    project = Project(tmp_path / "clone")
    project.set_params(
        {
            "judge": {"epochs": 1, "min_accuracy": 0.0},
            "measure": {"num_training_samples": 100},
            "train": {"epochs": EPOCHS, "steps_per_epoch": STEPS_PER_EPOCH, "sample_every": 156},
        }
    )
    enter(project.folder, monkeypatch)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DEAD)
    for stage in (fetch, judge):
        assert status_of(stage.main) == 0
    memory: list[int] = []

    def synthetic(state: GanState, *_: Any) -> Iterator[Report]:
        rng = torch.Generator().manual_seed(0)
        for step in range(156, STEPS + 1, 156):
            state.step = step
            signals = torch.rand(156, len(SIGNALS), generator=rng) + 0.5
            grid = torch.randint(0, 255, (64, 28, 28), dtype=torch.uint8, generator=rng)
            ends = step % STEPS_PER_EPOCH == 0
            epoch = step // STEPS_PER_EPOCH if ends else None
            yield Report(step, epoch, step - 155, signals, None, "", grid)
            if ends:
                gc.collect()
                memory.append(psutil.Process().memory_info().rss)

    monkeypatch.setattr("pipeline.training.run.fit", synthetic)
    assert status_of(train.main) == 0
    # All that a run remembers: 64 pictures of 784 bytes a report, twice while they are packed.
    kept = 3 * STEPS // 156 * 64 * 784 + 4 * STEPS * len(SIGNALS)
    third = memory[len(memory) // 3]
    assert memory[-1] - third < 2 * kept + 60 * MEBIBYTE, [m // MEBIBYTE for m in memory]
    assert Path("reports/steps.csv").stat().st_size < 100 * STEPS
    assert len(Path("reports/epochs.csv").read_text().splitlines()) == EPOCHS + 1
    assert status_of(evaluate.main) == 0
    for picture in Path("reports/plots").iterdir():
        assert picture.stat().st_size < 8 * MEBIBYTE, picture.name
    attacked(
        STEPS, f"steps; {memory[-1] // MEBIBYTE} MiB at the end, {third // MEBIBYTE} at a third"
    )
