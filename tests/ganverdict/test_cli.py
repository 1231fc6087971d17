import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from ganverdict import cli
from ganverdict.assessment import assess_log
from ganverdict.formats import read
from ganverdict.verdict import STATUSES
from tests.ganverdict.logs import LENGTH, TURN, Command, healthy, reference, write
from tests.project import REPOSITORY

SCHEMA = json.loads(cli.schema())


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    """A folder of a run that went wrong."""
    return folder(tmp_path / "wrong", *reference())


def folder(path: Path, steps: dict[str, Any], epochs: dict[str, Any]) -> Path:
    path.mkdir()
    write(path / "steps.csv", steps)
    write(path / "epochs.csv", epochs)
    return path


def in_a_process(
    *arguments: str, cwd: Path, **environment: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "ganverdict", *arguments],
        cwd=cwd,
        env={"PATH": os.defpath, "PYTHONPATH": str(REPOSITORY / "src"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


# What it says.


def test_the_answer_for_people(command: Command, wrong: Path) -> None:
    status, out, err = command(wrong)
    assert (status, err) == (1, "")
    lines = out.splitlines()
    assert lines[0] == str(wrong)
    assert (
        lines[1] == "CSV: losses by iteration, 9,360 rows; fd, 20 evaluations; loss family: unknown"
    )
    assert lines[3] == "onset: samples declined, and a signal or a state had announced it"
    headings = [line.split()[0] for line in lines[4:] if line.startswith("  ") and line[2] != " "]
    assert headings == ["keep", "do", "why", "since", "length", "watched", "unknown", "try"]
    assert re.search(r"since +epoch 15, step 6,\d{3};", out)
    assert "epoch 14, step 6,552: fd " in out
    assert "arXiv" in out
    assert max(map(len, lines[1:])) <= 80


def test_a_run_that_goes_well_is_no_failure(command: Command, tmp_path: Path) -> None:
    status, out, _ = command(folder(tmp_path / "well", *healthy()))
    assert status == 0
    assert "nothing went wrong up to step 9,360" in out
    assert "go on" in out


def test_the_objects_are_what_the_schema_says(
    command: Command, tmp_path: Path, wrong: Path
) -> None:
    validate = jsonschema.Draft202012Validator(SCHEMA).validate
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    steps, epochs = reference()
    files = [wrong, folder(tmp_path / "well", *healthy())]
    files += [write(tmp_path / "losses.csv", steps), write(tmp_path / "fd.csv", epochs)]
    nan = steps | {"d_loss": np.where(steps["step"] > 100, np.nan, steps["d_loss"])}
    files += [write(tmp_path / "nan.csv", nan)]
    sure = steps | {"d_loss": steps["d_loss"] * 1e-6}
    files += [write(tmp_path / "sure.csv", sure)]
    few = {name: values[:1] for name, values in steps.items()}
    files += [write(tmp_path / "few.csv", few)]
    statuses = set()
    for file in files:
        found = command.verdict(file)
        validate(found)
        statuses.add(found["status"])
    assert len(statuses) >= 5
    with pytest.raises(jsonschema.ValidationError):
        validate(found | {"status": "fine"})


def test_the_schema_knows_every_status_and_every_field(command: Command, wrong: Path) -> None:
    status, out, _ = command("--schema")
    assert status == 0
    assert json.loads(out) == SCHEMA
    assert SCHEMA["$defs"]["status"]["enum"] == [*STATUSES]
    found = command.verdict(wrong)
    assert set(SCHEMA["properties"]) == set(SCHEMA["required"]) == set(found)


def test_what_is_written_is_what_is_printed(command: Command, tmp_path: Path, wrong: Path) -> None:
    out = tmp_path / "new" / "stop.json"
    found = command.verdict(wrong, "--out", out)
    assert json.loads(out.read_text()) == found
    (log,) = read([wrong])
    assert found == json.loads(json.dumps(assess_log(log).to_json()))


@pytest.mark.skipif(not hasattr(os, "umask"), reason="there are no rights to set")
@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o002, 0o664)])
def test_files_have_the_rights_that_the_umask_grants(
    command: Command, tmp_path: Path, wrong: Path, umask: int, mode: int
) -> None:
    before = os.umask(umask)
    try:
        command(wrong, "--out", tmp_path / "stop.json")
    finally:
        os.umask(before)
    assert (tmp_path / "stop.json").stat().st_mode & 0o777 == mode
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_several_runs_give_a_table_and_each_answer(
    command: Command, tmp_path: Path, wrong: Path
) -> None:
    well = folder(tmp_path / "well", *healthy())
    for paths in ([tmp_path], [wrong, well]):
        status, out, _ = command(*paths)
        assert status == 1
        table = out.split("\n\n")[0].splitlines()
        assert table[0].split() == ["verdict", "since", "keep", "value", "run"]
        rows = {line.rsplit("/", 1)[1]: line.split()[0] for line in table[1:]}
        assert rows == {"wrong": "onset", "well": "stable"}
        assert out.count("\n  keep") == 2
        found = command.verdicts(*paths)
        assert {v["name"].rsplit("/", 1)[1]: v["status"] for v in found} == rows


def test_of_several_pairs_the_worst_is_named(command: Command, tmp_path: Path) -> None:
    steps, _ = healthy()
    count = len(steps["step"])
    dead = np.where(np.arange(count) > count // 2, 0.0, 1.0)
    columns = {"step": steps["step"], "loss_D_A": steps["d_loss"], "loss_G_A": steps["g_loss"]}
    columns |= {"loss_D_B": steps["d_loss"] * dead, "loss_G_B": steps["g_loss"]}
    file = write(tmp_path / "log.csv", columns)
    found = command.verdict(file)
    assert found["pair"].lower() == "b"
    assert found["status"] == "stall"
    assert {label.lower(): pair["status"] for label, pair in found["pairs"].items()} == {
        "a": "stable",
        "b": "stall",
    }
    out = command(file)[1]
    assert f"stall (of {found['pair']}): " in out
    assert "  pairs" in out


# The call.


def test_the_version_is_the_package_s(command: Command) -> None:
    assert command("--version") == (0, f"ganverdict {version('ganverdict')}\n", "")


def test_help_names_every_option(command: Command) -> None:
    status, out, _ = command("--help")
    assert status == 0
    for option in ("--json", "--plot", "--report", "--loss", "--metric", "--map", "--watch"):
        assert option in out
    assert "exit status" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a log"),
        (["absent.csv"], "absent.csv: "),
        (["log.csv", "--plot", "a.jpg"], "--plot a.jpg: its name must end in .png, .svg, .pdf"),
        (["log.csv", "--loss", "mse"], "invalid choice: 'mse'"),
        (["log.csv", "--map", "d_loss"], "--map d_loss: must be OURS=THEIRS"),
        (["log.csv", "--map", "colour=x"], "OURS is one of step, epoch, d_loss"),
        (["log.csv", "--map", ";=x"], "--map ;=x: must be OURS=THEIRS"),
        (["log.csv", "--map", "d_loss=x"], "no column 'x' for d_loss"),
        (["log.csv", "--map", "d_loss=a", "--map", "d_loss=b"], "d_loss is a already"),
        (["log.csv", "--steps-per-epoch", "0"], "must be a number from 1"),
        (["log.csv", "--steps-per-epoch", "x"], "'x' is no number"),
        (["log.csv", "--metric", "fid"], "fid"),
        (["log.csv", "--fail-on", "onset,worse"], "--fail-on: 'worse' is none of"),
        (["log.csv", "--every", "0"], "must be over 0"),
        (["log.csv", "--on-change", "true"], "go with --watch"),
        (["log.csv", "--watch", "--on-change", "no-such-command x"], "there is no such command"),
        (["log.csv", "--watch", "--on-change", "'"], "No closing quotation"),
        (["log.csv", "--watch", "--webhook", "file:///etc/passwd"], "must begin with http"),
        (["-", "--watch"], "cannot be watched"),
        (["log.csv", "--whatever"], "unrecognized arguments: --whatever"),
    ],
)
def test_a_bad_call_is_one_clear_line(
    tmp_path: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("log.csv").write_text("step,d_loss,g_loss\n1,1,1\n2,1,1\n")
    said = command.refusal(*arguments)
    assert message in said
    assert len(said) < 600


def test_a_folder_that_cannot_be_written_to_is_one_line(
    command: Command, tmp_path: Path, wrong: Path
) -> None:
    (tmp_path / "file").write_text("")
    assert "file" in command.refusal(wrong, "--out", tmp_path / "file" / "stop.json")


@pytest.mark.parametrize(("statuses", "status"), [("stall", 0), ("stall,onset", 1), ("stable", 0)])
def test_which_verdicts_fail_can_be_chosen(
    command: Command, wrong: Path, statuses: str, status: int
) -> None:
    assert command(wrong, "--fail-on", statuses)[0] == status


def test_a_good_run_can_be_what_fails(command: Command, tmp_path: Path) -> None:
    assert command(folder(tmp_path / "well", *healthy()), "--fail-on", "stable")[0] == 1


def test_the_metric_that_counts_can_be_chosen(command: Command, wrong: Path) -> None:
    _, epochs = reference()
    write(wrong / "epochs.csv", epochs | {"kid": epochs["fd"][::-1] / 1000})
    assert command.verdict(wrong)["metric"] == "fd"
    found = command.verdict(wrong, "--metric", "kid")
    assert found["metric"] == "kid"
    assert found["best_step"] != command.verdict(wrong)["best_step"]
    assert "lpips" in command.refusal(wrong, "--metric", "lpips")


@pytest.mark.parametrize(
    ("level", "loss", "family", "level_words"),
    [
        (0.69, "bce", "bce_mean", "the mean of its two halves"),
        (1.38, "bce", "bce_sum", "the sum of its two halves"),
        (0.25, "lsgan", "lsgan_mean", "the mean of its two halves"),
        (0.5, "lsgan", "lsgan_sum", "the sum of its two halves"),
        (1.9, "hinge", "hinge", None),
        (0.6, "relativistic", "relativistic", None),
    ],
)
def test_a_family_that_is_given_is_taken(
    command: Command,
    tmp_path: Path,
    level: float,
    loss: str,
    family: str,
    level_words: str | None,
) -> None:
    steps, _ = healthy()
    fall = np.linspace(1, 0.5, len(steps["step"]))
    columns = steps | {"d_loss": level * fall, "g_loss": 1 / fall}
    found = command.verdict(write(tmp_path / "log.csv", columns), "--loss", loss)
    assert (found["loss"], found["loss_source"]) == (family, "given")
    told = [note for note in found["notes"] if "--loss" in note]
    assert len(told) == (level_words is not None)
    assert level_words is None or level_words in told[0]


def test_answers_tell_a_mean_from_a_sum(command: Command, tmp_path: Path) -> None:
    """A mean of a D that is always wrong is as high as a sum of one that knows nothing."""
    steps, _ = healthy()
    count = len(steps["step"])
    columns = steps | {"d_real": np.full(count, 0.25), "d_fake": np.full(count, 0.75)}
    for share, family in ((0.5, "bce_mean"), (1.0, "bce_sum")):
        columns["d_loss"] = np.full(count, -2 * np.log(0.25) * share)
        file = write(tmp_path / "log.csv", columns)
        assert command.verdict(file, "--loss", "bce")["loss"] == family


def test_an_epoch_has_the_length_that_is_given(command: Command, wrong: Path) -> None:
    _, epochs = reference()
    write(wrong / "epochs.csv", {"step": epochs["step"], "fd": epochs["fd"]})
    found = command.verdict(wrong, "--steps-per-epoch", LENGTH)
    assert (found["best_epoch"], found["onset_epoch"]) == (14, 15)
    assert command.verdict(wrong, "--steps-per-epoch", 2 * LENGTH)["best_epoch"] == 7


def test_the_deviation_that_comes_with_a_metric_is_used(command: Command, wrong: Path) -> None:
    _, epochs = reference()
    for metric, sigma in (("fd", "fd_sigma"), ("fid", "fid_sigma"), ("fd_ema", "fd_sigma")):
        columns = {"epoch": epochs["epoch"], "step": epochs["step"], metric: epochs["fd"]}
        write(wrong / "epochs.csv", columns | {sigma: 0.05 * epochs["fd"]})
        found = command.verdict(wrong)
        assert (found["metric"], found["noise"]) == (metric, "given")
        low, high = found["best_interval"]
        assert high - low == pytest.approx(2 * 1.96 * 0.05 * found["best_value"])


# As a process.


def test_it_runs_where_only_numpy_is_installed(tmp_path: Path, wrong: Path) -> None:
    """From another folder, without a home, in a terminal of plain letters."""
    blocked = tmp_path / "site" / "sitecustomize.py"
    blocked.parent.mkdir()
    blocked.write_text(
        "import sys\n"
        "class Blocker:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('matplotlib', 'bokeh', 'mlflow', 'pyarrow', 'torch',\n"
        "                                  'pandas', 'scipy', 'pipeline', 'dcgan'):\n"
        "            raise ImportError(name + ' is not installed', name=name)\n"
        "sys.meta_path.insert(0, Blocker())\n"
    )
    path = os.pathsep.join([str(blocked.parent), str(REPOSITORY / "src")])
    done = in_a_process("wrong", cwd=tmp_path, PYTHONPATH=path, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("wrong\n")
    for option, name, extra in (
        ("--plot", "a.png", "matplotlib"),
        ("--report", "a.html", "bokeh"),
    ):
        done = in_a_process("wrong", option, name, cwd=tmp_path, PYTHONPATH=path)
        needed = f"error: {option} needs {extra}: pip install {extra}\n"
        assert (done.returncode, done.stdout, done.stderr) == (2, "", needed)


def test_standard_input_is_read(wrong: Path) -> None:
    with (wrong / "steps.csv").open("rb") as file:
        done = subprocess.run(
            [sys.executable, "-m", "ganverdict", "-", "--json"],
            stdin=file,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY / "src")},
            capture_output=True,
            check=True,
        )
    assert TURN < json.loads(done.stdout)["alarm_step"] <= TURN + LENGTH


def test_names_of_strangers_are_text(command: Command, tmp_path: Path) -> None:
    name = "run \x1b[31m\x07 <script>alert(1)</script>"
    try:
        path = folder(tmp_path / name.replace("/", ""), *healthy())
    except OSError:
        pytest.skip("this file system has no such names")
    _, out, err = command(path)
    assert "\x1b" not in out + err
    assert "[31m" in out
    shutil.rmtree(path)
    assert "\x1b" not in command.refusal(path)


def test_a_metric_that_is_better_the_higher_is_told_as_it_was_measured(
    command: Command, tmp_path: Path
) -> None:
    log = tmp_path / "log.csv"
    log.write_text("epoch,IS\n" + "".join(f"{n},{9 - 6 / n:.3f}\n" for n in range(1, 31)))
    _, out, _ = command(log)
    assert re.search(r"keep +epoch 30: is 8\.8 \(95 %: 8\.631 to 8\.976,", out)


def test_reading_makes_no_store(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    address = {"MLFLOW_TRACKING_URI": "sqlite:///none.db", "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = in_a_process("mlflow:abc", cwd=tmp_path, **address)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: mlflow:abc: there is no store none.db; set MLFLOW_TRACKING_URI\n"
    assert list(tmp_path.iterdir()) == []


def test_a_closed_standard_output_is_no_failure(wrong: Path, tmp_path: Path) -> None:
    healthy_run = folder(tmp_path / "well", *healthy())
    for path, status in ((healthy_run, 0), (wrong, 1)):
        done = subprocess.run(
            ["sh", "-c", f"'{sys.executable}' -m ganverdict '{path}' >&-"],
            env={"PATH": os.defpath, "PYTHONPATH": str(REPOSITORY / "src")},
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (status, "")


@pytest.mark.parametrize("loss", ["bce_sum", "bce_mean", "hinge"])
def test_a_family_may_be_named_as_the_answer_names_it(
    command: Command, wrong: Path, loss: str
) -> None:
    _, out, _ = command("--json", "--loss", loss, wrong)
    found = json.loads(out)
    assert (found["loss"], found["loss_source"]) == (loss, "given")


def test_a_file_that_cannot_be_written_is_named_as_it_was_given(
    command: Command, wrong: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def refuse(self: Path, *rest: Any, **more: Any) -> Any:
        if self.name.startswith("."):
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *rest, **more)

    monkeypatch.setattr(Path, "open", refuse)
    status, _, err = command("--out", wrong / "out.json", wrong / "steps.csv")
    assert status == 2
    assert "out.json" in err
    assert ".out.json." not in err
