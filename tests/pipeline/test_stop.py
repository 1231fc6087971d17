import csv
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganverdict.monitor import assess
from pipeline import stop
from pipeline.base import cli
from pipeline.store.columns import from_histories, read_csv
from tests.project import REPOSITORY
from tests.synthetic_runs import EPOCH, Columns, Failure, synthetic_run

IN_USE = cli.load_params(REPOSITORY / "params.yaml").stability

Stop = Callable[..., tuple[int, str, str]]


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Stop:
    """Run the command in this process: exit status, what it printed, its errors."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["stop", *map(str, arguments)])
        status = 0
        try:
            cli.run(stop.main)
        except SystemExit as end:
            status = int(end.code or 0)
        output = capsys.readouterr()
        return status, output.out, output.err

    return call


def write(path: Path, columns: Mapping[str, Any]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def logs(folder: Path, failure: Failure = "rate") -> tuple[Path, Path, Columns, Columns]:
    steps, epochs = synthetic_run(1, failure, epochs=20, at_epoch=14.3)
    files = write(folder / "steps.csv", steps), write(folder / "epochs.csv", epochs)
    return *files, steps, epochs


def test_the_verdict_on_files_is_that_of_the_library(tmp_path: Path, judge: Stop) -> None:
    steps_file, epochs_file, steps, epochs = logs(tmp_path)
    status, out, _ = judge(steps_file, epochs_file, "--out", tmp_path / "new" / "stop.json")
    expected = assess(steps, epochs, IN_USE)
    written = json.loads((tmp_path / "new" / "stop.json").read_text())
    assert status == 0
    assert written == json.loads(json.dumps(expected.to_json()))
    assert out.startswith("onset: ")
    assert f"best stopping point: epoch {expected.best_epoch}, step {expected.best_step:,}" in out
    assert f"onset: epoch {expected.onset_epoch}, step {expected.onset_step:,}" in out


def test_losses_alone_are_enough_from_any_folder(tmp_path: Path) -> None:
    _, _, steps, _ = logs(tmp_path)
    file = write(tmp_path / "l.csv", {name: steps[name] for name in ("step", "d_loss", "g_loss")})
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.stop", file.name],
        cwd=tmp_path,
        env={"PYTHONPATH": str(REPOSITORY), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("transient: ")
    assert "no evaluations were given" in done.stdout
    assert "best stopping point: unknown" in done.stdout


def test_columns_of_other_names_are_mapped_and_others_ignored(tmp_path: Path, judge: Stop) -> None:
    steps_file, epochs_file, steps, epochs = logs(tmp_path)
    _, expected, _ = judge(steps_file, epochs_file)
    theirs = {"iteration": steps.pop("step"), "disc_loss": steps.pop("d_loss"), **steps}
    other: dict[str, Any] = {name: epochs[name] for name in epochs if name not in ("step", "fd")}
    other |= {
        "iteration": epochs["step"],
        "fid": epochs["fd"],
        "note": ["text"] * len(other["epoch"]),
    }
    found = judge(
        write(tmp_path / "their_steps.csv", theirs),
        write(tmp_path / "their_epochs.csv", other),
        *("--map", "step=iteration", "--map", "d_loss=disc_loss", "--map", "fd=fid"),
    )
    assert found == (0, expected, "")


def test_the_fd_of_averaged_weights_counts_where_there_is_one(tmp_path: Path, judge: Stop) -> None:
    steps_file, epochs_file, _, epochs = logs(tmp_path, "none")
    _, expected, _ = judge(steps_file, epochs_file)
    both = {**epochs, "fd": 1 / epochs["fd"], "fd_ema": epochs["fd"]}
    both_file = write(tmp_path / "both.csv", both)
    assert judge(steps_file, both_file)[1] == expected
    assert judge(steps_file, both_file, "--map", "fd=fd")[1] != expected


def test_evaluations_without_numbers_or_steps_are_placed(tmp_path: Path, judge: Stop) -> None:
    steps_file, epochs_file, _, epochs = logs(tmp_path)
    _, expected, _ = judge(steps_file, epochs_file)
    unnumbered = write(tmp_path / "a.csv", {n: v for n, v in epochs.items() if n != "epoch"})
    assert judge(steps_file, unnumbered)[1] == expected
    unplaced = write(tmp_path / "b.csv", {n: v for n, v in epochs.items() if n != "step"})
    assert judge(steps_file, unplaced, "--steps-per-epoch", EPOCH)[1] == expected


def test_empty_cells_are_missing_and_nan_is_a_value(tmp_path: Path, judge: Stop) -> None:
    texts = {"step": ["1", "2", "3"], "d_loss": ["0.7", "", "nan"], "g_loss": ["1", "1", "1"]}
    file = write(tmp_path / "steps.csv", texts)
    columns = read_csv(file, ("step", "d_loss"), {})
    assert columns["d_loss"].mask.tolist() == [False, True, False]
    assert "diverged: the loss of D is not finite at step 3" in judge(file)[1]
    (tmp_path / "bom.csv").write_text("\ufeffstep, d_loss,g_loss\r\n1,-INF,2\r\n\r\n2,1,1\r\n")
    assert "diverged: the loss of D is not finite at step 1" in judge(tmp_path / "bom.csv")[1]


@pytest.mark.parametrize("failure", ["rate", "none", "not_finite"])
def test_the_plot_is_a_picture(tmp_path: Path, judge: Stop, failure: Failure) -> None:
    steps_file, epochs_file, steps, _ = logs(tmp_path, failure)
    picture = tmp_path / "stop.png"
    assert judge(steps_file, epochs_file, "--plot", picture)[0] == 0
    with Image.open(picture) as image:
        whole = image.size
        assert image.format == "PNG"
        assert len(set(image.convert("RGB").resize((300, 270)).getdata())) > 50
    few = write(tmp_path / "few.csv", {n: steps[n] for n in ("step", "d_loss", "g_loss")})
    assert judge(few, "--plot", picture)[0] == 0
    with Image.open(picture) as image:
        assert image.size[0] == whole[0]
        assert image.size[1] < whole[1]  # one panel instead of three


def test_a_plot_of_negative_losses_and_of_two_steps_is_drawn(tmp_path: Path, judge: Stop) -> None:
    texts = {"step": [1, 2], "d_loss": [-0.7, 0.1], "g_loss": ["", "nan"]}
    file = write(tmp_path / "steps.csv", texts)
    assert judge(file, "--plot", tmp_path / "stop.png")[0] == 0
    assert (tmp_path / "stop.png").stat().st_size > 1000


# What is wrong with the files.

GOOD = "step,d_loss,g_loss\n1,1,1\n2,1,1\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("step,d_loss,g_loss\n", "has a header and no rows"),
        ("step,loss_d,g_loss\n1,1,1\n", "no column d_loss; it has step, loss_d, g_loss"),
        ("d_loss,g_loss\n1,1\n", "no column step"),
        ("step,d_loss,g_loss\n1,1,1\n2,oops,1\n", "line 3: d_loss is 'oops', not a number"),
        ("step,d_loss,g_loss\n1,1,1\n\n2,1\n", "line 4: 2 cells, but the header has 3"),
        ("step,d_loss,g_loss\n1,1,1\n1,1,1\n", "line 3: step 1 comes after 1"),
        ("step,d_loss,g_loss\n5,1,1\n4,1,1\n", "line 3: step 4 comes after 5"),
        ("step,d_loss,g_loss\n1.5,1,1\n", "line 2: step is 1.5; it must be a whole number"),
        ("step,d_loss,g_loss\n1,1,1\n,1,1\n", "line 3: step is empty"),
        ("step,d_loss,g_loss\n-1,1,1\n", "line 2: step is -1"),
        ("step,d_loss,g_loss\nnan,1,1\n", "line 2: step is nan"),
        ("step,d_loss,g_loss\n1,1,1\x00\n", "not a"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "is not a CSV file in UTF-8"),
    ],
)
def test_a_bad_steps_file_is_one_clear_line(
    tmp_path: Path, judge: Stop, content: str | bytes, message: str
) -> None:
    file = tmp_path / "steps.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    status, out, err = judge(file, "--out", tmp_path / "stop.json")
    assert status != 0
    assert out == ""
    assert err.startswith(f"error: {file}")
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "stop.json").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("epoch,step,fid\n1,2,3\n", "no column fd (or class_kl, coverage, min_share); it has"),
        ("epoch,fd\n1,2\n", "no column step"),
        ("epoch,step,fd\n1,1,2\n1,2,2\n", "line 3: epoch 1 comes after 1"),
        ("epoch,step,fd\n1,1,x\n", "line 2: fd is 'x', not a number"),
    ],
)
def test_a_bad_epochs_file_is_one_clear_line(
    tmp_path: Path, judge: Stop, content: str, message: str
) -> None:
    steps, epochs = tmp_path / "steps.csv", tmp_path / "epochs.csv"
    steps.write_text(GOOD)
    epochs.write_text(content)
    status, _, err = judge(steps, epochs)
    assert status != 0
    assert err.startswith(f"error: {epochs}")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either steps.csv or --run"),
        (["steps.csv", "--run", "abc"], "give either steps.csv or --run"),
        (["steps.csv", "--map", "d_loss"], "--map d_loss: must be OURS=THEIRS"),
        (["steps.csv", "--map", "loss=x"], "OURS is one of step, d_grad_norm"),
        (["steps.csv", "--map", "d_loss=x"], "no file has a column x"),
        (["steps.csv", "--steps-per-epoch", "0"], "must be a whole number from 1"),
        (["absent.csv"], "absent.csv: cannot be read: No such file"),
        (["."], "cannot be read"),
    ],
)
def test_a_bad_call_is_one_clear_line(
    tmp_path: Path,
    judge: Stop,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("steps.csv").write_text(GOOD)
    status, _, err = judge(*arguments)
    assert status != 0
    assert message in err
    assert err.count("\n") == 1


# MLflow.


def test_a_tracked_run_gives_the_verdict_of_its_files(
    tmp_path: Path, judge: Stop, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.tracking import server as tracking

    steps_file, epochs_file, steps, epochs = logs(tmp_path)
    _, expected, _ = judge(steps_file, epochs_file)
    kept = {
        f"{group}/{name}": (columns["step"].tolist(), values.tolist())
        for group, columns in (("train", steps), ("eval", epochs))
        for name, values in columns.items()
    }

    def read_history(run_id: str, keys: Sequence[str]) -> Any:
        assert run_id == "abc"
        return {key: kept[key] for key in keys if key in kept}

    monkeypatch.setattr(tracking, "read_history", read_history)
    assert judge("--run", "abc") == (0, expected, "")
    kept["loss/D"] = kept.pop("train/d_loss")
    status, _, err = judge("--run", "abc")
    assert status != 0
    assert "no metric train/d_loss; name yours with --map d_loss=NAME" in err
    assert judge("--run", "abc", "--map", "d_loss=loss/D")[1] == expected


def test_where_no_run_was_tracked_it_is_said_in_one_line_and_no_database_made(
    tmp_path: Path, judge: Stop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    status, _, err = judge("--run", "0" * 32)
    assert status == 1
    assert err == f"error: run {'0' * 32}: no run was ever tracked in {tmp_path / 'mlflow.db'}\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_diverged_run_gives_the_verdict_of_its_files_and_an_unknown_one_is_one_line(
    tmp_path: Path, judge: Stop, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.tracking import server as tracking
    from pipeline.tracking.run import TrackedRun, now_ms
    from tests.commands import own_tracker

    own_tracker(tmp_path, monkeypatch)
    failed = 3 * 20 + 7
    values = [[0.5, 0.5, 0.5]] * (failed - 1) + [[0.5, nan, nan]]
    fds = [3.0, 2.0, 2.5]
    tracked = TrackedRun("diverged")
    names = ["d_loss", "g_loss", "d_grad_norm"]
    tracked.metrics([f"train/{name}" for name in names], range(1, failed + 1), values, now_ms())
    tracked.metrics(["eval/fd"], [20, 40, 60], [[fd] for fd in fds], now_ms())
    tracked.send()
    columns = dict(zip(names, zip(*values, strict=True), strict=True))
    steps = {"step": range(1, failed + 1), **columns}
    epochs = {"epoch": [1, 2, 3], "step": [20, 40, 60], "fd": fds}
    client, experiment = tracking.connect()
    status, out, err = judge("--run", tracking.find_run(client, experiment, "diverged"))
    assert (status, err) == (0, "")
    assert f"diverged: the gradient norm of D is not finite at step {failed}" in out
    of_files = judge(write(tmp_path / "s.csv", steps), write(tmp_path / "e.csv", epochs))
    assert (status, out, err) == of_files
    status, _, err = judge("--run", "0" * 32)
    assert status == 1
    assert err.startswith(f"error: run {'0' * 32}: ")
    assert err.count("\n") == 1


def test_histories_become_rows_by_step_the_latest_value_winning() -> None:
    largest = float(np.finfo(np.float64).max)
    columns = from_histories({"a": ([1, 2, 2], [1.0, 2.0, 5.0]), "b": ([2, 4], [7.0, largest])})
    assert columns["step"].tolist() == [1, 2, 4]
    assert columns["a"].tolist() == [1.0, 5.0, None]
    assert columns["b"].tolist() == [None, 7.0, np.inf]
