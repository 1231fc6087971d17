import json
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganverdict import cli
from ganverdict.assessment import assess_log
from ganverdict.formats import read
from ganverdict.monitor import assess
from ganverdict.recorder import Recorder
from ganverdict.verdict import Verdict

EVERY = 100  # steps between two evaluations


def losses(seed: int = 0) -> Iterator[dict[str, float]]:
    """A healthy run's losses."""
    rng = np.random.default_rng(seed)
    while True:
        yield {"d_loss": rng.normal(0.55, 0.03), "g_loss": rng.normal(1.0, 0.05)}


def fids(count: int, best: int, then: float) -> list[float]:
    """FIDs that fall until `best`, and then grow by `then` each time."""
    falling = [100 * 0.8**k + 10 for k in range(best + 1)]
    return falling + [falling[-1] * (1 + then * (k + 1)) for k in range(count - best - 1)]


def train(record: Recorder, evaluations: list[float], first: int = 0) -> int | None:
    """Give a run step by step; return the step at which it was told to end."""
    rows = losses(first)
    for number, fid in enumerate(evaluations):
        for step in range(first + number * EVERY + 1, first + (number + 1) * EVERY + 1):
            record({"step": step, **next(rows)})
            if record.should_end:
                return step
        record({"step": step, "epoch": number + 1, "fid": fid})
        if record.should_end:
            return step
    return None


def test_a_run_that_declines_ends_with_its_best_kept(tmp_path: Path) -> None:
    kept: list[float] = []
    with Recorder(tmp_path) as record:
        rows = losses()
        for number, fid in enumerate(fids(40, 10, 0.3)):
            for _ in range(EVERY):
                record(next(rows))
            record({"fid": fid, "epoch": number + 1})
            if record.is_best:
                kept.append(number)
            if record.should_end:
                break
    assert kept[-1] == 10
    assert 11 < number < 16
    written = json.loads((tmp_path / "verdict.json").read_text())
    assert written["status"] in ("silent", "onset")
    assert written["best_step"] == 11 * EVERY
    assert written["best_epoch"] == 11
    assert written["metric"] == "fid"
    assert written["ends_training"] is True
    schema = json.loads(cli.schema())
    assert {*written} >= {*schema["required"]}
    assert (tmp_path / "verdict.png").read_bytes().startswith(b"\x89PNG")


def test_the_inception_score_is_best_where_it_is_highest(tmp_path: Path) -> None:
    scores = [100 / fid for fid in fids(30, 10, 0.3)]
    kept: list[int] = []
    for first, last in ((0, 6), (6, 30)):
        with Recorder(tmp_path, resume_from=first or None) as record:
            for epoch in range(first + 1, last + 1):
                record({"epoch": epoch, "inception_score": scores[epoch - 1]})
                kept += [epoch] if record.is_best else []
                if record.should_end:
                    break
    assert kept[-1] == 11
    assert record.should_end
    (log,) = read([tmp_path / "log.jsonl"])
    again = assess_log(log).verdict
    assert again == record.verdict
    assert (again.metric, again.best_epoch) == ("1/is", 11)
    assert (tmp_path / "verdict.png").read_bytes().startswith(b"\x89PNG")


def test_a_healthy_run_does_not_end_and_its_log_gives_the_same_verdict(tmp_path: Path) -> None:
    with Recorder(tmp_path, steps_per_epoch=EVERY) as record:
        assert train(record, fids(25, 24, 0)) is None
    assert record.verdict.status == "stable"
    (log,) = read([tmp_path / "log.jsonl"])
    again = assess(
        log.pairs[""], log.evaluations, steps_per_epoch=EVERY, unit=log.unit, metric="fid"
    )
    assert again == record.verdict


def test_without_a_metric_a_loss_that_is_not_a_number_ends_a_run_but_not_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = losses()
    with Recorder(tmp_path) as record, caplog.at_level(logging.WARNING, "ganverdict"):
        for step in range(3000):
            row = next(rows)
            if step == 500 or step >= 2000:
                row["g_loss"] = math.nan
            record(row)
            if record.should_end:
                break
    assert 2000 + 40 <= step <= 2000 + 100
    assert record.verdict.status == "diverged"
    assert any("diverged: the loss of G is not finite" in message for message in caplog.messages)


def test_without_a_metric_there_are_alarms(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = losses()
    with Recorder(tmp_path) as record, caplog.at_level(logging.WARNING, "ganverdict"):
        for step in range(8000):
            row = next(rows)
            if step >= 5000:
                row = {"d_loss": 0.001, "g_loss": 9.0}
            record(row)
    assert record.verdict.status in ("transient", "stall")
    assert any(message.startswith("the loss of D fell") for message in caplog.messages)


def test_the_signals_of_a_step_may_come_apart_and_under_the_names_of_loops(tmp_path: Path) -> None:
    with Recorder(tmp_path) as record:
        for step in range(1, 301):
            record({"global_step": step, "errD": 0.5, "lr": 1e-4, "note": "so far so good"})
            record({"global_step": step, "train/loss_G": np.float32(1.5), "D(x)": None})
        record({"global_step": 300, "FID": 30.0})
    (log,) = read([tmp_path / "log.jsonl"])
    assert {*log.pairs[""]} == {"step", "d_loss", "g_loss"}
    assert log.pairs[""]["step"].tolist() == list(range(1, 301))
    assert record.verdict.metric == "FID"
    assert record.verdict.watched.rows == 300


def test_steps_are_counted_where_there_are_none(tmp_path: Path) -> None:
    with Recorder(tmp_path) as record:
        for _ in range(30):
            record({"d_loss": 0.5})
            record({"g_loss": 1.5})
        record({"kid": 0.1})
        record({"d_loss": 0.5, "g_loss": 1.0, "kid": 0.05})
    assert record.verdict.best_step == 31
    assert record.verdict.watched.rows == 31


def test_epochs_are_steps_where_nothing_else_is(tmp_path: Path) -> None:
    with Recorder(tmp_path) as record:
        for epoch, fid in enumerate(fids(20, 12, 0.02)):
            record({"epoch": epoch, "d_loss": 0.5, "g_loss": 1.0, "fid": fid})
        record({"epoch": 20, "d_loss": 0.5})
        with pytest.raises(ValueError, match="came twice"):
            record({"epoch": 20, "d_loss": 0.6})
    assert record.verdict.best_epoch == 12
    (log,) = read([tmp_path / "log.jsonl"])
    assert log.unit == "epoch"


def test_kimg_are_a_unit_and_scores_are_no_probabilities(tmp_path: Path) -> None:
    with Recorder(tmp_path) as record:
        for tick in range(40):
            record({"Progress/kimg": 4 * tick, "Loss/D/loss": 1.0, "D(x)": tick / 10})
    assert record.verdict.watched.windows["d_score_real"] > 20
    assert read([tmp_path / "log.jsonl"])[0].unit == "kimg"


def test_halves_of_a_loss_are_added(tmp_path: Path) -> None:
    with Recorder(tmp_path) as record:
        for _ in range(60):
            record({"d_loss_real": 0.25, "d_loss_fake": 0.5, "g_loss": 1.0})
    (log,) = read([tmp_path / "log.jsonl"])
    assert set(log.pairs[""]["d_loss"].tolist()) == {0.75}


@pytest.mark.parametrize("at", [1200, 1150])
def test_a_run_that_goes_on_has_the_verdict_of_one_that_was_not_interrupted(
    tmp_path: Path, at: int
) -> None:
    curve = fids(40, 10, 0.05)
    whole = Recorder(tmp_path / "whole")
    ended = train(whole, curve)
    whole.close()

    record = Recorder(tmp_path / "again")
    rows = [json.loads(line) for line in (tmp_path / "whole/log.jsonl").open()]
    for row in rows:
        if row["step"] <= 1300:
            record(row)
    # Killed after an evaluation: it was not closed.
    with (tmp_path / "again/log.jsonl").open("a") as file:
        file.write('{"step": 1300.0, "d_lo')

    second = Recorder(tmp_path / "again", resume_from=at)
    assert second.verdict.best_step == 1100
    for row in rows:
        if row["step"] > at:
            second(row)
    second.close()
    assert ended is not None
    assert second.should_end
    assert second.verdict == whole.verdict
    logs = [(tmp_path / name / "log.jsonl").read_text() for name in ("whole", "again")]
    assert logs[0] == logs[1]


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([{"step": 5, "d_loss": 1.0}, {"step": 4, "d_loss": 1.0}], "4 came after 5"),
        ([{"step": 5, "fid": 30.0}, {"step": 5, "d_loss": 1.0}], "came after its evaluation"),
        ([{"step": 5, "fid": 30.0}, {"step": 5, "kid": 1.0}], "was evaluated already"),
        ([{"d_loss": "low"}], "d_loss: str is not one number"),
        ([{"d_loss": np.zeros(2)}], "d_loss: ndarray is not one number"),
        ([{"step": math.nan, "d_loss": 1.0}], "must be a finite number"),
        ([{"loss_D": 1.0, "errD": 1.0}], "may each be d_loss"),
        ([{"loss_D_A": 1.0, "loss_D_B": 1.0}], "one of several pairs"),
        ([{"fid_a": 1.0, "fid_b": 1.0}], "say which"),
    ],
)
def test_what_cannot_be_understood_is_said(
    tmp_path: Path, records: list[dict[str, Any]], message: str
) -> None:
    record = Recorder(tmp_path)
    for given in records[:-1]:
        record(given)
    with pytest.raises(ValueError, match=message):
        record(records[-1])


def test_names_say_what_cannot_be_seen(tmp_path: Path) -> None:
    names = {"d_loss": "loss_D_A", "g_loss": "foo"}
    with Recorder(tmp_path, names=names, metric="distance to the sea") as record:
        for _ in range(99):
            record({"loss_D_A": 0.5, "loss_D_B": 7.0, "foo": 1.0, "distance to the sea": 3.0})
    (log,) = read([tmp_path / "log.jsonl"], metric="distance to the sea")
    assert set(log.pairs[""]["d_loss"].tolist()) == {0.5}
    assert set(log.pairs[""]["g_loss"].tolist()) == {1.0}
    assert record.verdict.best_value == 3.0


def test_a_disk_that_is_full_ends_the_log_and_not_the_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "log.jsonl").symlink_to("/dev/full")
    record = Recorder(tmp_path)
    assert train(record, fids(40, 10, 0.3)) is not None
    assert record.verdict.status == "silent"
    assert any("nothing more is written" in message for message in caplog.messages)


def test_a_full_disk_forgets_nothing_of_the_training(tmp_path: Path) -> None:
    with Recorder(tmp_path / "whole") as whole:
        train(whole, fids(20, 10, 0.05))
    (tmp_path / "full").mkdir()
    (tmp_path / "full/log.jsonl").symlink_to("/dev/full")
    with Recorder(tmp_path / "full") as record:
        train(record, fids(20, 10, 0.05))
    assert record.verdict == whole.verdict


def test_a_log_is_closed_and_goes_on_where_a_record_comes_after(tmp_path: Path) -> None:
    record = Recorder(tmp_path)
    record({"step": 1, "d_loss": 0.5})
    record.close()
    opened = [link.resolve() for link in Path("/proc/self/fd").iterdir()]
    assert (tmp_path / "log.jsonl").resolve() not in opened
    record({"step": 2, "d_loss": 0.6})
    record.close()
    record.close()
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2]


@pytest.mark.parametrize("other", ["g_loss_ema", "d_loss_hinge", "D_loss_patch", "D_real_loss_b"])
def test_a_further_loss_beside_the_plain_ones_is_left_out(tmp_path: Path, other: str) -> None:
    with Recorder(tmp_path) as record:
        for _ in range(9):
            record({other: 9.0})
            record({"d_loss": 0.5, "g_loss": 1.0, other: 9.0})
    (log,) = read([tmp_path / "log.jsonl"])
    assert log.pairs[""]["d_loss"][-1] == 0.5
    assert log.pairs[""]["g_loss"][-1] == 1.0


def test_the_only_pair_may_have_a_label_but_stays_the_one(tmp_path: Path) -> None:
    record = Recorder(tmp_path)
    record({"step": 1, "loss_D_A": 0.5, "loss_G_A": 1.0})
    with pytest.raises(ValueError, match="one of several pairs"):
        record({"step": 1, "loss_D_B": 7.0})
    record.close()
    assert read([tmp_path / "log.jsonl"])[0].pairs[""]["d_loss"].tolist() == [0.5]


def test_a_measure_has_the_name_that_it_is_given(tmp_path: Path) -> None:
    for metric in (None, "quality", "fid"):
        with Recorder(tmp_path, names={"fid": "quality"}, metric=metric) as record:
            for step in range(1, 4):
                record({"step": step, "d_loss": 0.5, "quality": 10.0 - step, "fid": 1.0})
        assert record.verdict.metric == "fid"
        assert record.verdict.best_value == 7.0


def test_the_metric_that_was_asked_for_counts_though_others_come_first(tmp_path: Path) -> None:
    record = Recorder(tmp_path, metric="kid")
    record({"step": 1, "fd": 30.0})
    assert not record.is_best
    record({"step": 2, "fd": 29.0, "kid": 0.1})
    assert record.is_best
    assert (record.verdict.metric, record.verdict.best_step) == ("kid", 2)


@pytest.mark.parametrize("measure", ["wasserstein_distance", "psnr"])
def test_a_measure_that_cannot_count_goes_with_the_losses(tmp_path: Path, measure: str) -> None:
    record = Recorder(tmp_path)
    for step in range(1, 101):
        record({"step": step, "d_loss": 0.5, "g_loss": 1.0, measure: 0.25})
    assert not (tmp_path / "verdict.json").exists()
    record({"step": 100, "fid": 50.0})
    assert record.is_best
    record({"step": 100, measure: 0.5})
    record.close()
    assert record.verdict.watched.rows == 100
    (log,) = read([tmp_path / "log.jsonl"])
    assert log.evaluations[measure][0] == 0.25
    again = Recorder(tmp_path, resume_from=100)
    assert again.verdict == record.verdict
    asked = Recorder(tmp_path / "asked", metric=measure)
    asked({"step": 1, "d_loss": 0.5, measure: 0.25})
    assert asked.verdict.metric is not None


def judged_again(folder: Path) -> Verdict:
    (log,) = read([folder / "log.jsonl"])
    return assess_log(log).verdict


def test_the_halves_of_the_book_are_a_mean_as_the_reader_has_it(tmp_path: Path) -> None:
    with Recorder(tmp_path) as record:
        record({"step": 1, "d1": 0.5, "d2": 1.0, "g_loss": 1.0})
    assert json.loads((tmp_path / "log.jsonl").read_text())["d_loss"] == 0.75


def test_the_deviation_of_the_metric_counts(tmp_path: Path) -> None:
    with Recorder(tmp_path) as record:
        for step in range(1, 20):
            record({"step": 100 * step, "kid": 0.05 * 0.8**step + 0.01, "kid_std": 0.002})
    assert record.verdict.noise == "given"
    assert judged_again(tmp_path) == record.verdict


@pytest.mark.parametrize("length", [None, 400])
@pytest.mark.parametrize("every", [1, 10])
def test_the_command_says_of_the_log_what_stands_beside_it(
    tmp_path: Path, length: float | None, every: int
) -> None:
    for metric in (None, "distance to the sea"):
        rows, rng = losses(), np.random.default_rng(1)
        with Recorder(tmp_path, steps_per_epoch=length, metric=metric) as record:
            for row in range(1, 401):
                step, factor = row * every, 1 if row < 250 else rng.choice([1, 3])
                now = next(rows)
                record({"step": step, **now, "g_loss": factor * now["g_loss"]})
                if row % 20 == 0:
                    fid = 20 + 60 * np.exp(-row / 90) + 30 * (factor > 1)
                    sea = {} if metric is None else {metric: 1 + fid}
                    record({"step": step, "epoch": row // 20 - 1, "fid": fid, **sea})
        assert judged_again(tmp_path) == record.verdict
        assert record.verdict.metric == (metric or "fid")


def test_scores_stay_scores_where_a_run_goes_on(tmp_path: Path) -> None:
    for first, last in ((1, 20), (21, 40)):
        with Recorder(tmp_path, resume_from=first - 1 or None) as record:
            for step in range(first, last + 1):
                record({"step": step, "d_loss": 1.0, "d_real": 3.0 if step == 2 else 0.995})
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").open()]
    assert ["d_score_real" in row for row in rows] == [False] + [True] * 39


def test_a_log_is_not_thrown_away_for_steps_of_another_name(tmp_path: Path) -> None:
    with Recorder(tmp_path) as record:
        record({"step": 1, "d_loss": 1.0})
    kept = (tmp_path / "log.jsonl").read_bytes()
    with pytest.raises(ValueError, match="its steps are not called epoch"):
        Recorder(tmp_path, unit="epoch", resume_from=1)
    assert (tmp_path / "log.jsonl").read_bytes() == kept


def test_of_two_pairs_of_names_for_the_same_losses_the_first_is_taken(tmp_path: Path) -> None:
    record = Recorder(tmp_path)
    told = {"d_loss": 0.4, "g_loss": 1.5, "discriminator_loss": 0.43, "generator_loss": 1.47}
    for step in range(1, 4):
        record({"step": step, **told})
    record.close()
    line = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert (line["d_loss"], line["g_loss"]) == (0.4, 1.5)
    with pytest.raises(ValueError, match="may each be d_loss"):
        Recorder(tmp_path / "other")({"step": 1, "d_loss": 0.4, "discriminator_loss": 0.43})


def test_d_real_beside_pix2pix_adversarial_loss_is_half_of_d_s(tmp_path: Path) -> None:
    record = Recorder(tmp_path)
    record({"step": 1, "G_GAN": 1.4, "G_L1": 9.0, "D_real": 0.6, "D_fake": 0.8})
    record.close()
    line = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert (line["d_loss"], line["g_loss"]) == (pytest.approx(0.7), 1.4)
    assert "d_real" not in line


def test_a_picture_among_the_numbers_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pictures = {"img": np.zeros((3, 8, 8)), "samples": np.zeros((3, 8, 8)), "lr": "cosine"}
    with Recorder(tmp_path) as record:
        for step in range(1, 4):
            record({"step": step, "d_loss": np.array([0.5]), "g_loss": 1.0, **pictures})
    assert not caplog.messages
    assert [line["step"] for line in map(json.loads, (tmp_path / "log.jsonl").open())] == [1, 2, 3]


def test_a_name_that_tells_nothing_is_warned_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Recorder(tmp_path) as record:
        for step in range(1, 4):
            record({"step": step, "d_loss": 1.0, "lr": 0.1, "gp": 0.2, "my_quality": 3.0})
    (warning,) = caplog.messages
    assert warning.startswith("'my_quality' is not known and left out;")


def test_the_log_of_an_earlier_run_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for loss in (1.0, 2.0):
        with Recorder(tmp_path) as record:
            record({"step": 1, "d_loss": loss})
    assert json.loads((tmp_path / "log.jsonl.old").read_text())["d_loss"] == 1.0
    assert "the log of an earlier run is" in caplog.text
    (log,) = read([tmp_path])
    assert log.pairs[""]["d_loss"].tolist() == [2.0]


def test_what_is_no_dictionary_is_refused(tmp_path: Path) -> None:
    with Recorder(tmp_path) as record, pytest.raises(ValueError, match="not list"):
        record([1])  # type: ignore[arg-type]
