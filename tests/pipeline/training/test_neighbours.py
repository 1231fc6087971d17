"""A training says once that other programs take its cores, and only then."""

import pytest

from pipeline.training.neighbours import Clock, Neighbours


def notes(
    *, threads: int = 2, share: float = 0.6, switches: float = 100.0, steps: int = 4_000
) -> list[str]:
    """What is said beside iterations of 50 ms that get `share` of `threads` cores.

    Every 100 iterations a report takes five seconds of one thread, with nobody in its way.
    """
    now = Clock(0.0, 0.0, 0.0)

    def passes(seconds: float, processor: float, forced: float) -> None:
        nonlocal now
        now = Clock(now.wall + seconds, now.processor + processor, now.switches + forced)

    neighbours = Neighbours(threads, lambda: now)
    said = []
    for step in range(steps):
        neighbours.before_step()
        said.append(neighbours.in_words())
        passes(0.05, 0.05 * threads * share, 0.05 * threads * switches)
        if step % 100 == 99:
            neighbours.after_report()
            passes(5.0, 5.0, 0.0)
    return [note for note in said if note is not None]


def test_it_is_said_once_with_the_share_that_others_take() -> None:
    (note,) = notes(share=0.6)
    assert "other programs take 40%" in note
    assert "runtime.threads: 1" in note


@pytest.mark.parametrize(
    "quiet",
    [
        {"share": 0.95},  # measuring on one thread does not count, or it would be 0.7
        {"switches": 5.0},  # operations too small for all threads
        {"threads": 1},
        {"steps": 300},  # 15 seconds
    ],
)
def test_nothing_is_said_where_nobody_is_in_the_way(quiet: dict[str, float]) -> None:
    assert notes(**quiet) == []  # type: ignore[arg-type]
