"""The benchmark's arithmetic and its parts; nothing here is about seconds."""

import dataclasses
from pathlib import Path

import pytest
import torch

from benchmarks import measuring
from benchmarks.timing import Times
from dcgan.judge import Judge
from dcgan.measuring import Meter, reference
from pipeline.store import checkpoints
from pipeline.tracking.server import connect, find_run
from tests.commands import own_tracker
from tests.searches import SHIPPED
from tests.small import FP32, MEASURE, digits, train_params


def test_shares_are_of_an_epoch_s_iterations_and_fd_raw_counts_as_often_as_it_is_measured() -> None:
    train = train_params(steps_per_epoch=80, raw_every=4)  # ten times the iterations of a round
    seconds = {
        "iterations": 0.1,
        "an epoch's end": 0.2,
        "with fd_raw": 0.4,
        "pictures": 0.01,
        "checkpoints": 0.02,
        "tracking": 0.03,
    }
    # The second round is three times as slow, and in processor time all takes twice as long.
    times = {name: Times([own, 3 * own], [2 * own, 6 * own]) for name, own in seconds.items()}
    found = {str(row["part"]): row for row in measuring.rows(times, train)}
    assert set(found) == {*seconds, "all"} - {"iterations"}
    assert found["with fd_raw"]["share"] == found["with fd_raw"]["processor_share"] == 0.4
    assert found["all"]["share"] == pytest.approx(0.25 + 0.06)
    parts = {name: own for name, own in seconds.items() if name != "iterations"}
    assert measuring.every(0, parts) == pytest.approx(0.2 + 0.06)
    assert measuring.every(1, parts) == pytest.approx(0.4 + 0.06)


def test_every_part_of_an_epoch_does_its_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_tracker(tmp_path, monkeypatch)
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", tmp_path / "checkpoints")
    data, judge = digits(200, 120), Judge().eval()
    train = train_params(average_images=8, steps_per_epoch=12, sample_every=4)
    params = dataclasses.replace(SHIPPED, runtime=FP32, train=train)
    meter = Meter(judge, reference(judge, data, MEASURE), MEASURE)
    parts = measuring.contestants(params, data, meter)
    results = {name: call() for name, call in parts.items()}
    images, few = results["of it: samples"], results["samples for D"]
    assert isinstance(images, torch.Tensor)
    assert isinstance(few, torch.Tensor)
    assert len(images) == MEASURE.num_training_samples
    assert torch.equal(few, images[: len(few)])
    ends = results["an epoch's end"], results["with fd_raw"]
    assert [isinstance(end, dict) and "fd_raw" in end for end in ends] == [False, True]
    assert (tmp_path / "checkpoints" / ("0" * 16) / "state.pt").exists()
    client, experiment = connect()
    history = client.get_metric_history(
        str(find_run(client, experiment, "measuring")), "train/d_loss"
    )
    assert [metric.step for metric in history] == list(range(1, 13))
