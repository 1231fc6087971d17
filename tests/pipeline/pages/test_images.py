import pytest

from pipeline.pages.images import spread


@pytest.mark.parametrize(("count", "must"), [(1, 0), (5, 4), (60, 30), (61, 7), (1000, 333)])
def test_the_ends_and_the_best_are_among_the_pictures(count: int, must: int) -> None:
    chosen = spread(count, must)
    assert {0, must, count - 1} <= set(chosen)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(count, 60)
