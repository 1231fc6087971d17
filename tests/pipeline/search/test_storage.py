"""A real PostgreSQL that goes away, and databases that are not for a study."""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from sqlalchemy import create_engine, inspect

from benchmarks.scaling.postgres import Server
from pipeline.base.cli import UserError
from pipeline.search import storage
from pipeline.search.study import Request, Study, TrialResult
from tests.postgres import postgres_server
from tests.searches import tune_params

PASSWORD = "geheim"  # noqa: S105
TRIALS = 3


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres_server(password=PASSWORD) as started:
        yield started


@pytest.fixture
def database(
    server: Server, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> str:
    """The address of a database of the test's own."""
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    name = f"d{abs(hash(request.node.name))}"
    server.connect().execute(f"create database {name}")
    return server.address(name)


def opened(address: str, **options: Any) -> Study:
    return Study(address, "sweep", tune_params(pruner="none"), create=True, **options)


def told_every_epoch(request: Request) -> TrialResult:
    for epoch in (1, 2):
        request.should_prune(epoch, 5.0)
    return TrialResult("complete", 5.0)


@contextlib.contextmanager
def away(server: Server, said: "pytest.CaptureFixture[str]") -> Iterator[None]:
    """Stop the server; it comes back when somebody has said that it is waited for."""
    server.stop()
    heard: list[str] = []

    def come_back() -> None:
        late = time.monotonic() + 60
        while not any("is away" in text for text in heard) and time.monotonic() < late:
            heard.append(said.readouterr().err)
            time.sleep(0.05)
        server.start()

    thread = threading.Thread(target=come_back)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    (line,) = [line for line in "".join(heard).splitlines() if line]
    assert line.startswith("the storage of the search is away (")
    assert line.endswith("; waiting")
    assert PASSWORD not in line


@pytest.mark.slow
def test_a_trial_goes_on_when_the_database_is_restarted_and_counts_once(
    server: Server, database: str, capfd: pytest.CaptureFixture[str]
) -> None:
    study = opened(database)

    def train(request: Request) -> TrialResult:
        with away(server, capfd):
            return told_every_epoch(request)

    assert study.run_next(TRIALS, train) == "complete"
    assert [(t.outcome, dict(t.best_so_far)) for t in study.trials()] == [
        ("complete", {1: 5.0, 2: 5.0})
    ]


@pytest.mark.slow
def test_after_an_outage_nobody_is_dead_until_all_could_tell_that_they_live(
    server: Server,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    clock = [0.0]
    study = opened(database)
    other = optuna.load_study(study_name="sweep", storage=database)
    trial = other.ask()
    trial.set_user_attr("owner", "another:1")
    connection = server.connect(database.rpartition("/")[2])
    connection.execute(
        "insert into trial_heartbeats (trial_id, heartbeat) "
        "select trial_id, now() - interval '61 seconds' from trials"
    )
    connection.close()
    with away(server, capfd):
        study.note("a", "b")
    study.reap()
    assert study.owner_at_work() == "another:1"
    now = time.monotonic()
    clock[0] = now + storage.GRACE_SECONDS + 1
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    study.reap()
    assert study.owner_at_work() is None
    assert [each.outcome for each in study.trials()] == ["waiting"]


@pytest.mark.slow
def test_a_database_that_stays_away_is_one_of_the_failures_once_the_time_is_over(
    server: Server, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = opened(database)
    stubborn = opened(database, may_wait=lambda: False)
    server.stop()
    try:
        with pytest.raises(storage.FAILURES):
            stubborn.trials()
        monkeypatch.setattr(storage, "WAIT_SECONDS", 0.0)
        with pytest.raises(storage.FAILURES):
            study.trials()
    finally:
        server.start()


def test_a_trial_whose_worker_was_silent_is_tried_again_more_often_than_one_that_kills(
    tmp_path: Path,
) -> None:
    """Its machine may only be cut off."""
    database = tmp_path / "tune.db"
    study = opened(f"sqlite:///{database}")
    elsewhere = optuna.load_study(study_name="sweep", storage=f"sqlite:///{database}")
    for _ in range(3):
        trial = elsewhere.ask()
        trial.set_user_attr("owner", "another:1")
        with contextlib.closing(sqlite3.connect(database)) as connection, connection:
            connection.execute(
                "insert into trial_heartbeats (trial_id, heartbeat) "
                "select trial_id, datetime(current_timestamp, '-61 seconds') "
                "from trials where state = 'RUNNING'"
            )
        study.reap()
        assert [each.outcome for each in study.trials()] == ["waiting"]


@pytest.mark.parametrize("learns", ["when it reports", "at its end"])
def test_a_trial_that_another_worker_has_taken_is_not_counted_here(
    tmp_path: Path, learns: str
) -> None:
    study = opened(f"sqlite:///{tmp_path / 'tune.db'}")

    def taken(request: Request) -> TrialResult:
        other = optuna.load_study(study_name="sweep", storage=f"sqlite:///{tmp_path / 'tune.db'}")
        other.tell(request.number, state=optuna.trial.TrialState.FAIL)
        return told_every_epoch(request) if learns == "when it reports" else result

    result = TrialResult("complete", 1.0)
    assert study.run_next(TRIALS, taken) == "taken"
    assert [each.outcome for each in study.trials()] == ["killed"]
    study.adopt()
    assert study.run_next(TRIALS, told_every_epoch) == "complete"
    assert [(each.outcome, each.value) for each in study.trials()] == [("complete", 5.0)]


def test_a_wrong_password_is_one_line_that_does_not_show_it(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "falsch")
    for address in (database, database.replace("tune@", "tune:falsch@")):
        with pytest.raises(UserError, match="password authentication failed") as caught:
            opened(address)
        assert "\n" not in str(caught.value)
        assert "falsch" not in str(caught.value)


@pytest.mark.parametrize("revision", ["v1.3.0.a", "v99.0.0"])
def test_tables_of_another_version_of_optuna_are_one_line_that_says_what_to_do(
    tmp_path: Path, revision: str
) -> None:
    address = f"sqlite:///{tmp_path / 'tune.db'}"
    opened(address)
    with contextlib.closing(sqlite3.connect(tmp_path / "tune.db")) as connection, connection:
        connection.execute("update alembic_version set version_num = ?", (revision,))
    with pytest.raises(UserError) as caught:
        opened(address)
    line = str(caught.value)
    assert "\n" not in line
    assert f"this is Optuna {optuna.__version__}: bring both to one version" in line


def test_the_database_of_another_program_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection, connection:
        connection.execute("create table alembic_version (version_num text)")
        connection.execute("create table runs (run_uuid text)")
    with pytest.raises(UserError, match="this database is another program's, such as MLflow's"):
        opened(address)
    assert inspect(create_engine(address)).get_table_names() == ["alembic_version", "runs"]


@pytest.mark.slow
def test_whatever_is_under_way_when_the_database_is_restarted_gets_its_answer(
    server: Server, database: str
) -> None:
    studies = [opened(database) for _ in range(4)]
    over, failed = threading.Event(), []

    def ask(study: Study) -> None:
        while not over.is_set():
            try:
                study.trials()
                study.note("a", "b")
                study.reap()
            except Exception as error:
                failed.append(error)

    threads = [threading.Thread(target=ask, args=(study,)) for study in studies]
    for thread in threads:
        thread.start()
    for _ in range(4):
        server.stop()
        server.start()
    over.set()
    for thread in threads:
        thread.join()
    assert failed == []


@pytest.mark.parametrize("for_good", [True, False])
def test_a_storage_that_fails_as_a_trial_ends_is_told_as_such(
    for_good: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = opened(f"sqlite:///{tmp_path / 'tune.db'}")

    def fails(*_: object, **__: object) -> bool:
        if for_good:
            monkeypatch.setattr(storage.Storage, "get_trial", fails)
        raise optuna.exceptions.StorageInternalError("locked")

    monkeypatch.setattr(storage.Storage, "set_trial_state_values", fails)
    with pytest.raises(storage.FAILURES, match="locked"):
        study.run_next(TRIALS, told_every_epoch)
