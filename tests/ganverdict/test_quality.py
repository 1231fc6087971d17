import dataclasses

import numpy as np
import pytest

from ganverdict.quality import (
    Evaluation,
    Quality,
    Stop,
    best_stop,
    median_of_three,
    relative_wobble,
)
from tests.synthetic_runs import PARAMS

NAN = float("nan")


def fed(first_step: int = 0, **measures: list[float]) -> Quality:
    """Evaluations at epochs 1, 2, ... with 100 steps each; NaN is missing."""
    quality = Quality(PARAMS, first_step)
    for index in range(len(next(iter(measures.values())))):
        row = {name: values[index] for name, values in measures.items()}
        known = {name: value for name, value in row.items() if not np.isnan(value)}
        quality.add(Evaluation(index + 1, 100 * (index + 1), known))
    return quality


def best(fds: list[float], sigma: float | None = None, before: float | None = None) -> Stop:
    sigmas = [NAN if sigma is None else sigma] * len(fds)
    stop = fed(fd=fds, fd_sigma=sigmas).best_before(before)
    assert stop is not None
    return stop


# The best stopping point.


def test_the_best_is_the_earliest_within_one_standard_error_of_the_smallest() -> None:
    fds = [100.0, 60.0, 40.0, 30.0, 22.0, 21.0, 20.5, 20.2, 20.1]
    assert best(fds, sigma=1.0).epoch == 6  # 21.0 <= 20.1 + 1
    assert best(fds, sigma=2.0).epoch == 5
    assert best(fds, sigma=0.05).epoch == 9


@pytest.mark.parametrize("count", range(1, 12))
def test_of_a_steady_fall_the_last_is_the_best(count: int) -> None:
    assert best([100.0 * 0.8**index for index in range(count)]).epoch == count


def test_its_interval_is_that_of_a_normal_error() -> None:
    stop = best([100.0, 50.0, 20.0, 20.0, 20.0], sigma=1.0)
    assert stop == Stop(3, 300, 20.0, (20 - 1.96, 20 + 1.96))
    assert best([10.0]).interval is None


def test_only_what_lies_before_the_onset_counts() -> None:
    fds = [100.0, 50.0, 20.0, 30.0, 10.0, 5.0]
    assert best(fds, before=400).epoch == 3
    assert best(fds, before=300).epoch == 2
    assert fed(fd=fds).best_before(100) is None


def test_one_lucky_evaluation_is_not_the_best() -> None:
    fds = [100.0, 60.0, 50.0, 51.0, 20.0, 49.0, 40.0, 40.0, 40.0, 41.0]
    assert best(fds, sigma=0.5).epoch == 7
    assert best([*fds, 20.0], sigma=0.5).epoch == 7  # nor at the very end


def test_an_unlucky_one_between_good_ones_is_not_kept() -> None:
    assert best([100.0, 60.0, 30.0, 80.0, 30.0, 31.0, 31.0], sigma=0.5).epoch != 4


def test_evaluations_without_fd_are_passed_over() -> None:
    assert best([100.0, 50.0, NAN, 20.0, NAN]).epoch == 4
    assert fed(fd=[NAN, NAN], class_kl=[0.1, 0.1]).best_before(None) is None


def test_the_median_of_three_follows_tukey_at_the_ends() -> None:
    assert median_of_three(np.array([5.0, 1.0, 4.0])).tolist() == [4.0, 4.0, 4.0]
    assert median_of_three(np.array([5.0, 4.0, 3.0, 2.0])).tolist() == [5.0, 4.0, 3.0, 2.0]
    assert median_of_three(np.array([9.0, 9.0, 9.0, 1.0])).tolist() == [9.0] * 4
    assert median_of_three(np.array([2.0, 1.0])).tolist() == [2.0, 1.0]


def test_wobble_is_relative_and_blind_to_a_steady_fall() -> None:
    noise = 0.05 * np.random.default_rng(0).standard_normal(4000)
    fall = np.geomspace(100, 2, 4000)
    assert relative_wobble(fall) == pytest.approx(0, abs=1e-9)
    assert relative_wobble(fall * np.exp(noise)) == pytest.approx(0.05, rel=0.1)
    assert relative_wobble([1.0, 2.0]) == 0


# Declines.


def test_fd_a_quarter_over_its_best_at_three_evaluations_running_is_a_decline() -> None:
    good = [40.0, 30.0, 20.0, 20.0, 20.0]
    quality = fed(fd=[*good, 26.0, 27.0, 28.0])
    assert quality.decline is not None
    assert (quality.decline.first.epoch, quality.decline.confirmed.epoch) == (6, 8)
    assert fed(fd=[*good, 26.0, 27.0]).decline is None
    assert fed(fd=[*good, 26.0, 20.0, 27.0, 28.0]).decline is None
    assert fed(fd=[*good, 24.0, 24.0, 24.0, 24.0]).decline is None


def test_an_evaluation_without_fd_neither_breaks_nor_extends_a_run() -> None:
    good = [40.0, 30.0, 20.0, 20.0, 20.0]
    assert fed(fd=[*good, 26.0, NAN, 27.0]).decline is None
    assert fed(fd=[*good, 26.0, NAN, 27.0, 28.0]).decline is not None


def test_a_doubled_fd_is_a_decline_at_once() -> None:
    quality = fed(fd=[40.0, 30.0, 20.0, 20.0, 20.0, 41.0])
    assert quality.decline is not None
    assert quality.decline.confirmed.epoch == 6
    assert "fd doubled" in quality.decline.words


def test_an_fd_that_measures_badly_must_rise_by_four_of_its_deviations() -> None:
    fds = [40.0, 30.0, 20.0, 20.0, 20.0, 41.0, 42.0, 43.0]
    assert fed(fd=fds, fd_sigma=[5.0] * 8).decline is not None
    assert fed(fd=fds, fd_sigma=[6.0] * 8).decline is None


def test_an_fd_that_wobbles_must_rise_further() -> None:
    wobbling = [20.0, 26.0, 19.0, 27.0, 20.0, 25.0, 18.0, 26.0, 20.0]
    after = [30.0, 30.0, 30.0]
    assert fed(fd=[*wobbling, *after]).decline is None
    assert fed(fd=[*[22.0] * 9, *after]).decline is not None


def test_one_lucky_evaluation_does_not_make_all_later_ones_bad() -> None:
    assert fed(fd=[30.0, 25.0, 10.0, 25.0, 25.0, 25.0, 25.0, 25.0]).decline is None


def test_a_digit_that_is_no_longer_drawn_is_a_decline_at_once() -> None:
    quality = fed(min_share=[0.6, 0.7, 0.7, 0.1])
    assert quality.decline is not None
    assert quality.decline.measure == "min_share"
    assert fed(min_share=[0.0, 0.0, 0.1, 0.1, 0.15]).decline is None  # it never was


def test_a_class_divergence_that_rises_is_a_decline_and_one_that_stays_is_not() -> None:
    good = [0.5, 0.02, 0.02, 0.02]
    assert fed(class_kl=[*good, 0.06, 0.08, 0.1]).decline is not None
    assert fed(class_kl=[*good, 0.1, 0.08, 0.06]).decline is None
    assert fed(class_kl=[*good, 0.06, 0.08]).decline is None
    assert fed(class_kl=[*good, 2.3]).decline is not None
    assert fed(class_kl=[0.2, 0.2, 0.2, 0.21, 0.22, 0.23]).decline is None


def test_a_third_of_the_coverage_lost_is_a_decline() -> None:
    assert fed(coverage=[0.5, 0.8, 0.8, 0.8, 0.55]).decline is not None
    assert fed(coverage=[0.5, 0.8, 0.8, 0.8, 0.57]).decline is None


def test_nothing_is_confirmed_in_the_burn_in_and_it_is_remembered_after_it() -> None:
    fds = [40.0, 20.0, 20.0, 20.0, 60.0, 60.0, 60.0, 60.0]
    assert fed(first_step=800, fd=fds).decline is None
    quality = fed(first_step=700, fd=fds)
    assert quality.decline is not None
    assert (quality.decline.first.epoch, quality.decline.confirmed.epoch) == (5, 8)


def test_it_has_recovered_after_three_good_evaluations_and_not_if_it_is_bad_again() -> None:
    fds = [40.0, *[20.0] * 8, 60.0, 21.0, 20.0, 20.0]
    assert not fed(fd=fds[:-1]).recovered
    assert fed(fd=fds).recovered
    assert not fed(fd=[*fds, 60.0]).recovered
    assert not fed(fd=[20.0] * 12).recovered  # from nothing


def test_every_threshold_is_a_parameter() -> None:
    mild = dataclasses.replace(PARAMS, fd_factor=1.1, confirm_evaluations=2)
    quality = Quality(mild, 0)
    for epoch, fd in enumerate([20.0, 20.0, 20.0, 23.0, 23.0], start=1):
        quality.add(Evaluation(epoch, epoch, {"fd": fd}))
    assert quality.decline is not None


def test_a_best_stop_from_an_epoch_on_is_none_of_those_before_it() -> None:
    evaluations = [
        Evaluation(epoch, 10 * epoch, {"fd": fd, "fd_sigma": 0.01})
        for epoch, fd in enumerate([1.0, 1.1, 9.0, 8.0, 7.0, 7.5], start=1)
    ]
    assert best_stop(evaluations, None).epoch == 1  # type: ignore[union-attr]
    later = best_stop(evaluations, None, from_epoch=3)
    assert later is not None
    assert later.epoch >= 3
    assert later.fd >= 7.0
    assert best_stop(evaluations, before=30, from_epoch=3) is None
    assert best_stop(evaluations, None, from_epoch=7) is None
