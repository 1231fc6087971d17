import sys
import uuid
from pathlib import Path

import pytest

from pipeline import sync
from pipeline.base.cli import run
from pipeline.tracking.run import TrackedRun
from pipeline.tracking.sender import Sender
from pipeline.tracking.server import connect, find_run
from tests.commands import own_tracker

pytestmark = pytest.mark.slow  # a new database takes MLflow some seconds

DEAD = "http://user:secret@127.0.0.1:9"  # nothing listens there


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    own_tracker(tmp_path, monkeypatch)
    monkeypatch.setattr(sys, "argv", ["sync"])
    return tmp_path


def synchronise() -> int:
    """Run the command; returns its exit status."""
    try:
        run(sync.main)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_without_any_run_there_is_nothing_to_do_and_no_database(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert synchronise() == 0
    assert "nothing is missing" in capsys.readouterr().out
    assert list(root.iterdir()) == []


def test_every_run_that_waits_is_sent_and_the_one_that_cannot_be_is_named(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [uuid.uuid4().hex for _ in range(3)]
    for key in keys:
        tracked = TrackedRun(key)
        tracked.begin(key, {}, {})
        tracked.tags({"a": key})
        tracked.end("FINISHED")

    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", DEAD)
        assert synchronise() == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "9 entries missing" in said.err
    assert "secret" not in said.err

    stubborn = keys[1]
    send_tags = Sender._send_tags

    def refuse(self: Sender, entry: dict[str, object], folder: Path) -> None:
        if entry["tags"] == {"a": stubborn}:
            raise OSError("refused")
        send_tags(self, entry, folder)

    with monkeypatch.context() as patch:
        patch.setattr(Sender, "_send_tags", refuse)
        assert synchronise() == 1
    said = capsys.readouterr()
    assert f"run {keys[0]}: 3 entries sent, 0 missing\n" in said.out
    assert f"run {stubborn}: 1 entry sent, 2 missing (OSError: refused)\n" in said.out
    assert f"run {keys[2]}: 3 entries sent, 0 missing\n" in said.out
    assert said.err.startswith("error: 2 entries still missing")

    assert synchronise() == 0
    assert "nothing is missing" in capsys.readouterr().out
    client, experiment = connect()
    for key in keys:
        run_id = find_run(client, experiment, key)
        assert run_id is not None
        found = client.get_run(run_id)
        assert found.data.tags["a"] == key
        assert found.info.status == "FINISHED"


def test_runs_whose_process_is_gone_are_marked(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tracked = TrackedRun("gone")
    with monkeypatch.context() as patch:
        patch.setattr("os.getpid", lambda: 2**22 + 1)  # more than Linux gives out
        tracked.begin("gone", {}, {})
    assert synchronise() == 0
    assert "1 RUNNING without a process any more: marked KILLED" in capsys.readouterr().out
    client, experiment = connect()
    assert client.get_run(str(find_run(client, experiment, "gone"))).info.status == "KILLED"
