"""Weights and reports from strangers: nothing in them runs, and what is wrong is named."""

import json
import math
import os
import pickle
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow.cli
import mlflow.models.cli
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from pipeline import evaluate, export, train
from tests.commands import refusal
from tests.project import REPOSITORY

GENERATOR, JUDGE = Path("models/generator_best.safetensors"), Path("models/judge.safetensors")
REFERENCE, SAMPLES = Path("models/reference.safetensors"), Path("models/samples.npz")


class Payload:
    """Leaves a file where it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "payload-ran"

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self.file),)


def save_pickle(value: object, file: Path) -> None:
    file.write_bytes(pickle.dumps(value))


def save_torch(value: object, file: Path) -> None:
    torch.save({"state": value}, file)


def save_arrays(value: object, file: Path) -> None:
    planted = np.array([value], dtype=object)
    with file.open("wb") as opened:
        np.savez(opened, steps=planted, grids=planted)


@pytest.mark.parametrize("save", [save_pickle, save_torch, save_arrays])
def test_a_planted_payload_does_not_run(
    clone: Path,
    capsys: pytest.CaptureFixture[str],
    attacked: Callable[[int, str], None],
    save: Callable[[object, Path], None],
) -> None:
    payload = Payload(clone)
    (state,) = Path("checkpoints").glob("*/state.pt")
    targets = {state: train, GENERATOR: evaluate, JUDGE: evaluate, REFERENCE: export}
    for file, command in {**targets, SAMPLES: evaluate}.items():
        before = file.read_bytes()
        save(payload, file)
        assert "corrupt" in refusal(capsys, command.main)
        file.write_bytes(before)
        assert not payload.file.exists()
    attacked(5, f"planted by {save.__name__}")


def test_the_payload_would_run_if_it_were_unpickled(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Payload(tmp_path)))  # noqa: S301
    assert (tmp_path / "payload-ran").exists()


def wrong_descriptions(about: dict[str, Any]) -> Iterator[object]:
    yield []
    yield {}
    for name in ("width", "latent_dim"):
        for value in (10**30, 10**6, -2, 0, 2.5, "x", None, True, [2], 4):
            if value != about[name]:
                yield {**about, name: value}
    for name in ("epoch", "step"):
        yield {**about, name: "x"}
        yield {other: value for other, value in about.items() if other != name}


def wrong_tensors(tensors: dict[str, torch.Tensor]) -> Iterator[dict[str, torch.Tensor]]:
    first = min(tensors)
    yield {}
    yield {name: tensor for name, tensor in tensors.items() if name != first}
    yield {**tensors, "another": torch.ones(1)}
    yield {**tensors, first: torch.ones(3, 3)}
    yield {name: torch.tensor(1.0) for name in tensors}
    for value in (math.nan, math.inf):
        yield {name: torch.full_like(tensor, value) if tensor.is_floating_point() else tensor
               for name, tensor in tensors.items()}  # fmt: skip


@pytest.mark.parametrize("file", [GENERATOR, JUDGE, REFERENCE])
def test_weights_that_do_not_fit_their_description_are_refused_by_name(
    clone: Path,
    capsys: pytest.CaptureFixture[str],
    attacked: Callable[[int, str], None],
    file: Path,
) -> None:
    tensors = load_file(file)
    with safe_open(file, framework="pt") as opened:
        about = json.loads(opened.metadata()["about"])
    attacks: list[tuple[dict[str, torch.Tensor], object]] = [
        (wrong, about) for wrong in wrong_tensors(tensors)
    ]
    if file == GENERATOR:
        attacks += [(tensors, wrong) for wrong in wrong_descriptions(about)]
    for wrong, description in attacks:
        save_file(wrong, file, {"about": json.dumps(description)})
        for command in (evaluate, export):
            assert str(file) in refusal(capsys, command.main)
    attacked(len(attacks), f"spoiled files in place of {file}")


def test_a_checkpoint_of_other_code_is_refused_by_name(
    clone: Path, capsys: pytest.CaptureFixture[str], attacked: Callable[[int, str], None]
) -> None:
    (file,) = Path("checkpoints").glob("*/state.pt")
    good = torch.load(file, weights_only=True)
    state, history = good["state"], good["history"]
    states = [None, {"step": 40}, {**state, "step": "x"}, {**state, "step": -5},
              {**state, "fit": 1}, {**state, "generator": None},
              {**state, "d_optimizer": {}}]  # fmt: skip
    histories = [None, {"x": 1}, {**history, "signals": torch.ones(3, 8)},
                 {**history, "signals": torch.ones(60, 2)}, {**history, "reports": ["x"]},
                 {**history, "epochs": [{"step": 20}]}]  # fmt: skip
    attacks = [torch.ones(2), {}, [1]]
    attacks += [{"state": one, "history": history} for one in states]
    attacks += [{"state": state, "history": one} for one in histories]
    for wrong in attacks:
        torch.save(wrong, file)
        assert f"{file.name}: corrupt" in refusal(capsys, train.main), wrong
    attacked(len(attacks), "spoiled checkpoints")


@pytest.mark.parametrize("key", ["../../outside", "/outside", "a' or '1' = '1", "", "x" * 300])
def test_the_name_of_a_run_cannot_lead_out_of_the_project(
    clone: Path, capsys: pytest.CaptureFixture[str], key: object
) -> None:
    file = Path("models/run.json")
    file.write_text(json.dumps({**json.loads(file.read_text()), "key": key}))
    before = set(clone.parent.rglob("*"))
    for command in (evaluate, export):
        assert "key of a run" in refusal(capsys, command.main)
    assert set(clone.parent.rglob("*")) == before


def test_what_serves_listens_on_this_machine_alone() -> None:
    hosts = {
        command.name: {option.name: option.default for option in command.params}.get("host")
        for command in (mlflow.cli.server, mlflow.models.cli.commands.commands["serve"])
    }
    assert hosts["serve"] == "127.0.0.1"
    assert hosts["server"] in (None, "127.0.0.1")
    made = subprocess.run(
        ["make", "--dry-run", "--silent", "ui"], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert "--host 127.0.0.1" in made.stdout
    assert "0.0.0.0" not in (REPOSITORY / "README.md").read_text()  # noqa: S104
