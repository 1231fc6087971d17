"""What waits in an outbox, carried to the tracking server."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from PIL import Image

from dcgan.params import MeasureParams
from pipeline.base.cli import UserError
from pipeline.tracking.server import KEY_TAG, NOT_FINITE_TAG, TERM_TAG, connect, find_run

_BATCH = 1000  # metrics that MLflow takes in one call


class Sender:
    """Carries the entries of one run to the server."""

    def __init__(self, key: str) -> None:
        self._client, self._experiment = connect()
        self._key = key
        self._run_id = ""
        self._sent_images: set[str | None] | None = None

    def send(self, entry: dict[str, Any], folder: Path) -> None:
        if not self._run_id:
            self._run_id = find_run(self._client, self._experiment, self._key) or self._create(
                entry
            )
        getattr(self, "_send_" + entry["kind"])(entry, folder)

    def term(self) -> int:
        """The newest that the server knows of; 0: it does not know the run, or no term."""
        run_id = self._run_id or find_run(self._client, self._experiment, self._key)
        tags = self._client.get_run(run_id).data.tags if run_id else {}
        return int(tags.get(TERM_TAG, 0))

    def _create(self, entry: dict[str, Any]) -> str:
        run = self._client.create_run(
            self._experiment,
            start_time=entry.get("time"),
            run_name=entry.get("name"),
            tags={KEY_TAG: self._key},
        )
        run_id: str = run.info.run_id
        if entry["kind"] != "begin":  # on another machine than the training's, which has ended
            self._client.set_terminated(run_id)
        return run_id

    def _send_begin(self, entry: dict[str, Any], _: Path) -> None:
        self._client.update_run(self._run_id, status="RUNNING")
        # MLflow refuses to change a parameter. A run that goes on with another value, of one that
        # leaves the run what it is, has the newer one as a tag.
        known = self._client.get_run(self._run_id).data.params
        params = [Param(key, value) for key, value in entry["params"].items() if key not in known]
        changed = {
            key: value for key, value in entry["params"].items() if known.get(key, value) != value
        }
        parent = self._parent_tag(entry.get("parent"))
        tags = [RunTag(key, value) for key, value in {**entry["tags"], **changed, **parent}.items()]
        self._client.log_batch(self._run_id, params=params, tags=tags)

    def _parent_tag(self, key: str | None) -> dict[str, str]:
        """MLflow's own tag for a child run; a parent that is not there yet waits to be sent."""
        if key is None:
            return {}
        run_id = find_run(self._client, self._experiment, key)
        if run_id is None:
            raise UserError("the run that this one belongs to is still to be sent")
        return {"mlflow.parentRunId": run_id}

    def _send_metrics(self, entry: dict[str, Any], _: Path) -> None:
        metrics = [
            Metric(name, float(value), entry["time"], step)
            for step, row in zip(entry["steps"], entry["rows"], strict=True)
            for name, value in zip(entry["names"], row, strict=True)
        ]
        # A value that is not finite breaks the run's page; a tag tells of it instead.
        finite = [metric for metric in metrics if np.isfinite(metric.value)]
        failed = [metric for metric in metrics if not np.isfinite(metric.value)]
        if failed:
            self._tag_not_finite(failed)
        for start in range(0, len(finite), _BATCH):
            self._client.log_batch(self._run_id, metrics=finite[start : start + _BATCH])

    def _tag_not_finite(self, metrics: Sequence[Metric]) -> None:
        known = self._client.get_run(self._run_id).data.tags
        first = {f"{NOT_FINITE_TAG}{m.key}": m.step for m in reversed(metrics)}
        tags = [RunTag(key, str(step)) for key, step in first.items() if key not in known]
        self._client.log_batch(self._run_id, tags=tags)

    def _send_tags(self, entry: dict[str, Any], _: Path) -> None:
        tags = [RunTag(key, value) for key, value in entry["tags"].items()]
        self._client.log_batch(self._run_id, tags=tags)

    def _send_image(self, entry: dict[str, Any], folder: Path) -> None:
        if self._sent_images is None:
            listed = self._client.list_artifacts(self._run_id, "images")
            self._sent_images = {_image_name(Path(item.path).name) for item in listed}
        name = f"{entry['key'].replace('/', '~')}+{entry['step']}"  # ~ as in MLflow's file names
        if name in self._sent_images:
            return
        self._client.log_image(
            self._run_id,
            np.asarray(Image.open(folder / "image.png")),
            key=entry["key"],
            step=entry["step"],
            timestamp=entry["time"],
            synchronous=True,
        )
        self._sent_images.add(name)

    def _send_artifact(self, entry: dict[str, Any], folder: Path) -> None:
        self._client.log_artifact(self._run_id, folder / entry["name"], entry["folder"])

    def _send_dataset(self, entry: dict[str, Any], _: Path) -> None:
        dataset = Dataset(
            name=entry["name"],
            digest=entry["digest"],
            source_type="local",
            source=entry["source"],
            profile=json.dumps(entry["profile"]),
        )
        context = InputTag("mlflow.data.context", "training")
        self._client.log_inputs(self._run_id, datasets=[DatasetInput(dataset, [context])])

    def _send_model(self, entry: dict[str, Any], folder: Path) -> None:
        from pipeline.tracking.registry import register  # heavy, and one stage's only

        register(self._client, self._run_id, folder, MeasureParams(**entry["measure"]))

    def _send_end(self, entry: dict[str, Any], _: Path) -> None:
        self._client.set_terminated(self._run_id, entry["status"], entry["time"])


def _image_name(file: str) -> str | None:
    """`key+step` of MLflow's `key+step+STEP+timestamp+TIME+ID.png`; None for a stranger's file."""
    parts = file.split("+")
    return f"{parts[0]}+{parts[2]}" if len(parts) > 2 else None
