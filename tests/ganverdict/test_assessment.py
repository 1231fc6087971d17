"""From a log to its verdict."""

from pathlib import Path

import numpy as np
import pytest

from ganverdict.assessment import Assessment, assess_log
from ganverdict.formats import describe, read
from tests.ganverdict.logs import Columns, reference, write


def assessed(path: Path) -> Assessment:
    (log,) = read([path])
    return assess_log(log)


def test_a_table_that_is_filled_from_row_to_row_gives_the_answer_of_its_evaluations(
    tmp_path: Path,
) -> None:
    steps, evaluations = reference()
    rows = np.asarray(np.searchsorted(evaluations["step"], steps["step"], side="right")) - 1
    at = dict(zip(evaluations["step"].tolist(), evaluations["fd"].tolist(), strict=True))
    sparse = [at.get(step) for step in steps["step"].tolist()]
    filled = np.where(rows < 0, None, evaluations["fd"].astype(object)[rows.clip(0)])
    few = assessed(write(tmp_path / "sparse.csv", {**steps, "fd": sparse}))
    many = assessed(write(tmp_path / "filled.csv", {**steps, "fd": filled}))
    told = ("status", "best_step", "onset_step", "confirm_step", "watched")
    assert [getattr(many.verdict, name) for name in told] == [
        getattr(few.verdict, name) for name in told
    ]
    assert few.verdict.status == "onset"
    assert any("20 evaluations" in note for note in many.log.notes)


def test_a_metric_that_stands_still_is_evaluated_each_time(tmp_path: Path) -> None:
    epoch = np.arange(1, 31)
    columns: Columns = {"epoch": epoch, "d_loss": np.full(30, 1e-4), "g_loss": epoch + 8.0}
    columns["fid"] = np.full(30, 60.0)
    verdict = assessed(write(tmp_path / "log.csv", columns)).verdict
    assert verdict.watched.evaluations == 30
    assert verdict.status == "stall"


@pytest.mark.parametrize("name", ["Inception Score", "is50k_mean", "kynkaanniemi/recall"])
def test_a_measure_that_is_better_the_higher_is_judged_by_its_reciprocal(
    name: str, tmp_path: Path
) -> None:
    epoch = np.arange(1, 61)
    values = 8 - 6 * np.exp(-epoch / 8) - 0.15 * (epoch - 35).clip(0)
    (log,) = read([write(tmp_path / "higher.csv", {"epoch": epoch, name: values})], metric=name)
    found, turned = assess_log(log), write(tmp_path / "a.csv", {"epoch": epoch, "fd": 1 / values})
    told = ("status", "best_step", "best_value", "onset_step", "confirm_step", "watched")
    assert [getattr(found.verdict, one) for one in told] == [
        getattr(assessed(turned).verdict, one) for one in told
    ]
    assert found.verdict.status == "silent"
    assert found.verdict.best_epoch == epoch[np.argmax(values)]
    assert found.verdict.metric == found.log.metric == f"1/{log.metric}"
    assert np.array_equal(found.log.evaluations[found.verdict.metric], 1 / values)
    assert f"higher values of {log.metric} are better: judged by 1/{log.metric}" in found.log.notes


def test_evaluations_that_are_filled_down_equally_often_count_once(tmp_path: Path) -> None:
    fids = [80.0, 60.0, 50.0, 45.0, 42.0, 40.0, 39.0, 38.0, 37.0, 36.0]
    epoch = np.arange(1, 100)
    columns: Columns = {"epoch": epoch, "fid": np.repeat([*fids[:9], 90.0], 10)[:99]}
    found = assessed(write(tmp_path / "log.csv", columns))
    assert found.verdict.watched.evaluations == 10
    assert not found.verdict.went_wrong  # by one evaluation
    assert found.verdict.best_step == 81


def test_the_deviation_of_a_kid_is_its_own(tmp_path: Path) -> None:
    kid = np.geomspace(0.1, 0.01, 20)
    columns: Columns = {"epoch": np.arange(1, 21), "KID_mean": kid, "KID_std": np.full(20, 0.004)}
    (log,) = read([write(tmp_path / "log.csv", columns)])
    found = assess_log(log).verdict
    assert found.noise == "given"
    assert found.best_interval == pytest.approx((0.01 - 1.96 * 0.004, 0.01 + 1.96 * 0.004))


def test_a_metric_that_is_no_number_is_told(tmp_path: Path) -> None:
    columns: Columns = {"epoch": np.arange(1, 41), "fid": np.full(40, np.nan)}
    columns["fid"][:15] = np.geomspace(200, 30, 15)
    found = assessed(write(tmp_path / "log.csv", columns)).verdict
    assert "fid in 25 of 40 evaluations: not a number" in found.unknown


def test_rows_that_were_not_evaluated_are_no_evaluations(tmp_path: Path) -> None:
    columns: Columns = {"epoch": np.arange(1, 201), "fid": np.full(200, np.nan)}
    columns["fid"][9::10] = np.geomspace(200, 30, 20)
    (log,) = read([write(tmp_path / "log.csv", columns)])
    assert describe(log).endswith("fid, 20 evaluations")
    verdict = assess_log(log).verdict
    assert not any("not a number" in words for words in verdict.unknown)


@pytest.mark.parametrize("first", [0, 1])
def test_epochs_are_told_as_the_log_counts_them(first: int, tmp_path: Path) -> None:
    lines = [
        f"Epoch {epoch + first}, Batch {batch}/100, d_loss: {1.2 - epoch % 2 / 10 - batch / 1000}"
        f" g_loss: {'nan' if epoch >= 7 else 1.1 + batch / 1000}"
        for epoch in range(10)
        for batch in range(0, 100, 25)
    ]
    (tmp_path / "log.txt").write_text("\n".join(lines) + "\n")
    verdict = assessed(tmp_path / "log.txt").verdict
    assert (verdict.onset_step, verdict.onset_epoch) == (700, 7 + first)
    write(tmp_path / "fid.csv", {"step": np.arange(100, 1001, 100), "fid": np.linspace(90, 40, 10)})
    (log,) = read([tmp_path / "log.txt", tmp_path / "fid.csv"])
    assert assess_log(log).verdict.best_epoch == 9 + first
