import dataclasses
import functools
import json
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from ganverdict.families import CHANCE
from ganverdict.monitor import Monitor, assess, fed_monitor
from ganverdict.signals import LOSSES
from ganverdict.verdict import STATUSES, Verdict
from tests.synthetic_runs import EPOCH, PARAMS, Columns, Failure, synthetic_run

BEGUN = 16.3  # epochs
FIRST_BAD_STEP = int(BEGUN * EPOCH) + 1
WINDOWS = 9  # an epoch


@functools.cache
def run(seed: int, failure: Failure) -> tuple[Columns, Columns]:
    return synthetic_run(seed, failure, epochs=25, at_epoch=BEGUN)


def judged(steps: Columns | None, epochs: Columns | None, **options: Any) -> Verdict:
    return assess(steps, epochs, **{"steps_per_epoch": EPOCH, **options})


def verdicts(failure: Failure, count: int) -> list[Verdict]:
    return [judged(*run(seed, failure)) for seed in range(count)]


def cut(columns: Columns, last_step: float) -> Columns:
    return {name: values[columns["step"] <= last_step] for name, values in columns.items()}


def losses(columns: Columns) -> Columns:
    return {name: columns[name] for name in ("step", "d_loss", "g_loss")}


def without(columns: Columns, *names: str) -> Columns:
    return {name: values for name, values in columns.items() if name not in names}


def series(epochs: int, seed: int = 0, **levels: ArrayLike) -> Columns:
    """A row a window of quiet signals: `levels` [epochs * 9] or numbers, times a little noise."""
    rng, count = np.random.default_rng(seed), epochs * WINDOWS
    columns: Columns = {"step": 52 * np.arange(1, count + 1)}
    for name, level in levels.items():
        columns[name] = np.broadcast_to(level, count) * np.exp(0.03 * rng.standard_normal(count))
    return columns


def evaluated(fds: ArrayLike, **others: ArrayLike) -> Columns:
    """An evaluation an epoch."""
    values = np.asarray(fds, dtype=np.float64)
    number = np.arange(1, len(values) + 1)
    measures = {name: np.asarray(column, dtype=np.float64) for name, column in others.items()}
    return {"epoch": number, "step": number * EPOCH, "fd": values, **measures}


# What it says of failures, over seeds.


@pytest.mark.slow
def test_healthy_runs_are_seldom_ended_and_seldom_warned_of() -> None:
    """Of 150-epoch runs at most one in a hundred may end, and one in twenty have an alarm.

    With these shares two ends or more of 8 have a chance of 0.3 %, three alarms or more of 0.6 %.
    """
    ends = alarms = 0
    for seed in range(8):
        monitor = fed_monitor(*synthetic_run(seed, epochs=150), steps_per_epoch=EPOCH)
        verdict = monitor.verdict()
        ends += verdict.went_wrong or bool(verdict.excursions)
        alarms += bool(monitor.alarms)
    assert ends <= 1
    assert alarms <= 2


@pytest.mark.parametrize("failure", ["none", "drift", "spike"])
def test_slow_drift_and_a_single_spike_are_nothing(failure: Failure) -> None:
    found = Counter(verdict.status for verdict in verdicts(failure, 10))
    assert found["stable"] >= 9
    assert found["stable"] + found["transient"] == 10


def test_a_jump_of_the_learning_rate_is_an_onset_that_alarms_within_an_epoch() -> None:
    for verdict in verdicts("rate", 10):
        assert (verdict.status, verdict.end) == ("onset", "roll_back")
        assert verdict.onset_step == verdict.alarm_step
        assert verdict.alarm_step is not None
        assert 0 <= verdict.alarm_step - FIRST_BAD_STEP <= EPOCH
        assert verdict.best_step is not None
        assert verdict.best_step < FIRST_BAD_STEP


def test_growing_gradients_are_an_onset_within_two_epochs() -> None:
    found = [judged(*synthetic_run(s, "explosion", epochs=32, at_epoch=BEGUN)) for s in range(10)]
    assert Counter(verdict.status for verdict in found)["onset"] >= 9
    delays = [(verdict.onset_step or 0) - FIRST_BAD_STEP for verdict in found]
    assert np.median(delays) <= 2 * EPOCH


def test_a_generator_that_no_longer_learns_is_a_stall() -> None:
    """Or a decline, where it froze at samples that were worse than its best."""
    found = verdicts("frozen", 10)
    assert {verdict.status for verdict in found} <= {"stall", "onset"}
    assert Counter(verdict.status for verdict in found)["stall"] >= 4
    for verdict in found:
        holding = {state.name for state in verdict.states if state.until is None}
        assert holding == {"vanished", "saturated"}
        assert all(0 < state.raised - FIRST_BAD_STEP < 2 * EPOCH for state in verdict.states)


def test_a_collapse_to_one_digit_is_certain_at_the_second_evaluation() -> None:
    for verdict in verdicts("one_digit", 10):
        assert verdict.status in ("silent", "onset")
        assert verdict.onset_epoch == int(BEGUN) + 1
        assert verdict.confirm_epoch == int(BEGUN) + 2
        assert verdict.best_epoch is not None
        assert verdict.best_epoch <= int(BEGUN)


def test_a_slow_decline_that_no_signal_shows_is_mostly_silent() -> None:
    found = [judged(*synthetic_run(s, "silent", epochs=36, at_epoch=BEGUN)) for s in range(8)]
    assert sum(verdict.went_wrong for verdict in found) >= 7
    assert Counter(verdict.status for verdict in found)["silent"] >= 6


def test_d_at_chance_announces_a_slow_decline_at_any_distance() -> None:
    for seed in range(5):
        verdict = judged(*synthetic_run(seed, "chance", epochs=50, at_epoch=BEGUN))
        assert (verdict.status, verdict.signal) == ("onset", "at_chance")
        assert verdict.alarm_step is not None
        assert BEGUN * EPOCH < verdict.alarm_step <= (BEGUN + 8) * EPOCH
        assert verdict.onset_step is not None
        assert (verdict.lead or 0) >= 1
        assert [state.until for state in verdict.states if state.name == "at_chance"] == [None]


# Not finite.


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("signal", LOSSES)
def test_a_loss_that_is_not_finite_is_known_to_the_exact_step(signal: str, value: float) -> None:
    steps, epochs = run(0, "none")
    steps = {**steps, signal: steps[signal].copy()}
    steps[signal][4321:] = value
    epochs = {**epochs, "fd": np.where(epochs["step"] > 4321, np.nan, epochs["fd"])}
    verdict = judged(cut(steps, 12 * EPOCH), cut(epochs, 12 * EPOCH))
    assert (verdict.status, verdict.signal, verdict.end) == ("diverged", signal, "roll_back")
    assert verdict.onset_step == steps["step"][4321]
    assert verdict.onset_epoch == 4321 // EPOCH + 1
    assert verdict.best_epoch is not None
    assert verdict.best_epoch <= 4321 // EPOCH
    assert "not finite at step 4,322" in verdict.reason


def test_one_value_that_training_overcomes_is_a_transient_with_its_step() -> None:
    steps, epochs = run(0, "none")
    steps = {**steps, "d_loss": steps["d_loss"].copy()}
    steps["d_loss"][4321] = np.nan
    verdict = judged(steps, epochs)
    assert (verdict.status, verdict.signal, verdict.end) == ("transient", "d_loss", "go_on")
    assert "the loss of D is not finite at step 4,322 for 1 row; training went on" in verdict.reason


def test_infinite_gradient_norms_of_mixed_precision_are_no_failure() -> None:
    steps, epochs = run(0, "none")
    steps = {**steps, "g_grad_norm": steps["g_grad_norm"].copy()}
    steps["g_grad_norm"][::200] = np.inf
    assert judged(steps, epochs).status == judged(*run(0, "none")).status


def test_a_failure_in_the_first_step_leaves_nothing_to_keep() -> None:
    verdict = judged({"step": np.array([1, 2]), "g_loss": np.array([np.nan, np.nan])}, None)
    assert (verdict.status, verdict.onset_step, verdict.best_step) == ("diverged", 1, None)
    assert verdict.end == "end"


def test_an_alarm_before_the_failure_is_reported_with_it() -> None:
    steps, epochs = run(1, "rate")
    steps = {**steps, "d_loss": steps["d_loss"].copy()}
    steps["d_loss"][17 * EPOCH - 1 :] = np.nan  # before the evaluations that would have confirmed
    verdict = judged(steps, epochs)
    assert (verdict.status, verdict.onset_step) == ("diverged", 17 * EPOCH)
    assert verdict.alarm_step is not None
    assert FIRST_BAD_STEP <= verdict.alarm_step < 17 * EPOCH


def test_an_onset_stays_the_onset_when_a_failure_follows() -> None:
    steps, epochs = run(1, "rate")
    onset = judged(steps, epochs)
    steps = {**steps, "d_loss": steps["d_loss"].copy()}
    steps["d_loss"][24 * EPOCH :] = np.nan
    verdict = judged(steps, epochs)
    assert verdict.status == "onset"
    assert verdict.onset_step == onset.onset_step
    assert f"not finite from step {24 * EPOCH + 1:,} on" in verdict.reason


def test_missing_values_are_not_failures() -> None:
    steps, epochs = run(1, "rate")
    holes = np.arange(len(steps["step"])) % 10 != 0
    nothing = np.ones(len(holes), dtype=np.bool_)
    norms = [name for name in steps if name.endswith("norm")]

    def masked(mask: NDArray[np.bool_]) -> dict[str, ArrayLike]:
        gaps = {name: np.ma.masked_array(steps[name], mask=mask) for name in norms}
        return {**steps, **gaps}

    assert assess(masked(holes), epochs, steps_per_epoch=EPOCH).status == "onset"
    kept = without(steps, *norms)
    assert assess(masked(nothing), epochs, steps_per_epoch=EPOCH) == judged(kept, epochs)


def test_an_fd_that_is_not_finite_is_a_missing_fd() -> None:
    steps, epochs = run(1, "rate")
    epochs = {**epochs, "fd": epochs["fd"].copy()}
    best = judged(steps, epochs).best_epoch
    assert best is not None
    epochs["fd"][int(best) - 1] = np.nan
    verdict = judged(steps, epochs)
    assert verdict.status == "onset"
    assert verdict.best_epoch not in (None, best)
    assert verdict.best_value is not None
    assert math.isfinite(verdict.best_value)


# Streaming.


@settings(max_examples=10)
@given(
    st.sets(st.integers(1, 20 * EPOCH), max_size=60),
    st.sampled_from(["rate", "not_finite", "frozen"]),
)
def test_however_the_series_is_cut_the_verdict_is_the_same(
    cuts: set[int], failure: Failure
) -> None:
    steps, epochs = (cut(columns, 20 * EPOCH) for columns in run(1, failure))
    monitor = Monitor(steps_per_epoch=EPOCH)
    raised = []
    start = 0
    for stop in sorted(cuts | {EPOCH * epoch for epoch in range(1, 21)}):
        part = {name: values[start:stop] for name, values in steps.items()}
        raised += monitor.add_steps(part.pop("step"), part)
        start = stop
        if stop % EPOCH == 0:
            row = {name: float(values[stop // EPOCH - 1]) for name, values in epochs.items()}
            del row["step"]
            monitor.add_evaluation(stop, row, row.pop("epoch"))
    assert monitor.verdict() == judged(steps, epochs)
    assert monitor.verdict().went_wrong
    assert tuple(raised) == monitor.alarms


@pytest.mark.parametrize("failure", ["rate", "frozen", "silent", "chance"])
def test_the_verdict_on_a_prefix_is_the_streaming_verdict_then(failure: Failure) -> None:
    steps, epochs = run(3, failure)
    monitor = Monitor(steps_per_epoch=EPOCH)
    for number in range(1, 26):
        part = {
            name: values[EPOCH * (number - 1) : EPOCH * number] for name, values in steps.items()
        }
        monitor.add_steps(part.pop("step"), part)
        row = {name: float(values[number - 1]) for name, values in epochs.items()}
        streaming = monitor.add_evaluation(row.pop("step"), row, row.pop("epoch"))
        if number % 4 == 1:
            end = EPOCH * number
            assert streaming == judged(cut(steps, end), cut(epochs, end))


@settings(max_examples=8)
@given(st.integers(5 * EPOCH, 25 * EPOCH), st.sampled_from(["explosion", "chance"]))
def test_what_is_known_at_a_step_depends_on_nothing_after_it(step: int, failure: Failure) -> None:
    steps, epochs = run(1, failure)
    until_now = fed_monitor(cut(steps, step), cut(epochs, step), steps_per_epoch=EPOCH)
    # The past stays as it is when the future is another one.
    altered: Columns = {
        name: values if name == "step" else np.where(steps["step"] > step, 1e6 * values, values)
        for name, values in steps.items()
    }
    for later in (steps, altered):
        whole = fed_monitor(later, epochs, steps_per_epoch=EPOCH)
        before = [(a.step, a.signal, a.words) for a in whole.alarms if a.step <= step]
        assert [(a.step, a.signal, a.words) for a in until_now.alarms] == before


def test_a_confirmed_decline_stays_until_a_new_best() -> None:
    steps, epochs = run(1, "rate")
    whole = judged(steps, epochs)
    assert whole.confirm_step is not None
    earlier = judged(cut(steps, whole.confirm_step), cut(epochs, whole.confirm_step))
    told = ("status", "reason", "onset_step", "confirm_step", "alarm_step", "best_step")
    assert [getattr(earlier, name) for name in told] == [getattr(whole, name) for name in told]
    better = {**epochs, "fd": epochs["fd"].copy()}
    better["fd"][-1] = 0.9 * better["fd"].min()
    assert judged(steps, better).status == "excursion"


# Units and gaps.


@pytest.mark.parametrize("failure", ["rate", "none", "frozen"])
@pytest.mark.parametrize("factor", [1e-3, 784.0])
def test_units_of_gradients_steps_and_fd_do_not_matter(failure: Failure, factor: float) -> None:
    steps, epochs = run(2, failure)
    scaled: Columns = {
        n: np.asarray(v * factor) if n.endswith(("norm", "ratio")) else v for n, v in steps.items()
    }
    before = judged(steps, epochs)
    # By a name of its own: of fd, FID and KID it is known what little but noise comes to.
    after = judged(
        scaled, {**without(epochs, "fd"), "m": np.asarray(epochs["fd"] * factor)}, metric="m"
    )
    told = ("status", "end", "onset_step", "confirm_step", "best_step", "length_step", "signal")
    assert [getattr(after, name) for name in told] == [getattr(before, name) for name in told]


@pytest.mark.parametrize("factor", [1e-3, 784.0])
def test_units_of_a_critic_s_loss_do_not_matter(factor: float) -> None:
    jump = np.where(np.arange(20 * WINDOWS) < 15 * WINDOWS, 1.0, 2.0)
    critic = series(20, d_loss=-jump, g_loss=jump)
    scaled: Columns = {
        name: np.asarray(v * factor) if name in LOSSES else v for name, v in critic.items()
    }
    one, other = (judged(steps, None, loss="wasserstein") for steps in (critic, scaled))
    assert (one.status, one.alarm_step) == (other.status, other.alarm_step)
    assert one.status == "transient"


@pytest.mark.parametrize("stride", [10, 50, 100])
@pytest.mark.parametrize("failure", ["rate", "none", "frozen"])
def test_thinner_logs_give_the_same_kind_of_verdict(failure: Failure, stride: int) -> None:
    steps, epochs = run(2, failure)
    thin = {name: values[stride - 1 :: stride] for name, values in steps.items()}
    assert judged(thin, epochs).status == judged(steps, epochs).status


def test_a_log_without_epochs_is_read_by_windows_of_its_own() -> None:
    steps, epochs = run(2, "rate")
    found = judged(steps, without(epochs, "epoch"), steps_per_epoch=None)
    assert found.status == "onset"
    assert (found.onset_epoch, found.best_epoch) == (None, None)
    assert found.best_step is not None


def test_one_row_an_epoch_is_enough_for_a_verdict_and_told_by_epochs() -> None:
    number = np.arange(1, 41)
    rng = np.random.default_rng(0)
    jump = np.exp(1.5 * (number > 27) + 0.05 * rng.standard_normal(40))
    steps: Columns = {"step": number, "d_loss": 0.5 + 0 * jump, "g_loss": jump}
    fds = np.where(number > 31, 80.0, 20 + 100 * np.exp(-number / 5.0))
    epochs: Columns = {"epoch": number, "step": number, "fd": fds}
    verdict = assess(steps, epochs, unit="epoch", steps_per_epoch=1)
    assert (verdict.status, verdict.onset_epoch, verdict.best_epoch) == ("onset", 32, 31)
    assert "epoch 3" in verdict.reason
    assert "step" not in verdict.reason


def test_losses_below_zero_are_watched_too() -> None:
    rng = np.random.default_rng(0)
    step = np.arange(1, 20 * EPOCH + 1)
    critic = 0.3 * rng.standard_normal(len(step)) - 0.5
    quiet = judged({"step": step, "d_loss": critic, "g_loss": -critic}, None)
    assert (quiet.status, quiet.loss) == ("stable", "wasserstein")
    critic[15 * EPOCH :] -= 0.7
    verdict = judged({"step": step, "d_loss": critic, "g_loss": -critic}, None)
    assert verdict.status == "transient"
    assert verdict.alarm_step is not None
    assert 15 * EPOCH < verdict.alarm_step <= 16 * EPOCH


# What could not be known.


def test_losses_alone_alarm_and_say_that_nothing_could_confirm_it() -> None:
    steps, _ = run(1, "rate")
    verdict = judged(losses(steps), None)
    assert (verdict.status, verdict.end) == ("transient", "go_on")
    assert verdict.alarm_step is not None
    assert FIRST_BAD_STEP <= verdict.alarm_step <= FIRST_BAD_STEP + EPOCH
    assert "no evaluations were given" in verdict.reason
    assert (verdict.best_step, verdict.best_value, verdict.length_step) == (None, None, None)
    assert any("no metric" in words for words in verdict.unknown)
    assert any("family" in words for words in verdict.unknown)


def test_losses_with_fd_are_enough_for_an_onset() -> None:
    steps, epochs = run(1, "rate")
    fd = {name: epochs[name] for name in ("epoch", "step", "fd")}
    assert judged(losses(steps), fd).status == "onset"


def test_evaluations_alone_tell_what_to_keep_and_when_it_declined() -> None:
    _, epochs = run(1, "rate")
    verdict = judged(None, epochs)
    assert verdict.status == "silent"
    assert verdict.best_epoch is not None
    assert verdict.best_epoch <= int(BEGUN)
    assert any("no losses were given" in words for words in verdict.unknown)


def test_a_stable_verdict_says_what_it_was_judged_by() -> None:
    steps, epochs = run(0, "none")
    verdict = judged(steps, epochs)
    assert "watched: all signals in 225 windows, changes from step " in verdict.reason
    assert "25 evaluations of fd" in verdict.reason
    watched = verdict.watched
    assert (watched.rows, watched.evaluations) == (25 * EPOCH, 25)
    assert set(watched.windows.values()) == {225}
    assert watched.charted == 225 - 5 * WINDOWS
    assert watched.charted_from == 5 * EPOCH + 1
    assert "the loss of D and the loss of G" in judged(losses(steps), None).reason


@pytest.mark.parametrize("rows", [0, 1, 60])
def test_too_little_is_unwatched_and_not_stable(rows: int) -> None:
    steps, _ = run(0, "none")
    verdict = judged(cut(steps, rows) if rows else None, None)
    assert (verdict.status, verdict.went_wrong, verdict.end) == ("unwatched", False, "go_on")
    assert verdict.reason.startswith("too little to tell: ")
    assert verdict.best_step is None


def test_a_signal_that_tells_no_state_is_watched_only_for_changes() -> None:
    def status(epochs: int, **levels: float) -> str:
        return judged(series(epochs, 0, **levels), None).status

    assert status(20, d_score_real=0.7) == "unwatched"  # never compared with its past
    assert status(4, d_grad_norm=0.7) == "unwatched"
    assert status(20, d_grad_norm=0.7) == "stable"
    assert status(4, d_real=0.7, d_fake=0.3) == "stable"


def test_a_run_within_the_burn_in_is_watched_for_states_and_says_that_changes_were_not() -> None:
    steps, epochs = (cut(columns, 4 * EPOCH) for columns in run(0, "none"))
    verdict = judged(steps, epochs)
    assert verdict.status == "stable"
    assert "too few to tell changes" in verdict.reason
    assert verdict.best_epoch is not None


# How alarms, evaluations and time belong together.


def jumps_and_fds(jump_epoch: float, bad_epoch: int, epochs: int = 24) -> tuple[Columns, Columns]:
    """Quiet signals that jump for good, and an fd that triples at a later epoch."""
    at = np.arange(1, epochs * WINDOWS + 1) / WINDOWS
    fds = np.where(np.arange(1, epochs + 1) < bad_epoch, 20.0, 60.0)
    return series(epochs, d_grad_norm=np.where(at > jump_epoch, 3.0, 1.0)), evaluated(fds)


def test_without_an_alarm_the_onset_is_the_first_bad_evaluation() -> None:
    steps, epochs = jumps_and_fds(99, 99)
    epochs["fd"][12:] = 31.0
    verdict = judged(steps, epochs)
    assert (verdict.status, verdict.signal, verdict.alarm_step) == ("silent", "fd", None)
    assert (verdict.onset_step, verdict.onset_epoch) == (13 * EPOCH, 13)
    assert verdict.confirm_epoch == 15
    assert "stayed there for 3 evaluations, at epoch 15; no signal warned" in verdict.reason


def test_a_change_waits_five_evaluations_and_no_longer() -> None:
    alone = fed_monitor(jumps_and_fds(12, 99)[0], None, steps_per_epoch=EPOCH)
    last = max(alarm.step for alarm in alone.alarms)  # the jump has become the past
    late = -(-int(last) // EPOCH) + PARAMS.confirm_evaluations
    waited = judged(*jumps_and_fds(12, late))
    assert (waited.status, waited.confirm_epoch) == ("onset", late + 1)
    assert judged(*jumps_and_fds(12, late + 2)).status == "silent"
    assert "no signal warned in time" in judged(*jumps_and_fds(12, late + 2)).reason
    improving = evaluated(np.geomspace(99, 9, 24))
    assert judged(jumps_and_fds(12, 99)[0], improving).status == "transient"


def test_a_change_waits_for_the_next_evaluations_however_late_they_are() -> None:
    steps, epochs = jumps_and_fds(12, 20)
    alarms = fed_monitor(steps, None, steps_per_epoch=EPOCH).alarms
    assert max(alarm.step for alarm in alarms) < 17 * EPOCH
    sparse = {name: values[[0, 2, 4, 6, 9, 22, 23]] for name, values in epochs.items()}
    assert judged(steps, sparse).status == "onset"


def at_chance_for(windows: slice, epochs: int) -> NDArray[np.float64]:
    losses = np.full(epochs * WINDOWS, 0.5)
    losses[windows] = 0.72
    return losses + 1e-4 * np.random.default_rng(0).standard_normal(len(losses))  # it moves


def chance(windows: slice, fds: ArrayLike) -> Verdict:
    count = len(np.asarray(fds))
    steps = series(count, d_loss=1.0, g_loss=0.9)
    steps["d_loss"] = at_chance_for(windows, count)
    return judged(steps, evaluated(fds), loss="bce_mean")


def test_a_state_is_pending_for_as_long_as_it_holds_and_no_longer() -> None:
    fds = [*np.geomspace(100, 20, 8), *[20.0] * 20, *[60.0] * 3]
    held = chance(slice(5 * WINDOWS, None), fds)
    assert (held.status, held.signal, held.lead) == ("onset", "at_chance", 21)
    # The onset is dated by samples, and the announcement by the alarm.
    assert held.onset_epoch == 29
    assert held.alarm_step is not None
    assert held.alarm_step < 10 * EPOCH
    passed = chance(slice(5 * WINDOWS, 15 * WINDOWS), fds)
    assert passed.status == "silent"
    (state,) = passed.states
    assert state.until is not None
    assert state.since < state.raised < state.until < 18 * EPOCH


def test_a_state_that_comes_to_nothing_is_a_risk_that_is_told() -> None:
    fds = np.geomspace(100, 10, 30)
    verdict = chance(slice(20 * WINDOWS, None), fds)
    assert (verdict.status, verdict.end) == ("stable", "go_on")
    assert "a risk that has come to nothing" in verdict.reason
    assert "from step 9,412 on" in verdict.reason
    passed = chance(slice(15 * WINDOWS, 20 * WINDOWS), fds)
    assert (passed.status, passed.signal) == ("transient", "at_chance")


def test_a_state_that_has_passed_by_the_end_of_the_burn_in_is_not_worth_telling() -> None:
    steps = series(20, d_loss=1.0, g_loss=0.9)
    steps["d_loss"] *= np.where(np.arange(20 * WINDOWS) < 3 * WINDOWS, 0.01, 0.5)
    verdict = judged(steps, evaluated(np.geomspace(100, 10, 20)))
    assert verdict.status == "stable"
    assert [state.name for state in verdict.states] == ["vanished"]


def test_less_is_enough_to_confirm_where_a_state_holds() -> None:
    fds = [*np.geomspace(100, 20, 20), *[20 * 1.012**i for i in range(1, 11)]]
    held = chance(slice(10 * WINDOWS, None), fds)
    assert (held.status, held.confirm_epoch) == ("onset", 28)
    assert chance(slice(0, 0), fds).status == "stable"


def test_damage_that_was_measured_before_the_alarm_is_the_onset() -> None:
    steps, epochs = jumps_and_fds(13.2, 99)
    epochs["fd"][12:] = 32.0  # from epoch 13 on, bad but not certain before epoch 15
    verdict = judged(steps, epochs)
    assert verdict.status == "onset"
    assert verdict.onset_step == 13 * EPOCH
    assert verdict.alarm_step is not None
    assert verdict.alarm_step > 13 * EPOCH


def test_the_reason_names_signal_size_step_and_what_confirmed_it() -> None:
    verdict = judged(*jumps_and_fds(12, 14))
    assert verdict.signal == "d_grad_norm"
    assert "the gradient norm of D rose" in verdict.reason
    assert "deviations above the last 10 epochs" in verdict.reason
    assert f"at step {verdict.alarm_step:,}" in verdict.reason
    assert "fd rose to 3 times its best and stayed there for 2 evaluations" in verdict.reason
    assert "at epoch 15" in verdict.reason


def test_a_run_that_gets_well_again_without_a_new_best_has_declined_no_more() -> None:
    steps, epochs = jumps_and_fds(12, 14)
    assert not judged(steps, epochs).recovered
    epochs["fd"][16:] = 20.1
    early = judged(cut(steps, 21 * EPOCH), cut(epochs, 21 * EPOCH))
    assert (early.status, early.recovered) == ("onset", True)
    verdict = judged(steps, epochs)
    assert (verdict.status, verdict.went_wrong, verdict.best_epoch) == ("plateau", False, 1)
    assert len(verdict.excursions) == 1


# Stalls.


def sure_without_losses() -> tuple[Columns, Columns]:
    """A frozen generator that only D's certainty tells of."""
    steps, epochs = run(0, "frozen")
    return without(steps, "d_loss", "g_loss"), epochs


def losses_without_certainty() -> tuple[Columns, Columns]:
    """A frozen generator before a discriminator too small to be sure."""
    jump = np.where(np.arange(25 * WINDOWS) < 16 * WINDOWS, 0.0, 1.0)
    steps = series(25, d_loss=0.5 * np.exp(-jump), g_loss=0.9 * np.exp(jump))
    fds = np.geomspace(100, 20, 16)
    return steps, evaluated([*fds, *[20.0] * 9])


@pytest.mark.parametrize("frozen", [sure_without_losses, losses_without_certainty])
def test_a_stall_is_none_where_samples_improve(
    frozen: Callable[[], tuple[Columns, Columns]],
) -> None:
    steps, epochs = frozen()
    assert judged(steps, epochs).status == "stall"
    better = {**epochs, "fd": epochs["fd"] * 0.97 ** np.arange(len(epochs["fd"]))}
    assert judged(steps, better).status in ("transient", "stable")


@pytest.mark.parametrize("frozen", [sure_without_losses, losses_without_certainty])
def test_a_stall_takes_three_evaluations_without_improvement_and_ends_by_patience(
    frozen: Callable[[], tuple[Columns, Columns]],
) -> None:
    steps, epochs = frozen()
    whole = judged(steps, epochs)
    assert whole.onset_epoch is not None

    def at(epoch: float) -> Verdict:
        return judged(cut(steps, epoch * EPOCH), cut(epochs, epoch * EPOCH))

    first = next(epoch for epoch in range(10, 26) if at(epoch).status == "stall")
    assert first >= whole.onset_epoch + PARAMS.stall_evaluations
    assert first <= whole.onset_epoch + PARAMS.stall_evaluations + 2
    assert at(first).end == "go_on"
    assert whole.end == "end"


def test_a_discriminator_that_is_no_longer_sure_is_no_stall() -> None:
    steps, epochs = sure_without_losses()
    late = steps["step"] > 22 * EPOCH
    unsure = {**steps, "d_real": np.where(late, 0.6, steps["d_real"])}
    assert judged(unsure, epochs).status == "transient"


def test_to_call_everything_fake_is_not_to_be_sure() -> None:
    steps, epochs = sure_without_losses()
    assert judged({**steps, "d_real": steps["d_fake"]}, epochs).status == "stable"


def fooled(since: int) -> tuple[Columns, Columns]:
    """D calls everything real from an epoch's end on, and samples stay what they were."""
    late = np.arange(25 * WINDOWS) >= since * WINDOWS
    steps = series(25, d_grad_norm=1.0)
    steps |= {name: np.where(late, 0.999, 0.6) for name in ("d_real", "d_fake")}
    fds = np.geomspace(100, 20, since) if since else [20.0]
    return steps, evaluated([*fds, *[20.0] * (25 - len(fds))])


def test_a_discriminator_that_takes_everything_for_real_alarms_and_is_a_stall() -> None:
    verdict = judged(*fooled(15))
    assert (verdict.status, verdict.signal, verdict.end) == ("stall", "fooled", "end")
    assert verdict.reason.startswith("D took everything for real (D(x) and D(G(z)) over 0.99)")
    assert verdict.onset_step == 15 * EPOCH + 52  # its first row
    assert verdict.alarm_step is not None
    assert 15 * EPOCH < verdict.alarm_step <= 16 * EPOCH


def test_a_state_from_the_start_is_told_within_the_first_epoch() -> None:
    steps, epochs = fooled(0)
    verdict = judged(steps, epochs)
    assert (verdict.status, verdict.onset_step) == ("stall", 52)
    assert verdict.alarm_step is not None
    assert verdict.alarm_step <= EPOCH
    early = judged(cut(steps, 2 * EPOCH), None)
    assert (early.status, early.signal) == ("stall", "fooled")


def test_a_stall_without_any_metric_ends_a_training_after_twelve_windows() -> None:
    steps, _ = fooled(15)
    verdict = judged(steps, None)
    assert (verdict.status, verdict.end) == ("stall", "end")
    assert "no metric was given" in verdict.reason
    enough = judged(cut(steps, 15 * EPOCH + 52 * PARAMS.stall_windows), None)
    assert (enough.status, enough.end) == ("stall", "end")
    early = judged(cut(steps, 15 * EPOCH + 52 * (PARAMS.stall_windows - 2)), None)
    assert (early.status, early.end) == ("stall", "go_on")
    assert "certain after 12 windows" in early.end_reason
    uncertain = judged(cut(steps, 15 * EPOCH + 52 * 5), None)
    assert uncertain.status == "stable"


def test_samples_that_get_better_little_by_little_are_no_stall() -> None:
    """D's loss is at nothing, and each evaluation is a new best by 1 %."""
    steps = series(25, d_loss=0.5, g_loss=0.9)
    steps["d_loss"][15 * WINDOWS :] *= 1e-3
    steps["g_loss"][15 * WINDOWS :] *= 9
    fds = np.array([*np.geomspace(100, 20, 15), *[20 * 0.99**i for i in range(1, 11)]])
    better = judged(steps, evaluated(fds))
    assert [state.name for state in better.states] == ["vanished"]
    assert not better.went_wrong
    level = judged(steps, evaluated([*fds[:15], *[20.0] * 10]))
    assert level.status == "stall"
    assert "fd has not improved by 5% in " in level.reason


def test_d_pulls_ahead_explains_nothing_where_samples_stood_still_before() -> None:
    steps, epochs = losses_without_certainty()
    flat = judged(steps, evaluated([20.0] * 25))
    assert (flat.status, judged(steps, epochs).status) == ("plateau", "stall")


def test_d_pulls_ahead_where_its_loss_falls_while_that_of_g_rises_and_fd_tells_no_gain() -> None:
    steps, epochs = losses_without_certainty()
    verdict = judged(steps, epochs)
    assert verdict.reason.startswith("D pulls ahead: the loss of")
    assert verdict.onset_step == verdict.alarm_step
    for one in LOSSES:
        assert judged(without(steps, one), epochs).status == "transient"
        level = {**steps, one: series(25, d_loss=0.5, g_loss=0.9)[one]}
        assert judged(level, epochs).status == "transient"
    assert judged(steps, None).status == "transient"


# Level and direction.


def test_a_g_that_never_learned_is_told_with_the_state_that_explains_it() -> None:
    steps = series(12, d_loss=1e-4, g_loss=9.0)
    fids = 300 * np.exp(0.01 * np.random.default_rng(0).standard_normal(12))
    verdict = judged(steps, {**without(evaluated(fids), "fd"), "fid": fids}, metric="fid")
    assert (verdict.status, verdict.end, verdict.signal) == ("never_learned", "end", "vanished")
    assert "fid was" in verdict.reason
    assert "D's loss was close to 0" in verdict.reason
    assert verdict.remedies


def test_a_g_that_never_learned_without_a_cause_ends_when_patience_is_lost() -> None:
    fids = [300.0, 303.0, 299.0, 301.0, 302.0, 298.0, 300.0, 301.0, 303.0]
    early = judged(None, evaluated(fids, fid=fids), metric="fid")
    assert (early.status, early.end) == ("never_learned", "go_on")
    assert early.end_reason.startswith("3 of 8 evaluations without a better one")
    fids += [301.0] * 5
    late = judged(None, evaluated(fids, fid=fids), metric="fid")
    assert (late.status, late.end) == ("never_learned", "end")


def test_a_plateau_goes_on_while_the_latest_is_the_best() -> None:
    fds = [*np.geomspace(100, 20, 12), *[20.0 * 0.999**i for i in range(1, 22)]]
    newest = judged(None, evaluated(fds))
    assert (newest.status, newest.end) == ("plateau", "go_on")
    assert newest.end_reason.startswith("the latest evaluation is the best")
    after = judged(None, evaluated([*fds, 20.0]))
    assert (after.status, after.end) == ("plateau", "end")


def test_a_loss_that_is_constant_to_the_last_digit_is_dead() -> None:
    steps = series(12, g_loss=0.9)
    steps["d_loss"] = np.full(12 * WINDOWS, 16.118095)
    verdict = judged(steps, None)
    assert (verdict.status, verdict.signal, verdict.end) == ("stall", "dead", "end")
    assert "the loss of D was the same to the last digit" in verdict.reason
    assert verdict.onset_step is not None
    assert verdict.onset_step <= 2 * 52


def test_a_critic_that_runs_away_diverges() -> None:
    ramp = 4.0 ** np.clip(np.arange(25 * WINDOWS) / WINDOWS - 15, 0, None)
    steps = series(25, d_loss=-ramp, g_loss=ramp)
    fds = [*np.geomspace(100, 20, 15), *[20.2] * 10]
    for epochs in (None, evaluated(fds)):
        verdict = judged(steps, epochs)
        assert (verdict.status, verdict.signal) == ("diverged", "exploding")
        assert verdict.end == ("end" if epochs is None else "roll_back")
        assert verdict.loss == "wasserstein"
        assert "grew to" in verdict.reason


@pytest.mark.parametrize("family", [name for name, level in CHANCE.items() if level])
def test_d_at_chance_is_judged_by_the_level_of_the_family(family: str) -> None:
    level = CHANCE[family] or 0.0
    fds = [*np.geomspace(100, 20, 10), *[20 * 1.03**i for i in range(1, 16)]]
    for times, states in ((1.02, ["at_chance"]), (0.95, [])):
        steps = series(25, g_loss=0.9)
        noise = np.random.default_rng(0).standard_normal(25 * WINDOWS)
        steps["d_loss"] = times * level * (1 + 0.01 * noise)
        verdict = judged(steps, evaluated(fds), loss=family)
        assert [state.name for state in verdict.states] == states
        assert verdict.status == ("onset" if states else "silent")
        assert verdict.loss_source == "given"


def test_a_metric_that_is_broken_is_not_gone_by() -> None:
    steps, epochs = run(0, "none")
    fds = epochs["fd"].copy()
    fds[[10, 15, 20]] = [-3.0, 1e9, 1e9]
    verdict = judged(steps, {**epochs, "fd": fds})
    assert (verdict.status, verdict.end, verdict.onset_step) == (
        "metric_broken",
        "go_on",
        11 * EPOCH,
    )
    assert "mend it first" in verdict.end_reason
    assert verdict.best_value is not None
    assert verdict.best_value > 0


def test_no_gain_for_long_is_a_plateau_and_no_failure() -> None:
    fds = [*np.geomspace(100, 20, 10), *[20.0] * 16]
    early = judged(series(20, d_loss=0.5, g_loss=0.9), evaluated(fds[:20]))
    assert (early.status, early.end) == ("plateau", "go_on")
    assert early.end_reason.startswith(
        "for 6 more evaluations, and end unless one of them is better"
    )
    verdict = judged(series(26, d_loss=0.5, g_loss=0.9), evaluated(fds))
    assert (verdict.status, verdict.end, verdict.went_wrong) == ("plateau", "end", False)
    assert not verdict.ends_training
    assert "nothing says that better ones will come" in verdict.end_reason
    sure = judged(series(26, d_loss=0.01, g_loss=0.9), evaluated(fds))
    assert sure.reason.startswith(f"{verdict.reason}; D's loss was close to 0")


def test_a_decline_that_comes_back_to_a_new_best_is_an_excursion_and_no_end() -> None:
    fds = [*np.geomspace(100, 20, 10), 45.0, 45.0, 45.0, 30.0, 19.0, 18.0]
    verdict = judged(None, evaluated(fds))
    assert (verdict.status, verdict.end, verdict.best_epoch) == ("excursion", "go_on", 16)
    assert verdict.excursions == ((11 * EPOCH, 15 * EPOCH),)
    assert "came back to a new best at epoch 15" in verdict.reason


# What to keep, and how long to train.


def test_the_checkpoint_to_keep_has_an_interval_by_the_given_deviation() -> None:
    fds = [*np.geomspace(100, 20, 6), 21.0]
    verdict = judged(None, evaluated(fds, fd_sigma=[0.5] * 7))
    assert (verdict.best_epoch, verdict.best_value, verdict.noise) == (6, 20.0, "given")
    assert verdict.best_interval == pytest.approx((20 - 1.96 * 0.5, 20 + 1.96 * 0.5))
    assumed = judged(None, evaluated(fds))
    assert assumed.noise == "assumed 1 %"
    assert assumed.best_interval == pytest.approx((20 - 1.96 * 0.2, 20 + 1.96 * 0.2))


def test_how_long_to_train_with_another_seed_is_where_the_smooth_curve_is_lowest() -> None:
    epoch = np.arange(1, 41)
    fds = 20 + 0.05 * (epoch - 25.0) ** 2
    fds[9] = 15.0  # that seed's luck
    verdict = judged(None, evaluated(fds))
    assert verdict.best_epoch == 10
    assert verdict.length_epoch is not None
    assert abs(verdict.length_epoch - 25) <= 2


# Forms.


@pytest.mark.parametrize("failure", ["rate", "none", "frozen", "not_finite", "silent", "chance"])
def test_the_json_has_every_field_and_no_nan(failure: Failure) -> None:
    verdict = judged(*run(1, failure))
    text = json.dumps(verdict.to_json(), allow_nan=False)
    assert list(json.loads(text)) == [field.name for field in dataclasses.fields(Verdict)]
    assert verdict.status in STATUSES


def test_only_what_went_wrong_ends_training() -> None:
    assert judged(*run(1, "rate")).ends_training
    assert not judged(*run(0, "none")).ends_training
    assert not Verdict("stall", "").ends_training  # patience is not lost yet


def test_steps_that_are_no_iterations_are_told_in_their_unit() -> None:
    kimg = np.arange(4.0, 404.0, 4.0)
    rng = np.random.default_rng(0)
    steps: Columns = {"step": kimg, "d_loss": 0.5 + 0.01 * rng.standard_normal(100)}
    fids = np.geomspace(100, 20, 20)
    evaluations: Columns = {"step": kimg[4::5], "fid": fids}
    verdict = assess(steps, evaluations, unit="kimg", metric="fid")
    assert "400 kimg" in verdict.reason
    assert "epoch" not in verdict.reason
    assert verdict.metric == "fid"


def test_a_long_log_that_comes_row_by_row_without_epochs_is_taken() -> None:
    monitor = Monitor(unit="kimg")
    rng = np.random.default_rng(0)
    for number, noise in enumerate(rng.standard_normal(1100).tolist(), start=1):
        monitor.log(4 * number, d_loss=0.5 * math.exp(0.05 * noise), g_loss=1.0)
    assert monitor.verdict().watched.rows == 1100


def test_log_and_evaluate_are_the_short_forms() -> None:
    monitor, other = Monitor(), Monitor()
    for step in range(1, 61):
        monitor.log(step, d_loss=0.5, g_loss=1.0 + step / 1000)
        other.add_steps([step], {"d_loss": [0.5], "g_loss": [1.0 + step / 1000]})
    assert monitor.evaluate(60, 1, fd=20.0) == other.add_evaluation(60, {"fd": 20.0}, 1)


def test_out_of_order_and_unknown_input_is_refused() -> None:
    monitor = Monitor()
    monitor.add_steps([1, 2, 3], {"d_loss": [1.0, 1.0, 1.0]})
    monitor.add_evaluation(3, {"fd": 10.0})
    with pytest.raises(ValueError, match="3 came after the evaluation of step 3"):
        monitor.add_steps([3, 4], {"d_loss": [1.0, 1.0]})
    with pytest.raises(ValueError, match="steps must increase, and 5 does not"):
        monitor.add_steps([5, 5], {"d_loss": [1.0, 1.0]})
    with pytest.raises(ValueError, match="unknown signal loss"):
        monitor.add_steps([6], {"loss": [1.0]})
    with pytest.raises(ValueError, match="d_loss has shape"):
        monitor.add_steps([6], {"d_loss": [1.0, 1.0]})
    with pytest.raises(ValueError, match="finite numbers"):
        monitor.add_steps([math.inf], {"d_loss": [1.0]})
    with pytest.raises(ValueError, match="steps of evaluations must increase, and 3 does not"):
        monitor.add_evaluation(3, {"fd": 10.0})
    monitor.add_steps([6], {"d_loss": [1.0]})
    with pytest.raises(ValueError, match="came after later steps"):
        monitor.add_evaluation(5, {"fd": 10.0})
    with pytest.raises(ValueError, match="at least 1"):
        Monitor(steps_per_epoch=0)
    with pytest.raises(ValueError, match="unknown loss bce; there are bce_mean"):
        Monitor(loss="bce")


def test_a_stall_that_goes_on_says_for_how_long() -> None:
    monitor = Monitor(unit="epoch", metric="fid")
    for epoch in range(1, 17):
        monitor.log(epoch, d_loss=0.6 if epoch < 9 else 1e-4, g_loss=9.0 + epoch / 10)
        monitor.evaluate(epoch, fid=max(60.0 - epoch, 51.0))
    found = monitor.verdict()
    assert (found.status, found.end) == ("stall", "go_on")
    assert found.end_reason == "7 of 8 evaluations without a better one: not long enough to end"


def test_a_state_without_a_metric_is_not_said_to_have_come_to_nothing() -> None:
    monitor = Monitor(unit="epoch", loss="bce_sum")
    for epoch in range(1, 60):
        monitor.log(epoch, d_loss=1.4, g_loss=0.7 + epoch % 2 / 100)
    found = monitor.verdict()
    assert [state.name for state in found.states] == ["at_chance"]
    assert "come to nothing" not in found.reason


def test_an_explosion_is_told_at_once_where_there_is_no_metric() -> None:
    monitor = Monitor()
    for row in range(40):
        monitor.log(100 * (row + 1), d_loss=1.3 * (1 + row % 2 / 100), g_loss=1.0 + row % 3 / 50)
    for row in range(40, 44):
        monitor.log(100 * (row + 1), d_loss=10.0 ** (row - 34), g_loss=1.0)
    assert monitor.verdict().status == "diverged"


@pytest.mark.parametrize("name", ["fd", "fid", "FID", "val/fid50k", "kid", "is"])
def test_the_measure_that_counts_is_the_first_that_can(name: str) -> None:
    values = np.array([*np.geomspace(0.09, 0.02, 12), *[0.05] * 12])
    values = 1 / values if name == "is" else values
    monitor, named = Monitor(), Monitor(metric=name)
    for one in (monitor, named):
        one.log(1, d_loss=1.0)
        one.evaluate(1, coverage=0.5)
        for step, value in enumerate(values.tolist(), 2):
            one.evaluate(step, precision=0.5, **{name: value})
    verdict = monitor.verdict()
    assert verdict == named.verdict()
    assert monitor.metric == name
    assert (verdict.status, verdict.best_step) == ("silent", 13)


def test_a_measure_of_a_name_that_tells_nothing_is_asked_for() -> None:
    with pytest.raises(ValueError, match=r"'quality' is not known .*: metric='quality'"):
        Monitor().evaluate(1, quality=3.0)
    with pytest.raises(ValueError, match="'fid_a' and 'fid_b' may each count"):
        Monitor().evaluate(1, fid_a=3.0, fid_b=4.0)
    monitor = Monitor(metric="quality")
    assert monitor.evaluate(1, quality=3.0).best_value == 3.0


def test_a_decline_is_told_though_the_metric_was_broken_once() -> None:
    fds = np.array([50.0] * 5 + [-1.0] * 2 + [20.0] * 20 + [60.0] * 3)
    verdict = judged(None, evaluated(fds))
    assert verdict.status == "silent"
    broken = judged(None, evaluated(fds[:7]))
    assert broken.status == "metric_broken"
    assert any("fd is -1" in words for words in judged(None, evaluated(fds[:25])).unknown)


def test_an_alarm_waits_for_evaluations_of_samples_alone() -> None:
    """Other measures, at every step, are none."""
    steps, epochs = jumps_and_fds(jump_epoch=14, bad_epoch=15)
    monitor, others = Monitor(PARAMS, steps_per_epoch=EPOCH, metric="fd"), iter(range(10**6))
    rows = list(zip(*(steps[name] for name in steps), strict=True))
    for row in rows:
        values = dict(zip(steps, row, strict=True))
        monitor.log(values.pop("step"), **values)
        place = np.flatnonzero(epochs["step"] == row[list(steps).index("step")])
        measures = {"psnr": float(next(others))}
        if len(place):
            measures |= {n: float(v[place[0]]) for n, v in epochs.items() if n not in ("step",)}
            measures.pop("epoch", None)
        monitor.add_evaluation(row[list(steps).index("step")], measures)
    told, plain = monitor.verdict(), judged(steps, epochs)
    assert (told.status, told.alarm_step) == (plain.status, plain.alarm_step)
    assert told.status == "onset"


def test_a_d_near_chance_without_a_metric_is_told_to_be_one_or_the_other() -> None:
    def unknown(loss: float, **measures: float) -> str:
        monitor = Monitor(loss="bce_mean", unit="epoch")
        for epoch in range(1, 13):
            monitor.log(epoch, d_loss=loss + 1e-3 * (epoch % 2), g_loss=0.7)
            if measures:
                monitor.add_evaluation(epoch, measures)
        return "; ".join(monitor.verdict().unknown)

    assert "whether D still tells samples from data" in unknown(0.69)
    assert "whether D still tells" not in unknown(0.68)
    assert "whether D still tells" not in unknown(0.69, fd=10.0)


def test_a_metric_that_is_no_number_any_more_is_broken() -> None:
    nan = float("nan")
    fds = [100.0, 80, 60, 50, nan, 40, 35, 30, nan, nan, nan]
    broken = judged(None, evaluated(np.array(fds)))
    assert (broken.status, broken.end, broken.best_value) == ("metric_broken", "go_on", 30)
    assert broken.onset_step == 9 * EPOCH
    assert "no number in the last 3 evaluations" in broken.reason
    for whole in (fds[:-1], [*fds, 29.0]):
        assert judged(None, evaluated(np.array(whole))).status == "stable"


@pytest.mark.parametrize("first", [1, 10])
def test_rows_that_were_not_evaluated_break_no_metric(first: int) -> None:
    fds = np.full(96, np.nan)
    fds[first - 1 :: 10] = 100.0 / np.arange(1, 1 + len(fds[first - 1 :: 10]))
    for count in range(1, 97):
        assert judged(None, evaluated(fds[:count])).status in ("stable", "unwatched")


def test_a_state_that_holds_is_told_where_an_earlier_one_has_passed() -> None:
    monitor = Monitor(loss="bce_mean", unit="epoch")
    for epoch, loss in enumerate([0.6] * 60 + [0.72] * 40 + [0.6] * 60 + [0.72] * 40, 1):
        monitor.log(epoch, d_loss=loss + 1e-3 * (epoch % 3), g_loss=0.8)
    verdict = monitor.verdict()
    assert verdict.status == "transient"
    assert [state.until is None for state in verdict.states] == [False, True]
    assert "a risk, and only a metric of samples would tell" in verdict.reason


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_steps_that_a_scaler_skips_at_an_evaluation_end_nothing(rows: int) -> None:
    monitor = Monitor(loss="hinge")
    for step in range(1, 1001):
        norm = np.inf if step > 1000 - rows else 1.0 + 0.1 * (step % 3)
        monitor.log(step, d_loss=1.5 + 0.1 * (step % 5), g_loss=0.5, d_grad_norm=norm)
    assert not monitor.evaluate(1000, fd=50.0).ends_training


def test_norms_that_are_infinite_for_good_are_told() -> None:
    monitor = Monitor(loss="hinge")
    for step in range(1, 1001):
        norm = np.inf if step > 500 else 1.0 + 0.1 * (step % 3)
        monitor.log(step, d_loss=1.5 + 0.1 * (step % 5), g_loss=0.5, d_grad_norm=norm)
    verdict = monitor.evaluate(1000, fd=50.0)
    assert not verdict.ends_training
    told = "the gradient norm of D is not finite, in 500 rows from step 501 on"
    assert any(told in words for words in verdict.unknown)


def test_a_loss_that_is_no_number_is_not_mended_by_what_else_holds() -> None:
    monitor = Monitor(loss="bce_sum")
    for step in range(1, 4001):
        monitor.log(step, d_loss=1.5 + 0.01 * (step % 3), g_loss=0.7)
    assert [state.name for state in monitor.verdict().states] == ["at_chance"]
    monitor.log(4001, d_loss=float("nan"))
    verdict = monitor.verdict()
    assert verdict.status == "diverged"
    assert "clipped" in verdict.remedies[0].words


def test_a_kid_without_a_deviation_has_no_interval() -> None:
    monitor = Monitor(metric="kid")
    for step in range(1, 21):
        monitor.evaluate(step, kid=0.05 / step - 0.004)
    verdict = monitor.verdict()
    assert verdict.best_value is not None
    assert verdict.best_value < 0
    assert (verdict.best_interval, verdict.noise) == (None, None)


def test_none_is_missing() -> None:
    monitor = Monitor()
    monitor.log(1, d_loss=1.0, g_loss=None)  # type: ignore[arg-type]  # as loggers give it
    assert monitor.verdict().status == "unwatched"
    losses = [None, 1.0, None]
    verdict = assess({"step": [1, 2, 3], "d_loss": losses}, None)  # type: ignore[dict-item]
    assert (verdict.status, verdict.watched.rows) == ("unwatched", 3)


@pytest.mark.parametrize(
    ("steps", "evaluations", "error"),
    [
        ({"d_loss": [1.0]}, None, "steps have no 'step'"),
        (None, {"fid": [1.0]}, "evaluations have no 'step'"),
        (None, {"step": [1], "fid": [1.0, 2.0]}, r"fid has shape \(2,\), but 'step' \(1,\)"),
        ({"step": ["1"], "d_loss": [1.0]}, None, "each 'step' must be a number"),
        ({"step": np.ma.masked_equal([1, 2], 2), "d_loss": [1, 2]}, None, "must be a number"),
    ],
)
def test_series_that_do_not_fit_are_refused(steps: Any, evaluations: Any, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        assess(steps, evaluations)


def test_a_unit_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown unit 'iterations'; there are iteration, epoch"):
        Monitor(unit="iterations")
