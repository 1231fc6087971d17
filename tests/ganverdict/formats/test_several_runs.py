"""Tables and files that hold several runs."""

import importlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from ganverdict.formats import read
from ganverdict.log import Log

EPOCHS = range(1, 13)
Row = tuple[str, int, int, float]  # recipe, seed, epoch, fid


def _fid(seed: int, epoch: int) -> float:
    return 60 * seed + 100 / epoch


BELOW: list[Row] = [
    (recipe, seed, epoch, _fid(seed, epoch))
    for recipe, seeds in (("joint", (1, 2)), ("frozen", (3, 4)))
    for seed in seeds
    for epoch in EPOCHS
]
BESIDE = sorted(BELOW, key=lambda row: row[2])
NAMES = ("recipe", "seed", "epoch", "fid")
TITLES = ["joint, seed 1", "joint, seed 2", "frozen, seed 3", "frozen, seed 4"]


def _as_csv(rows: Sequence[Row], path: Path) -> Path:
    path = path / "runs.csv"
    path.write_text("".join(f"{','.join(map(str, row))}\n" for row in (NAMES, *rows)))
    return path


def _as_json_lines(rows: Sequence[Row], path: Path) -> Path:
    path = path / "runs.jsonl"
    path.write_text("".join(json.dumps(dict(zip(NAMES, row, strict=True))) + "\n" for row in rows))
    return path


def _as_parquet(rows: Sequence[Row], path: Path) -> Path:
    pyarrow: Any = pytest.importorskip("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    path = path / "runs.parquet"
    columns = dict(zip(NAMES, map(list, zip(*rows, strict=True)), strict=True))
    parquet.write_table(pyarrow.table(columns), path)
    return path


def _titles(logs: Sequence[Log], path: Path) -> list[str]:
    return [log.name.removeprefix(f"{path}: ") for log in logs]


@pytest.mark.parametrize("rows", [BELOW, BESIDE], ids=["below", "beside"])
@pytest.mark.parametrize("write", [_as_csv, _as_json_lines, _as_parquet])
def test_runs_are_told_apart_by_what_they_were_run_with(
    write: Callable[[Sequence[Row], Path], Path], rows: Sequence[Row], tmp_path: Path
) -> None:
    path = write(rows, tmp_path)
    logs = read([path])
    assert _titles(logs, path) == TITLES
    for seed, log in enumerate(logs, 1):
        assert log.unit == "epoch"
        assert log.evaluations["step"].tolist() == [*EPOCHS]
        assert log.evaluations["fid"].tolist() == [_fid(seed, epoch) for epoch in EPOCHS]


def test_a_column_that_counts_all_rows_is_no_step_of_theirs(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    rows = [f"{index},{','.join(map(str, row))}\n" for index, row in enumerate(BELOW)]
    path.write_text(f",{','.join(NAMES)}\n" + "".join(rows))
    logs = read([path])
    assert _titles(logs, path) == TITLES
    assert [log.evaluations["step"].tolist() for log in logs] == 4 * [[*EPOCHS]]


def test_evaluations_in_lines_of_their_own_stay_with_their_run(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    lines: list[dict[str, float]] = []
    for epoch in EPOCHS:
        lines += [{"seed": s, "epoch": epoch, "d_loss": 1.2, "g_loss": 0.8} for s in (1, 2)]
        lines += [{"seed": s, "epoch": epoch, "fid": _fid(s, epoch)} for s in (2, 1)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    logs = read([path])
    assert _titles(logs, path) == ["seed 1", "seed 2"]
    for seed, log in enumerate(logs, 1):
        assert log.pairs[""]["step"].tolist() == [*EPOCHS]
        assert log.evaluations["fid"].tolist() == [_fid(seed, epoch) for epoch in EPOCHS]


def test_runs_whose_epochs_start_again_need_no_column(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    rows = [f"{epoch},{_fid(seed, epoch)}\n" for seed in (1, 2, 3) for epoch in EPOCHS]
    path.write_text("epoch,fid\n" + "".join(rows))
    logs = read([path])
    assert _titles(logs, path) == [str(path), f"{path}#2", f"{path}#3"]
    assert [log.evaluations["step"].tolist() for log in logs] == 3 * [[*EPOCHS]]


def test_runs_of_other_intervals_stand_below_each_other(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    rows = [
        f"{run},{step},1.2,{0.8 + step}\n"
        for run, interval in (("a", 100), ("b", 130))
        for step in range(interval, 20 * interval, interval)
    ]
    path.write_text("name,step,d_loss,g_loss\n" + "".join(rows))
    logs = read([path])
    assert _titles(logs, path) == ["a", "b"]
    for log, interval in zip(logs, (100, 130), strict=True):
        assert log.pairs[""]["step"].tolist() == [*range(interval, 20 * interval, interval)]


def test_runs_stay_in_the_order_of_the_table(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    rows = [f"{seed},{epoch},{_fid(seed, epoch)}\n" for epoch in EPOCHS for seed in (3, 1, 2)]
    path.write_text("seed,epoch,fid\n" + "".join(rows))
    assert _titles(read([path]), path) == ["seed 3", "seed 1", "seed 2"]


def test_a_column_that_does_not_tell_runs_apart_splits_none(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    rows = [
        f"{name},{epoch},1.2,0.8\n" for epoch in EPOCHS for name in ("a", "a", "a", "b", "b", "b")
    ]
    path.write_text("id,epoch,d_loss,g_loss\n" + "".join(rows))
    (log,) = read([path])
    assert len(log.pairs[""]["step"]) == 6 * len(EPOCHS)


def test_seeds_that_are_dates_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    rows = [
        f"{seed},{epoch},{_fid(1, epoch)}\n" for seed in (20261124, 20261125) for epoch in EPOCHS
    ]
    path.write_text("seed,epoch,fid\n" + "".join(rows))
    assert _titles(read([path]), path) == ["seed 20261124", "seed 20261125"]


def test_a_resumed_run_is_one_though_its_name_changed(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    rows = [f"a,{step},1.2,0.8\n" for step in range(1, 41)]
    rows += [f"b,{step},1.2,0.8\n" for step in range(30, 81)]
    path.write_text("run,step,d_loss,g_loss\n" + "".join(rows))
    (log,) = read([path])
    assert log.pairs[""]["step"].tolist() == [*range(1, 81)]


def test_a_rate_that_falls_makes_no_runs_of_one(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    rows = [f"{e},{b},{0.1 / (1 + e // 4)},1.2,0.8\n" for e in range(12) for b in range(1, 9)]
    path.write_text("epoch,batch,lr,d_loss,g_loss\n" + "".join(rows))
    (log,) = read([path])
    assert log.pairs[""]["step"].tolist() == [*range(1, 97)]


@pytest.mark.parametrize("first", [range(0, 2000, 10), range(0, 200, 1)])
@pytest.mark.parametrize("begin", [0.05, 0.09])
def test_a_file_that_begins_a_little_later_is_another_run(
    first: range, begin: float, tmp_path: Path
) -> None:
    second = range(int(begin * first.stop), first.stop, 5 * first.step)
    _losses(tmp_path / "a.csv", first)
    _losses(tmp_path / "b.csv", second)
    logs = read([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert [log.pairs[""]["step"].tolist() for log in logs] == [[*first], [*second]]


def test_a_file_that_begins_at_its_own_first_interval_is_another_run(tmp_path: Path) -> None:
    first, second = range(10, 1000, 10), range(200, 4000, 200)
    _losses(tmp_path / "a.csv", first)
    _losses(tmp_path / "b.csv", second)
    logs = read([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert [log.pairs[""]["step"].tolist() for log in logs] == [[*first], [*second]]


def test_a_file_that_goes_on_from_a_checkpoint_is_of_the_same_run(tmp_path: Path) -> None:
    _losses(tmp_path / "a.csv", range(10, 1000, 10))
    _losses(tmp_path / "b.csv", range(510, 2000, 10))
    (log,) = read([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert log.pairs[""]["step"].tolist() == [*range(10, 2000, 10)]


def test_logs_of_a_folder_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    _losses(tmp_path / "a.csv", range(10, 1000, 10))
    (tmp_path / "b.csv.gz").write_bytes(b"\x1f\x8b" + 40 * b"?")
    (tmp_path / "arguments.txt").write_text("what is no log is left out without a word\n")
    (tmp_path / "empty.log").touch()
    (tmp_path / "weights").write_bytes(bytes(range(256)) * 8)
    (log,) = read([tmp_path])
    assert [note for note in log.notes if "left out" in note] == [
        f"left out: {tmp_path / 'b.csv.gz'}: not a readable gzip file"
    ]


def test_runs_of_a_folder_with_two_meanings_are_named(tmp_path: Path) -> None:
    for name in "abcdef":
        (tmp_path / name).mkdir()
    _losses(tmp_path / "a" / "log.csv", range(10, 1000, 10))
    for name in "bcdef":
        rows = "".join(f"{step},1,2,{step},{2 * step}\n" for step in range(9))
        text = "step,d_loss,g_loss,fid_a,fid_b\n"
        (tmp_path / name / "log.csv").write_text(text + rows)
    (log,) = read([tmp_path])
    told = [note for note in log.notes if "left out" in note]
    assert [note.split(":")[1].strip() for note in told[:3]] == [str(tmp_path / n) for n in "bcd"]
    assert told[3:] == ["left out: 2 more"]


def _losses(path: Path, steps: range) -> None:
    path.write_text("step,d_loss,g_loss\n" + "".join(f"{step},1.2,0.8\n" for step in steps))
