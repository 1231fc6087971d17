import numpy as np
import pytest

from pipeline.pages.images import slider, spread


@pytest.mark.parametrize(("count", "must"), [(1, 0), (5, 4), (60, 30), (61, 7), (1000, 333)])
def test_the_ends_and_the_best_are_among_the_pictures(count: int, must: int) -> None:
    chosen = spread(count, must)
    assert {0, must, count - 1} <= set(chosen)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(count, 60)


def test_a_label_ends_no_script() -> None:
    drawn = slider(np.zeros((1, 4, 28, 28), np.uint8), ["</script><b>"], 0)
    assert drawn.count("</script>") == 1
    assert "<b>" not in drawn
