"""The logs of the benchmark, and what counts as a false end or a false warning."""

import csv
import dataclasses

import numpy as np

from benchmarks.verdict import FURTHER, Log, false_alarms, fed, further_logs, synthetic_log
from tests.synthetic_runs import EPOCH, synthetic_run

HEALTHY = synthetic_log(5, epochs=24)


def with_signal(name: str, values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Log:
    return dataclasses.replace(HEALTHY, signals={**HEALTHY.signals, name: values})


def test_a_healthy_series_is_neither_ended_nor_warned_of() -> None:
    found = false_alarms([HEALTHY])
    assert (found["runs"], found["ended_as_wrong"], found["warned"]) == (1, 0, 0)
    assert found["met"] is True


def test_the_series_are_those_of_the_tests_with_no_decline_in_them() -> None:
    steps, epochs = synthetic_run(5, epochs=24)
    assert np.array_equal(HEALTHY.signals["g_loss"], steps["g_loss"])
    assert np.array_equal(HEALTHY.metric, epochs["fd"])
    assert len(synthetic_log(1).metric) == 150


def test_a_declining_series_counts_as_ended_and_is_too_much() -> None:
    fd = HEALTHY.metric.copy()
    fd[12:] = 6 * fd[11]
    declining = dataclasses.replace(HEALTHY, evaluations={**HEALTHY.evaluations, "fd": fd})
    found = false_alarms([declining, HEALTHY])
    assert (found["runs"], found["ended_as_wrong"], found["met"]) == (2, 1, False)


def test_a_state_that_holds_at_the_end_warns_and_one_of_the_first_epochs_does_not() -> None:
    d_real, d_fake = HEALTHY.signals["d_real"].copy(), HEALTHY.signals["d_fake"].copy()
    d_real[: 2 * EPOCH], d_fake[: 2 * EPOCH] = 0.999, 0.001
    early = dataclasses.replace(
        HEALTHY, signals={**HEALTHY.signals, "d_real": d_real, "d_fake": d_fake}
    )
    assert [alarm.signal for alarm in fed(early)[1].alarms] == ["saturated"]
    assert false_alarms([early])["warned"] == 0
    wave = 1e-3 * np.sin(np.arange(24 * EPOCH))
    chance = {"d_loss": 0.72 + wave, "d_real": 0.5 + wave, "d_fake": 0.5 + wave}
    at_chance = dataclasses.replace(HEALTHY, signals={**HEALTHY.signals, **chance})
    assert false_alarms([at_chance])["warned"] == 1


def test_the_further_logs_are_as_their_index_tells_them() -> None:
    with (FURTHER / "index.csv").open() as file:
        rows = list(csv.DictReader(file))
    logs = list(further_logs())
    assert len(logs) == len(rows) == 48
    for row, log in zip(rows, logs, strict=True):
        assert len(log.metric) == int(row["evaluations"])
        assert (np.diff(log.evaluations["step"]) > 0).all()
        times = np.median(log.metric[-3:]) / log.metric.min()
        assert row["kind"] == (
            "collapsed" if times > 1.5 else "declined" if times > 1.15 else "fine"
        )
