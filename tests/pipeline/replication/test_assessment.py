"""A replication's answers, from records whose answers are known."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dcgan.training import SIGNALS
from pipeline.plots.replication import grids, losses
from pipeline.replication.answers import answers, answers_table
from pipeline.replication.assessment import ORIGINAL_EPOCH, Record, read_record, table
from pipeline.replication.records import grid_file, write_facts
from pipeline.replication.summary import plotted
from tests.searches import SHIPPED

LENGTH, WINDOWS = 468, 9
FACTS: dict[str, object] = {"train": {}, "measure": {}, "judge": ""}


def write_record(folder: Path, fd: list[float], raw: list[float] | None = None) -> Path:
    """g_loss is lowest in epoch 2, d_loss highest in epoch 3; every other signal is flat."""
    folder.mkdir(parents=True)
    with (folder / "signals.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["step", *SIGNALS])
        for window in range(1, WINDOWS * len(fd) + 1):
            epoch = -(-window // WINDOWS)
            values = dict.fromkeys(SIGNALS, 0.5)
            values["g_loss"] = 0.1 if epoch == 2 else 1.0
            values["d_loss"] = 0.9 if epoch == 3 else 0.6
            writer.writerow([window * LENGTH // WINDOWS, *values.values()])
    with (folder / "epochs.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        trained = [] if raw is None else ["fd_raw"]
        writer.writerow(["epoch", "step", "fd", *trained, "fd_sigma"])
        for row, value in enumerate(fd):
            last = [] if raw is None else [raw[row]]
            writer.writerow([row + 1, (row + 1) * LENGTH, value, *last, 0.01])
    write_facts(folder, FACTS)
    return folder


def end_record(folder: Path) -> None:
    write_facts(folder, {**FACTS, "verdict": {}})


def test_each_rule_is_scored_at_the_epoch_that_it_names(tmp_path: Path) -> None:
    fd = [50.0, 40.0, 30.0, 20.0, 25.0]
    record = read_record(write_record(tmp_path / "joint-3", fd), SHIPPED.stability)
    assert record is not None
    assert (record.recipe, record.seed) == ("joint", 3)
    row = record.row()
    assert row["fd_lowest"] == 20.0
    assert row["epoch"] == {
        "best": 4,
        "original_epoch": 32,
        "last": 5,
        "lowest_g_loss": 2,
        "highest_d_loss": 3,
    }
    assert row["fd"] == {
        "best": 20.0,
        "original_epoch": 25.0,  # there is no epoch 32: the nearest one
        "last": 25.0,
        "lowest_g_loss": 40.0,
        "highest_d_loss": 30.0,
    }
    assert "joint-3" in table([record])


def test_where_weights_are_averaged_their_fd_counts(tmp_path: Path) -> None:
    raw, fd = [9.0, 8.0, 7.0, 6.0], [5.0, 4.0, 3.0, 2.0]
    record = read_record(write_record(tmp_path / "stabilised-1", fd, raw), SHIPPED.stability)
    assert record is not None
    assert record.fd_at(4) == 2.0


def whole_record(folder: Path, fd: list[float]) -> Record:
    write_record(folder, fd)
    end_record(folder)
    record = read_record(folder, SHIPPED.stability)
    assert record is not None
    return record


def test_the_answers_are_means_over_the_seeds_that_came_to_their_end(tmp_path: Path) -> None:
    # Lowest g_loss is at epoch 2, highest d_loss at epoch 3.
    runs = [
        whole_record(tmp_path / "joint-1", [50.0, 40.0, 30.0, 20.0, 25.0]),
        whole_record(tmp_path / "joint-2", [50.0, 40.0, 30.0, 28.0, 24.0]),
        whole_record(tmp_path / "frozen-1", [5.0, 4.0, 3.0, 2.0]),
    ]
    under_way = read_record(write_record(tmp_path / "joint-3", [1.0]), SHIPPED.stability)
    assert under_way is not None
    assert not under_way.is_whole
    found = answers([*runs, under_way])
    assert found["joint"]["lowest fd"]["mean"] == 22.0
    assert found["joint"]["its epoch"]["mean"] == 4.5
    assert found["joint"]["lost at the last epoch"]["mean"] == 2.5  # 5 and 0
    assert found["joint"]["lost at epoch 32"]["mean"] == 2.5  # the nearest that there is
    assert found["joint"]["lost at the lowest g_loss"]["mean"] == 18.0  # 20 and 16
    assert found["joint"]["lost at the highest d_loss"]["mean"] == 8.0  # 10 and 6
    assert found["frozen"]["lowest fd"] == {"runs": 1, "mean": 2.0}  # no interval from one run
    low, high = found["joint"]["lowest fd"]["low"], found["joint"]["lowest fd"]["high"]
    # t for 5 % above, one degree of freedom, is 6.314; the deviation of 20 and 24 is 2.83.
    assert (low, high) == pytest.approx((22 - 6.314 * 2, 22 + 6.314 * 2), rel=1e-3)

    lines = answers_table([*runs, under_way]).splitlines()
    assert [cell.strip() for cell in lines[0].split("|")[1:-1]] == [
        "",
        "joint (n = 2)",
        "frozen (n = 1)",
    ]
    assert "22 (9.37 to 34.6)" in answers_table(runs)
    assert answers_table([under_way]) == ""


def test_what_only_some_seeds_have_is_told_with_how_many(tmp_path: Path) -> None:
    fd = [9.0, 8.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, *[8.0] * 4]
    declined = whole_record(tmp_path / "joint-1", fd)
    fine = whole_record(tmp_path / "joint-2", sorted(fd, reverse=True))
    assert declined.verdict.onset_epoch == 9
    assert answers([declined, fine])["joint"]["epoch of the onset"] == {"runs": 1, "mean": 9.0}
    lines = {
        line.split("|")[1].strip(): line for line in answers_table([declined, fine]).split("\n")
    }
    assert lines["epoch of the onset"].split("|")[2].strip() == "9, 1 of 2"
    assert lines["epoch of the first alarm"].split("|")[2].strip() == "none"


def test_growth_is_the_last_epoch_over_the_best_one(tmp_path: Path) -> None:
    folder = tmp_path / "joint-1"
    write_record(folder, [3.0, 1.0, 2.0])
    rows = list(csv.reader((folder / "signals.csv").open()))
    column = rows[0].index("d_grad_norm")
    for number, row in enumerate(rows[1:]):
        row[column] = str([1.0, 2.0, 7.0][number // WINDOWS])
    with (folder / "signals.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    end_record(folder)
    record = read_record(folder, SHIPPED.stability)
    assert record is not None
    found = answers([record])["joint"]
    assert found["D's gradient norm, last epoch over best"]["mean"] == 3.5
    assert found["G's gradient norm, last epoch over best"]["mean"] == 1.0


def test_an_epoch_shorter_than_a_window_has_no_growth(tmp_path: Path) -> None:
    folder = tmp_path / "joint-1"
    write_record(folder, [3.0, 1.0, 2.0])
    lines = (folder / "signals.csv").read_text().splitlines()
    (folder / "signals.csv").write_text("\n".join(lines[: 2 * WINDOWS + 1]) + "\n")
    end_record(folder)
    record = read_record(folder, SHIPPED.stability)
    assert record is not None
    found = answers([record])["joint"]
    assert "D's gradient norm, last epoch over best" not in found
    assert found["lowest fd"]["mean"] == 1.0


@pytest.mark.parametrize("made", [False, True])
def test_a_run_without_an_epoch_has_no_record(tmp_path: Path, made: bool) -> None:
    folder = tmp_path / "joint-1"
    if made:
        write_record(folder, [])
    assert read_record(folder, SHIPPED.stability) is None


def test_a_column_of_grids_is_an_epoch_and_a_row_a_recipe(tmp_path: Path) -> None:
    records = []
    for recipe, epochs in (("joint", (1, 10)), ("frozen", (1, 10, 30))):
        folder = write_record(tmp_path / f"{recipe}-1", [3.0, 2.0, 1.0])
        for epoch in epochs:
            Image.new("L", (238, 118)).save(grid_file(folder, epoch))
        record = read_record(folder, SHIPPED.stability)
        assert record is not None
        records.append(record)
    axes = grids([plotted(record) for record in records]).axes
    assert [axis.get_title() for axis in axes[:3]] == ["epoch 1", "epoch 10", "epoch 30"]
    assert [len(axis.images) for axis in axes] == [1, 1, 0, 1, 1, 1]


def test_the_verdict_is_drawn_into_both_losses(tmp_path: Path) -> None:
    fd = [9.0, 8.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 8.0, 8.0, 8.0, 8.0]
    record = whole_record(tmp_path / "joint-1", fd)
    verdict = record.verdict
    assert verdict.best_epoch is not None
    assert verdict.onset_epoch is not None
    for axis in losses([plotted(record)], ORIGINAL_EPOCH).axes:
        marks = {line.get_marker(): np.asarray(line.get_xdata())[0] for line in axis.lines}
        assert marks["*"] == verdict.best_epoch
        assert marks["X"] == verdict.onset_epoch
