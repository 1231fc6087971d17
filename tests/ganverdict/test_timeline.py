import math

from ganverdict.monitor import Monitor
from ganverdict.quality import Quality
from ganverdict.thresholds import Thresholds
from ganverdict.timeline import Timeline


def test_epochs_that_count_from_nothing_do_so_before_the_first_evaluation() -> None:
    quality = Quality(Thresholds(), "fd")
    for epoch in range(3):
        quality.add(100 * (epoch + 1), epoch, {"fd": 20.0}, held=False)
    timeline = Timeline("iteration", 100, quality)
    found = [timeline.epoch_of(step) for step in (1, 50, 100, 101, 200, 201)]
    assert found == [0, 0, 0, 1, 1, 2]


def test_an_evaluation_without_an_epoch_is_numbered_as_those_before_it() -> None:
    monitor = Monitor(steps_per_epoch=100)
    for epoch in range(3):
        monitor.evaluate(100 * (epoch + 1), epoch, fd=20.0)
    assert monitor.evaluate(400, math.nan, fd=10.0).best_epoch == 3
