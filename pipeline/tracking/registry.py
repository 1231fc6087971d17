"""The model registry: every exported generator is a version, the best one is the champion.

Best is the smallest fd, and two fds compare only where judge, reference, noise and number of
samples are the same. A version keeps what its fd was measured with; where the champion's differs,
the champion is measured again.
"""

import hashlib
import json
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import mlflow.artifacts
import mlflow.onnx
import numpy as np
import onnx
import onnxruntime
import torch
from filelock import FileLock
from mlflow.entities import LoggedModelOutput
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model, infer_signature
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from dcgan.measuring import Meter
from dcgan.networks import Generator, one_hot
from dcgan.params import MeasureParams
from dcgan.sampling import asked_digits, fixed_noise, generate
from pipeline.base.cli import UserError
from pipeline.base.paths import OUTBOX
from pipeline.store.exchange import DIGIT, IMAGE, NOISE, program_of, write_onnx
from pipeline.store.weights import load_generator, load_meter

NAME = "dcgan-generator"
CHAMPION = "champion"
_WEIGHTS_TAG = "weights"
_CPU = torch.device("cpu")  # the same seed gives other noise on a GPU


@dataclass(frozen=True)
class _Yardstick:
    """A meter, and tags that name all that its fd depends on."""

    meter: Meter
    tags: dict[str, str]

    def fd(self, generator: Generator) -> float:
        return self.meter.fd(self.meter.samples(generator, self.meter.params.num_samples))


def register(client: MlflowClient, run_id: str, folder: Path, params: MeasureParams) -> None:
    """Make a version of a run's generator, once, and the champion if its fd is smaller.

    Args:
        client: of the tracking server that has the run.
        run_id: the run; it may have ended.
        folder: with generator, judge and reference, each `.safetensors`.
        params: how much is measured, and with which noise.
    """
    weights, judge, reference = (
        folder / f"{name}.safetensors" for name in ("generator", "judge", "reference")
    )
    measured_with = {
        "judge": _hash(judge),
        "reference": _hash(reference),
        "noise_seed": str(params.seed),
        "num_samples": str(params.num_samples),
    }
    yardstick = _Yardstick(load_meter(params, _CPU, judge, reference), measured_with)
    version = _find(client, run_id, _hash(weights)) or _create(client, run_id, weights, yardstick)
    # Of two processes, only one at a time may compare itself with the champion and replace it.
    with FileLock(OUTBOX / "registry.lock", timeout=60):
        print(f"{NAME} version {version.version}: {_compete(client, version, yardstick)}")


def _find(client: MlflowClient, run_id: str, weights: str) -> ModelVersion | None:
    for version in client.search_model_versions(f"name = '{NAME}' and run_id = '{run_id}'"):
        if version.tags.get(_WEIGHTS_TAG) == weights:
            return version
    return None


def _create(
    client: MlflowClient, run_id: str, weights: Path, yardstick: _Yardstick
) -> ModelVersion:
    generator, _ = load_generator(weights)
    tags = {_WEIGHTS_TAG: _hash(weights), "fd": repr(yardstick.fd(generator)), **yardstick.tags}
    run = client.get_run(run_id)
    experiment = run.info.experiment_id
    mine = f"source_run_id = '{run_id}' AND tags.{_WEIGHTS_TAG} = '{_hash(weights)}'"
    for abandoned in client.search_logged_models([experiment], mine):  # of an earlier, cut-off try
        client.delete_logged_model(abandoned.model_id)
    model = client.create_logged_model(experiment, "generator", run_id, tags, run.data.params)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        _save(generator, weights, folder, Model(run_id=run_id, model_id=model.model_id))
        client.log_model_artifacts(model.model_id, str(folder))
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    try:
        client.create_registered_model(NAME, description="MNIST digits from noise in U(-1, 1)")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    # Named by its place: `models:/` addresses are looked up in MLflow's global state, which is the
    # working directory's.
    place = model.artifact_location
    version = client.create_model_version(NAME, place, run_id, tags, model_id=model.model_id)
    names = json.dumps([{"name": NAME, "version": version.version}])
    client.set_logged_model_tags(model.model_id, {MLFLOW_MODEL_VERSIONS: names})  # a link in the UI
    return version


def _save(generator: Generator, weights: Path, folder: Path, model: Model) -> None:
    """Write the model in MLflow's layout; no server and no active run take part."""
    noise = fixed_noise(0, generator.latent_dim, _CPU)[:2]  # of one row, the batch would stay one
    images, given = generate(generator, noise).numpy(), noise.numpy()
    digits = asked_digits(generator, len(noise))
    asked = given if digits is None else {NOISE: given, DIGIT: one_hot(digits).numpy()}
    with tempfile.TemporaryDirectory() as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = Path(temporary) / "generator.onnx"
        write_onnx(generator, program_of(generator), file)
        mlflow.onnx.save_model(
            onnx.load(file),
            folder,
            mlflow_model=model,
            signature=infer_signature(asked, {IMAGE: images}),
            input_example=asked,
            pip_requirements=[
                f"{package.__name__}=={package.__version__}" for package in (np, onnx, onnxruntime)
            ],
            extra_files=[str(weights)],
        )


def _compete(client: MlflowClient, version: ModelVersion, yardstick: _Yardstick) -> str:
    """Move the alias to `version` if its fd is the smaller one; returns what happened."""
    champion = client.get_registered_model(NAME).aliases.get(CHAMPION)
    if champion is not None and str(champion) == str(version.version):
        return f"registered before, and the {CHAMPION}"
    fd = _fd(client, version, yardstick)
    if champion is not None:
        kept = f"registered without the alias {CHAMPION}, which version {champion} keeps"
        try:
            best = _fd(client, client.get_model_version(NAME, str(champion)), yardstick)
        except UserError as error:
            return f"{kept}, because it cannot be measured anew ({error})"
        if not fd < best:
            return f"{kept} (fd {fd:.3f}, there {best:.3f})"
    client.set_registered_model_alias(NAME, CHAMPION, str(version.version))
    before = "" if champion is None else f", before: version {champion} with {best:.3f}"
    return f"registered, and the new {CHAMPION} (fd {fd:.3f}{before})"


def _fd(client: MlflowClient, version: ModelVersion, yardstick: _Yardstick) -> float:
    """The fd of a version by this yardstick: as it was measured before, or measured now."""
    if "fd" in version.tags and yardstick.tags.items() <= version.tags.items():
        return float(version.tags["fd"])
    with tempfile.TemporaryDirectory() as temporary:
        try:
            file = mlflow.artifacts.download_artifacts(
                f"{version.source}/extra_files/generator.safetensors",
                dst_path=temporary,
                tracking_uri=client.tracking_uri,
            )
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise UserError("its generator.safetensors is gone") from None
        return yardstick.fd(load_generator(Path(file))[0])


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]
