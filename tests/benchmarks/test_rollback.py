"""The arithmetic of ending beside rolling back, and what is trained."""

import dataclasses

from benchmarks.rollback import RECIPES, Task, compare


def row(recipe: str, seed: int, rule: str, fd: float | None) -> dict[str, object]:
    return {"recipe": recipe, "seed": seed, "rule": rule, "fd_fresh": fd}


def test_rules_are_compared_seed_by_seed_where_each_kept_something() -> None:
    rows = [
        *(row("joint", 1, rule, fd) for rule, fd in (("end", 2.0), ("never", 3.0))),
        row("joint", 1, "rollback", 1.0),
        *(row("joint", 2, rule, 4.0) for rule in ("end", "never")),
        row("joint", 2, "rollback", 5.0),
        *(row("joint", 3, rule, None) for rule in ("end", "never", "rollback")),
    ]
    (line,) = compare(rows)
    assert (line["seeds"], line["end"], line["never"], line["rollback"]) == (2, 3.0, 3.5, 3.0)
    assert line["rollback over end"] == [0.5, 1.25]
    assert (line["rollback better in"], line["never better in"]) == (1, 0)


def test_both_runs_of_a_seed_differ_in_nothing_but_what_ends_them() -> None:
    for name in RECIPES:
        never, rolls_back = (
            Task(name, 1, stop, (("width", 4), ("epochs", 9))).train
            for stop in ("never", "rollback")
        )
        assert dataclasses.replace(rolls_back, stop="never") == never
        assert (never.width, never.epochs, never.seed) == (4, 9, 1)
        assert never.freeze_discriminator is (name not in ("joint", "search"))
