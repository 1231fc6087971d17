import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import OperationalError

from pipeline.base.cli import UserError
from pipeline.tracking.run import TrackedRun
from pipeline.tracking.server import brief, connect
from tests.commands import own_tracker


@pytest.mark.parametrize("address", ["file:./mlruns", "databricks", "http://u:secret@host:5000"])
def test_the_first_sentence_of_an_error_is_told_whole(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    for sentence in (
        "The tracking backend (e.g., './mlruns') is in maintenance mode and will not be changed",
        "the 'databricks-sdk' library of version 1.2 is not installed",
        "no databricks-sdk",
    ):
        for rest in ("", ".", ". Please use another one.", ".\nSecond line."):
            assert brief(MlflowException(sentence + rest)) == f"MlflowException: {sentence}"


def test_an_endless_error_is_cut_between_two_words() -> None:
    said = brief(OSError("word " * 1000))
    assert said.startswith("OSError: word word")
    assert said.endswith(" word ...")
    assert len(said) < 320


def test_no_address_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "databricks")
    for line in ("databricks is away", "http://u:secret@host is away", "uc://u:secret@h is away"):
        assert brief(OSError(line)) == "OSError: the server is away"


@pytest.mark.slow
def test_a_project_that_was_moved_says_how_its_files_are_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    old, new = tmp_path / "old place", tmp_path / "new place"
    old.mkdir()
    own_tracker(old, monkeypatch)
    (old / "notes.txt").write_text("hello")
    run = TrackedRun("a")
    run.begin("a", {}, {})
    run.artifact(old / "notes.txt")
    assert run.flush()
    old.rename(new)
    own_tracker(new, monkeypatch)
    with pytest.raises(UserError, match=f"ln -s '{new}' '{old}'"):
        connect()
    run = TrackedRun("b")
    run.begin("b", {}, {})
    run.artifact(new / "notes.txt")
    assert not run.flush()
    assert f"ln -s '{new}' '{old}'" in capfd.readouterr().err
    assert not old.exists()  # nothing was written to where the project is no more
    old.symlink_to(new)
    assert run.flush(at_once=True)
    client, experiment = connect()
    assert len(list((new / "mlartifacts").rglob("notes.txt"))) == 2
    for found in client.search_runs([experiment]):
        assert [item.path for item in client.list_artifacts(found.info.run_id)] == ["notes.txt"]


@pytest.mark.slow
@pytest.mark.parametrize("revision", ["451aebb31d03", "f" * 12])
def test_a_database_of_another_version_of_mlflow_is_one_line_that_says_what_to_do(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    revision: str,
) -> None:
    own_tracker(tmp_path, monkeypatch)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'other.db'}")
    connect()
    changed = shutil.copy(tmp_path / "other.db", tmp_path / "changed.db")
    with contextlib.closing(sqlite3.connect(changed)) as connection, connection:
        connection.execute("update alembic_version set version_num = ?", (revision,))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{changed}")
    run = TrackedRun("a")
    run.begin("a", {}, {})
    assert not run.flush()
    output, errors = capfd.readouterr()
    assert (output, errors.count("\n")) == ("", 1)
    assert "the database is of another version of MLflow than this one" in errors
    assert "`mlflow db upgrade ADDRESS`" in errors
    assert run.waiting() == 1


def test_a_locked_database_is_told_before_mlflow_is_asked_which_would_try_again_and_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own_tracker(tmp_path, monkeypatch)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}?timeout=0.1")
    monkeypatch.setattr("pipeline.tracking.server.MlflowClient", pytest.fail)
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as other:
        other.execute("create table experiments (name text)")
        other.execute("begin exclusive")
        with pytest.raises(OperationalError, match="database is locked"):
            connect()
