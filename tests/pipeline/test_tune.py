"""The whole command on synthetic digits: interrupted, continued, applied; on a real PostgreSQL."""

import argparse
import csv
import dataclasses
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import psycopg
import pytest
import yaml
from mlflow.tracking import MlflowClient

from pipeline import fetch, judge
from pipeline.base.cli import UserError
from pipeline.base.params import Params
from pipeline.base.space import Choices, Interval, shown
from pipeline.search import session
from pipeline.search.confirmation import candidates
from pipeline.search.plan import recipe_hash
from pipeline.search.session import Session, trials_done
from pipeline.search.study import TrialResult
from pipeline.tune import main, seconds
from tests.commands import refusal, run_stages
from tests.ganverdict.test_report import Page
from tests.postgres import postgres_server
from tests.project import REPOSITORY, Checkout, Project
from tests.searches import SHIPPED, trial, tune_params

if TYPE_CHECKING:
    from subprocess import Popen

EPOCHS, STEPS_PER_EPOCH = 4, 20
RATES: dict[str, Any] = {
    "lr_g": {"min": 0.0003, "max": 0.02, "scale": "log"},
    "lr_ratio": {"min": 0.03, "max": 4.0, "scale": "log"},
}
SPACE = {**RATES, "freeze_discriminator": {"choices": [True, False]}}
SEARCHED = ("lr_g", "lr_d", "freeze_discriminator")
TRIALS = 3
PICTURES = {"curves", "map", "best_fd", "best_epoch", "history", "cost", "importances"}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A clone with data and judge in place, and a small search."""
    project = Project(tmp_path_factory.mktemp("tune") / "clone")
    project.set_params(
        {
            "train": {"lr_g": 2e-3, "lr_d": 2e-3, "epochs": 2, "steps_per_epoch": STEPS_PER_EPOCH},
            "tune": {
                "trials": TRIALS,
                "workers": 2,
                "epochs": {"min": 1, "max": EPOCHS, "mode": "resource"},
                "pruner": "none",
                "space": SPACE,
                "confirm": {"top": 1, "seeds": 2},
            },
        }
    )
    run_stages(project.folder, fetch, judge)
    return project


def copied(project: Checkout, folder: Path) -> Checkout:
    shutil.copytree(project.folder, folder)
    return Checkout(folder)


def rows(database: Path, sql: str, *values: str) -> list[Any]:
    with sqlite3.connect(database) as connection:
        return connection.execute(sql, values).fetchall()


def wait_until(ready: Callable[[], object], process: "Popen[str]") -> Any:
    """What `ready` gives once it is true, while the process runs."""
    while not (found := ready()):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    return found


def runs(folder: Path) -> dict[str, dict[str, Any]]:
    """Tags of every tracked run by its name, with status, id, and the steps it has."""
    database = folder / "mlflow.db"
    found: dict[str, dict[str, Any]] = {}
    for run, name, status in rows(database, "select run_uuid, name, status from runs"):
        tags = dict(rows(database, "select key, value from tags where run_uuid = ?", run))
        sql = "select step from metrics where key = 'train/d_loss' and run_uuid = ?"
        steps = sorted(step for (step,) in rows(database, sql, run))
        assert name not in found
        found[name] = {**tags, "status_of_run": status, "id": run, "steps": steps}
    return found


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "reports/tune/trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_a_sweep_interrupted_and_continued_is_whole_and_its_choice_is_applied(
    prepared: Checkout, tmp_path: Path
) -> None:
    project = copied(prepared, tmp_path / "clone")
    database = project.folder / "tune.db"
    process = project.start("python", "-m", "pipeline.tune")
    reported = "select count(*) from trial_intermediate_values"
    wait_until(
        lambda: (
            database.exists()
            and rows(database, "select name from sqlite_master where name = 'alembic_version'")
            and rows(database, reported)[0][0] >= 2
        ),
        process,
    )
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 128 + signal.SIGTERM, output
    assert "Traceback" not in output
    assert "waiting" in output  # the table says what is left
    assert "the same command continues" in output
    assert "RUNNING" not in [run["status_of_run"] for run in runs(project.folder).values()]

    output = project.python("pipeline.tune", "--apply")
    trials = table(project.folder)
    assert len(trials) == TRIALS
    assert {trial["outcome"] for trial in trials} == {"complete"}
    assert len({tuple(trial[key] for key in SEARCHED) for trial in trials}) == TRIALS
    assert all(len(trial["fd_by_epoch"].split()) == EPOCHS for trial in trials)
    report = json.loads((project.folder / "reports/tune/result.json").read_text())
    assert {file.stem for file in (project.folder / "reports/tune").glob("*.png")} == PICTURES
    page = Page((project.folder / "reports/tune/report.html").read_bytes()).shown
    assert f"Sweep {report['study']}" in page
    assert report["confirmed"][0]["name"] == "current"
    assert all(len(one["fresh_noise"]["fd"]) == 2 for one in report["confirmed"])
    lowest = min(report["confirmed"], key=lambda one: one["fd_interval"][1])
    assert report["chosen"] == lowest
    low, high = report["chosen"]["fd_interval"]
    assert f"fd {report['chosen']['fd']:.4g} over 2 fresh seeds" in page
    assert f"interval {low:.4g} to {high:.4g}" in page

    # Each trial is one child of the sweep's run, with every step once, however often it was begun.
    tracked = runs(project.folder)
    parent = tracked.pop(report["study"])
    assert parent["status_of_run"] == "FINISHED"
    kept = project.folder / "mlartifacts"
    assert [*kept.rglob(f"{parent['id']}/artifacts/tune/report.html")]
    children = [run for name, run in tracked.items() if "confirm" not in name]
    assert len(children) == TRIALS
    assert len(tracked) == TRIALS + 2 * len(report["confirmed"])
    for run in tracked.values():
        assert run["mlflow.parentRunId"] == parent["id"]
        assert (run["status_of_run"], run["outcome"]) == ("FINISHED", "complete")
        assert run["steps"] == list(range(1, len(run["steps"]) + 1))
    assert all(len(run["steps"]) == EPOCHS * STEPS_PER_EPOCH for run in children)
    sql = "select value from params where key = 'train.freeze_discriminator' and run_uuid = ?"
    for run in children:
        (tried,) = [trial for trial in trials if trial["trial"] == run["trial"]]
        ((trained,),) = rows(project.folder / "mlflow.db", sql, run["id"])
        assert trained.lower() == tried["freeze_discriminator"]

    # params.yaml holds the choice, and every other line is as it was.
    before = (prepared.folder / "params.yaml").read_text().splitlines()
    after = (project.folder / "params.yaml").read_text().splitlines()
    changed = [new.split()[:2] for old, new in zip(before, after, strict=True) if old != new]
    old_train = yaml.safe_load("\n".join(before))["train"]
    chosen = {key: report["chosen"][key] for key in (*SEARCHED, "epochs")}
    new = {key: value for key, value in chosen.items() if value != old_train[key]}
    assert sorted(changed) == sorted([f"{key}:", shown(value)] for key, value in new.items())
    assert all(f"+  {key} {value}" in output for key, value in changed)


@pytest.mark.slow
def test_machines_share_a_postgresql_and_a_killed_workers_trial_is_tried_again_once(
    prepared: Checkout, tmp_path: Path
) -> None:
    projects = [copied(prepared, tmp_path / name) for name in ("one", "two")]
    # The second try may be on either machine, and finds the checkpoint where they share the folder.
    (projects[0].folder / "checkpoints").mkdir()
    (projects[1].folder / "checkpoints").symlink_to(projects[0].folder / "checkpoints")
    for project in projects:
        project.set_params({"tune": {"trials": 5, "confirm": {"top": 0, "seeds": 2}}})
    tracking = f"sqlite:///{projects[0].folder / 'mlflow.db'}"
    # A server that all of them reach would be there before they start.
    client = MlflowClient(tracking_uri=tracking)
    client.create_experiment("dcgan", (projects[0].folder / "mlartifacts").as_uri())
    with postgres_server() as server:
        address = server.address()
        command = ("python", "-m", "pipeline.tune", "--join", "--storage", address)
        machines = [project.start(*command, MLFLOW_TRACKING_URI=tracking) for project in projects]

        def ask(sql: str) -> list[Any]:
            with psycopg.connect(address.replace("+psycopg", "")) as connection:
                return connection.execute(sql).fetchall()

        under_way = """
            select t.number, a.value_json from trials t
            join trial_user_attributes a on a.trial_id = t.trial_id and a.key = 'owner'
            join trial_intermediate_values v on v.trial_id = t.trial_id
            where t.state = 'RUNNING' order by t.number
        """
        wait_until(lambda: ask("select 1 from pg_tables where tablename = 'trials'"), machines[0])
        number, owner = wait_until(lambda: ask(under_way), machines[0])[0]
        os.kill(int(json.loads(owner).partition(":")[2]), signal.SIGKILL)
        outputs = [machine.communicate(timeout=400)[0] for machine in machines]
        assert [machine.returncode for machine in machines] == [0, 0], "\n".join(outputs)
        owners = ask("select distinct value_json from trial_user_attributes where key = 'owner'")
        retries = ask(
            "select value_json from trial_user_attributes where key = 'replaces' order by 1"
        )
    assert len(owners) >= 4
    assert retries == [(str(number),)]
    for project in projects:
        trials = table(project.folder)
        assert len(trials) == 5
        assert {trial["outcome"] for trial in trials} == {"complete"}
        assert str(number) not in [trial["trial"] for trial in trials]
    tracked = runs(projects[0].folder)
    assert {run["status_of_run"] for run in tracked.values()} == {"FINISHED"}
    children = [run for run in tracked.values() if "mlflow.parentRunId" in run]
    # The killed trial and its second try are one run, with each step once.
    whole = [run for run in children if run["steps"]]
    assert len(whole) == 5
    assert all(run["steps"] == list(range(1, EPOCHS * STEPS_PER_EPOCH + 1)) for run in whole)


def test_of_commands_that_start_at_once_only_the_maker_of_the_study_creates_its_run_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    class Run:
        def __init__(self, key: str) -> None: ...

        def wait_until_known(self, _: float) -> None:
            done.append("wait")

        def begin(self, *_: object) -> None:
            done.append("begin")

        def flush(self, **_: object) -> None: ...

    monkeypatch.setattr(session, "TrackedRun", Run)
    monkeypatch.setattr(session, "close_dead_runs", lambda: 0)
    storage = f"sqlite:///{tmp_path / 'tune.db'}"
    commands = [
        Session(SHIPPED, storage, "sweep", "recipe", MagicMock(), MagicMock()) for _ in range(2)
    ]
    for command in commands:  # no trial is under way yet, by which they would know of each other
        command.open(join=True)
    assert done == ["begin", "wait", "begin"]
    assert [each.facts["current"] for each in commands[1].study.trials()] == [True]


def opened(
    folder: Path, monkeypatch: pytest.MonkeyPatch, params: Params, recipe: str = "recipe"
) -> Session:
    """A session with its studies in `folder` and the tracker taken away."""
    monkeypatch.setattr(session, "TrackedRun", MagicMock())
    monkeypatch.setattr(session, "close_dead_runs", lambda: 0)
    interrupt = MagicMock(received=None)
    storage = f"sqlite:///{folder / 'tune.db'}"
    new = Session(params, storage, "sweep", recipe, MagicMock(), interrupt)
    new.open(join=False)
    return new


def test_the_first_trial_is_the_present_recipe_which_is_confirmed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = dataclasses.replace(SHIPPED.train, lr_g=0.0012345678, lr_d=0.00234567891)
    params = dataclasses.replace(SHIPPED, train=train)
    sweep = opened(tmp_path, monkeypatch, params)
    (present,) = sweep.study.trials()
    assert present.recipe == {"lr_g": train.lr_g, "lr_d": train.lr_d}
    facts = {"best_epoch": 3, "reason": ""}
    sweep.study.run_next(1, lambda _: TrialResult("complete", 1.0, facts))
    assert [each.name for each in candidates(sweep.study.trials(), params)] == ["current"]


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"lr_r": RATES["lr_g"]}, "tune.space.lr_r: no key of train"),
        ({"lr_g": {**RATES["lr_g"], "max": 11}}, "tune.space.lr_g.max: 11 is not allowed"),
        ({"fakes": {"choices": ["inference", "training"]}}, "tune.space.fakes: shared, which"),
        ({"stop": {"choices": ["never", "at_onset"]}}, "tune.space.stop: cannot be searched"),
    ],
)
def test_a_wrong_space_is_one_line_before_anything_starts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    space: dict[str, Any],
    message: str,
) -> None:
    shutil.copy2(REPOSITORY / "params.yaml", tmp_path)
    Checkout(tmp_path).set_params({"tune": {"space": space}})
    monkeypatch.chdir(tmp_path)
    assert refusal(capsys, main, status=2).startswith(f"error: params.yaml: {message}")
    assert [file.name for file in tmp_path.iterdir()] == ["params.yaml"]


def test_a_study_of_another_space_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dcgan.mnist.data_hash", lambda _: "hash")
    monkeypatch.setattr("pipeline.search.plan.JUDGE", REPOSITORY / "params.yaml")
    width = {"width": Interval(4, 64, "log")}
    hashes = [
        recipe_hash(dataclasses.replace(SHIPPED, tune=tune_params(space=space)))
        for space in (
            SHIPPED.tune.space,
            {**SHIPPED.tune.space, "lr_g": Interval(0.001, 0.1, "log")},  # a study can change that
            width,
            {"width": Interval(4, 64, "linear")},
            {"width": Choices((4, 16, 64))},
            {"width": Choices((4, 16))},
        )
    ]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 5
    opened(tmp_path, monkeypatch, SHIPPED)
    with pytest.raises(UserError, match="was made for another recipe, space, digits or judge"):
        opened(tmp_path, monkeypatch, SHIPPED, "another recipe")


@pytest.mark.parametrize(("top", "search"), [(2, 0.64), (0, 1.0)])
def test_the_timeout_bounds_the_confirmation_and_leaves_it_its_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, top: int, search: float
) -> None:
    deadlines: list[float] = []

    class Pool:
        def __init__(self, *arguments: Any) -> None:
            deadlines.append(arguments[-1])

        def run(self, _: object) -> None: ...

    confirm = dataclasses.replace(SHIPPED.tune.confirm, top=top)
    # 16 trials, and 3 seeds of each recipe that is confirmed, all of 15 epochs.
    tune = dataclasses.replace(SHIPPED.tune, trials=16, confirm=confirm)
    train = dataclasses.replace(SHIPPED.train, epochs=15)
    sweep = opened(tmp_path, monkeypatch, dataclasses.replace(SHIPPED, train=train, tune=tune))
    monkeypatch.setattr(session, "Pool", Pool)
    monkeypatch.setattr("dcgan.mnist.data_hash", lambda _: "hash")
    monkeypatch.setattr("time.time", lambda: 1000.0)
    sweep.go(100.0)
    assert deadlines == [pytest.approx(1000 + 100 * search), *([1100.0] if top else [])]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--trials", "0"], "--trials: tune.trials: 0 is not allowed"),
        (["--workers", "0"], "--workers: tune.workers: 0 is not allowed"),
        (["--resume"], "unrecognized arguments: --resume"),
        (["--study", "a/b"], "argument --study: a name is at most 100 letters"),
        (["--storage", "me:secret@host"], "argument --storage: no address of a database"),
        (["--timeout", "soon"], "argument --timeout: 'soon' is no time"),
    ],
)
def test_a_wrong_option_is_one_line_and_status_2_and_imports_nothing_heavy(
    change: list[str], message: str
) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "pipeline.tune", *change]
    finished = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert finished.returncode == 2
    assert finished.stdout == ""
    lines = finished.stderr.splitlines()
    imported = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time")}
    assert "pipeline.base.cli" in imported
    assert not imported & {"torch", "mlflow", "optuna", "matplotlib", "scipy"}
    (error,) = [line for line in lines if not line.startswith("import time")]
    assert error.startswith(f"error: {message}")
    assert "secret" not in error


@pytest.mark.parametrize(
    ("text", "wanted"), [("45", 45), ("45s", 45), ("30m", 1800), ("1.5h", 5400), ("1d", 86400)]
)
def test_times_are_read_with_their_unit(text: str, wanted: float) -> None:
    assert seconds(text) == wanted


@pytest.mark.parametrize("text", ["", "m", "-5", "5 minutes", "1e3"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        seconds(text)


def test_a_trial_under_way_counts_as_far_as_it_has_come() -> None:
    trials = [
        trial(0, [3.0, 2.0], "pruned"),
        trial(1, [3.0, 2.0, 1.0], "running"),  # of the 10 that a trial is long
        trial(2, [3.0], "running", epochs=5),
        trial(3, [], "running"),
        trial(4, [], "waiting"),
    ]
    assert trials_done(trials, 10) == 1.5
