"""What goes wrong in logs, and what is refused: one clear line, never a traceback."""

import gzip
import io
import os
import sqlite3
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganverdict.formats import ReadError, read
from ganverdict.log import Log
from tests.ganverdict.formats.event_files import write_events
from tests.ganverdict.formats.series import write_csv

ROWS = [f"{step},{1 + step / 1000},{2 - step / 1000}" for step in range(1, 101)]
CSV = ["step,d_loss,g_loss", *ROWS]


def lines(path: Path, rows: list[str], end: str = "\n") -> Path:
    path.write_text("\n".join(rows) + end)
    return path


def only(*paths: Path | str, **more: object) -> Log:
    (log,) = read(list(paths), **more)  # type: ignore[arg-type]
    return log


def is_plain(log: Log, rows: int = 100) -> bool:
    steps = np.arange(1.0, rows + 1)
    columns = log.pairs[""]
    return (
        np.array_equal(columns["step"], steps)
        and np.allclose(columns["d_loss"], 1 + steps / 1000)
        and np.allclose(columns["g_loss"], 2 - steps / 1000)
    )


def test_a_resumed_run_counts_the_later_rows_and_says_where(tmp_path: Path) -> None:
    again = [f"{step},{7},{8}" for step in range(81, 101)]
    log = only(lines(tmp_path / "a.csv", [*CSV, *again]))
    assert len(log.pairs[""]["step"]) == 100
    assert log.pairs[""]["d_loss"][-1] == 7
    assert "steps go back from 100 to 81 (line 102): the later rows count" in log.notes


def test_rows_of_the_time_before_a_resume_do_not_outlive_it(tmp_path: Path) -> None:
    log = only(lines(tmp_path / "a.csv", [*CSV, "81,7,8", "90,7,8"]))
    assert log.pairs[""]["step"][-2:].tolist() == [81, 90]


def test_steps_that_start_from_the_beginning_are_another_run(tmp_path: Path) -> None:
    first, second = read([lines(tmp_path / "a.csv", [*CSV, *ROWS[:60]])])
    assert is_plain(first)
    assert is_plain(second, 60)
    assert second.name == f"{tmp_path / 'a.csv'}#2"


def test_several_runs_in_one_print_have_their_own_evaluations(tmp_path: Path) -> None:
    rows = []
    for run in range(2):
        for epoch in range(6):
            rows += [
                f"[{epoch}/6][{b}/10] Loss_D: {1 + run}.5 Loss_G: 0.{b + 1}" for b in range(10)
            ]
            rows.append(f"FID: {100 * (run + 1) - epoch}")
    first, second = read([lines(tmp_path / "out", rows)])
    assert first.evaluations["FID"].tolist() == [100 - e for e in range(6)]
    assert second.evaluations["FID"].tolist() == [200 - e for e in range(6)]
    assert set(second.pairs[""]["d_loss"]) == {2.5}


def test_one_step_out_of_place_is_skipped(tmp_path: Path) -> None:
    log = only(lines(tmp_path / "a.csv", [*CSV[:51], "3,9,9", *CSV[51:]]))
    assert is_plain(log)
    assert any("out of place" in note for note in log.notes)


def test_newest_first_is_read_backwards(tmp_path: Path) -> None:
    assert is_plain(only(lines(tmp_path / "a.csv", [CSV[0], *reversed(ROWS)])))


def test_shuffled_rows_are_sorted(tmp_path: Path) -> None:
    order = np.random.default_rng(0).permutation(100)
    assert is_plain(only(lines(tmp_path / "a.csv", [CSV[0], *(ROWS[i] for i in order)])))


def test_a_repeated_header_is_skipped(tmp_path: Path) -> None:
    log = only(lines(tmp_path / "a.csv", [*CSV[:41], CSV[0], *CSV[41:]]))
    assert is_plain(log)
    assert "header repeated in line 42" in log.notes


def test_a_header_with_other_columns_counts_from_there_on(tmp_path: Path) -> None:
    swapped = [",".join([r.split(",")[0], r.split(",")[2], r.split(",")[1]]) for r in ROWS[50:]]
    assert is_plain(only(lines(tmp_path / "a.csv", [*CSV[:51], "step,g_loss,d_loss", *swapped])))


def test_a_last_line_cut_off_is_skipped_with_a_note(tmp_path: Path) -> None:
    log = only(lines(tmp_path / "a.csv", [*CSV, "101,0.7"], end=""))
    assert is_plain(log)
    assert "line 102 is cut off: skipped" in log.notes


def test_a_last_print_cut_off_is_skipped_with_a_note(tmp_path: Path) -> None:
    rows = [f"[0/9][{b}/50] Loss_D: 0.5 Loss_G: 0.7 D(x): 0.5 D(G(z)): 0.1 / 0.2" for b in range(9)]
    log = only(lines(tmp_path / "out", [*rows, "[0/9][9/50] Loss_D: 0."], end=""))
    assert len(log.pairs[""]["step"]) == 9
    assert "line 10 is cut off: skipped" in log.notes


def test_json_cut_off_in_the_middle_keeps_the_whole_records(tmp_path: Path) -> None:
    records = ",".join(f'{{"iteration": {i}, "d_loss": 1.5, "g_loss": 2}}' for i in range(1, 51))
    path = tmp_path / "log"
    path.write_text(f'[{records}, {{"iteration": 51, "d_lo')
    log = only(path)
    assert len(log.pairs[""]["step"]) == 50
    assert any("cut off" in note for note in log.notes)
    half = tmp_path / "half.jsonl"
    half.write_text('{"step": 1, "d_loss": 1, "g_loss": 2}\n{"step": 2, "d_loss": 1, "g_')
    assert "line 2 is cut off: skipped" in only(half).notes


@pytest.mark.parametrize("word", ["", "N/A", "NA", "null", "None", "-", " ", "<NA>"])
def test_words_for_a_missing_value_are_missing(word: str, tmp_path: Path) -> None:
    log = only(lines(tmp_path / "a.csv", [*CSV[:100], f"100,1.1,{word}"]))
    assert log.pairs[""]["g_loss"].mask.tolist() == [False] * 99 + [True]


@pytest.mark.parametrize("word", ["nan", "NaN", "inf", "-inf", "Infinity", "-nan(ind)", "1.#INF"])
def test_what_is_not_finite_is_a_value(word: str, tmp_path: Path) -> None:
    log = only(lines(tmp_path / "a.csv", [*CSV[:100], f"100,{word},1.9"]))
    assert not np.isfinite(log.pairs[""]["d_loss"].data[-1])
    assert not np.ma.getmaskarray(log.pairs[""]["d_loss"])[-1]


def test_prints_of_nan_go_on(tmp_path: Path) -> None:
    rows = [f"Iter {i}: D loss = 0.5, G loss = 1.5" for i in range(5)]
    rows += [f"Iter {i}: D loss = nan, G loss = inf" for i in range(5, 10)]
    log = only(lines(tmp_path / "out", rows))
    assert np.isnan(log.pairs[""]["d_loss"].data[5:]).all()
    assert np.isposinf(log.pairs[""]["g_loss"].data[5:]).all()


def _written(encoding: str) -> bytes:
    return ("\n".join(CSV) + "\n").encode(encoding)


@pytest.mark.parametrize(
    "data",
    [
        _written("utf-16"),
        _written("utf-16-le"),
        _written("utf-16-be"),
        _written("utf-8-sig"),
        _written("utf-8").replace(b"\n", b"\r\n"),
        _written("utf-8").replace(b"\n", b"\r"),
        _written("utf-8").replace(b",", b"\x1b[31m,\x1b[0m"),
        gzip.compress(_written("utf-8")),
        gzip.compress(_written("utf-16")),
        b"\n\n# my run\n" + _written("utf-8"),
        _written("utf-8").replace(b",", b";"),
        _written("utf-8").replace(b",", b"\t"),
        _written("utf-8").replace(b",", b"  "),
        _written("utf-8").replace(b",", b" | "),
        _written("utf-8").replace(b"\n", b",\n"),
        _written("utf-8").replace(b",", b", "),
        _written("utf-8").replace(b",", b";").replace(b".", b","),
        b"\n".join(b",".join(b'"%s"' % c for c in row.encode().split(b",")) for row in CSV),
        _written("utf-8").replace(b"step", b""),
        _written("utf-8").replace(b"step", b"Unnamed: 0"),
        _written("utf-8").replace(b"step,d_loss,g_loss", b"ITERATION,Loss_D,Generator Loss"),
        _written("utf-8").replace(b"step,d_loss,g_loss", b"global_step,critic_loss,gen/loss"),
    ],
)
def test_the_same_table_in_any_dress(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(data)
    assert is_plain(only(path))


def test_standard_input_is_read_as_a_file_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream:
        buffer = io.BytesIO(_written("utf-8"))

    monkeypatch.setattr(sys, "stdin", Stream)
    assert is_plain(only("-"))


def test_a_packed_file_cut_off_is_read_up_to_there(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(_written("utf-8"), 0)[:-600])
    assert 50 < len(only(path).pairs[""]["step"]) < 100


def test_a_packed_event_file_cut_off_is_read_up_to_there(tmp_path: Path) -> None:
    scalars = [("d_loss", step, 1 / step) for step in range(1, 2000)]
    packed = gzip.compress(write_events(tmp_path / "events.out.tfevents.1", scalars).read_bytes())
    path = tmp_path / "cut/events.out.tfevents.1.gz"
    path.parent.mkdir()
    for cut in range(len(packed) // 2, len(packed) // 2 + 20):
        path.write_bytes(packed[:cut])
        assert 500 < len(only(path).pairs[""]["step"]) < 1500


def test_rows_are_numbered_where_there_is_no_step(tmp_path: Path) -> None:
    log = only(lines(tmp_path / "a.csv", [row.partition(",")[2] for row in CSV]))
    assert is_plain(log)
    assert log.unit == "row"
    bars = [f"d: {1 + s / 1000}; g: {2 - s / 1000}; r1: 0.1" for s in range(1, 101)]
    log = only(lines(tmp_path / "bars", bars))
    assert is_plain(log)
    assert log.unit == "row"


def test_thousands_are_no_decimals(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", {"step": [1, 2], "d_loss": [1, 2], "g_loss": [1, 2]})
    path.write_text('step,d_loss,g_loss\n"1,000",0.5,1\n"2,000",0.5,1\n"12,000",0.5,1\n')
    assert only(path).pairs[""]["step"].tolist() == [1000, 2000, 12000]
    path.write_text("step;d_loss;g_loss\n9.998;0,5;1\n9.999;0,25;1\n10.000;1,5;1\n")
    log = only(path)
    assert log.pairs[""]["step"].tolist() == [9998, 9999, 10000]
    assert log.pairs[""]["d_loss"].tolist() == [0.5, 0.25, 1.5]


# Evaluations by another clock ---------------------------------------------------------------------


def losses(folder: Path, first: int = 1, count: int = 200) -> Path:
    steps = list(range(first, first + count))
    columns: dict[str, list[float]] = {
        "step": [*steps],
        "d_loss": [0.5] * count,
        "g_loss": [1.5] * count,
    }
    return write_csv(folder / "steps.csv", columns)


@pytest.mark.parametrize(
    "columns",
    [
        {"step": range(1, 11), "fid": range(10)},
        {"epoch": range(1, 11), "step": range(1, 11), "fid": range(10)},
        {"epoch": range(1, 11), "fid": range(10)},
        {"epoch": range(10), "fid": range(10)},
        {"step": range(20, 201, 20), "fid": range(10)},
        {"iteration": range(20, 201, 20), "FID": range(10)},
        {"epoch": range(10), "step": range(20, 201, 20), "val_fid": range(10)},
        {"fid": range(10)},
    ],
)
def test_evaluations_stand_at_the_losses_steps(columns: dict[str, range], tmp_path: Path) -> None:
    epochs = write_csv(tmp_path / "epochs.csv", {k: list(v) for k, v in columns.items()})
    log = only(losses(tmp_path, count=200), epochs)
    np.testing.assert_allclose(log.evaluations["step"], np.arange(20, 201, 20))
    assert log.metric is not None
    assert log.evaluations[log.metric].tolist() == list(range(10))


def test_an_evaluation_before_training_is_at_its_beginning(tmp_path: Path) -> None:
    """Eleven evaluations of ten epochs of which the log tells the length: 0 is before the first."""
    steps = list(range(1, 201))
    columns = {"step": steps, "epoch": [(s - 1) // 20 for s in steps], "d_loss": [1] * 200}
    write_csv(tmp_path / "steps.csv", columns)
    write_csv(tmp_path / "epochs.csv", {"epoch": list(range(11)), "fid": list(range(11))})
    log = only(tmp_path)
    np.testing.assert_allclose(log.evaluations["step"], np.arange(0, 201, 20))


def test_several_evaluations_an_epoch(tmp_path: Path) -> None:
    columns = {"epoch": [1, 1, 2, 2], "step": [50, 100, 150, 200], "fid": [4, 3, 2, 1]}
    log = only(losses(tmp_path), write_csv(tmp_path / "epochs.csv", columns))
    assert log.evaluations["step"].tolist() == [50, 100, 150, 200]
    assert log.evaluations["epoch"].tolist() == [1, 1, 2, 2]


def test_losses_by_epoch_take_evaluations_by_iteration(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", {"epoch": range(1, 11), "d_loss": range(10)})
    write_csv(tmp_path / "b.csv", {"step": range(100, 1001, 100), "fid": range(10)})
    log = only(tmp_path)
    assert log.unit == "epoch"
    np.testing.assert_allclose(log.evaluations["step"], np.arange(1, 11))


def test_broken_metrics_are_kept_for_the_verdict(tmp_path: Path) -> None:
    values = [1.2e57, -1.9e50, 8.0, float("nan")]
    path = write_csv(tmp_path / "a.csv", {"step": [50, 100, 150, 200], "kid": values})
    log = only(losses(tmp_path), path)
    np.testing.assert_array_equal(log.evaluations["kid"].data, values)


# Which column is meant ----------------------------------------------------------------------------


def table(folder: Path, header: str, rows: int = 20) -> Path:
    names = header.split(",")
    body = [",".join(str(i + j / 10) for j in range(len(names))) for i in range(1, rows + 1)]
    return lines(folder / "a.csv", [header, *body])


@pytest.mark.parametrize(
    ("header", "metric"),
    [
        ("step,fd,fd_ema,fid", "fd_ema"),
        ("step,fid,fd", "fd"),
        ("step,kid,FID", "FID"),
        ("step,fid50k_full,kid50k_full,pr50k3_full_precision", "fid50k_full"),
        ("step,fid5k,fid50k", "fid50k"),
        ("step,fid,best_fid,fid_std,fid_time", "fid"),
        ("step,IS_mean,IS_std,FID", "FID"),
        ("step,kid_mean,kid_std", "kid_mean"),
        ("step,fid_ema,fid", "fid_ema"),
        ("step,IS_mean,IS_std,recall", "IS_mean"),
        ("step,inception_score,kid", "kid"),
        ("step,is10k,is50k", "is50k"),
        ("step,d_loss,is_best,is_valid,recall", None),
        ("step,fvd,is", "fvd"),
        ("step,FAD_vggish,fid", "fid"),
    ],
)
def test_the_measure_that_counts(header: str, metric: str | None, tmp_path: Path) -> None:
    assert only(table(tmp_path, header)).metric == metric


def test_measures_that_count_only_where_they_are_asked_for_are_named(tmp_path: Path) -> None:
    path = table(tmp_path, "step,swd,recall")
    (note,) = (note for note in only(path).notes if "--metric" in note)
    assert note == "the verdict goes by swd, recall only where --metric names it"
    assert not [note for note in only(path, metric="swd").notes if "--metric" in note]


def test_equally_good_measures_are_asked_about(tmp_path: Path) -> None:
    path = table(tmp_path, "step,fid_train,fid_test")
    with pytest.raises(ReadError, match=r"fid_train, fid_test .*--metric NAME"):
        read([path])
    assert only(path, metric="fid_test").metric == "fid_test"
    with pytest.raises(ReadError, match="no measure 'nonsense'; there are fid_train, fid_test"):
        read([path], metric="nonsense")


def test_a_measure_of_any_name_can_be_chosen(tmp_path: Path) -> None:
    log = only(table(tmp_path, "step,d_loss,g_loss,quality"), metric="quality")
    assert log.metric == "quality"


def test_equally_good_losses_are_asked_about(tmp_path: Path) -> None:
    path = table(tmp_path, "step,d_loss_mean,d_loss_avg,g_loss")
    with pytest.raises(ReadError, match=r"d_loss_mean, d_loss_avg .*--map d_loss=NAME"):
        read([path])
    log = only(path, rename={"d_loss": "d_loss_avg"})
    assert log.pairs[""]["d_loss"][0] == 1.2


def test_names_can_be_given(tmp_path: Path) -> None:
    path = table(tmp_path, ",Dx,G,Qual")
    log = only(path, rename={"step": "", "d_loss": "Dx", "g_loss": "G", "fd": "Qual"})
    assert log.pairs[""].keys() == {"step", "d_loss", "g_loss"}
    assert log.metric == "fd"
    with pytest.raises(ReadError, match="no column 'nowhere' for d_loss; there are"):
        read([path], rename={"d_loss": "nowhere"})


def test_two_columns_of_one_name_must_agree(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"'d_loss' and differ \(first in line 2\)"):
        read([lines(tmp_path / "a.csv", ["step,d_loss,g_loss,d_loss", "1,0.5,1,9"])])
    log = only(lines(tmp_path / "a.csv", ["step,d_loss,g_loss,d_loss", "1,0.5,1,0.5"]))
    assert log.pairs[""]["d_loss"].tolist() == [0.5]


def test_probabilities_out_of_range_are_scores(tmp_path: Path) -> None:
    rows = ["step,d_loss,g_loss,d_real,d_fake", "1,1,1,0.9,0.1", "2,1,1,1.4,-0.3"]
    log = only(lines(tmp_path / "a.csv", rows))
    assert log.pairs[""]["d_score_fake"].tolist() == [0.1, -0.3]
    assert "d_real" not in log.pairs[""]
    assert any("not probabilities" in note for note in log.notes)


@pytest.mark.parametrize("name", ["train/loss", "lr", "acc", "d_acc", "g_lr", "epoch_time"])
def test_what_is_no_loss_is_not_taken_for_one(name: str, tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="neither a loss of D or G nor a measure"):
        read([table(tmp_path, f"step,{name},other")])


def test_cyclegan_has_two_pairs(tmp_path: Path) -> None:
    rows = [
        f"(epoch: {e}, iters: {i}, time: 0.1, data: 0.0) D_A: 0.{e} G_A: 0.5 cycle_A: 1.1"
        f" idt_A: 0.3 D_B: 0.7{e} G_B: 0.6 cycle_B: 1.2 idt_B: 0.4 "
        for e in range(1, 4)
        for i in range(100, 501, 100)
    ]
    log = only(lines(tmp_path / "loss_log.txt", rows))
    assert log.pairs.keys() == {"A", "B"}
    assert log.kind == "CycleGAN"
    assert log.loss == "lsgan_mean"
    assert log.pairs["A"]["step"].tolist() == list(range(100, 1501, 100))
    assert log.pairs["B"]["g_loss"].tolist() == [0.6] * 15


# Folders ------------------------------------------------------------------------------------------


def test_a_folder_of_runs_is_several_logs(tmp_path: Path) -> None:
    for name in ("run2", "run10"):
        (tmp_path / name).mkdir()
        lines(tmp_path / name / "log.csv", CSV)
        write_csv(tmp_path / name / "fid.csv", {"step": [50, 100], "fid": [2, 1]})
    logs = read([tmp_path])
    assert [Path(log.name).name for log in logs] == ["run2", "run10"]
    assert all(is_plain(log) and log.metric == "fid" for log in logs)


def test_the_parts_of_a_run_follow_each_other(tmp_path: Path) -> None:
    for part in range(12):
        rows = ROWS[part * 8 : part * 8 + 8] if part < 11 else ROWS[88:]
        lines(tmp_path / f"log{part}.csv", [CSV[0], *rows])
    assert is_plain(only(tmp_path))


def test_pictures_programs_and_settings_are_passed_over(tmp_path: Path) -> None:
    lines(tmp_path / "steps.csv", CSV)
    (tmp_path / "train.py").write_text("d_loss = 0.0\n" * 9)
    (tmp_path / "sample").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    (tmp_path / "config.json").write_text('{"lr": 0.1, "d_loss_weight": 1}')
    (tmp_path / "weights").write_bytes(b"PK\x03\x04" + bytes(500))
    (tmp_path / "notes.txt").write_text("the fid was 12\n")
    assert is_plain(only(tmp_path))


def test_links_that_lead_out_are_not_followed(tmp_path: Path) -> None:
    outside = lines(tmp_path / "outside.csv", CSV)
    folder = tmp_path / "run"
    folder.mkdir()
    lines(folder / "steps.csv", CSV)
    (folder / "fid.csv").symlink_to(
        write_csv(tmp_path / "fid.csv", {"step": [1, 2], "fid": [2, 1]})
    )
    (folder / "loop").symlink_to(folder)
    assert only(folder).metric is None
    assert is_plain(only(outside))


def test_the_latest_trainer_state_holds_the_whole_history(tmp_path: Path) -> None:
    for step in (50, 100):
        (tmp_path / f"checkpoint-{step}").mkdir()
        history = [f'{{"step": {i}, "d_loss": 1, "g_loss": 2}}' for i in range(1, step + 1)]
        text = f'{{"global_step": {step}, "log_history": [{", ".join(history)}]}}'
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(text)
    assert len(only(tmp_path).pairs[""]["step"]) == 100


# Refusals -----------------------------------------------------------------------------------------


def array(values: np.ndarray[Any, Any]) -> bytes:
    """As `np.save` writes it."""
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"\x80\x04\x95" + bytes(50), "pickle"),
        (b"PK\x03\x04" + bytes(50), "zip"),
        (bytes(range(256)) * 20, "not text"),
        (b"hello world\n", "neither a loss"),
        (b"step,d_loss,g_loss\n", "neither a loss"),
        (b"SQLite format 3\0" + bytes(100), "database"),
        (b"PAR1" + bytes(100), "Parquet"),
        (b"\x1f\x8b" + bytes(20), "gzip"),
        (array(np.zeros((50, 2))), "array without names"),
        (array(np.array([{}, {}])), "array without names"),
        (array(np.zeros(2))[:-9], "no readable file of NumPy"),
        (array(np.zeros(3)).replace(b"(3,), }", b"(9" + b"9" * 9), "no readable file of NumPy"),
        (array(np.zeros(3)).replace(b"(3,), }       ", b"(999999999,), }"), "more than"),
        (b"[" * 100_000, "neither JSON"),
        (b'{"a": ' * 5_000, "."),
    ],
)
def test_what_is_no_log_is_refused_in_one_line(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(data)
    with pytest.raises(ReadError, match=message) as caught:
        read([path])
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_pipes_devices_and_missing_files_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path / "nowhere", "a\0b"):
        with pytest.raises(ReadError):
            read([path])
    with pytest.raises(ReadError):
        read([tmp_path])
    with pytest.raises(ReadError):
        read([])


def test_absurd_lines_and_numbers_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    long = "1" * 1_000_000
    path.write_text("\n".join([*CSV[:51], f"51,{long},1", "x" * 3_000_000, *CSV[51:]]) + "\n")
    log = only(path)
    assert len(log.pairs[""]["step"]) == 100
    path.write_text("\n".join(f'{{"step": {i}, "d_loss": {long}}}' for i in range(3)))
    with pytest.raises(ReadError):
        read([path])
    path.write_text("\n".join(f'{{"step": {i}, "d_loss": {"9" * 3000}}}' for i in range(3)))
    assert np.isposinf(only(path).pairs[""]["d_loss"].data).all()


def test_hostile_names_stay_on_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a\nb\x1b[31m.csv"
    path.write_text("x,y\n1,2\n")
    with pytest.raises(ReadError) as caught:
        read([path])
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_broken_event_file_is_read_up_to_there(tmp_path: Path) -> None:
    scalars = [("D_loss", step, 0.5) for step in range(50)]
    path = write_events(tmp_path / "events", scalars)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    assert len(only(path).pairs[""]["step"]) == 49
    path.write_bytes(whole[: len(whole) // 2] + b"\xff" + whole[len(whole) // 2 + 1 :])
    log = only(path)
    assert 20 < len(log.pairs[""]["step"]) < 30
    assert any("broken" in note for note in log.notes)


def test_one_quantity_in_several_kinds_of_files_counts_once(tmp_path: Path) -> None:
    """A folder of StyleGAN: its statistics, its measures, its text, and TensorBoard's events."""
    stat = '{{"Loss/D/loss": {{"num": 1, "mean": {0}.5, "std": 0}}, "Progress/kimg": {{"num": 1,'
    stats = [stat.format(i) + f' "mean": {i * 4}, "std": 0}}}}' for i in range(50)]
    lines(tmp_path / "stats.jsonl", stats)
    record = (
        '{{"results": {{"fid50k_full": {0}.25}}, "snapshot_pkl": "network-snapshot-{1:06d}.pkl"}}'
    )
    measured = [record.format(9 - i, i * 40) for i in range(5)]
    lines(tmp_path / "metric-fid50k_full.jsonl", measured)
    lines(
        tmp_path / "log.txt", [f"tick {i}  kimg {i * 4}.0  time 1m" for i in range(50)] + measured
    )
    events: list[tuple[str, int, float]] = []
    for i in range(50):
        events += [("Loss/D/loss", i * 4, i + 0.75), ("Progress/kimg", i * 4, i * 4)]
    events += [("Metrics/fid50k_full", i * 40, 9.125 - i) for i in range(5)]
    write_events(tmp_path / "events.out.tfevents.1", events)
    log = only(tmp_path)
    assert log.unit == "kimg"
    assert log.metric == "fid50k_full"
    assert log.pairs[""]["d_loss"].tolist() == [i + 0.5 for i in range(50)]
    assert log.evaluations["fid50k_full"].tolist() == [9.25 - i for i in range(5)]
    assert log.evaluations["step"].tolist() == [0, 40, 80, 120, 160]


def test_two_runs_of_one_name_in_a_database_are_told_apart(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "mlflow.db")
    connection.execute("CREATE TABLE runs (run_uuid, name, lifecycle_stage, start_time)")
    connection.execute("CREATE TABLE metrics (run_uuid, key, value, step, timestamp, is_nan)")
    for number, (run, name) in enumerate(((9 * "a", "t"), (9 * "b", "t"), (9 * "c", "other"))):
        connection.execute("INSERT INTO runs VALUES (?, ?, 'active', ?)", (run, name, number))
        rows = [(run, "fid", 50.0 - step, step, step) for step in range(1, 9)]
        connection.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, 0)", rows)
    connection.commit()
    connection.close()
    names = [log.name.rpartition(": ")[2] for log in read([tmp_path / "mlflow.db"])]
    assert names == ["t (aaaaaaaa)", "t (bbbbbbbb)", "other"]
