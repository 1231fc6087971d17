import math

import pytest

from pipeline.search.confirmation import (
    Candidate,
    candidates,
    choose,
    confirmed,
    curve,
    fresh_seeds,
)
from tests.searches import SHIPPED, params, trial

SOME = Candidate("trial 3", {"lr_g": 0.001, "lr_d": 0.002}, 5)


def test_one_epoch_is_chosen_for_all_seeds_where_their_mean_is_smallest() -> None:
    # Alone, the runs are best at 6, 6 and 3: but from 5 on the third is far worse than at 4.
    runs = [
        trial(0, [9.0, 7.0, 5.0, 4.0, 3.8, 3.7]),
        trial(1, [9.0, 7.0, 5.0, 4.2, 4.0, 3.9]),
        trial(2, [9.0, 6.0, 4.4, 4.6, 9.0, 9.5]),
    ]
    found = confirmed(SOME, runs, 1)
    assert found.epoch == 4
    assert found.fds == tuple(curve(run)[4] for run in runs)
    assert found.mean == pytest.approx(sum(found.fds) / 3)
    means = [sum(curve(run)[epoch] for run in runs) for epoch in range(1, 7)]
    assert min(means) == means[3]


def test_a_single_low_epoch_of_one_seed_is_no_reason_to_stop_there() -> None:
    steady = [9.0, 8.0, 7.0, 6.0, 5.5, 5.0, 4.8, 4.6]
    lucky = [9.0, 8.0, 4.5, 6.0, 5.5, 5.0, 4.8, 4.6]
    found = confirmed(SOME, [trial(0, [*steady]), trial(1, [*lucky])], 1)
    assert found.epoch is not None
    assert found.epoch > 6


def test_an_epoch_that_a_seed_did_not_reach_well_is_none_to_stop_at() -> None:
    runs = [trial(0, [9.0, 8.0, 7.0]), trial(1, [], "diverged", onset_step=4, onset_epoch=1)]
    found = confirmed(SOME, runs, 1)
    assert found.epoch is None
    assert found.high == math.inf


def test_a_seed_whose_process_was_killed_says_nothing_about_the_rates() -> None:
    runs = [trial(0, [9.0, 8.0]), trial(1, [9.0, 8.2]), trial(2, [], "killed")]
    assert confirmed(SOME, runs, 1).fds == pytest.approx((8.0, 8.2))
    assert confirmed(SOME, runs[1:], 1).epoch is None


def test_the_choice_minimises_the_upper_confidence_bound_not_the_mean() -> None:
    lucky = confirmed(SOME, [trial(i, [fd]) for i, fd in enumerate((1.0, 2.0, 3.0))], 1)
    steady = confirmed(SOME, [trial(i, [fd]) for i, fd in enumerate((2.3, 2.4, 2.5))], 1)
    assert lucky.mean < steady.mean
    assert choose([lucky, steady]) is steady


def test_the_present_recipe_stays_where_nothing_is_surer() -> None:
    present = confirmed(SOME, [trial(i, [2.0]) for i in range(3)], 1)
    other = confirmed(SOME, [trial(i, [2.0]) for i in range(3)], 1)
    assert choose([present, other]) is present


def test_candidates_are_the_present_recipe_and_the_best_that_were_not_cut() -> None:
    trials = [
        trial(0, [5.0, 4.0, 3.0], lr_g=SHIPPED.train.lr_g, lr_d=SHIPPED.train.lr_d),
        trial(1, [5.0, 2.0, 6.0], "onset"),
        trial(2, [1.0], "pruned"),
        trial(3, [5.0, 4.0, 3.5]),
        trial(4, [], "failed"),
        trial(5, [5.0, 4.0, 3.4]),
    ]
    found = candidates(trials, params(confirm={"top": 3}))
    assert [one.name for one in found] == ["current", "trial 1", "trial 5"]
    # As far as a little beyond their own best, and the present recipe as far as it goes.
    assert [one.epochs for one in found] == [SHIPPED.train.epochs, 4, 5]


def test_no_seed_of_the_confirmation_was_trained_with_before() -> None:
    seeds = fresh_seeds(params(confirm={"seeds": 20}))
    assert len({*seeds, SHIPPED.train.seed}) == 21
