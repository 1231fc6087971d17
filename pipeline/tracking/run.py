"""MLflow, as a best effort.

What is to be tracked is first written to an outbox on disk, then sent in order. A tracking server
that is down therefore costs seconds, not a run: the rest is sent by the next stage or by
`python -m pipeline.sync`. Sending twice is harmless, because MLflow drops a metric that it has
with the same key, step, time and value, and pictures are compared by step; so after a kill at any
moment everything arrives exactly once.
"""

import dataclasses
import io
import json
import logging
import math
import os
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

# Before the import: no telemetry, no bars, no addresses printed (they may hold a password), and a
# dead server answers in seconds instead of minutes.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
os.environ.setdefault("PGCONNECT_TIMEOUT", "5")
# "Retry-After: 3600" would stop the training for that hour.
os.environ.setdefault("MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER", "false")

import numpy as np
import psutil
from filelock import FileLock
from filelock import Timeout as LockTimeout
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from PIL import Image
from sqlalchemy import NullPool, create_engine, make_url
from sqlalchemy.exc import SQLAlchemyError

from dcgan.params import MeasureParams
from pipeline.base.cli import UserError
from pipeline.base.paths import OUTBOX, ROOT
from pipeline.tracking.outbox import Outbox

# Whatever goes wrong is said in one line of our own, not in MLflow's pages of traceback.
logging.getLogger("mlflow").setLevel(logging.CRITICAL)

EXPERIMENT = "dcgan"
# What sending can fail with. ImportError: the address asks for a driver that is not installed;
# UserError: a queued model is one that this code cannot load.
FAILURES = (MlflowException, SQLAlchemyError, OSError, LockTimeout, ImportError, UserError)
_KEY_TAG = "run_key"  # our own name of a run, known before any server has been asked
_PROCESS_TAG = "process"
_NOT_FINITE_TAG = "not_finite/"  # and a metric's name: the step at which it first was not
_RETRY_SECONDS = 60.0  # and no less than so many times what the failure took:
_RETRY_FACTOR = 30  # a server that never answers costs about 3 % of a run
_BATCH = 1000  # metrics that MLflow takes in one call


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, or the SQLite file at the root of the original repository."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{ROOT / 'mlflow.db'}"


def connect() -> tuple[MlflowClient, str]:
    """A client and the id of this project's experiment, which the first call creates."""
    # Several processes that create one cold SQLite database at once crash each other.
    with FileLock(OUTBOX / "mlflow.lock", timeout=60):
        try:
            _ask_database(tracking_uri())
            client = MlflowClient(tracking_uri=tracking_uri())
            found = client.get_experiment_by_name(EXPERIMENT)
        except ValueError:  # its text may hold a piece of a password
            raise UserError("MLFLOW_TRACKING_URI is no address that can be used") from None
        if found is not None:
            return client, found.experiment_id
        local = "MLFLOW_TRACKING_URI" not in os.environ
        place = (ROOT / "mlartifacts").as_uri() if local else None
        return client, client.create_experiment(EXPERIMENT, artifact_location=place)


def _ask_database(address: str) -> None:
    """Raise at once if a database cannot be opened; MLflow would try for a hundred seconds."""
    if not address.startswith(("sqlite", "postgresql", "mysql", "mssql")):
        return
    url = make_url(address)
    if url.drivername.startswith("sqlite") and url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)  # as MLflow does
    create_engine(url, poolclass=NullPool).connect().close()


class TrackedRun:
    """One MLflow run, addressed by a key of our own; every call returns at once, sent or not."""

    def __init__(self, key: str) -> None:
        # It names a folder and stands in a query, and may come from a file of strangers.
        if not re.fullmatch(r"[\w-]{1,200}", key):
            raise UserError(f"{key[:50]!r} is no key of a run; `dvc repro train` makes one")
        self._key = key
        self._outbox = Outbox(OUTBOX / key)
        self._sender: _Sender | None = None
        self._retry_at = 0.0

    def begin(
        self,
        name: str,
        params: Mapping[str, object],
        tags: Mapping[str, str],
        parent: str | None = None,
    ) -> None:
        """Create the run, or open it again after an interruption.

        `parent` is the key of the run that this one is shown under.
        """
        mine = {_PROCESS_TAG: f"{os.uname().nodename}:{os.getpid()}"}
        texts = {key: str(value) for key, value in params.items()}
        self._outbox.put(
            "begin", name=name, time=now_ms(), tags={**tags, **mine}, params=texts, parent=parent
        )

    def metrics(
        self,
        names: Iterable[str],
        steps: Sequence[int],
        rows: Sequence[Sequence[float]],
        time_ms: int,
    ) -> None:
        """Values of many steps: a row for each step, a column for each name.

        The same call with the same time is one call, however often it is made.
        """
        columns = [[_text(value) for value in row] for row in rows]
        self._outbox.put(
            "metrics", names=list(names), steps=list(steps), rows=columns, time=time_ms
        )

    def final_metrics(self, group: str, step: int, values: Mapping[str, float]) -> None:
        """Metrics of a finished work under `group/`; told again after a kill, they count once."""
        told = {"names": list(values), "steps": [step], "values": [*map(_text, values.values())]}
        self.metrics(
            [f"{group}/{name}" for name in values],
            [step],
            [list(values.values())],
            self._outbox.time_of(group, told),
        )

    def tags(self, values: Mapping[str, object]) -> None:
        """Set tags."""
        self._outbox.put("tags", tags={key: str(value) for key, value in values.items()})

    def image(self, key: str, step: int, pixels: "np.ndarray[Any, Any]", time_ms: int) -> None:
        """A grey picture, uint8 [H, W], in the image grid under `key` at `step`."""
        packed = io.BytesIO()
        Image.fromarray(pixels).save(packed, "PNG")
        self._outbox.put(
            "image", {"image.png": packed.getvalue()}, key=key, step=step, time=time_ms
        )

    def artifact(self, file: Path, folder: str = "") -> None:
        """A file, as it is now, among the run's artifacts."""
        self._outbox.put("artifact", {file.name: file}, name=file.name, folder=folder)

    def dataset(self, name: str, digest: str, source: str, profile: Mapping[str, int]) -> None:
        """The data that the run learns from."""
        self._outbox.put("dataset", name=name, digest=digest, source=source, profile=dict(profile))

    def model(self, generator: Path, judge: Path, reference: Path, measure: MeasureParams) -> None:
        """An exported generator for the registry, with all it takes to compare it there."""
        files = {"generator": generator, "judge": judge, "reference": reference}
        attached: dict[str, Path | bytes] = {f"{name}.safetensors": f for name, f in files.items()}
        self._outbox.put("model", attached, measure=dataclasses.asdict(measure))

    def end(self, status: str) -> None:
        """Close the run: FINISHED, FAILED or KILLED."""
        self._outbox.put("end", status=status, time=now_ms())

    def flush(self, at_once: bool = False) -> bool:
        """Send what waits; True if nothing is left. After a failure, a minute or more passes.

        Args:
            at_once: do not wait for that.
        """
        began = time.monotonic()
        if not at_once and began < self._retry_at:
            return False
        try:
            self.send()
        except FAILURES as error:
            if not self._retry_at:
                print(
                    f"tracking is behind ({brief(error)}); the work goes on, and "
                    "`python -m pipeline.sync` sends what is missing",
                    file=sys.stderr,
                )
            now = time.monotonic()
            self._retry_at = now + max(_RETRY_SECONDS, _RETRY_FACTOR * (now - began))
            return False
        self._retry_at = 0.0
        return True

    def send(self) -> None:
        """Send what waits. Raises one of FAILURES; what could not be sent stays."""
        with self._outbox.lock:
            self._sender = self._sender or _Sender(self._key)
            for entry, folder in self._outbox.entries():
                self._sender.send(entry, folder)

    def wait_until_known(self, seconds: float) -> None:
        """Wait until another process has created this run; two at once would create two."""
        deadline = time.monotonic() + seconds
        try:
            client, experiment = connect()
            while find_run(client, experiment, self._key) is None and time.monotonic() < deadline:
                time.sleep(0.5)
        except FAILURES:
            return  # then nobody has, and sending says so

    def waiting(self) -> int:
        """How many entries wait to be sent."""
        return len(self._outbox)


class _Sender:
    """Carries the entries of one run to the server."""

    def __init__(self, key: str) -> None:
        self._client, self._experiment = connect()
        self._key = key
        self._run_id = ""
        self._sent_images: set[str] | None = None

    def send(self, entry: dict[str, Any], folder: Path) -> None:
        if not self._run_id:
            self._run_id = find_run(self._client, self._experiment, self._key) or self._create(
                entry
            )
        getattr(self, "_send_" + entry["kind"])(entry, folder)

    def _create(self, entry: dict[str, Any]) -> str:
        run = self._client.create_run(
            self._experiment,
            start_time=entry.get("time"),
            run_name=entry.get("name"),
            tags={_KEY_TAG: self._key},
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
        family = self._parent_tag(entry.get("parent"))
        tags = [RunTag(key, value) for key, value in {**entry["tags"], **changed, **family}.items()]
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
        first = {f"{_NOT_FINITE_TAG}{m.key}": m.step for m in reversed(metrics)}
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


def _image_name(file: str) -> str:
    """`key+step` of MLflow's `key+step+STEP+timestamp+TIME+ID.png`."""
    key, _, step, *_ = file.split("+")
    return f"{key}+{step}"


def find_run(client: MlflowClient, experiment: str, key: str) -> str | None:
    """The id of the run with our key, if the server knows it."""
    runs = client.search_runs([experiment], f"tags.{_KEY_TAG} = '{key}'", max_results=1)
    return str(runs[0].info.run_id) if runs else None


def read_history(run_id: str, keys: Iterable[str]) -> dict[str, tuple[list[int], list[float]]]:
    """Steps and values of each metric of a run; a metric that the run lacks is left out.

    The first value that was not finite is nan, later ones are missing. Raises one of FAILURES.
    """
    address = tracking_uri()
    database = make_url(address).database if address.startswith("sqlite") else None
    if database is not None and not Path(database).exists():  # asked, MLflow would create it
        raise UserError(f"no run was ever tracked in {database}")
    client = MlflowClient(tracking_uri=address)
    tags = client.get_run(run_id).data.tags
    histories = {}
    for key in keys:
        values = {metric.step: metric.value for metric in client.get_metric_history(run_id, key)}
        if f"{_NOT_FINITE_TAG}{key}" in tags:
            values[int(tags[f"{_NOT_FINITE_TAG}{key}"])] = math.nan
        if values:
            histories[key] = (list(values), list(values.values()))
    return histories


def close_dead_runs() -> int:
    """Mark runs of this machine KILLED whose process is gone; returns how many there were."""
    closed = 0
    try:
        client, experiment = connect()
        for run in client.search_runs([experiment], "attributes.status = 'RUNNING'"):
            process = run.data.tags.get(_PROCESS_TAG, "")
            host, _, number = process.partition(":")
            if host != os.uname().nodename or psutil.pid_exists(int(number)):
                continue
            # It may have ended the run, or another may have taken it up, since the search.
            now = client.get_run(run.info.run_id)
            if now.info.status == "RUNNING" and now.data.tags.get(_PROCESS_TAG) == process:
                client.set_terminated(run.info.run_id, "KILLED")
                closed += 1
    except FAILURES:
        pass  # whoever comes next will do it
    return closed


def system_metrics() -> dict[str, float]:
    """Use of the machine since the last call, under the names of MLflow's own page for it."""
    memory = psutil.virtual_memory()
    return {
        "system/cpu_utilization_percentage": psutil.cpu_percent(),
        "system/system_memory_usage_megabytes": memory.used / 1e6,
        "system/system_memory_usage_percentage": memory.percent,
        "system/process_memory_megabytes": psutil.Process().memory_info().rss / 1e6,
    }


def now_ms() -> int:
    """Milliseconds since 1970, as MLflow counts time."""
    return time.time_ns() // 1_000_000


def brief(error: BaseException) -> str:
    """The first line of an error, without addresses, which may hold a password."""
    line = (str(error).splitlines() or [""])[0]
    safe = re.sub(r"\?\S*", "", re.sub(r"[\w+.-]+://(.*@)?\S*", "the server", line))
    safe = safe.replace(tracking_uri(), "the server")[:160]
    return safe if isinstance(error, UserError) else f"{type(error).__name__}: {safe}"


def _text(value: float) -> float | str:
    """JSON has no word for nan and inf; a text has."""
    return value if np.isfinite(value) else str(value)
