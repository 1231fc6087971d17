import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganverdict.assessment import assess_log
from ganverdict.formats import read
from pipeline import stop
from pipeline.base import cli
from pipeline.store.columns import from_histories
from tests.ganverdict.logs import LENGTH, Columns, reference, write
from tests.project import REPOSITORY

IN_USE = cli.load_params(REPOSITORY / "params.yaml").stability

Stop = Callable[..., tuple[int, str, str]]


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Stop:
    """Run the command in this process: exit status, what it printed, its errors."""

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["stop", *map(str, arguments)])
        status = 0
        try:
            cli.run(stop.main)
        except SystemExit as end:
            status = int(end.code or 0)
        output = capsys.readouterr()
        return status, output.out, output.err

    return call


def logs(folder: Path) -> tuple[Path, Path, Columns, Columns]:
    """The files of a run that went wrong, and what is in them."""
    steps, epochs = reference()
    steps |= {"d_grad_norm": np.full(len(steps["step"]), 0.5)}
    files = write(folder / "steps.csv", steps), write(folder / "epochs.csv", epochs)
    return *files, steps, epochs


def told(answer: tuple[int, str, str]) -> tuple[int, str]:
    """Status and answer without the name of what was read and the ends of lines."""
    status, out, err = answer
    assert err == ""
    assert out.startswith(("/", "run "))
    return status, " ".join(out.split("\n", 1)[1].split())


def test_the_verdict_on_files_is_that_of_the_library(tmp_path: Path, judge: Stop) -> None:
    steps_file, epochs_file, *_ = logs(tmp_path)
    status, out, err = judge(steps_file, epochs_file, "--out", tmp_path / "new" / "stop.json")
    (log,) = read([steps_file, epochs_file])
    expected = assess_log(log, IN_USE)
    written = json.loads((tmp_path / "new" / "stop.json").read_text())
    assert (status, err) == (1, "")
    assert written == json.loads(json.dumps(expected.to_json()))
    verdict = expected.verdict
    assert f"  why       {verdict.reason[:40]}" in out
    assert f"epoch {verdict.best_epoch}, step {verdict.best_step:,}: fd" in out
    assert f"epoch {verdict.onset_epoch}, step {verdict.onset_step:,}" in out


def test_the_thresholds_are_those_of_the_project(
    tmp_path: Path, judge: Stop, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps_file, epochs_file, *_ = logs(tmp_path)
    params = (REPOSITORY / "params.yaml").read_text()
    blind = re.sub(r"cusum_limit: \d+ ", "cusum_limit: 1e6 ", params)
    assert blind != params
    (tmp_path / "params.yaml").write_text(blind)
    assert "\nonset: " in judge(steps_file, epochs_file)[1]
    monkeypatch.setattr(stop, "PARAMS", tmp_path / "params.yaml")
    assert "\nsilent: " in judge(steps_file, epochs_file)[1]


def test_losses_alone_are_enough_from_any_folder(tmp_path: Path) -> None:
    _, _, steps, _ = logs(tmp_path)
    file = write(tmp_path / "l.csv", {name: steps[name] for name in ("step", "d_loss", "g_loss")})
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.stop", file.name],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'src'}", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "\ntransient: " in done.stdout
    assert "no evaluations were given" in " ".join(done.stdout.split())
    assert "keep      unknown" in done.stdout


def test_columns_of_other_names_are_mapped_and_others_ignored(tmp_path: Path, judge: Stop) -> None:
    steps_file, epochs_file, steps, epochs = logs(tmp_path)
    expected = told(judge(steps_file, epochs_file))
    theirs = {"clock": steps.pop("step"), "x": steps.pop("d_loss"), **steps}
    other: dict[str, Any] = {"epoch": epochs["epoch"], "clock": epochs["step"]}
    other |= {"quality": epochs["fd"], "note": ["text"] * len(epochs["epoch"])}
    names = ("--map", "step=clock", "--map", "d_loss=x", "--map", "fd=quality")
    files = write(tmp_path / "theirs.csv", theirs), write(tmp_path / "other.csv", other)
    assert told(judge(*files, *names)) == expected


def test_the_fd_of_averaged_weights_counts_where_there_is_one(tmp_path: Path, judge: Stop) -> None:
    steps_file, epochs_file, _, epochs = logs(tmp_path)
    expected = told(judge(steps_file, epochs_file))
    both_file = write(
        tmp_path / "both.csv", {**epochs, "fd": 1 / epochs["fd"], "fd_ema": epochs["fd"]}
    )
    found = told(judge(steps_file, both_file))
    assert (found[0], found[1].replace("fd_ema", "fd")) == expected


def test_evaluations_without_numbers_or_steps_are_placed(tmp_path: Path, judge: Stop) -> None:
    steps_file, epochs_file, _, epochs = logs(tmp_path)
    out = tmp_path / "stop.json"

    def steps_of(*arguments: object) -> list[object]:
        judge(*arguments, "--out", out)
        found = json.loads(out.read_text())
        names = ("status", "best_step", "best_epoch", "onset_step", "onset_epoch", "confirm_step")
        return [found[name] for name in names]

    expected = steps_of(steps_file, epochs_file)
    unnumbered = write(tmp_path / "a.csv", {n: v for n, v in epochs.items() if n != "epoch"})
    assert steps_of(steps_file, unnumbered, "--steps-per-epoch", LENGTH) == expected
    unplaced = write(tmp_path / "b.csv", {n: v for n, v in epochs.items() if n != "step"})
    assert steps_of(steps_file, unplaced, "--steps-per-epoch", LENGTH) == expected


def test_empty_cells_are_missing_and_nan_is_a_value(tmp_path: Path, judge: Stop) -> None:
    rows = "".join(f"{step},{'' if step % 2 else 0.7},1\n" for step in range(1, 9))
    file = tmp_path / "steps.csv"
    file.write_text(f"step,d_loss,g_loss\n{rows}")
    assert "diverged" not in judge(file)[1]
    file.write_text(f"step,d_loss,g_loss\n{rows}9,nan,1\n")
    assert "why       the loss of D is not finite at step 9" in judge(file)[1]
    (tmp_path / "bom.csv").write_text("\ufeffstep, d_loss,g_loss\r\n1,-INF,2\r\n\r\n2,1,1\r\n")
    assert "why       the loss of D is not finite at step 1" in judge(tmp_path / "bom.csv")[1]


def test_the_plot_is_a_file_of_its_kind(tmp_path: Path, judge: Stop) -> None:
    steps_file, epochs_file, *_ = logs(tmp_path)
    for kind, beginning in {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}.items():
        picture = tmp_path / f"stop.{kind}"
        assert judge(steps_file, epochs_file, "--plot", picture)[0] == 1
        assert picture.read_bytes().startswith(beginning)


# What is wrong with the files.


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\n\n", "neither a loss of D or G nor a measure"),
        ("step,d_loss,g_loss\n", "neither a loss of D or G nor a measure"),
        ("step,colour\n1,1\n", "neither a loss of D or G nor a measure such as fid was found"),
        ("step,d_loss,g_loss,d_loss\n1,1,1,2\n", "two columns are called 'd_loss' and differ"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "PNG"),
    ],
)
def test_a_bad_file_is_one_clear_line(
    tmp_path: Path, judge: Stop, content: str | bytes, message: str
) -> None:
    file = tmp_path / "steps.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    status, out, err = judge(file, "--out", tmp_path / "stop.json")
    assert (status, out) == (2, "")
    assert err.startswith(f"error: {file}")
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "stop.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either steps.csv or --run"),
        (["steps.csv", "--run", "abc"], "give either steps.csv or --run"),
        (["steps.csv", "--map", "d_loss"], "--map d_loss: must be OURS=THEIRS"),
        (["steps.csv", "--map", "colour=x"], "OURS is one of step, epoch, d_loss"),
        (["steps.csv", "--map", "d_loss=x"], "no column 'x' for d_loss"),
        (["steps.csv", "--steps-per-epoch", "0"], "must be a number from 1"),
        (["steps.csv", "--plot", "a.jpg"], "--plot a.jpg: its name must end in .png, .svg, .pdf"),
        (["absent.csv"], "absent.csv: No such file"),
        (["."], "no file in it is a log"),
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
    if arguments != ["."]:
        Path("steps.csv").write_text("step,d_loss,g_loss\n1,1,1\n2,1,1\n")
    status, _, err = judge(*arguments)
    assert status == 2
    assert message in err
    assert err.count("\n") == 1


# MLflow.


def test_a_tracked_run_gives_the_verdict_of_its_files(
    tmp_path: Path, judge: Stop, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.tracking import server

    steps_file, epochs_file, steps, epochs = logs(tmp_path)
    _, expected = told(judge(steps_file, epochs_file))
    kept = {
        f"{group}/{name}": (columns["step"].tolist(), values.tolist())
        for group, columns in (("train", steps), ("eval", epochs))
        for name, values in columns.items()
    }
    params: dict[str, str] = {}

    def read_history(run_id: str, keys: Sequence[str]) -> Any:
        assert run_id == "abc"
        return {key: kept[key] for key in keys if key in kept}

    monkeypatch.setattr(server, "read_history", read_history)
    monkeypatch.setattr(server, "read_params", lambda _: params)
    expected = expected.replace("CSV: ", "MLflow: ")
    assert told(judge("--run", "abc")) == (1, expected)
    kept["loss/D"] = kept.pop("train/d_loss")
    assert told(judge("--run", "abc", "--map", "d_loss=loss/D")) == (1, expected)
    params["train.loss"] = "bce"
    _, found = told(judge("--run", "abc", "--map", "d_loss=loss/D"))
    assert "cross-entropy, mean of D's two halves, known" in found
    kept.clear()
    status, _, err = judge("--run", "abc")
    assert status == 1
    assert "no metric train/d_loss or eval/fd; name yours with --map d_loss=NAME" in err


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
    assert (status, err) == (1, "")
    assert f"why       the loss of G is not finite at step {failed}" in out
    of_files = told(judge(write(tmp_path / "s.csv", steps), write(tmp_path / "e.csv", epochs)))
    assert told((status, out.replace("MLflow: ", "CSV: "), err)) == of_files
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
