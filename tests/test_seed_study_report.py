"""A study's answers, from records whose answers are known."""

import csv
from pathlib import Path

import pytest
from PIL import Image

from dcgan.training import SIGNALS
from pipeline._seed_study_figures import grids
from pipeline._seed_study_records import grid_file
from pipeline._seed_study_report import read_record, table
from tests.searches import SHIPPED

LENGTH, WINDOWS = 468, 9


def write_record(folder: Path, fd: list[float], ema: list[float] | None = None) -> Path:
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
        averaged = [] if ema is None else ["fd_ema"]
        writer.writerow(["epoch", "step", "fd", *averaged, "fd_sigma"])
        for row, value in enumerate(fd):
            last = [] if ema is None else [ema[row]]
            writer.writerow([row + 1, (row + 1) * LENGTH, value, *last, 0.01])
    return folder


def test_each_rule_is_scored_at_the_epoch_that_it_names(tmp_path: Path) -> None:
    fd = [50.0, 40.0, 30.0, 20.0, 25.0]
    record = read_record(write_record(tmp_path / "joint-3", fd), SHIPPED.stability)
    assert record is not None
    assert (record.recipe, record.seed) == ("joint", 3)
    row = record.row()
    assert row["fd_lowest"] == 20.0
    assert row["epoch"] == {
        "best": 4,
        "seed_epoch": 32,
        "last": 5,
        "lowest_g_loss": 2,
        "highest_d_loss": 3,
    }
    assert row["fd"] == {
        "best": 20.0,
        "seed_epoch": 25.0,  # there is no epoch 32: the nearest one
        "last": 25.0,
        "lowest_g_loss": 40.0,
        "highest_d_loss": 30.0,
    }
    assert "joint-3" in table([record])


def test_where_weights_are_averaged_their_fd_counts(tmp_path: Path) -> None:
    fd, ema = [9.0, 8.0, 7.0, 6.0], [5.0, 4.0, 3.0, 2.0]
    record = read_record(write_record(tmp_path / "stabilised-1", fd, ema), SHIPPED.stability)
    assert record is not None
    assert record.fd_at(4) == 2.0


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
    axes = grids(records).axes
    assert [axis.get_title() for axis in axes[:3]] == ["epoch 1", "epoch 10", "epoch 30"]
    assert [len(axis.images) for axis in axes] == [1, 1, 0, 1, 1, 1]
