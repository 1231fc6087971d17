import pytest

from pipeline.pages.run.bars import bars, position

FD = {"floor": 0.1, "test": 0.2, "noise": 1000.0}


def test_a_value_lies_between_noise_and_real_digits() -> None:
    assert [position(value, FD) for value in (0.1, 10, 1000)] == pytest.approx([1, 0.5, 0])
    shares = {"floor": 0.9, "noise": 0.1}
    assert [position(value, shares) for value in (0.9, 0.5, 0.1)] == pytest.approx([1, 0.5, 0])


def test_what_lies_beyond_an_end_is_at_the_end() -> None:
    assert [position(value, FD) for value in (0, -1, 0.01, 5000)] == [1, 1, 1, 0]


def test_there_is_no_bar_without_a_scale_that_tells_apart() -> None:
    assert position(1, {"floor": 1}) is None
    assert position(1, {"floor": 1, "noise": 1}) is None
    assert position(float("nan"), FD) is None
    assert 'class="track"' in bars({"fd": 1}, {"fd": FD})
    for metrics, scale in (({"fd": 1}, {}), ({"confident": 0.8}, {"confident": FD})):
        shown = bars(metrics, scale)
        assert 'class="track"' not in shown
        assert "no bar" in shown
