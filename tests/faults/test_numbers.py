"""NaN and infinity planted in a training: named with the step, and the best is kept."""

import csv
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from dcgan import training
from dcgan.training import GanState, Report, fit
from pipeline import train
from pipeline.store.weights import load_generator
from tests.commands import status_of

STEP = 47  # of 60; two of three epochs are done


def weights(state: GanState) -> list[torch.Tensor]:
    return [state.g_weights[0].data]


def moments(state: GanState) -> list[torch.Tensor]:
    return [values["exp_avg"] for values in state.d_optimizer.state.values()][:1]


def squares(state: GanState) -> list[torch.Tensor]:
    return [values["exp_avg_sq"] for values in state.g_optimizer.state.values()][:1]


def statistics(state: GanState) -> list[torch.Tensor]:
    return [tensor for name, tensor in state.generator.named_buffers() if "running_var" in name][:1]


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("place", [weights, moments, squares, statistics])
def test_what_is_not_finite_is_named_and_the_best_is_kept(
    clone: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    place: Callable[[GanState], list[torch.Tensor]],
    value: float,
) -> None:
    for folder in Path("checkpoints").iterdir():
        (folder / "state.pt").unlink()
    if place is statistics:  # training reads them only where D's fakes come from inference
        recipe = Path("params.yaml").read_text()
        assert "fakes: shared" in recipe
        Path("params.yaml").write_text(recipe.replace("fakes: shared", "fakes: inference"))

    def planting(state: GanState, *others: Any) -> torch.Tensor:
        if state.step == STEP - 1:
            for tensor in place(state):
                tensor.view(-1)[0] = value
        return iteration(state, *others)

    iteration = training.iteration
    monkeypatch.setattr(training, "iteration", planting)
    assert status_of(train.main) == 0
    said = capsys.readouterr().out
    verdict = json.loads(Path("reports/stop.json").read_text())
    if verdict["status"] == "diverged":
        assert STEP <= verdict["onset_step"] <= STEP + 1
        assert f"is not finite at step {verdict['onset_step']}" in said
    else:
        # Dividing by infinity leaves every value finite: one weight or one channel stands still.
        assert place in (squares, statistics)
        assert value == math.inf
    load_generator(Path("models/generator_best.safetensors"))  # refuses what is not finite
    assert verdict["best_epoch"] in (1, 2, 3)
    with Path("reports/epochs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    (best,) = (row for row in rows if int(row["epoch"]) == verdict["best_epoch"])
    assert math.isfinite(float(best["fd"]))
    # Of the weights as trained: an average that has met infinity is NaN from there on.
    metrics = [float(row.get("fd_raw") or row["fd"]) for row in rows]
    assert all(map(math.isfinite, metrics))
    for entry in Path(".tracking").rglob("entry.json"):
        json.loads(entry.read_text(), parse_constant=pytest.fail)


def test_an_average_that_breaks_is_never_the_best(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in Path("checkpoints").iterdir():
        (folder / "state.pt").unlink()

    def breaking(state: GanState, *others: Any) -> Iterator[Report]:
        for report in fit(state, *others):
            yield report
            if report.step == 40 and state.averaged is not None:
                next(state.averaged.parameters()).data.fill_(math.nan)

    monkeypatch.setattr("pipeline.training.run.fit", breaking)
    assert status_of(train.main) == 0
    load_generator(Path("models/generator_best.safetensors"))
    assert json.loads(Path("reports/stop.json").read_text())["best_epoch"] in (1, 2)
