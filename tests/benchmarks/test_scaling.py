"""The closed forms hold, and the benchmark runs; nothing here is about seconds."""

import contextlib
import dataclasses
import json
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow.tracking import MlflowClient

from benchmarks.recipes import default_params
from benchmarks.scaling import checkpoints, search, tracking
from benchmarks.scaling.counting import connection_rows, count_rows, fitted
from benchmarks.scaling.distance import relay
from benchmarks.scaling.forms import (
    Trips,
    generator_bytes,
    history_bytes,
    reports_of,
    round_trips,
    rows_of_run,
    state_bytes,
    trials_per_hour,
)
from benchmarks.scaling.postgres import binaries, postgres
from benchmarks.scaling.search import Run, rate_rows
from benchmarks.scaling.tracker import create_run
from pipeline.store.history import History
from pipeline.store.weights import save_generator
from tests.project import REPOSITORY
from tests.small import train_params

Row = dict[str, Any]


# --- checkpoints and runs


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 2, "average_images": 0},
        {"width": 6, "average_images": 100, "latent_dim": 7},
        {"width": 10, "average_images": 100, "sample_every": 4, "r1_gamma": 1.0},
    ],
)
def test_a_checkpoint_has_as_many_bytes_as_its_closed_form_says(changes: Row) -> None:
    train = train_params(**{"optimizer": "adam", "epochs": 3, "batch_size": 4, **changes})
    content = checkpoints.saved(train)
    assert checkpoints.tensor_bytes(content["state"]) == state_bytes(train)
    assert checkpoints.tensor_bytes(content["history"]) == history_bytes(train)


def test_an_epochs_generator_has_as_many_bytes_as_its_closed_form_says(tmp_path: Path) -> None:
    sampler = checkpoints.trained(train_params(width=4, optimizer="adam")).state.sampler
    assert checkpoints.tensor_bytes(sampler.state_dict()) == generator_bytes(4, 4)
    save_generator(tmp_path / "g", sampler, {"epoch": 1, "step": 1})
    assert 0 < (tmp_path / "g").stat().st_size - generator_bytes(4, 4) < 4000


def test_a_run_reports_at_every_picture_and_every_epochs_end() -> None:
    assert reports_of(train_params(epochs=2, steps_per_epoch=6, sample_every=0)) == 2
    assert reports_of(train_params(epochs=2, steps_per_epoch=6, sample_every=4)) == 4
    default = default_params().train
    assert reports_of(default) == 3 * default.epochs


def test_a_run_put_into_mlflows_tables_has_the_rows_of_the_closed_form_and_mlflow_reads_it(
    tmp_path: Path,
) -> None:
    file = tmp_path / "mlflow.db"
    client = MlflowClient(tracking_uri=f"sqlite:///{file}")
    experiment = client.create_experiment("scaling", str(tmp_path / "files"))
    run = create_run(client, experiment)
    train, names = default_params().train, tracking.measured_names()
    with contextlib.closing(sqlite3.connect(file)) as connection:
        tracking.insert_sqlite(connection)(run)
        (rows,) = connection.execute("select count(*) from metrics").fetchone()
    assert rows == rows_of_run(train, len(names))
    history = client.get_metric_history(run, "train/d_loss")
    steps = train.epochs * train.steps_per_epoch
    assert [metric.step for metric in history] == list(range(1, steps + 1))
    last = client.get_run(run).data.metrics
    assert last["train/d_loss"] == history[-1].value
    assert len(last) == 8 + len(names) + 4


# --- round trips


def counts(storage: str, url: str, relay_: Any = None) -> list[Row]:
    return list(count_rows(storage, url, (3, 5, 7), 3, relay_))


def test_every_report_of_a_trial_costs_the_same_statements(tmp_path: Path) -> None:
    rows = counts("sqlite", f"sqlite:///{tmp_path / 'study.db'}")
    assert [row["reports"] for row in rows] == [2, 4, 6]
    for name, of_report in (("statements", 9), ("transactions", 2), ("writing_transactions", 1)):
        few, more, most = (row[name] for row in rows)
        assert (more - few, most - more) == (2 * of_report, 2 * of_report), name


def test_round_trips_are_statements_and_two_for_each_transaction() -> None:
    if binaries() is None:
        pytest.skip("no PostgreSQL here")
    with postgres("fsync=off") as server:
        with relay(server.port, 0) as near:
            rows = counts("postgresql", server.address(port=near.port), near)
        (held,) = connection_rows(server, 2)
    for row in rows:
        formula = round_trips(row["statements"], row["transactions"])
        # The driver prepares a statement once that comes again and again, which is one more.
        assert formula <= row["round_trips"] <= 1.1 * formula
    assert held["connections"] == 2 * 2
    trips = fitted(rows)
    assert trips(4) == pytest.approx(rows[1]["round_trips"], rel=0.05)


@contextlib.contextmanager
def answering() -> Iterator[int]:
    """A server that answers each line with three times as much; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            client, _ = listening.accept()
            with client, client.makefile("rb") as lines:
                for line in lines:
                    client.sendall(3 * line)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


def test_the_relay_carries_all_bytes_in_order_and_counts_questions() -> None:
    with answering() as port, relay(port, 1) as between:
        with socket.create_connection(("127.0.0.1", between.port)) as client:
            for number in range(5):
                line = bytes([65 + number]) * 300_000 + b"\n"  # in several pieces
                client.sendall(line)
                got = b""
                while len(got) < 3 * len(line):
                    got += client.recv(1 << 16)
                assert got == 3 * line
        assert between.round_trips == 5


# --- the model


def test_trials_in_an_hour_grow_with_workers_until_the_cores_are_busy() -> None:
    assert trials_per_hour(1, 2.0, 0.1, 2) == 1800
    assert trials_per_hour(4, 2.0, 0.1, 2) == 4 * 1800
    assert trials_per_hour(400, 2.0, 0.1, 2) == 3600 * 2 / 0.1


def run_of(distance: int, workers: int, rate: float) -> Run:
    return Run("postgresql", distance, workers, rate, 10.0, 0.1, 0.05, 0)


def test_the_model_foretells_a_far_trial_from_a_near_one_and_its_round_trips() -> None:
    # A near trial takes 1 s; 200 round trips of 20 ms are 4 s more.
    runs = [run_of(0, 1, 3600), run_of(0, 1, 3600), run_of(20, 1, 720), run_of(20, 4, 1440)]
    rows: list[Row] = list(rate_rows(runs, Trips(100.0, 10.0)))
    assert [(row["round_trip_ms"], row["workers"]) for row in rows] == [(0, 1), (20, 1), (20, 4)]
    assert [row["model"] for row in rows] == [3600, 720, 2880]
    assert [row["measured_over_model"] for row in rows] == [1, 1, 0.5]
    assert [row["runs"] for row in rows] == [2, 1, 1]


# --- the command


def test_a_search_and_a_long_study_are_measured_where_there_is_no_postgresql(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(search, "binaries", lambda: None)
    size = dataclasses.replace(search.QUICK, workers=(2,), lengths=(2,), counted=1, study=4)
    rows: list[Row] = [*search.trial_rows(size), *search.study_rows(size)]
    assert [row["section"] for row in rows[:4]] == ["count", "runs", "trials", "trials"]
    assert "skipped" in rows[3]
    assert "skipped" in rows[-1]
    (told,) = (row for row in rows if "first_error" in row)
    assert (told["trials"], told["errors"]) == (4, 0)
    looks = [(row["what"], row["trials"]) for row in rows if row["section"] == "looks"]
    assert looks == [("first look", 4), ("next look", 4)]


def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.scaling", *arguments],
        cwd=REPOSITORY,
        env={"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'src'}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


def test_the_command_writes_a_line_for_each_width() -> None:
    done = command("checkpoints", "--quick")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    rows = [line for line in lines if line["section"] == "checkpoints"]
    assert [row["width"] for row in rows] == [2, 4]
    assert all(row["tensors_equal_formula"] for row in rows)
    assert all(1 < row["file_over_formula"] < 1.05 for row in rows)


def test_a_wrong_section_is_one_line() -> None:
    done = command("speed")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "speed" in line
    assert "checkpoints" in line


def test_a_record_of_zeros_is_shaped_as_a_real_one() -> None:
    zeros, real = checkpoints.saved(train_params(optimizer="adam"))["history"], vars(History())
    assert list(zeros) == list(real)
    for name in ("signals", "grids"):
        assert zeros[name].shape[1:] == real[name].shape[1:]
        assert zeros[name].dtype == real[name].dtype
        assert torch.is_tensor(zeros[name])
