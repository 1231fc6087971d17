import math
from collections.abc import Callable

import numpy as np
import pytest

from ganverdict.evidence import Evidence, Running
from ganverdict.families import CHANCE, Family
from ganverdict.signals import SIGNALS
from ganverdict.states import WORDS, State, States
from ganverdict.thresholds import Thresholds
from ganverdict.windows import Window
from tests.synthetic_runs import PARAMS

BURN_IN = 45  # windows
BCE = Family("bce_mean", "given")

# For each state: a family, what it is to be in it and what it is not to be, and the share of
# windows that may be bad by accident.
Medians = dict[str, float]
CASES: dict[str, tuple[Family | None, Medians, Medians, float]] = {
    "at_chance": (BCE, {"d_loss": 0.70}, {"d_loss": 0.69}, 0.5),
    "saturated": (
        None,
        {"d_real": 0.995, "d_fake": 0.005},
        {"d_real": 0.995, "d_fake": 0.02},
        0.1,
    ),
    "fooled": (None, {"d_real": 0.995, "d_fake": 0.995}, {"d_real": 0.995, "d_fake": 0.98}, 0.1),
    "vanished": (BCE, {"d_loss": 0.03}, {"d_loss": 0.04}, 0.1),
    "dead": (None, {"d_loss": 50.0, "g_loss": 0.0}, {"d_loss": 0.5, "g_loss": 0.7}, 0.1),
    "exploding": (None, {"g_loss": 101.0}, {"g_loss": 1.0}, 0.1),
    "memorising": (None, {"d_sign_real": 0.95}, {"d_sign_real": 0.6}, 0.1),
}


def window(number: int, medians: Medians, constant: bool = False) -> Window:
    """Window `number` of 52 steps."""
    values = np.array([medians.get(name, np.nan) for name in SIGNALS])
    return Window(
        52 * number + 1, 52 * number + 52, values, np.isfinite(values) & np.bool_(constant), 52
    )


def least(share: float, limit: float) -> int:
    """How many bad windows running make a state certain."""
    return math.ceil(math.log(limit) / math.log(0.5 + 0.5 / share))


def run(
    states: States, family: Family | None, count: int, medians: Medians, start: int = 0
) -> int | None:
    """Feed `count` equal windows; return which of them raised a state, counted from 1."""
    for index in range(count):
        if states.add(window(start + index, medians), family):
            return index + 1
    return None


# Evidence.


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_evidence_begins_holds_and_is_over(share: float) -> None:
    evidence, needed = Evidence(share, 1e5), least(share, 1e5)
    assert not any(evidence.add(False, step) for step in range(10))
    assert [evidence.add(True, 10 + i) for i in range(needed)] == [False] * (needed - 1) + [True]
    assert (evidence.since, evidence.windows, evidence.holds) == (10, needed, True)
    # It is at the limit and no higher, so it lets go as soon as it had to be sure.
    released = next(
        i for i in range(1000) if not evidence.add(False, 100 + i) and not evidence.holds
    )
    assert 2.0**-released >= 1e-6
    assert released + 1 == math.ceil(math.log2(1e5))
    assert not evidence.add(True, 200)
    assert evidence.since == 200


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_evidence_is_a_fair_bet_where_its_share_is_bad(share: float) -> None:
    """The step of the theorem: given the past, evidence over 1 does not grow in the mean."""
    grown, fallen = (Evidence(share, 1e5) for _ in range(2))
    for evidence in (grown, fallen):
        evidence.add(True, 0)
        evidence.add(True, 1)
    value = grown._value
    grown.add(True, 2)
    fallen.add(False, 2)
    assert share * grown._value + (1 - share) * fallen._value == pytest.approx(value)


def independent(share: float, rng: np.random.Generator) -> Callable[[bool], bool]:
    return lambda _: bool(rng.random() < share)


def sticky(share: float, rng: np.random.Generator) -> Callable[[bool], bool]:
    """Bad windows come in clusters, but never with more than their share given the past."""
    return lambda bad: bool(rng.random() < (share if bad else share / 3))


def spiteful(share: float, rng: np.random.Generator) -> Callable[[bool], bool]:
    """After a good window a bad one is as likely as allowed, after a bad one less so."""
    return lambda bad: bool(rng.random() < (share / 2 if bad else share))


@pytest.mark.parametrize("kind", [independent, sticky, spiteful])
@pytest.mark.parametrize("share", [0.5, 0.1])
def test_noise_raises_a_state_once_in_its_limit_of_windows_at_most(
    share: float,
    kind: Callable[[float, np.random.Generator], Callable[[bool], bool]],
) -> None:
    limit, rng = 100.0, np.random.default_rng(0)
    lengths = []
    for _ in range(200):
        evidence, bad, count = Evidence(share, limit), False, 0
        following = kind(share, rng)
        while True:
            count += 1
            bad = following(bad)
            if evidence.add(bad, count) or count > 20 * limit:
                break
        lengths.append(count)
    # Four standard errors of the mean below what the theorem promises.
    assert np.mean(lengths) >= limit * (1 - 4 / math.sqrt(200))


# Each state.


def test_every_state_has_a_case() -> None:
    assert set(CASES) == set(WORDS)


@pytest.mark.parametrize("name", CASES)
def test_a_state_is_raised_when_it_is_certain_and_released_when_it_has_passed(name: str) -> None:
    family, bad, good, share = CASES[name]
    states, needed = States(PARAMS, BURN_IN), least(share, PARAMS.state_limit)
    assert run(states, family, 100, good) is None
    assert run(states, family, 200, bad, start=100) == needed
    (state,) = states.all
    assert states.holding == {name: state}
    assert (state.name, state.since, state.until) == (name, 52 * 100 + 1, None)
    assert (state.raised, state.early) == (52 * (100 + needed), False)
    assert state.windows == needed
    run(states, family, 30, good, start=100 + needed)
    assert not states.holding
    # It was over with the first good window, which is certain later.
    assert state.until == 52 * (100 + needed) + 1
    assert state.released == 52 * (100 + needed + math.ceil(math.log2(PARAMS.state_limit)))


@pytest.mark.parametrize("name", CASES)
def test_noise_within_its_share_raises_no_state(name: str) -> None:
    family, bad, good, share = CASES[name]
    rng = np.random.default_rng(1)
    states = States(PARAMS, BURN_IN)
    for index in range(3000):
        medians = bad if rng.random() < share / 2 else good
        if name == "at_chance":  # in the mean D gains 1 %, too
            medians = {"d_loss": medians["d_loss"] - 0.01}
        assert not states.add(window(index, medians), family)


@pytest.mark.parametrize("name", sorted(set(CASES) - {"exploding"}))
def test_a_state_from_the_first_step_on_is_told_as_such(name: str) -> None:
    family, bad, _, share = CASES[name]
    states = States(PARAMS, BURN_IN)
    assert run(states, family, 60, bad) == least(share, PARAMS.state_limit)
    (state,) = states.all
    assert (state.since, state.early) == (1, True)


@pytest.mark.parametrize("name", [name for name, level in CHANCE.items() if level])
def test_chance_is_at_the_level_of_the_family(name: str) -> None:
    level = CHANCE[name] or 0.0
    for times, raised in ((1.005, True), (0.995, False), (1.2, True), (1.3, False)):
        states = States(PARAMS, BURN_IN)
        found = run(states, Family(name, "given"), 60, {"d_loss": times * level})
        assert (found is not None) is raised
        assert not raised or list(states.holding) == ["at_chance"]


@pytest.mark.parametrize("family", [None, Family("wasserstein", "given")])
def test_without_a_level_nothing_is_at_chance(family: Family | None) -> None:
    states = States(PARAMS, BURN_IN)
    assert run(states, family, 60, {"d_loss": math.log(2) + 0.01}) is None


@pytest.mark.parametrize("name", list(CHANCE))
@pytest.mark.parametrize(
    ("real", "fake", "state"), [(4.7, -4.7, "saturated"), (4.7, 4.7, "fooled"), (4.5, -4.5, None)]
)
def test_logits_of_a_cross_entropy_are_answers(
    name: str, real: float, fake: float, state: str | None
) -> None:
    """The logit of 0.99 is 4.595; another loss's scores are no logits."""
    states = States(PARAMS, BURN_IN)
    run(states, Family(name, "given"), 60, {"d_score_real": real, "d_score_fake": fake})
    expected = [state] if state and name in ("bce_mean", "bce_sum") else []
    assert list(states.holding) == expected


@pytest.mark.parametrize("name", list(CHANCE))
def test_a_loss_at_nothing_tells_of_families_that_have_a_level_for_it(name: str) -> None:
    states = States(PARAMS, BURN_IN)
    found = run(states, Family(name, "given"), 60, {"d_loss": 1e-3})
    assert (found is None) is (name in ("wasserstein", "relativistic"))


def test_a_share_of_one_half_is_needed_for_chance_alone() -> None:
    """D whose loss is above in a third of the windows is not at chance, for ever."""
    states = States(PARAMS, BURN_IN)
    for index in range(3000):
        level = 0.70 if index % 3 == 0 else 0.68
        assert not states.add(window(index, {"d_loss": level}), BCE)


def test_d_is_not_at_chance_where_its_answers_are_apart() -> None:
    """R1 in D's loss lifts it, while D(x) is 0.7 and D(G(z)) 0.3."""
    loss = {"d_loss": 0.72}
    assert run(States(PARAMS, BURN_IN), BCE, 200, {**loss, "d_real": 0.7, "d_fake": 0.3}) is None
    assert run(States(PARAMS, BURN_IN), BCE, 200, {**loss, "d_real": 0.53, "d_fake": 0.48})


def test_at_chance_is_told_as_soon_as_the_family_is() -> None:
    states = States(PARAMS, BURN_IN)
    assert run(states, None, 100, {"d_loss": 0.72, "g_loss": 0.7}) is None
    (state,) = states.add(window(100, {"d_loss": 0.72, "g_loss": 0.7}), BCE)
    assert (state.name, state.since, state.raised) == ("at_chance", 1, 52 * 101)
    # Another family has another level, and the state of the first is over.
    states.add(window(101, {"d_loss": 0.72, "g_loss": 0.7}), Family("hinge", "inferred"))
    assert not states.holding
    assert state.until == 52 * 102


@pytest.mark.parametrize(
    ("losses", "vanished"),
    [
        ({"d_loss": 0.02, "g_loss": 5.0}, True),  # of cross-entropies
        ({"d_loss": 0.02, "g_loss": 2.5}, False),  # least squares and a cycle
        ({"d_loss": 0.01, "g_loss": 2.5}, True),  # of any
        ({"d_loss": 0.004}, False),  # a regression, perhaps
        ({"d_loss": 0.0005}, True),
    ],
)
def test_an_unknown_loss_is_at_nothing_where_any_family_says_so(
    losses: Medians, vanished: bool
) -> None:
    states = States(PARAMS, BURN_IN)
    run(states, None, 60, losses)
    assert ("vanished" in states.holding) is vanished


@pytest.mark.parametrize(
    ("signal", "value", "dead"),
    [
        ("d_loss", 16.118, True),
        ("g_loss", 0.6931472, True),
        ("g_loss", 0.0, True),
        ("d_loss", 0.7, False),  # that may be how the log was printed
        ("d_loss", 0.69, False),
    ],
)
def test_a_loss_that_is_one_number_to_the_last_digit_is_dead(
    signal: str, value: float, dead: bool
) -> None:
    states = States(PARAMS, BURN_IN)
    for index in range(60):
        states.add(window(index, {signal: value}, constant=True), None)
    assert ("dead" in states.holding) is dead


def test_a_round_number_is_dead_in_a_log_of_many_decimals() -> None:
    states = States(PARAMS, BURN_IN)
    for index in range(60):
        losses = {"d_loss": 50.0, "g_loss": 0.013 + 1e-6 * index}
        states.add(window(index, losses, constant=True), None)
    assert "dead" in states.holding


def test_running_means_of_two_decimals_are_not_dead() -> None:
    """Each stays for up to a dozen rows, often both at once."""
    rng = np.random.default_rng(0)
    drift = np.cumsum(0.004 * rng.standard_normal((2, 4000)), axis=1)
    levels = drift + np.array([[0.6], [1.2]])
    states = States(PARAMS, BURN_IN)
    for index, (d, g) in enumerate(np.abs(levels).T.round(2)):
        states.add(window(index, {"d_loss": d, "g_loss": g}, constant=True), None)
    assert "dead" not in [state.name for state in states.all]
    for index in range(4000, 4060):
        states.add(window(index, {"d_loss": 0.69, "g_loss": 0.71}, constant=True), None)
    assert "dead" in states.holding


def test_windows_that_are_constant_but_differ_are_not_dead() -> None:
    states = States(PARAMS, BURN_IN)
    for index in range(60):
        states.add(window(index, {"d_loss": 1.2345 + index / 1000}, constant=True), None)
    assert "dead" not in states.holding


def test_values_that_are_written_again_and_again_are_not_dead() -> None:
    """A bar shows the losses of every 200th iteration, four windows long."""
    states = States(PARAMS, BURN_IN)
    for index in range(400):
        losses = {"d_loss": 1.2 + 0.00137 * (index // 4), "g_loss": 0.9 + 0.00211 * (index // 4)}
        assert not states.add(window(index, losses, constant=True), None)


def test_a_g_that_stands_still_is_dead_while_d_does_so_now_and_then() -> None:
    states = States(PARAMS, BURN_IN)
    for index in range(40):
        d = 0.0012 if index % 4 < 3 else 0.0013
        states.add(window(index, {"d_loss": d, "g_loss": 16.11809}, constant=True), None)
    assert "dead" in states.holding


def test_d_s_loss_at_exactly_nothing_is_vanished_and_not_dead() -> None:
    states = States(PARAMS, BURN_IN)
    for index in range(60):
        states.add(
            window(index, {"d_loss": 0.0, "g_loss": 5.0 + 0.01 * index}, constant=True), None
        )
    assert list(states.holding) == ["vanished"]


@pytest.mark.parametrize("signal", ["d_loss", "g_loss", "d_grad_norm", "g_grad_norm"])
@pytest.mark.parametrize("sign", [1, -1])
def test_orders_of_magnitude_over_its_middle_are_an_explosion(signal: str, sign: int) -> None:
    states = States(PARAMS, BURN_IN)
    assert run(states, None, 100, {signal: 1.0}) is None
    for index in range(100, 160):
        states.add(window(index, {signal: sign * 2.0 ** (index - 99)}), None)
    assert "exploding" in states.holding
    assert "grew to" in states.all[-1].words


def test_a_critic_that_runs_away_explodes_and_one_that_converges_does_not() -> None:
    critic = Family("wasserstein", "inferred")
    away = States(PARAMS, BURN_IN)
    for index in range(200):
        away.add(window(index, {"d_loss": -1.0 * max(index - 100, 1)}), critic)
    assert "exploding" in away.holding
    settling = States(PARAMS, BURN_IN)
    for index in range(200):
        settling.add(window(index, {"d_loss": -20 * math.exp(-index / 40) - 1}), critic)
    assert not settling.all


def test_growth_within_the_first_windows_is_no_explosion() -> None:
    states = States(PARAMS, BURN_IN)
    for index in range(12):
        assert not states.add(window(index, {"g_loss": 10.0 ** (index / 5)}), None)


def test_the_larger_an_explosion_the_fewer_windows_it_takes() -> None:
    for size, needed in ((1e3, 7), (1e6, 3), (1e16, 1)):
        states = States(PARAMS, BURN_IN)
        assert run(states, None, 30, {"d_loss": 1.3}) is None
        assert run(states, None, 20, {"d_loss": 1.3 * size}, start=30) == needed


def test_a_loss_that_comes_back_from_nothing_has_not_exploded() -> None:
    states = States(PARAMS, BURN_IN)
    for index in range(100):
        level = 1.386 if index < 5 or index > 50 else 0.002
        states.add(window(index, {"d_loss": level}), None)
    assert "exploding" not in {state.name for state in states.all}


def test_a_d_that_was_never_trained_has_not_won() -> None:
    """Before the GAN's loss is switched on D's is exactly 0."""
    states = States(PARAMS, BURN_IN)
    assert run(states, None, 100, {"d_loss": 0.0, "g_loss": 0.3}) is None
    run(states, None, 100, {"d_loss": 0.6, "g_loss": 0.9}, start=100)
    assert run(states, None, 100, {"d_loss": 0.0, "g_loss": 9.0}, start=200) is not None
    won = States(PARAMS, BURN_IN)
    assert run(won, None, 100, {"d_loss": 0.0, "g_loss": 27.6}) is not None


def test_a_small_loss_beside_one_as_small_has_not_won() -> None:
    """Weighted losses: D's 0.0139 and G's 0.0069 are at chance, of a weight of 0.02."""
    states = States(PARAMS, BURN_IN)
    assert run(states, None, 100, {"d_loss": 0.0069, "g_loss": 0.0139}) is None
    assert run(states, None, 100, {"d_loss": 0.0069, "g_loss": 4.0}, start=100) is not None


def test_d_has_lost_where_its_loss_is_high_and_g_pays_next_to_nothing() -> None:
    states = States(PARAMS, BURN_IN)
    run(states, None, 60, {"d_loss": 7.0, "g_loss": 0.001})
    assert list(states.holding) == ["fooled"]


LEVELS = {name: level for name, level in CHANCE.items() if level}


def held_out(
    states: States, places: list[bool], start: int = 1, name: str = "bce_mean"
) -> list[int]:
    """Evaluate D at steps `start` and on; return those at which a state was raised.

    At each place its loss on training images is below chance, by a fifth; on held-out ones by less
    than four fifths of that, if true.
    """
    level, raised = LEVELS[name], []
    for step, above in enumerate(places, start):
        test = (0.85 if above else 0.83) * level
        if states.add_held_out(step, 0.8 * level, test, Family(name, "given")):
            raised.append(step)
    return raised


@pytest.mark.parametrize("name", LEVELS)
def test_d_memorises_where_a_fifth_of_its_edge_is_lost_at_three_running(name: str) -> None:
    states = States(PARAMS, BURN_IN)
    assert held_out(states, [True, True, False, True, True, False], 1, name) == []
    assert held_out(states, [True] * 5, 7, name) == [9]
    (state,) = states.all
    assert states.holding == {"memorising": state}
    assert (state.since, state.raised, state.until) == (7, 9, None)
    # It holds until it was not so at three running.
    assert held_out(states, [False, False, True, False, False], 12, name) == []
    assert states.holding
    held_out(states, [False], 17, name)
    assert not states.holding
    assert (state.until, state.released) == (15, 17)
    assert held_out(states, [True] * 3, 18, name) == [20]
    assert states.all[1].since == 18


@pytest.mark.parametrize(
    ("train", "test"),
    [
        (0.70, 0.80),  # D is at chance on its own images, too: that is another state
        (0.60, 0.615),  # what it knows is true of others, too
        (0.692, 0.697),  # a thousand images tell no more
        (0.60, 0.55),
        (math.nan, 0.80),
        (0.60, math.nan),
    ],
)
def test_a_gap_by_itself_is_no_memorising(train: float, test: float) -> None:
    states = States(PARAMS, BURN_IN)
    assert not any(states.add_held_out(step, train, test, BCE) for step in range(100))


@pytest.mark.parametrize("family", [None, Family("wasserstein", "given")])
def test_without_a_level_no_loss_tells_of_memorising(family: Family | None) -> None:
    states = States(PARAMS, BURN_IN)
    assert not any(states.add_held_out(step, 0.0, 5.0, family) for step in range(100))


def test_false_alarms_of_memorising_are_as_rare_as_three_running() -> None:
    """An independent evaluation is above with probability p: an alarm takes p ** -3 at least."""
    rng, lengths, p = np.random.default_rng(0), [], 0.1
    for _ in range(200):
        evidence, count = Running(3), 0
        while not evidence.holds:
            count += 1
            evidence.add(bool(rng.random() < p), count)
        lengths.append(count)
    assert np.mean(lengths) >= p**-3 * (1 - 4 / math.sqrt(200))


def test_memorising_holds_while_any_of_its_evidence_does() -> None:
    states = States(PARAMS, BURN_IN)
    needed = least(0.1, PARAMS.state_limit)
    assert run(states, BCE, 20, {"d_sign_real": 0.95}) == needed
    assert held_out(states, [True] * 3, 52 * 20 + 1) == []  # it is known already
    run(states, BCE, 40, {"d_sign_real": 0.5}, start=21)
    assert list(states.holding) == ["memorising"]
    held_out(states, [False] * 3, 52 * 61)
    assert not states.holding
    assert len(states.all) == 1


def test_losses_in_a_log_of_signals_tell_as_those_of_evaluations_do() -> None:
    states = States(PARAMS, BURN_IN)
    for index in range(4):
        states.add(window(index, {"d_loss_train": 0.5, "d_loss_test": 0.8}), BCE)
        run(states, BCE, 8, {}, start=100 + 10 * index)  # windows that hold no evaluation
    (state,) = states.all
    assert (state.name, state.since, state.raised) == ("memorising", 52, 52 * 3)


def test_a_signal_that_is_missing_leaves_its_states_as_they_are() -> None:
    family, bad, good, _ = CASES["at_chance"]
    states = States(PARAMS, BURN_IN)
    run(states, family, 100, bad)
    run(states, family, 100, {}, start=100)
    assert list(states.holding) == ["at_chance"]
    run(states, family, 30, good, start=200)
    assert not states.holding


def test_the_limit_is_a_threshold() -> None:
    family, bad, _, share = CASES["at_chance"]
    states = States(Thresholds(state_limit=100), BURN_IN)
    assert run(states, family, 60, bad) == least(share, 100)


@pytest.mark.parametrize("name", ["bce_mean", "bce_sum"])
def test_what_is_printed_as_chance_is_at_chance(name: str) -> None:
    chance = CHANCE[name]
    assert chance is not None
    printed, family = round(chance, 3), Family(name, "given")
    assert printed < chance
    assert run(States(PARAMS, BURN_IN), family, 100, {"d_loss": printed}) == least(0.5, 1e5)
    # As the lowest of the trainings whose D is just under chance by design.
    assert run(States(PARAMS, BURN_IN), family, 500, {"d_loss": 0.998 * chance}) is None


def scatter(
    states: States, family: Family, count: int, mean: float, wobble: float, seed: int = 0
) -> State | None:
    """Feed `count` windows whose loss of D scatters evenly; return the first state raised."""
    rng = np.random.default_rng(seed)
    for index in range(count):
        loss = mean * (1 + wobble * rng.standard_normal())
        if raised := states.add(window(index, {"d_loss": loss}), family):
            return raised[0]
    return None


@pytest.mark.parametrize("name", LEVELS)
def test_a_loss_that_scatters_about_chance_is_at_chance(name: str) -> None:
    family, states = Family(name, "given"), States(PARAMS, BURN_IN)
    told = scatter(states, family, 500, LEVELS[name], 0.03)
    assert told is not None
    assert (told.name, states.at_chance.holds) == ("at_chance", True)
    # It is over when D gains what five errors of a mean of 32 tell.
    start = told.raised // 52
    for index in range(200):
        states.add(window(int(start) + index, {"d_loss": 0.95 * LEVELS[name]}), family)
    assert not states.holding
    assert told.until is not None
    assert told.released is not None
    assert told.since < told.until < told.released <= told.raised + 52 * 24


def test_a_small_gain_ends_a_d_at_chance() -> None:
    hinge, states = Family("hinge", "given"), States(PARAMS, BURN_IN)
    told = scatter(states, hinge, 500, 2.0, 0.03)
    assert told is not None
    rng = np.random.default_rng(1)
    for index in range(200):
        loss = 2 * (0.985 + 0.03 * rng.standard_normal())
        states.add(window(int(told.raised // 52) + index, {"d_loss": loss}), hinge)
    assert not states.holding


@pytest.mark.parametrize(("edge", "wobble"), [(0.01, 0.02), (0.003, 0.003), (0.05, 0.3)])
def test_a_small_gain_that_lasts_is_not_at_chance(edge: float, wobble: float) -> None:
    for seed in range(5):
        mean = (1 - edge) * math.log(2)
        assert scatter(States(PARAMS, BURN_IN), BCE, 2000, mean, wobble, seed) is None


def test_a_scatter_about_chance_is_known_before_the_family_is() -> None:
    states = States(PARAMS, BURN_IN)
    for index in range(300):  # as many above as below, and more so
        states.add(window(index, {"d_loss": 2.06 if index % 2 else 1.95}), None)
    assert not states.holding
    (state,) = states.add(window(300, {"d_loss": 2.06}), Family("hinge", "inferred"))
    assert (state.name, state.since) == ("at_chance", 52 * 173 + 1)


def test_windows_near_a_level_are_counted_before_the_family_is_known() -> None:
    states = States(PARAMS, BURN_IN)
    run(states, None, 20, {"d_loss": 1.38})
    assert (states.at_chance.near[CHANCE["bce_sum"] or 0], states.at_chance.near[2.0]) == (20, 0)
    run(states, None, 1, {"d_loss": 1.36}, start=20)
    assert states.at_chance.near[CHANCE["bce_sum"] or 0] == 0


def test_what_grows_a_millionfold_explodes_also_in_the_first_windows() -> None:
    def growing(factor: float) -> States:
        states = States(PARAMS, BURN_IN)
        for index in range(10):
            states.add(window(index, {"g_loss": 10 * factor**index}), None)
        return states

    assert list(growing(50.0).holding) == ["exploding"]
    assert not growing(5.0).holding


def test_a_state_goes_with_the_family_whose_level_told_it() -> None:
    states, critic = States(PARAMS, BURN_IN), Family("wasserstein", "inferred")
    assert run(states, None, 10, {"d_loss": 1e-4, "g_loss": 3.0}) is not None
    assert list(states.holding) == ["vanished"]
    run(states, critic, 1, {"g_loss": 3.0}, start=10)  # says nothing of D
    assert list(states.holding) == ["vanished"]
    run(states, critic, 1, {"d_loss": -5.0, "g_loss": 3.0}, start=11)
    assert not states.holding
    assert states.all[0].until == 52 * 12


def test_a_loss_between_whose_rows_others_stand_may_be_dead() -> None:
    states = States(PARAMS, BURN_IN)
    for index in range(2 * least(0.1, PARAMS.state_limit) + 4):
        medians = {"d_loss": 0.693147} if index % 2 else {"g_grad_norm": 1.0 + index}
        states.add(window(index, medians, constant=True), None)
    assert list(states.holding) == ["dead"]


def test_other_constant_values_are_another_standstill() -> None:
    states = States(PARAMS, BURN_IN)
    needed = least(0.1, PARAMS.state_limit) + 1
    for start, value in ((0, 0.693147), (needed, 0.512345)):
        for index in range(needed):
            states.add(window(start + index, {"d_loss": value}, constant=True), None)
    first, second = states.all
    assert first.until == second.since  # the same window ends one and begins the other
    assert second.until is None


def test_a_jump_beyond_all_numbers_is_an_explosion_and_no_error() -> None:
    states = States(PARAMS, BURN_IN)
    run(states, None, 30, {"g_loss": 1e-310})
    assert run(states, None, 10, {"g_loss": 1e300}, start=30) is not None
    assert list(states.holding) == ["exploding"]
