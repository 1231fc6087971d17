import math

import numpy as np
import pytest

from ganverdict.alarms import Alarm, Alarms
from ganverdict.families import Family
from ganverdict.signals import CHARTED, TABLE
from ganverdict.states import State
from tests.synthetic_runs import PARAMS, Array

WINDOWS = 9  # an epoch; each row is a window here
EPOCHS = 30


def quiet(seed: int) -> Array:
    return np.exp(0.05 * np.random.default_rng(seed).standard_normal(EPOCHS * WINDOWS))


def watch(family: Family | None = None, **signals: Array) -> Alarms:
    alarms = Alarms(PARAMS, None, WINDOWS, False, family)
    alarms.add(np.arange(1, EPOCHS * WINDOWS + 1), signals)
    return alarms


def jumping(name: str, factor: float) -> Alarms:
    values = quiet(0)
    values[20 * WINDOWS :] *= factor
    return watch(Family("wasserstein", "given"), **{name: values})


@pytest.mark.parametrize("name", CHARTED)
def test_each_signal_warns_by_its_own_direction_alone(name: str) -> None:
    warning, other = (2.0, 0.5) if TABLE[name].warning > 0 else (0.5, 2.0)
    (first, *more) = jumping(name, warning).raised
    assert (first.signal, first.state) == (name, None)
    assert 20 * WINDOWS < first.step <= 21 * WINDOWS
    assert {alarm.signal for alarm in more} <= {name}
    verb = "rose" if TABLE[name].warning > 0 else "fell"
    assert first.words.startswith(f"{TABLE[name].words} {verb} ")
    assert first.words.endswith("the last 10 epochs")
    assert not jumping(name, other).raised


def test_the_strongest_of_a_window_comes_first() -> None:
    small, large = quiet(0), quiet(1)
    small[20 * WINDOWS :] *= 1.6
    large[20 * WINDOWS :] *= 16
    raised = watch(g_grad_norm=large, d_grad_norm=small).raised
    assert raised[0].signal == "g_grad_norm"
    assert raised[0].step == raised[1].step
    assert [alarm.step for alarm in raised] == sorted(alarm.step for alarm in raised)


def test_what_was_watched_is_counted() -> None:
    alarms = watch(d_loss=quiet(0), d_real=quiet(1) / 2)
    assert alarms.rows == EPOCHS * WINDOWS
    assert alarms.seen == ("d_loss", "d_real")
    assert alarms.windows["d_loss"] == EPOCHS * WINDOWS
    assert alarms.windows["g_loss"] == 0
    burn_in = PARAMS.burn_in_epochs * WINDOWS
    assert alarms.charted == EPOCHS * WINDOWS - burn_in
    assert alarms.charted_from == burn_in + 1


def test_the_family_is_told_by_the_numbers_where_none_is_given() -> None:
    answers = {"d_real": np.full(270, 0.7), "d_fake": np.full(270, 0.3)}
    cross_entropy = -math.log(0.7) * quiet(0)
    assert watch(None, d_loss=cross_entropy, **answers).family == Family("bce_mean", "inferred")
    assert watch(None, d_loss=2 * cross_entropy, **answers).family == Family("bce_sum", "inferred")
    assert watch(d_loss=cross_entropy).family is None
    given = Family("hinge", "given")
    assert watch(given, d_loss=cross_entropy, **answers).family is given


def test_a_state_is_a_warning_beside_the_charts() -> None:
    alarms = watch(Family("bce_mean", "given"), d_loss=np.full(270, 0.7) * quiet(0) ** 0.1)
    (alarm,) = alarms.raised
    assert alarm.signal == "at_chance"
    assert alarm.state is alarms.states.holding["at_chance"]
    assert alarm.step == alarm.state.raised


def state(until: float | None, early: bool = False) -> Alarm:
    return Alarm(100, "fooled", "", State("fooled", "", 50, 100, until, until, early=early))


def test_a_change_waits_for_a_while_and_a_state_as_long_as_it_holds() -> None:
    change = Alarm(100, "g_loss", "")
    assert change.waits(since=100)
    assert not change.waits(since=101)
    assert state(None).waits(since=9_000)
    assert state(9_500).waits(since=9_000)
    assert not state(8_000).waits(since=9_000)
    # What was over at 8,000 may be so certain only later, and explains samples until then.
    assert Alarm(100, "fooled", "", State("fooled", "", 50, 100, 8_000, 9_500)).waits(since=9_000)


def test_worth_telling_are_changes_and_states_that_passed_after_the_burn_in() -> None:
    assert Alarm(100, "g_loss", "").tells
    assert state(200).tells
    assert not state(200, early=True).tells
    assert not state(None).tells  # told as what is


def test_nothing_is_no_news() -> None:
    alarms = Alarms(PARAMS, 52, WINDOWS, False, None)
    assert alarms.add([], {"d_loss": []}) == []
    assert (alarms.rows, alarms.last_step) == (0, -math.inf)
