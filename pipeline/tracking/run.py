"""MLflow, as a best effort.

What is to be tracked is first written to an outbox on disk, then sent in order. A tracking server
that is down therefore costs seconds, not a run: the rest is sent by the next stage or by
`python -m pipeline.sync`. Sending twice is harmless, because MLflow drops a metric that it has
with the same key, step, time and value, and pictures are compared by step; so after a kill at any
moment everything arrives exactly once.
"""

import dataclasses
import io
import os
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

from dcgan.params import MeasureParams
from pipeline.base.cli import UserError
from pipeline.base.paths import OUTBOX
from pipeline.base.retry import Retry
from pipeline.tracking.outbox import Outbox
from pipeline.tracking.sender import Sender
from pipeline.tracking.server import (
    FAILURES,
    PROCESS_TAG,
    TERM_TAG,
    brief,
    connect,
    find_run,
)

MLFLOW_NOTE = "mlflow.note.content"  # the tag that MLflow shows as a run's description


class TrackedRun:
    """One MLflow run, addressed by a key of our own; every call returns at once, sent or not.

    Of a run that machines take from one another, `term` tells who is newer: what was queued under
    an older term than the server knows is dropped, as whoever has the run now tells it again.
    """

    def __init__(self, key: str, term: int = 0) -> None:
        # It names a folder and stands in a query, and may come from a file of strangers.
        if not re.fullmatch(r"[\w-]{1,200}", key):
            raise UserError(f"{key[:50]!r} is no key of a run; `dvc repro train` makes one")
        self._key, self._term = key, term
        self._outbox = Outbox(OUTBOX / key)
        self._sender: Sender | None = None
        self._retry = Retry()

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
        mine = {PROCESS_TAG: f"{os.uname().nodename}:{os.getpid()}"}
        if self._term:
            mine[TERM_TAG] = str(self._term)
        texts = {key: str(value) for key, value in params.items()}
        self._put(
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
        self._put("metrics", names=list(names), steps=list(steps), rows=columns, time=time_ms)

    def final_metrics(self, group: str, step: int, values: Mapping[str, float]) -> None:
        """Metrics of finished work under `group/`; given again after a kill, they count once."""
        content = {"names": list(values), "steps": [step], "values": [*map(_text, values.values())]}
        self.metrics(
            [f"{group}/{name}" for name in values],
            [step],
            [list(values.values())],
            self._outbox.time_of(group, content),
        )

    def describe(self, markdown: str) -> None:
        """Set the text on the run's page, in place of the one before."""
        self.tags({MLFLOW_NOTE: markdown})

    def tags(self, values: Mapping[str, object]) -> None:
        """Set tags."""
        self._put("tags", tags={key: str(value) for key, value in values.items()})

    def image(self, key: str, step: int, pixels: "np.ndarray[Any, Any]", time_ms: int) -> None:
        """A grey picture, uint8 [H, W], in the image grid under `key` at `step`."""
        packed = io.BytesIO()
        Image.fromarray(pixels).save(packed, "PNG")
        self._put("image", {"image.png": packed.getvalue()}, key=key, step=step, time=time_ms)

    def artifact(self, file: Path, folder: str = "") -> None:
        """A file, as it is now, among the run's artifacts."""
        self._put("artifact", {file.name: file}, name=file.name, folder=folder)

    def dataset(self, name: str, digest: str, source: str, profile: Mapping[str, int]) -> None:
        """The data that the run learns from."""
        self._put("dataset", name=name, digest=digest, source=source, profile=dict(profile))

    def model(self, generator: Path, judge: Path, reference: Path, measure: MeasureParams) -> None:
        """An exported generator for the registry, with all it takes to compare it there."""
        files = {"generator": generator, "judge": judge, "reference": reference}
        attached: dict[str, Path | bytes] = {f"{name}.safetensors": f for name, f in files.items()}
        self._put("model", attached, measure=dataclasses.asdict(measure))

    def end(self, status: str) -> None:
        """Close the run: FINISHED, FAILED or KILLED."""
        self._put("end", status=status, time=now_ms())

    def flush(self, at_once: bool = False) -> bool:
        """Send what waits; True if nothing is left. After a failure, a minute or more passes.

        Args:
            at_once: do not wait for that.
        """
        if not self._retry.begin(at_once):
            return False
        try:
            self.send()
        except FAILURES as error:
            if not self._retry.failing:
                print(
                    f"tracking is behind ({brief(error)}); the work goes on, and "
                    "`python -m pipeline.sync` sends what is missing",
                    file=sys.stderr,
                )
            self._retry.failed()
            return False
        self._retry.done()
        return True

    def send(self) -> None:
        """Send what waits. Raises one of FAILURES; what could not be sent stays."""
        with self._outbox.lock:
            sender, self._sender = self._sender or Sender(self._key), None
            newest = None
            for entry, folder in self._outbox.entries():
                if term := entry.get("term", 0):
                    newest = sender.term() if newest is None else newest
                    if term < newest:
                        continue
                sender.send(entry, folder)
            # After a failure there is a new one: what it was about to send may have arrived.
            self._sender = sender

    def wait_until_known(self, seconds: float) -> None:
        """Wait until another process has created this run; two at once would create two."""
        deadline = time.monotonic() + seconds
        try:
            client, experiment = connect()
            while find_run(client, experiment, self._key) is None and time.monotonic() < deadline:
                time.sleep(0.5)
        except FAILURES:
            return  # then nobody has, and sending says so

    def drop(self) -> None:
        """Forget what waits: another machine has the run, and tells it again."""
        self._outbox.clear()

    def waiting(self) -> int:
        """How many entries wait to be sent."""
        return len(self._outbox)

    def _put(self, kind: str, files: dict[str, Path | bytes] | None = None, **values: Any) -> None:
        self._outbox.put(kind, files, **({"term": self._term} if self._term else {}), **values)


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


def _text(value: float) -> float | str:
    """JSON has no word for nan and inf; a text has."""
    return value if np.isfinite(value) else str(value)
