"""Trouble that people had with their logs, in the shape in which they met it.

From public bug reports and logs of people who train GANs; the numbers are made anew. Each test
states what the answer ought to be.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.ganverdict.logs import LENGTH, TURN, Columns, Command, healthy, noise, reference, write
from tests.project import REPOSITORY

SOON = TURN + LENGTH  # a change is seen within an epoch


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def losses(d_loss: Any, g_loss: Any, start: int = 0, every: int = 1) -> Columns:
    d_loss, g_loss = np.broadcast_arrays(d_loss, g_loss)
    return {"step": start + every * np.arange(len(d_loss)), "d_loss": d_loss, "g_loss": g_loss}


# Reports of trainings.


def test_saturated_from_the_start(tmp_path: Path, command: Command) -> None:
    """80 rows, one in ten iterations: D's loss is nothing and G's about 57 from step 50 on."""
    start = np.arange(80) < 5
    columns = losses(np.where(start, 7.5, 0.0), np.where(start, 38.0, 56.8), every=10)
    answers = {"d_real": np.where(start, 0.9, 1.0), "d_fake": np.where(start, 0.9, 0.0)}
    found = command.verdict(write(tmp_path / "with_answers.csv", columns | answers))
    assert (found["status"], found["end"]) == ("stall", "end")
    assert "D was sure of everything" in found["reason"]
    found = command.verdict(write(tmp_path / "losses_only.csv", columns))
    assert (found["status"], found["end"]) == ("stall", "end")
    assert 30 <= found["onset_step"] <= 80
    assert found["best_step"] is None


def test_dead_from_the_start(tmp_path: Path, command: Command) -> None:
    start = np.arange(10_000) < 25
    columns = losses(np.where(start, 1.1, 7.971192), np.where(start, 0.9, 0.0))
    found = command.verdict(write(tmp_path / "steps.csv", columns))
    assert (found["status"], found["onset_step"]) == ("stall", 0)
    assert "D calls everything real" in found["reason"]


def test_dead_after_twelve_epochs(tmp_path: Path, command: Command) -> None:
    steps, epochs = healthy()
    dead = steps["step"] > 12 * LENGTH
    steps["d_loss"] = np.where(dead, 7.971192, steps["d_loss"])
    steps["g_loss"] = np.where(dead, 0.0, steps["g_loss"])
    epochs["fd"][12:] = epochs["fd"][11]
    write(tmp_path / "steps.csv", steps)
    write(tmp_path / "epochs.csv", epochs)
    found = command.verdict(tmp_path)
    assert (found["status"], found["end"]) == ("stall", "end")
    assert 12 * LENGTH <= found["onset_step"] <= 13 * LENGTH
    assert found["best_step"] == 12 * LENGTH


def test_every_value_the_same_from_the_first_row_on(tmp_path: Path, command: Command) -> None:
    columns = losses(np.full(1_000, 13.82), -0.0, start=100, every=100)
    found = command.verdict(write(tmp_path / "steps.csv", columns))
    assert (found["status"], found["onset_step"]) == ("stall", 100)


def test_nan_at_the_38th_of_60_rows(tmp_path: Path, command: Command) -> None:
    d_loss, g_loss = 0.02 * noise(rng(), 60, 0.3), 5.3 * noise(rng(), 60, 0.05)
    d_loss[37:] = g_loss[37:] = np.nan
    found = command.verdict(write(tmp_path / "steps.csv", losses(d_loss, g_loss)))
    assert (found["status"], found["onset_step"]) == ("diverged", 37)


def test_fid_that_falls_rises_and_falls_again(tmp_path: Path, command: Command) -> None:
    """The last three evaluations are worse than the best before them, and falling."""
    fd = [261.3, 327.6, 148.4, 117.4, 94.4, 86.7, 73.9, 71.7, 59.2, 58.5, 56.3, 54.6, 48.7, 49.4]
    fd += [84.0, 77.2, 56.2]
    write(tmp_path / "epochs.csv", {"step": np.arange(17) * 204_750, "fd": fd})
    rows = losses(0.88 * noise(rng(), 820, 0.05), 1.3 * noise(rng(), 820, 0.05), 1, 4_000)
    write(tmp_path / "steps.csv", rows)
    found = command.verdict(tmp_path)
    assert (found["status"], found["end"]) == ("stable", "go_on")
    assert (found["best_step"], found["best_value"]) == (12 * 204_750, 48.7)


def test_collapse_late_in_a_long_training(tmp_path: Path, command: Command) -> None:
    step = np.arange(38) * 200_000 + 1
    fd = np.where(step > 6_700_000, 400.0, 7.8 + 250 * np.exp(-(step - 1) / 700_000))
    write(tmp_path / "epochs.csv", {"step": step, "fd": fd})
    rows = losses(0.85 * noise(rng(), 1_900, 0.05), 1.3 * noise(rng(), 1_900, 0.05), 1, 4_000)
    late = rows["step"] > 6_700_000
    rows["d_loss"] = rows["d_loss"] * np.where(late, 0.33, 1)
    rows["g_loss"] = rows["g_loss"] * np.where(late, 4, 1)
    write(tmp_path / "steps.csv", rows)
    found = command.verdict(tmp_path)
    assert (found["status"], found["end"]) == ("onset", "roll_back")
    assert 6_600_001 <= found["onset_step"] <= 7_000_001
    assert found["best_step"] == 6_600_001
    assert found["confirm_step"] == 7_000_001


def test_a_critic_that_is_nan_after_14_of_29_rows(tmp_path: Path, command: Command) -> None:
    d_loss, g_loss = -1.9 * noise(rng(), 29, 0.1), 8 * noise(rng(), 29, 0.3)
    d_loss[14:] = g_loss[14:] = np.nan
    found = command.verdict(write(tmp_path / "steps.csv", losses(d_loss, g_loss, 100, 100)))
    assert (found["status"], found["onset_step"]) == ("diverged", 1_500)
    assert (found["loss"], found["loss_source"]) == ("wasserstein", "inferred")


def test_a_critic_that_runs_away(tmp_path: Path, command: Command) -> None:
    """Losses that grow without bound deserve a word."""
    step = np.arange(1, 10_001)
    columns = losses(-0.79 * step * noise(rng(), 10_000, 0.02), 60 - 0.4 * step, start=1)
    found = command.verdict(write(tmp_path / "steps.csv", columns))
    assert found["status"] == "diverged"
    assert "the loss of D grew" in found["reason"]


def test_a_log_of_epochs_with_names_of_its_own(tmp_path: Path, command: Command) -> None:
    d_loss, g_loss = -0.45 * noise(rng(), 1_000, 0.2), -2.7 * noise(rng(), 1_000, 0.05)
    d_loss[564:] = g_loss[564:] = np.nan
    columns = {"Epoch": range(1_000), "D loss": d_loss, "G loss": g_loss}
    found = command.verdict(write(tmp_path / "steps.csv", columns))
    assert (found["status"], found["onset_step"], found["unit"]) == ("diverged", 564, "epoch")
    assert "epoch 564" in found["reason"]


def test_a_healthy_critic(tmp_path: Path, command: Command) -> None:
    """Its loss shrinks by an order of magnitude, and G's wanders through zero."""
    epochs = 25
    step = np.arange(1, epochs * LENGTH + 1)
    d_loss = -(3 + 28 * np.exp(-step / 4_000)) * noise(rng(), len(step), 0.1)
    g_loss = 8 * np.sin(step / 3_000) + rng().standard_normal(len(step))
    write(tmp_path / "steps.csv", losses(d_loss, g_loss, start=1))
    epoch = np.arange(1, epochs + 1)
    fd = 4 + 60 * np.exp(-epoch / 6)
    write(tmp_path / "epochs.csv", {"epoch": epoch, "step": epoch * LENGTH, "fd": fd})
    found = command.verdict(tmp_path)
    assert (found["status"], found["best_epoch"]) == ("stable", epochs)
    assert found["loss"] == "wasserstein"


def test_a_tutorial_whose_discriminator_wins(tmp_path: Path, command: Command) -> None:
    """159 rows, one in 50 iterations; from step 1,900 on D's loss is nothing."""
    won = np.arange(159) >= 38
    d_loss = np.where(won, 0.0, 0.6 * noise(rng(), 159, 0.5))
    g_loss = np.where(won, 40 + np.arange(159) / 2, 4 * noise(rng(), 159, 0.3))
    columns = losses(d_loss, g_loss, every=50)
    found = command.verdict(write(tmp_path / "losses_only.csv", columns))
    assert (found["status"], found["end"]) == ("stall", "end")
    assert 1_800 <= found["onset_step"] <= 2_000
    assert found["watched"]["rows"] == 159
    answers = {"d_real": np.where(won, 1.0, 0.85), "d_fake": np.where(won, 0.0, 0.12)}
    found = command.verdict(write(tmp_path / "with_answers.csv", columns | answers))
    assert (found["status"], found["signal"]) == ("stall", "saturated")


def test_the_loss_of_g_rises_and_pictures_are_fine(tmp_path: Path, command: Command) -> None:
    epochs = 30
    share = np.arange(1, epochs * LENGTH + 1) / (epochs * LENGTH)
    d_loss = 1.3 * np.exp(-1.5 * share) * noise(rng(), len(share), 0.15)
    g_loss = (0.2 + 4.2 * share**0.6) * noise(rng(), len(share), 0.15)
    write(tmp_path / "steps.csv", losses(d_loss, g_loss, start=1))
    epoch = np.arange(1, epochs + 1)
    fd = 2 + 38 * np.exp(-epoch / 8)
    write(tmp_path / "epochs.csv", {"epoch": epoch, "step": epoch * LENGTH, "fd": fd})
    found = command.verdict(tmp_path)
    assert (found["status"], found["best_epoch"]) == ("stable", epochs)


def test_the_loss_of_g_is_one_constant_in_3000_epochs(tmp_path: Path, command: Command) -> None:
    d_loss = 3e-6 * noise(rng(), 3_000, 1)
    columns = {"epoch": range(1, 3_001), "d_loss": d_loss, "g_loss": [16.11809539] * 3_000}
    found = command.verdict(write(tmp_path / "steps.csv", columns))
    assert (found["status"], found["onset_step"]) == ("stall", 1)
    assert {state["name"] for state in found["states"]} == {"vanished", "dead"}


def test_losses_at_a_coin_toss(tmp_path: Path, command: Command) -> None:
    """Nothing is known to be wrong; with the family told, that D is at chance is said."""
    d_loss, g_loss = (1e-4 * rng().standard_normal((2, 7_020))).round(4)
    columns = losses(1.3865 + d_loss, 0.6931 + g_loss, start=1)
    file = write(tmp_path / "steps.csv", columns)
    assert command(file)[0] == 0
    states = command.verdict(file, "--loss", "bce")["states"]
    assert [state["name"] for state in states] == ["at_chance"]


# Real logs.


def test_what_is_kept_is_good_by_its_own_value(tmp_path: Path, command: Command) -> None:
    """An FID with noise of 8 % after its fall, and no decline."""
    fid = np.r_[np.geomspace(270, 71, 15), 71 * noise(rng(), 54, 0.08)]
    rows = losses(0.7 * noise(rng(), 3_450, 0.1), 1.2 * noise(rng(), 3_450, 0.1))
    theirs = {"step": "iternum", "d_loss": "Dx", "g_loss": "G"}
    write(tmp_path / "log.csv", {theirs[name]: values for name, values in rows.items()})
    write(tmp_path / "fid.csv", {"iternum": np.arange(69) * 50 + 49, "FID": fid})
    names = [f"--map={ours}={name}" for ours, name in (theirs | {"fd": "FID"}).items()]
    found = command.verdict(tmp_path / "log.csv", tmp_path / "fid.csv", *names)
    assert found["best_value"] == fid.min()
    assert found["best_step"] == np.argmin(fid) * 50 + 49


def test_an_fid_that_is_no_number_to_go_by(tmp_path: Path, command: Command) -> None:
    fd = ["1.2e57", "8.2e51", "4.3e53", "-3.1e68", "-2.7e57", "7.9e64", "2.9e53", "-1.9e50"]
    step = np.arange(8) * 40_000
    write(tmp_path / "epochs.csv", {"epoch": range(8), "step": step, "fd": fd})
    rows = losses(0.8 * noise(rng(), 80, 0.05), 1.6 * noise(rng(), 80, 0.05), 1, 4_000)
    write(tmp_path / "steps.csv", rows)
    found = command.verdict(tmp_path)
    assert found["status"] == "metric_broken"
    assert found["best_value"] is None
    assert found["end"] == "go_on"  # it is the metric that is broken


# Forms of files: the reference, written in all the ways that people write.


def expect_reference(found: dict[str, Any], best_value: float) -> None:
    """A change after `TURN` in losses and samples; the lowest FID before it is kept."""
    assert found["status"] == "onset"
    assert TURN < found["alarm_step"] <= SOON
    assert TURN < found["onset_step"] <= SOON
    assert (found["best_step"], found["best_value"]) == (14 * LENGTH, best_value)
    assert found["end"] == "roll_back"


def expect_losses(found: dict[str, Any]) -> None:
    """Losses alone: an alarm at the change, and nothing that could confirm it."""
    assert found["status"] == "transient"
    assert TURN < found["alarm_step"] <= SOON
    assert found["best_step"] is None
    assert any("no metric of samples" in words for words in found["unknown"])


@pytest.fixture
def run(tmp_path: Path) -> tuple[Columns, Columns]:
    steps, epochs = reference()
    # What is kept is the same by any rule: the lowest, and the last before the change.
    epochs["fd"][13] = 0.9 * epochs["fd"][:13].min()
    return steps, epochs


def test_the_reference(tmp_path: Path, command: Command, run: tuple[Columns, Columns]) -> None:
    steps, epochs = run
    write(tmp_path / "steps.csv", steps)
    write(tmp_path / "epochs.csv", epochs)
    found = command.verdict(tmp_path / "steps.csv", tmp_path / "epochs.csv")
    expect_reference(found, epochs["fd"][13])
    assert (found["best_epoch"], found["onset_epoch"]) == (14, 15)
    in_folder = command.verdict(tmp_path)
    for name in ("name", "files"):
        del found[name], in_folder[name]
    assert in_folder == found


@pytest.mark.parametrize("columns", [("step", "fid"), ("epoch", "step", "fid")])
def test_evaluations_whose_steps_are_epochs(
    tmp_path: Path, command: Command, run: tuple[Columns, Columns], columns: tuple[str, ...]
) -> None:
    steps, epochs = run
    given = {"epoch": epochs["epoch"], "step": epochs["epoch"], "fid": epochs["fd"]}
    file = write(tmp_path / "epochs.csv", {name: given[name] for name in columns})
    found = command.verdict(write(tmp_path / "steps.csv", steps), file, "--map", "fd=fid")
    expect_reference(found, epochs["fd"][13])
    assert any("count epochs" in note for note in found["notes"])


def test_scores_are_no_probabilities(tmp_path: Path, command: Command) -> None:
    steps, epochs = healthy()
    steps |= {"d_real": 1.05 * noise(rng(), len(steps["step"]), 0.01)}
    steps |= {"d_fake": -1.03 * noise(rng(), len(steps["step"]), 0.01)}
    files = write(tmp_path / "steps.csv", steps), write(tmp_path / "epochs.csv", epochs)
    for given in (files, files[:1]):
        found = command.verdict(*given)
        assert found["status"] == "stable"
        assert any("not probabilities" in note for note in found["notes"])
        assert "d_real" not in found["watched"]["windows"]


def test_infinite_norms_whose_steps_a_scaler_skipped(tmp_path: Path, command: Command) -> None:
    steps, epochs = healthy()
    norms = noise(rng(), len(steps["step"]), 0.2)
    norms[[0, 1, 2, 2_000, 4_000, 6_000]] = np.inf
    write(tmp_path / "steps.csv", steps | {"d_grad_norm": norms})
    write(tmp_path / "epochs.csv", epochs)
    assert command.verdict(tmp_path)["status"] == "stable"


def test_one_nan_and_then_a_healthy_run(tmp_path: Path, command: Command) -> None:
    steps, epochs = healthy()
    steps["d_loss"][4_000] = steps["g_loss"][4_000] = np.nan
    write(tmp_path / "steps.csv", steps)
    write(tmp_path / "epochs.csv", epochs)
    found = command.verdict(tmp_path)
    assert (found["status"], found["end"]) == ("transient", "go_on")
    assert "step 4,001 for 1 row" in found["reason"]
    assert found["best_value"] == epochs["fd"].min()


def test_rows_of_one_step_are_one_row(tmp_path: Path, command: Command) -> None:
    """Lightning writes a row for each of two optimisers, and one for an epoch."""
    steps, _ = reference()
    rows: list[list[Any]] = [["epoch", "step", "d_loss", "g_loss"]]
    for place in range(49, len(steps["step"]), 50):
        step, epoch = place, place // LENGTH
        rows.append([epoch, step, steps["d_loss"][place], ""])
        rows.append([epoch, step, "", steps["g_loss"][place]])
    file = tmp_path / "metrics.csv"
    file.write_text("\n".join(",".join(map(str, row)) for row in rows) + "\n")
    found = command.verdict(file)
    assert found["watched"]["rows"] == 187
    expect_losses(found)


def test_two_evaluations_an_epoch(
    tmp_path: Path, command: Command, run: tuple[Columns, Columns]
) -> None:
    steps, epochs = run
    half = {name: np.repeat(values, 2) for name, values in epochs.items()}
    half["step"] = half["step"] - np.tile([LENGTH // 2, 0], 20)
    half["fd"][:28:2] *= 1.1
    write(tmp_path / "steps.csv", steps)
    write(tmp_path / "epochs.csv", half)
    expect_reference(command.verdict(tmp_path), epochs["fd"][13])


def cut(text: str) -> str:
    return text + "9361,0.7"


def repeated(text: str) -> str:
    lines = text.splitlines(keepends=True)
    return "".join([*lines[:4_681], lines[0], *lines[4_681:]])


def resumed(text: str) -> str:
    lines = text.splitlines(keepends=True)
    return "".join([*lines[:4_681], *lines[4_481:]])


def word(missing: str) -> Callable[[str], str]:
    def replaced(text: str) -> str:
        lines = text.splitlines(keepends=True)
        for place in range(10, len(lines), 97):
            lines[place] = lines[place].rpartition(",")[0] + f",{missing}\n"
        return "".join(lines)

    return replaced


def german(text: str) -> str:
    return "\ufeff" + text.replace(",", ";").replace(".", ",")


def thousands(text: str) -> str:
    lines = text.splitlines()
    rows = (line.split(",", 1) for line in lines[1:])
    return "\n".join([lines[0], *(f'"{int(step):,}",{rest}' for step, rest in rows)]) + "\n"


def without_steps(text: str) -> str:
    return "\n".join(line.split(",", 1)[1] for line in text.splitlines()) + "\n"


FORMS: dict[str, Callable[[str], str | bytes]] = {
    "a last line that is cut off": cut,
    "a header in the middle": repeated,
    "a resumed run": resumed,
    "NA": word("NA"),
    "N/A": word("N/A"),
    "null": word("null"),
    "None": word("None"),
    "-": word("-"),
    "no name for the first column": lambda text: text.replace("step,", ",", 1),
    "pandas' name for it": lambda text: text.replace("step,", "Unnamed: 0,", 1),
    "no steps": without_steps,
    "blank lines before the header": lambda text: "\n\n" + text,
    "a comment before the header": lambda text: "# run 7\n" + text,
    "semicolons": lambda text: text.replace(",", ";"),
    "tabs": lambda text: text.replace(",", "\t"),
    "semicolons and decimal commas": german,
    "a comma after each row": lambda text: text.replace("\n", ",\n"),
    "UTF-16": lambda text: text.encode("utf-16"),
    "steps with a decimal point": lambda text: re.sub(r"\n(\d+),", r"\n\1.0,", text),
    "thousands": thousands,
    "Windows' line ends": lambda text: text.replace("\n", "\r\n"),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_a_table_is_read(tmp_path: Path, command: Command, form: str) -> None:
    steps, _ = reference()
    file = write(tmp_path / "steps.csv", steps)
    content = FORMS[form](file.read_text())
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    found = command.verdict(file)
    expect_losses(found)
    told = {"cut off": "cut off", "middle": "header repeated", "resumed": "later rows count"}
    for part, note in told.items():
        if part in form:
            assert any(note in text for text in found["notes"]), found["notes"]


@pytest.mark.parametrize("name", ["", "Unnamed: 0"])
def test_the_column_without_a_name_can_be_named(
    tmp_path: Path, command: Command, name: str
) -> None:
    steps, _ = reference()
    columns = {name: steps["step"], "d_loss": steps["d_loss"], "g_loss": steps["g_loss"]}
    file = write(tmp_path / "steps.csv", columns)
    expect_losses(command.verdict(file, "--map", f"step={name}"))


def test_kimg(tmp_path: Path, command: Command) -> None:
    """An iteration is 32 images."""
    steps, _ = reference()
    columns = {"kimg": (steps["step"] * 0.032).round(3), **steps}
    del columns["step"]
    found = command.verdict(write(tmp_path / "steps.csv", columns))
    assert (found["status"], found["unit"]) == ("transient", "kimg")
    assert TURN * 0.032 < found["alarm_step"] <= SOON * 0.032
    assert "kimg" in found["reason"]


def test_each_file_names_its_steps(
    tmp_path: Path, command: Command, run: tuple[Columns, Columns]
) -> None:
    steps, epochs = run
    theirs = {"iteration": steps["step"], "d_loss": steps["d_loss"], "g_loss": steps["g_loss"]}
    files = [write(tmp_path / "steps.csv", theirs)]
    files += [write(tmp_path / "e.csv", {"global_step": epochs["step"], "fid": epochs["fd"]})]
    expect_reference(command.verdict(*files), epochs["fd"][13])


def test_two_columns_of_one_name_that_differ(tmp_path: Path, command: Command) -> None:
    file = tmp_path / "steps.csv"
    file.write_text("step,d_loss,g_loss,d_loss\n1,0.5,1,0.7\n2,0.5,1,0.7\n")
    assert "two columns are called 'd_loss' and differ" in command.refusal(file)


def test_g_is_trained_in_one_of_five_steps(
    tmp_path: Path, command: Command, run: tuple[Columns, Columns]
) -> None:
    steps, epochs = run
    seldom = [v if i % 5 == 4 else None for i, v in enumerate(steps["g_loss"].tolist())]
    write(tmp_path / "steps.csv", steps | {"g_loss": seldom})
    write(tmp_path / "epochs.csv", epochs)
    expect_reference(command.verdict(tmp_path), epochs["fd"][13])


def test_a_chart_of_weights_and_biases(tmp_path: Path, command: Command) -> None:
    steps, _ = reference()
    name = "fancy-sun-1 - g_loss"
    columns = {"Step": steps["step"]} | {f"{name}{end}": steps["g_loss"] for end in ("", "__MIN")}
    expect_losses(command.verdict(write(tmp_path / "d.csv", columns)))


def test_charts_of_tensorboard(tmp_path: Path, command: Command) -> None:
    steps, _ = reference()
    for name in ("d_loss", "g_loss"):
        time = steps["step"] + 1.7e9
        columns = {"Wall time": time, "Step": steps["step"], "Value": steps[name]}
        write(tmp_path / f"{name}.csv", columns)
    expect_losses(command.verdict(tmp_path / "d_loss.csv", tmp_path / "g_loss.csv"))


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_readers_of_the_output_may_leave(tmp_path: Path, unbuffered: str) -> None:
    steps, _ = reference()
    write(tmp_path / "steps.csv", steps)
    read, written = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "ganverdict", "steps.csv"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "src"), "PYTHONUNBUFFERED": unbuffered},
        stdout=written,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(written)
    assert (done.returncode, done.stderr) == (0, b"")


def test_logs_of_any_size(tmp_path: Path, command: Command) -> None:
    for name, text in {
        "empty": "",
        "header": "step,d_loss,g_loss\n",
        "missing": "step,d_loss,g_loss\n1,,\n2,,\n",
    }.items():
        file = tmp_path / f"{name}.csv"
        file.write_text(text)
        assert command.refusal(file).startswith(f"{file}: ")
    file = tmp_path / "one.csv"
    file.write_text("step,d_loss,g_loss\n1,0.5,1\n")
    assert command.verdict(file)["status"] == "unwatched"
    file.write_text("step,d_loss,g_loss\n" + "".join(f"{i},1e308,-1e308\n" for i in range(6)))
    assert command.verdict(file)["status"] == "unwatched"


@pytest.mark.parametrize("first", [0, 1])
def test_epochs_from_zero_or_one(
    tmp_path: Path, command: Command, run: tuple[Columns, Columns], first: int
) -> None:
    """Evaluations by epoch alone: each is at its epoch's end, whatever the first is called."""
    steps, epochs = run
    by_epoch = {"epoch": epochs["epoch"] - 1 + first, "fd": epochs["fd"]}
    files = write(tmp_path / "steps.csv", steps), write(tmp_path / "epochs.csv", by_epoch)
    expect_reference(command.verdict(*files, "--steps-per-epoch", LENGTH), epochs["fd"][13])


def test_an_interval_that_changes(
    tmp_path: Path, command: Command, run: tuple[Columns, Columns]
) -> None:
    """Every step for six epochs, then every tenth."""
    steps, epochs = run
    kept = (steps["step"] <= 6 * LENGTH) | (steps["step"] % 10 == 0)
    write(tmp_path / "steps.csv", {name: values[kept] for name, values in steps.items()})
    write(tmp_path / "epochs.csv", epochs)
    expect_reference(command.verdict(tmp_path), epochs["fd"][13])


def test_a_gap(tmp_path: Path, command: Command, run: tuple[Columns, Columns]) -> None:
    steps, epochs = run
    kept = (steps["step"] <= 8 * LENGTH) | (steps["step"] > 11 * LENGTH)
    write(tmp_path / "steps.csv", {name: values[kept] for name, values in steps.items()})
    write(tmp_path / "epochs.csv", epochs)
    expect_reference(command.verdict(tmp_path), epochs["fd"][13])
