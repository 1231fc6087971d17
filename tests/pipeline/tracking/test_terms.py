"""What is sent twice, or by two machines of one run, counts once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow.tracking import MlflowClient

from pipeline.tracking import run as tracked_run
from pipeline.tracking.run import TrackedRun
from pipeline.tracking.server import connect, find_run
from tests.commands import own_tracker

pytestmark = pytest.mark.slow


def test_what_waits_of_an_older_term_is_dropped_and_nothing_counts_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_tracker(tmp_path, monkeypatch)

    def machine(name: str, term: int) -> TrackedRun:
        with monkeypatch.context() as patch:
            patch.setattr(tracked_run, "OUTBOX", tmp_path / name)
            return TrackedRun("a", term)

    first = machine("one", 1)
    first.begin("a run", {}, {})
    first.metrics(["loss"], [1, 2], [[1.0], [2.0]], 10)
    assert first.flush()
    first.metrics(["loss"], [3, 4], [[3.0], [4.0]], 20)  # cut off: it cannot be sent

    second = machine("two", 2)
    second.begin("a run", {}, {})
    second.metrics(["loss"], [1, 2], [[1.0], [2.0]], 10)  # from the checkpoint, with its time
    second.metrics(["loss"], [3, 4], [[3.0], [4.0]], 25)  # trained again
    second.end("FINISHED")
    assert second.flush()

    first.end("KILLED")
    for late in (first, machine("one", 0)):  # which is how `sync` opens it
        assert late.flush()
        assert late.waiting() == 0
    again = machine("one", 3)
    again.begin("a run", {}, {})
    again.metrics(["loss"], [5], [[5.0]], 30)
    again.end("FINISHED")
    assert again.flush()

    client, experiment = connect()
    run_id = str(find_run(client, experiment, "a"))
    told = [(m.step, m.value, m.timestamp) for m in client.get_metric_history(run_id, "loss")]
    assert told == [(1, 1.0, 10), (2, 2.0, 10), (3, 3.0, 25), (4, 4.0, 25), (5, 5.0, 30)]
    assert client.get_run(run_id).info.status == "FINISHED"


def test_a_picture_whose_arrival_was_not_confirmed_is_there_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server may be killed after it has stored it and before it says so."""
    own_tracker(tmp_path, monkeypatch)
    run = TrackedRun("a")
    run.begin("a run", {}, {})
    run.image("samples", 1, np.zeros((8, 8), np.uint8), 5)
    assert run.flush()
    run.image("samples", 2, np.zeros((8, 8), np.uint8), 6)
    plain = MlflowClient.log_image

    def unconfirmed(*arguments: Any, **options: Any) -> None:
        plain(*arguments, **options)
        raise OSError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_image", unconfirmed)
        assert not run.flush()
    assert run.flush(at_once=True)
    client, experiment = connect()
    files = client.list_artifacts(str(find_run(client, experiment, "a")), "images")
    assert len([file for file in files if file.path.endswith(".png")]) == 2
