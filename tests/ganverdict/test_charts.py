import numpy as np
import pytest

from ganverdict.charts import Chart, deviations
from tests.synthetic_runs import PARAMS, Array, autoregressive

EPOCH = 9  # windows


def alarms(values: Array, direction: int = 1) -> list[int]:
    chart = Chart(PARAMS, EPOCH, direction)
    return [index for index, value in enumerate(values) if chart.add(float(value)) is not None]


def noisy(seed: int, epochs: int = 40, size: float = 0.1) -> Array:
    return size * np.random.default_rng(seed).standard_normal(epochs * EPOCH)


def test_noise_alone_does_not_alarm() -> None:
    assert sum(bool(alarms(np.exp(noisy(seed)))) for seed in range(40)) == 0


def test_noise_that_remembers_for_an_epoch_seldom_alarms() -> None:
    rng = np.random.default_rng(0)
    runs = [np.exp(0.2 * autoregressive(rng, 40 * EPOCH, EPOCH)) for _ in range(40)]
    assert sum(bool(alarms(run)) for run in runs) <= 4


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_a_steady_climb_is_not_an_alarm(noise: float) -> None:
    climb = 0.03 * np.arange(40 * EPOCH) / EPOCH
    assert alarms(np.exp(climb + noisy(1, size=noise))) == []


def test_a_fall_that_levels_out_is_not_a_rise() -> None:
    fall = 2 * np.exp(-np.arange(40 * EPOCH) / EPOCH / 4)
    assert alarms(np.exp(fall + noisy(2, size=0.02))) == []


@pytest.mark.parametrize("direction", [1, -1])
def test_a_lasting_change_alarms_within_half_an_epoch_and_only_in_its_direction(
    direction: int,
) -> None:
    logs = noisy(3)
    logs[200:] += direction * 1.0
    found = alarms(np.exp(logs), direction)
    assert 200 <= found[0] <= 200 + EPOCH // 2
    assert alarms(np.exp(logs), -direction) == []


def test_one_wild_window_is_not_an_alarm() -> None:
    logs = noisy(4)
    logs[200] += 10
    assert alarms(np.exp(logs)) == []


def test_nothing_alarms_in_the_burn_in() -> None:
    logs = noisy(5)
    logs[2 * EPOCH :] += 3
    assert all(index >= PARAMS.burn_in_epochs * EPOCH for index in alarms(np.exp(logs)))


def test_units_do_not_matter() -> None:
    logs = noisy(6)
    logs[200:] += 0.6
    assert alarms(np.exp(logs)) == alarms(1e-6 * np.exp(logs)) == alarms(1e6 * np.exp(logs))


def test_signals_that_are_not_positive_are_watched_too_and_have_no_units_either() -> None:
    values = noisy(7)
    values[200:] += 1.0
    found = alarms(values)
    assert 200 <= found[0] <= 200 + EPOCH
    assert found == alarms(1e6 * values)


def test_a_signal_of_zeros_that_moves_alarms_with_a_finite_deviation() -> None:
    chart = Chart(PARAMS, EPOCH, 1)
    peaks = [chart.add(value) for value in [0.0] * 100 + [1.0] * 9]
    found = [peak for peak in peaks if peak is not None]
    assert found
    assert np.isfinite(found).all()


def test_a_deviation_counts_spreads_from_where_the_past_leads() -> None:
    past = np.tile([-1.0, 0.0, 1.0], 6)
    # MAD 1, so a spread of 1.4826; blocks of three windows all have mean 0.
    assert deviations(past, 14.826, ahead=1, block=3, least=0.0) == pytest.approx(10)
    # A climb of 0.1 a window without noise: exactly continued it is no deviation at all.
    climb = np.linspace(0, 1.9, 20)
    assert deviations(climb, 0.1 * 29, ahead=10, block=5, least=0.5) == pytest.approx(0)
    assert deviations(climb, 0.1 * 29 + 1, ahead=10, block=5, least=0.5) == pytest.approx(2)


def test_blocks_that_differ_widen_the_spread() -> None:
    waves = np.repeat([0.0, 1.0, 0.0, 1.0], 5)
    # No climb between the halves; block means 0 and 1: sum of squares 1, over 2 degrees of
    # freedom, times 5 windows a block.
    expected = (2 - 0.5) / np.sqrt(1 / 2 * 5)
    assert deviations(waves, 2.0, ahead=1, block=5, least=0.0) == pytest.approx(expected)
