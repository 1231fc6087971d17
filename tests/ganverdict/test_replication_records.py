"""The verdict on the nine trainings of `make replicate`, whose records reports/ holds."""

import json
from pathlib import Path

import pytest

from ganverdict.monitor import assess
from ganverdict.verdict import Verdict
from tests.project import REPOSITORY
from tests.recorded_logs import read_run

RECORDS = Path("reports/replication")


def verdict(name: str) -> Verdict:
    folder = RECORDS / name
    run = json.loads((REPOSITORY / folder / "run.json").read_text())["train"]
    assert run["loss"] == "bce"
    steps, epochs = read_run(folder / "signals.csv", folder / "epochs.csv")
    return assess(steps, epochs, loss="bce_mean", steps_per_epoch=run["steps_per_epoch"])


@pytest.mark.parametrize(
    ("seed", "alarm", "onset", "confirmed", "best"),
    [(1, 15, 32, 34, 26), (2, 16, 24, 33, 23), (3, 20, 36, 38, 30)],
)
def test_d_at_chance_announces_every_decline_of_the_joint_update(
    seed: int, alarm: int, onset: int, confirmed: int, best: int
) -> None:
    found = verdict(f"joint-{seed}")
    assert (found.status, found.signal, found.end) == ("onset", "at_chance", "roll_back")
    assert found.alarm_step is not None
    assert found.alarm_step // 468 + 1 == alarm
    assert (found.onset_epoch, found.confirm_epoch, found.best_epoch) == (onset, confirmed, best)
    assert found.lead == confirmed - alarm
    assert [state.name for state in found.states if state.until is None] == ["at_chance"]


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("recipe", ["frozen", "stabilised"])
def test_what_the_other_recipes_do_is_stable(recipe: str, seed: int) -> None:
    found = verdict(f"{recipe}-{seed}")
    assert (found.status, found.end) == ("stable", "go_on")
    # D may be far ahead in the first epochs; nothing holds after them.
    assert all(state.until is not None and state.until < 6 * 468 for state in found.states)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("recipe", ["joint", "frozen", "stabilised"])
def test_both_losses_alone_tell_of_a_d_at_chance(recipe: str, seed: int) -> None:
    """As other people's logs are: no D(x), nothing said of the loss, no metric."""
    folder = RECORDS / f"{recipe}-{seed}"
    steps, _ = read_run(folder / "signals.csv", folder / "epochs.csv")
    losses = {name: steps[name] for name in ("step", "d_loss", "g_loss")}
    found = assess(losses, None)
    assert found.loss in (None, "bce_mean")
    at_chance = [s for s in found.states if s.name == "at_chance" and s.until is None]
    assert bool(at_chance) is (recipe == "joint")
    assert "come to nothing" not in found.reason
