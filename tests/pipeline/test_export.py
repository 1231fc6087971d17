import json
import os
import re
import shutil
import signal
import sys
from math import nan
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML

from dcgan import mnist
from dcgan.judge import Judge
from dcgan.measuring import reference
from dcgan.networks import Generator, initialise, one_hot
from dcgan.runtime import random_generator
from dcgan.sampling import generate
from ganverdict.verdict import Verdict
from pipeline import export as exporting
from pipeline.base.cli import load_params, run, write_json
from pipeline.base.paths import (
    DATA_REPORT,
    EXPORT,
    GENERATOR_BEST,
    JUDGE,
    METRICS,
    REFERENCE,
    RUN,
    STOP,
)
from pipeline.store.weights import load_generator, save_generator, save_tensors
from tests.commands import own_tracker
from tests.idx import write_idx_dataset
from tests.project import REPOSITORY, SMALL

pytestmark = pytest.mark.slow  # the exporters take some seconds

FILES = {
    "generator.onnx",
    "generator.pt2",
    "generator.safetensors",
    "model_card.md",
    "samples.png",
}
KEY = "0123abcd"
VERDICT = Verdict(
    status="onset",
    reason="D was at chance, from step 9 on",
    metric="fd",
    best_value=12.345,
    best_interval=(12.1, 12.6),
    end="roll_back",
    end_reason="step 60 has the best samples so far",
)
DEAD = "http://127.0.0.1:9"  # nothing listens there


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the stages before leave it."""
    folder: Path = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yaml = YAML()
        values = yaml.load((REPOSITORY / "params.yaml").read_text())
        for section, pairs in SMALL.items():
            values[section].update(pairs)
        yaml.dump(values, Path("params.yaml"))
        params = load_params()
        data = mnist.load(write_idx_dataset(folder / "data", train=300, test=200))
        torch.manual_seed(0)
        judge = Judge().eval().requires_grad_(False)
        save_tensors(JUDGE, judge.state_dict(), {})
        save_tensors(REFERENCE, vars(reference(judge, data, params.measure)), {})
        generator = Generator(params.train.width, params.train.latent_dim, 0.0)
        initialise(generator, random_generator("cpu", 0, "test"))
        noise = torch.rand(64, params.train.latent_dim) * 2 - 1
        for _ in range(20):
            generator(noise)  # fills the running statistics
        save_generator(GENERATOR_BEST, generator, {"epoch": 3, "step": 60, "images_seen": 960})
        write_json(RUN, {"key": KEY})
        write_json(STOP, VERDICT.to_json())
        write_json(DATA_REPORT, {"source": "npm", "hash": "00ff00ff", "verified": True})
        best = {"epoch": 3, "step": 60, "fd": 12.345, "confident": 0.875}
        known = {"floor": 0.5, "one_class": 99.0}
        rows = [{"metric": metric, **known} for metric in ("fd", "confident")]
        write_json(METRICS, {"best": best, "scale": rows})
    return folder


@pytest.fixture(scope="module")
def exported(trained: Path) -> Path:
    """The same folder after the stage, with a tracking server that is away."""
    with pytest.MonkeyPatch.context() as patch:
        assert export(trained, patch) == 0
    return trained


@pytest.fixture
def folder(tmp_path: Path, trained: Path) -> Path:
    """A copy to change: with an older export in place."""
    copy = tmp_path / "copy"
    leave = shutil.ignore_patterns(EXPORT.name, ".tracking")
    shutil.copytree(trained, copy, ignore=leave)
    (copy / EXPORT).mkdir()
    (copy / EXPORT / "older").write_text("older")
    return copy


def export(folder: Path, patch: pytest.MonkeyPatch) -> int:
    """Run the stage in `folder`; returns its exit status."""
    patch.chdir(folder)
    own_tracker(folder, patch)
    patch.setenv("MLFLOW_TRACKING_URI", DEAD)
    patch.setattr(sys, "argv", ["export"])
    try:
        run(exporting.main)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def images_of(folder: Path, noise: torch.Tensor) -> torch.Tensor:
    return generate(load_generator(folder / GENERATOR_BEST)[0], noise)


def run_examples(card: str) -> None:
    """All three draw 64 images."""
    examples = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert len(examples) == 3
    for example in examples:
        names: dict[str, torch.Tensor] = {}
        exec(example, names)  # noqa: S102
        assert tuple(names["images"].shape) == (64, 1, 28, 28)


def some_noise(folder: Path, batch: int) -> torch.Tensor:
    generator, _ = load_generator(folder / GENERATOR_BEST)
    rng = random_generator("cpu", batch, "test")
    return torch.rand(batch, generator.latent_dim, generator=rng) * 2 - 1


def test_the_folder_holds_exactly_the_promised_files(exported: Path) -> None:
    assert {file.name for file in (exported / EXPORT).iterdir()} == FILES
    assert not list(exported.glob(".*.partial"))
    weights = (exported / EXPORT / "generator.safetensors").read_bytes()
    assert weights == (exported / GENERATOR_BEST).read_bytes()
    with Image.open(exported / EXPORT / "samples.png") as picture:
        assert picture.size == (238, 238)


@pytest.mark.parametrize("batch", [1, 2, 3, 64, 129])
def test_onnx_and_torch_export_draw_the_same_images_at_any_batch(
    exported: Path, batch: int
) -> None:
    noise = some_noise(exported, batch)
    wanted = images_of(exported, noise)
    assert wanted.std() > 0.01
    session = onnxruntime.InferenceSession(exported / EXPORT / "generator.onnx")
    (images,) = session.run(["image"], {"z": noise.numpy()})
    assert images.dtype == np.float32
    assert images.shape == (batch, 1, 28, 28)
    assert np.abs(images - wanted.numpy()).max() <= 1e-5
    program = torch.export.load(exported / EXPORT / "generator.pt2").module()
    assert (program(noise) - wanted).abs().max() <= 1e-5


@pytest.fixture(scope="module")
def asked(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a conditional generator after the stage."""
    folder = tmp_path_factory.mktemp("asked") / "copy"
    leave = shutil.ignore_patterns(EXPORT.name, ".tracking")
    shutil.copytree(trained, folder, ignore=leave)
    train = load_params(folder / "params.yaml").train
    generator = Generator(train.width, train.latent_dim, 0.0, conditional=True)
    initialise(generator, random_generator("cpu", 0, "test"))
    noise = torch.rand(64, train.latent_dim) * 2 - 1
    for _ in range(20):
        generator(noise, one_hot(torch.arange(64) % 10))  # fills the running statistics
    save_generator(folder / GENERATOR_BEST, generator, {"epoch": 3, "step": 60})
    with pytest.MonkeyPatch.context() as patch:
        assert export(folder, patch) == 0
    return folder


@pytest.mark.parametrize("batch", [1, 2, 64])
def test_a_conditional_one_takes_the_digit_as_its_second_input_at_any_batch(
    asked: Path, batch: int
) -> None:
    noise = some_noise(asked, batch)
    digits = (torch.arange(batch) * 3 + 1) % 10
    wanted = generate(load_generator(asked / GENERATOR_BEST)[0], noise, digits)
    session = onnxruntime.InferenceSession(asked / EXPORT / "generator.onnx")
    told = one_hot(digits)
    (images,) = session.run(["image"], {"z": noise.numpy(), "digit": told.numpy()})
    assert np.abs(images - wanted.numpy()).max() <= 1e-5
    program = torch.export.load(asked / EXPORT / "generator.pt2").module()
    assert (program(noise, told) - wanted).abs().max() <= 1e-5
    (other,) = session.run(["image"], {"z": noise.numpy(), "digit": told.roll(1, 1).numpy()})
    assert np.abs(other - images).max() > 0.001


def test_the_card_of_a_conditional_one_tells_how_to_ask_and_its_examples_run(
    asked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(asked / EXPORT)
    card = Path("model_card.md").read_text()
    assert "100 numbers from U(-1, 1)\nand a digit in" in card
    assert "python -m pipeline.generate --digits 2026" in card
    assert "no way to ask" not in card
    run_examples(card)


def test_the_onnx_file_is_whole_in_itself_and_names_no_folder_of_this_machine(
    exported: Path,
) -> None:
    model = onnx.load(exported / EXPORT / "generator.onnx", load_external_data=False)
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    onnx.checker.check_model(model, full_check=True)
    for name in ("generator.onnx", "generator.pt2"):
        content = (exported / EXPORT / name).read_bytes()
        assert str(REPOSITORY).encode() not in content
        assert torch.__file__.removesuffix("/__init__.py").encode() not in content


def test_the_card_tells_recipe_data_figures_scale_and_licence(exported: Path) -> None:
    card = re.sub(" +", " ", (exported / EXPORT / "model_card.md").read_text())
    recipe = load_params(exported / "params.yaml").train
    assert f"| lr_g | {recipe.lr_g:.4g} |" in card
    assert f"| freeze_discriminator | {str(recipe.freeze_discriminator).lower()} |" in card
    assert "| `fd` | 12.35 | 0.5 | 99 |" in card
    assert "| | this | floor | one class |" in card
    assert f"**onset**: {VERDICT.reason}." in card
    assert "fd 12.35 (95 %: 12.1 to 12.6)" in card
    assert "train on: go back to what to keep: step 60 has the best samples so far" in card
    for words in ("00ff00ff", KEY, "epoch 3", "CC BY-SA 3.0", "`generator.onnx` "):
        assert words in card
    assert "epoch` |" not in card


def test_the_examples_of_the_card_run(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(exported / EXPORT)
    card = Path("model_card.md").read_text()
    run_examples(card)
    assert re.findall(r"!\[.*\]\((.*)\)", card) == ["samples.png"]


def test_digits_of_a_folder_of_ones_own_are_not_called_mnists(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = {"source": "path", "hash": "00ff00ff", "verified": False}
    write_json(folder / DATA_REPORT, report)
    assert export(folder, monkeypatch) == 0
    card = (folder / EXPORT / "model_card.md").read_text()
    assert "not MNIST's files" in card
    for word in ("CC BY-SA", "handwrit"):
        assert word not in card
    # What remains of digits is how the parts of this project are called.
    assert re.sub(r"digits\.png", "", card).count("digit") == 0
    assert not (folder / EXPORT / "older").exists()


def test_the_registry_gets_all_it_needs_when_it_can_be_reached(exported: Path) -> None:
    (entry,) = (exported / ".tracking" / KEY).glob("[0-9]*")
    for name, source in (
        ("generator", GENERATOR_BEST),
        ("judge", JUDGE),
        ("reference", REFERENCE),
    ):
        attached = (entry / f"{name}.safetensors").read_bytes()
        assert attached == (exported / source).read_bytes()
    told = json.loads((entry / "entry.json").read_text())
    assert told["kind"] == "model"
    assert told["measure"]["num_samples"] == SMALL["measure"]["num_samples"]


@pytest.mark.parametrize("wrong", [1.1e-5, nan])
@pytest.mark.parametrize("file", ["generator.onnx", "generator.pt2"])
def test_an_export_that_differs_fails_in_one_line_and_replaces_nothing(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    wrong: float,
    file: str,
) -> None:
    monkeypatch.setattr(exporting, "export", lambda *_: None)
    errors = {"generator.onnx": 0.0, "generator.pt2": 0.0} | {file: wrong}
    monkeypatch.setattr(exporting, "parity", lambda *_: errors)
    assert export(folder, monkeypatch) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: {file} differs from the trained network by")
    assert said.count("\n") == 1
    assert [item.name for item in (folder / EXPORT).iterdir()] == ["older"]
    assert not list(folder.glob(".*.partial"))
    assert not (folder / ".tracking").exists()


def test_a_kill_waits_until_the_exporters_are_done_and_replaces_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[str] = []

    def killed(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        done.append("export")

    def parity(*_: object) -> dict[str, float]:
        done.append("parity")
        return {}

    monkeypatch.setattr(exporting, "export", killed)
    monkeypatch.setattr(exporting, "parity", parity)
    assert export(folder, monkeypatch) == 128 + signal.SIGTERM
    assert done == ["export", "parity"]
    assert capsys.readouterr().err == "error: interrupted; the same command continues\n"
    assert [item.name for item in (folder / EXPORT).iterdir()] == ["older"]
    assert not list(folder.glob(".*.partial"))


@pytest.mark.parametrize("change", [2e-5, nan])
def test_a_difference_of_any_pixel_at_any_batch_is_seen(
    exported: Path, monkeypatch: pytest.MonkeyPatch, change: float
) -> None:
    generator, _ = load_generator(exported / GENERATOR_BEST)
    errors = exporting.parity(generator, exported / EXPORT)
    assert max(errors.values()) <= 1e-6

    def slightly_off(generator: Generator, noise: torch.Tensor) -> torch.Tensor:
        images = generate(generator, noise)
        if len(images) == 2:  # in the middle of the batches that are looked at
            images[1, 0, 27, 27] += change
        return images

    monkeypatch.setattr(exporting, "generate", slightly_off)
    for error in exporting.parity(generator, exported / EXPORT).values():
        assert not error <= 1e-5


@pytest.mark.parametrize(
    ("file", "stage"),
    [
        (GENERATOR_BEST, "train"),
        (RUN, "train"),
        (JUDGE, "judge"),
        (REFERENCE, "judge"),
        (DATA_REPORT, "fetch"),
        (METRICS, "evaluate"),
    ],
)
@pytest.mark.parametrize(
    "content", [None, b"nonsense", b"{}", b"[]", b'{"best": {}, "scale": {"fd": {}}}']
)
def test_what_is_missing_or_corrupt_is_named_with_its_stage(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    file: Path,
    stage: str,
    content: bytes | None,
) -> None:
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_bytes(content)
    assert export(folder, monkeypatch) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: {file}: {'missing' if content is None else 'corrupt'}")
    assert f"`dvc repro {stage}` makes it" in said
    assert said.count("\n") == 1
    assert [item.name for item in (folder / EXPORT).iterdir()] == ["older"]


def test_weights_of_something_else_are_refused_in_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copyfile(folder / JUDGE, folder / GENERATOR_BEST)
    assert export(folder, monkeypatch) == 1
    said = capsys.readouterr().err
    assert said == (
        f"error: {GENERATOR_BEST}: not a generator's weights; `dvc repro train` makes it\n"
    )
