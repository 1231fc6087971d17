import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import pytest
import torch
from mlflow.models import Model
from mlflow.tracking import MlflowClient
from mlflow.utils.proto_json_utils import parse_tf_serving_input

from dcgan import mnist
from dcgan.judge import Judge
from dcgan.measuring import reference
from dcgan.networks import Generator
from dcgan.params import MeasureParams
from dcgan.runtime import random_generator
from dcgan.sampling import generate
from pipeline.store.weights import load_generator, load_meter, save_generator, save_tensors
from pipeline.tracking import registry
from pipeline.tracking.registry import CHAMPION, NAME
from pipeline.tracking.run import TrackedRun
from pipeline.tracking.server import FAILURES, connect, find_run
from tests.commands import own_tracker
from tests.idx import write_idx_dataset

pytestmark = pytest.mark.slow  # a new database takes MLflow some seconds

MEASURE = MeasureParams(0, 200, 200, 100)
MORE = MeasureParams(0, 300, 200, 100)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project's root of its own, with one database for all tests of this file."""
    folder: Path = tmp_path_factory.mktemp("root")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        own_tracker(folder, patch)
        yield folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A judge, a reference, and three generators: best, middling, worst by the judge's fd."""
    folder: Path = tmp_path_factory.mktemp("models")
    data = mnist.load(write_idx_dataset(folder / "data", train=300, test=200))
    torch.manual_seed(0)
    judge = Judge().eval().requires_grad_(False)
    save_tensors(folder / "judge.safetensors", judge.state_dict(), {})
    save_tensors(folder / "reference.safetensors", vars(reference(judge, data, MEASURE)), {})
    meter = load_meter(MEASURE, CPU, folder / "judge.safetensors", folder / "reference.safetensors")
    generator = Generator(2, 4, 0.0).eval().requires_grad_(False)
    measured = {}
    for bias in (-2.0, 0.0, 2.0):
        assert generator.to_image.bias is not None
        generator.to_image.bias.fill_(bias)
        save_generator(folder / f"{bias}.safetensors", generator, {"epoch": 1, "step": 2})
        measured[bias] = meter.fd(meter.samples(generator, MEASURE.num_samples))
    in_order = sorted(measured, key=lambda bias: measured[bias])
    for name, bias in zip(("best", "middling", "worst"), in_order, strict=True):
        (folder / f"{bias}.safetensors").rename(folder / f"{name}.safetensors")
    assert len(set(measured.values())) == 3
    return folder


@pytest.fixture
def client(root: Path) -> MlflowClient:
    """The server, without a registered model."""
    client, _ = connect()
    for model in client.search_registered_models():
        client.delete_registered_model(model.name)
    return client


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip what takes long and what no comparison needs: MLflow's own form of the model."""

    def save(generator: Generator, weights: Path, folder: Path, model: Model) -> None:
        (folder / "extra_files").mkdir(parents=True)
        shutil.copyfile(weights, folder / "extra_files/generator.safetensors")

    monkeypatch.setattr(registry, "_save", save)


def export(models: Path, name: str, measure: MeasureParams = MEASURE, key: str = "") -> str:
    """Register a generator for a run of that key, a new one if empty; returns the key."""
    key = key or uuid.uuid4().hex
    run = TrackedRun(key)
    run.begin(name, {"width": 2}, {})
    run.end("FINISHED")
    generator, judge, reference = (
        models / f"{file}.safetensors" for file in (name, "judge", "reference")
    )
    run.model(generator, judge, reference, measure)
    run.send()
    return key


def champion(client: MlflowClient) -> str:
    return str(client.get_model_version_by_alias(NAME, CHAMPION).version)


def versions(client: MlflowClient) -> list[str]:
    return sorted(str(found.version) for found in client.search_model_versions(f"name = '{NAME}'"))


@pytest.mark.usefixtures("quick")
def test_the_alias_moves_to_the_better_one_only_and_it_is_said(
    client: MlflowClient, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for name, expected in (("middling", "1"), ("worst", "1"), ("best", "3"), ("middling", "3")):
        export(models, name)
        assert champion(client) == expected
        said.append(capsys.readouterr().out)
    assert versions(client) == ["1", "2", "3", "4"]
    assert all(text.count("\n") == 1 for text in said)
    assert "version 1: registered, and the new champion" in said[0]
    assert "version 2: registered without the alias champion, which version 1 keeps" in said[1]
    assert "version 3: registered, and the new champion" in said[2]


@pytest.mark.usefixtures("quick")
def test_an_equal_one_does_not_take_the_alias(client: MlflowClient, models: Path) -> None:
    export(models, "best")
    export(models, "best")
    assert versions(client) == ["1", "2"]
    assert champion(client) == "1"


@pytest.mark.usefixtures("quick")
def test_the_same_weights_of_a_run_are_registered_once(
    client: MlflowClient, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = export(models, "middling")
    export(models, "middling", key=key)
    assert versions(client) == ["1"]
    assert "registered before, and the champion" in capsys.readouterr().out
    export(models, "best", key=key)  # trained on: other weights of the same run
    assert versions(client) == ["1", "2"]


@pytest.mark.usefixtures("quick")
def test_after_a_try_that_was_cut_off_there_is_one_model_and_one_version(
    client: MlflowClient, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in ("log_model_artifacts", "create_model_version", "set_registered_model_alias"):
        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, step, cut_off)
            with pytest.raises(ConnectionError):
                export(models, "best", key=f"cut-{step}")
        TrackedRun(f"cut-{step}").send()
        _, experiment = connect()
        run_id = find_run(client, experiment, f"cut-{step}")
        mine = [v for v in client.search_model_versions(f"name = '{NAME}'") if v.run_id == run_id]
        assert len(mine) == 1
        logged = client.search_logged_models([experiment], f"source_run_id = '{run_id}'")
        assert len(logged) == 1
        client.delete_registered_model_alias(NAME, CHAMPION)


def cut_off(*_: object, **__: object) -> None:
    raise ConnectionError("gone")


@pytest.mark.usefixtures("quick")
def test_what_was_measured_alike_is_believed(client: MlflowClient, models: Path) -> None:
    export(models, "worst")
    client.set_model_version_tag(NAME, "1", "fd", "0.0")
    export(models, "best")
    assert champion(client) == "1"


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [("worst", "best", "2"), ("best", "worst", "1"), ("best", "best", "1")],
)
def test_what_was_measured_otherwise_is_measured_again(
    client: MlflowClient, models: Path, first: str, second: str, expected: str
) -> None:
    export(models, first, MORE)
    # Its number, were it believed, would turn the outcome round.
    client.set_model_version_tag(NAME, "1", "fd", "0.0" if expected == "2" else "1e9")
    export(models, second)
    assert champion(client) == expected


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("change", ["judge", "reference", "noise_seed", "num_samples", "fd"])
def test_measured_alike_means_the_same_judge_reference_noise_and_number(
    client: MlflowClient, models: Path, change: str
) -> None:
    export(models, "worst")
    client.set_model_version_tag(NAME, "1", "fd", "0.0")
    if change == "fd":
        client.delete_model_version_tag(NAME, "1", "fd")
    else:
        client.set_model_version_tag(NAME, "1", change, "other")
    export(models, "best")
    assert champion(client) == "2"


@pytest.mark.usefixtures("quick")
def test_a_champion_that_cannot_be_measured_keeps_the_alias(
    client: MlflowClient, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export(models, "worst", MORE)
    place = str(client.get_model_version(NAME, "1").source)
    shutil.rmtree(Path(place.removeprefix("file://")) / "extra_files")
    export(models, "best")
    assert champion(client) == "1"
    assert "cannot be measured anew (its generator.safetensors is gone)" in capsys.readouterr().out


@pytest.mark.usefixtures("quick")
def test_what_waited_needs_nothing_but_the_outbox(
    client: MlflowClient, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = tmp_path / "models"
    shutil.copytree(models, copies)
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # nothing listens there
        with pytest.raises(FAILURES):
            export(copies, "best", key="waited")
    shutil.rmtree(copies)
    monkeypatch.chdir(tmp_path)
    assert TrackedRun("waited").flush()
    assert champion(client) == "1"
    assert list(tmp_path.iterdir()) == []  # MLflow's global state would put a database here


def test_the_champion_draws_what_the_generator_draws(
    client: MlflowClient, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = export(models, "best")
    version = client.get_model_version_by_alias(NAME, CHAMPION)
    _, experiment = connect()
    run_id = find_run(client, experiment, key)
    assert version.run_id == run_id
    (logged,) = client.search_logged_models([experiment], f"source_run_id = '{run_id}'")
    assert logged.params == {"width": "2"}
    monkeypatch.chdir(tmp_path)  # where loading may leave a database of its own
    model = mlflow.pyfunc.load_model(version.source)
    generator, _ = load_generator(models / "best.safetensors")
    for batch in (1, 2, 7):
        noise = torch.rand(batch, 4, generator=random_generator(CPU, 0, "test")) * 2 - 1
        images = model.predict(noise.numpy())["image"]
        assert images.shape == (batch, 1, 28, 28)
        assert np.abs(images - generate(generator, noise).numpy()).max() < 1e-6


def test_a_conditional_champion_takes_the_digit_as_its_second_input(
    client: MlflowClient, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator = Generator(2, 4, 0.0, conditional=True).eval().requires_grad_(False)
    save_generator(models / "asked.safetensors", generator, {"epoch": 1, "step": 2})
    export(models, "asked")
    version = client.get_model_version_by_alias(NAME, CHAMPION)
    monkeypatch.chdir(tmp_path)
    model = mlflow.pyfunc.load_model(version.source)
    inputs = model.metadata.get_input_schema()
    assert {part.name: part.shape for part in inputs} == {"z": (-1, 4), "digit": (-1, 10)}
    noise = torch.rand(6, 4, generator=random_generator(CPU, 0, "test")) * 2 - 1
    wanted = torch.tensor([7, 2, 0, 2, 6, 9])
    # As a request to the served model has it: lists, of numbers that are whole where they can be.
    request = {"z": noise.tolist(), "digit": torch.eye(10, dtype=torch.int64)[wanted].tolist()}
    given = parse_tf_serving_input({"inputs": request}, inputs)  # type: ignore[no-untyped-call]
    images = model.predict(given)["image"]
    assert np.abs(images - generate(generator, noise, wanted).numpy()).max() < 1e-6
