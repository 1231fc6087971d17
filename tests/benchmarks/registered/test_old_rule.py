from benchmarks.registered.old_rule import earliest_within_one_error

# Smooth:  8.5, 8, 6, 5, 4, 4, 6, 6.5
FDS = [9.0, 8.0, 5.0, 6.0, 4.0, 3.0, 6.0, 7.0]


def test_the_earliest_within_one_error_of_the_lowest_median_of_three() -> None:
    assert earliest_within_one_error(FDS, [0.5] * 8, 8) == 4
    assert earliest_within_one_error(FDS, [1.0] * 8, 8) == 3


def test_it_is_the_error_where_the_smooth_curve_is_lowest_that_counts() -> None:
    errors = [9.0] * 8
    errors[4] = 0.1
    assert earliest_within_one_error(FDS, errors, 8) == 4


def test_nothing_from_the_onset_on_is_looked_at() -> None:
    assert earliest_within_one_error(FDS, [0.1] * 8, 3) == 2
    assert earliest_within_one_error(FDS, [0.1] * 8, 1) == 0


def test_one_lucky_epoch_is_thrown_away() -> None:
    assert earliest_within_one_error([9, 8, 7, 1, 7, 6, 5, 5], [0.1] * 8, 8) >= 6
