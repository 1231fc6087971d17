import dataclasses
import functools
import json
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from ganverdict.alarms import SIGNALS
from ganverdict.monitor import Monitor, Verdict, assess, fed_monitor
from pipeline.base.cli import load_params
from tests.project import REPOSITORY
from tests.synthetic_runs import EPOCH, PARAMS, Columns, Failure, synthetic_run

# The values that are in use, for how often the verdict is right; PARAMS for what it means.
IN_USE = load_params(REPOSITORY / "params.yaml").stability

BEGUN = 16.3  # epochs
FIRST_BAD_STEP = int(BEGUN * EPOCH) + 1


@functools.cache
def run(seed: int, failure: Failure) -> tuple[Columns, Columns]:
    return synthetic_run(seed, failure, epochs=25, at_epoch=BEGUN)


def verdicts(failure: Failure, count: int) -> list[Verdict]:
    return [assess(*run(seed, failure), IN_USE) for seed in range(count)]


def cut(columns: Columns, last_step: int) -> Columns:
    return {name: values[columns["step"] <= last_step] for name, values in columns.items()}


def losses(columns: Columns) -> Columns:
    return {name: columns[name] for name in ("step", "d_loss", "g_loss")}


# What it says of failures, over seeds.


@pytest.mark.slow
def test_at_most_one_healthy_run_in_twenty_has_an_onset_and_most_not_even_an_alarm() -> None:
    found = verdicts("none", 40)
    assert sum(verdict.went_wrong for verdict in found) <= 2
    assert Counter(verdict.status for verdict in found)["stable"] >= 30


@pytest.mark.parametrize("failure", ["drift", "spike"])
def test_slow_drift_and_a_single_spike_are_no_onset(failure: Failure) -> None:
    found = Counter(verdict.status for verdict in verdicts(failure, 10))
    assert found["stable"] >= 7
    assert found["stable"] + found["transient"] == 10


def test_a_jump_of_the_learning_rate_is_an_onset_that_alarms_within_an_epoch() -> None:
    for verdict in verdicts("rate", 10):
        assert verdict.status == "onset"
        assert verdict.onset_step == verdict.alarm_step
        assert verdict.alarm_step is not None
        assert 0 <= verdict.alarm_step - FIRST_BAD_STEP <= EPOCH
        assert verdict.best_step is not None
        assert verdict.best_step < FIRST_BAD_STEP


def test_growing_gradients_are_an_onset_before_fd_has_doubled() -> None:
    found = verdicts("explosion", 10)
    assert Counter(verdict.status for verdict in found)["onset"] >= 9
    delays = [(verdict.onset_step or 0) - FIRST_BAD_STEP for verdict in found]
    assert np.median(delays) <= 2 * EPOCH


def test_a_generator_that_no_longer_learns_is_a_stall() -> None:
    found = Counter(verdict.status for verdict in verdicts("frozen", 10))
    assert found["stall"] >= 9
    assert found["onset"] + found["silent"] <= 1


def test_a_collapse_to_one_digit_is_known_at_the_next_evaluation() -> None:
    for verdict in verdicts("one_digit", 10):
        assert verdict.status in ("silent", "onset")
        assert verdict.confirm_epoch == int(BEGUN) + 1
        assert verdict.best_epoch is not None
        assert verdict.best_epoch <= int(BEGUN)


def test_a_slow_decline_that_no_signal_shows_is_mostly_silent() -> None:
    found = verdicts("silent", 10)
    assert sum(verdict.went_wrong for verdict in found) >= 9
    assert Counter(verdict.status for verdict in found)["silent"] >= 7


# Not finite.


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("signal", SIGNALS)
def test_a_value_that_is_not_finite_is_known_to_the_exact_step(signal: str, value: float) -> None:
    steps, epochs = run(0, "none")
    steps = {**steps, signal: steps[signal].copy()}
    steps[signal][4321] = value
    verdict = assess(cut(steps, 12 * EPOCH), cut(epochs, 12 * EPOCH), PARAMS)
    assert (verdict.status, verdict.signal) == ("diverged", signal)
    assert verdict.onset_step == steps["step"][4321]
    assert verdict.onset_epoch == 4321 // EPOCH + 1
    assert verdict.best_epoch is not None
    assert verdict.best_epoch <= 4321 // EPOCH
    assert "not finite at step 4,322" in verdict.reason


def test_a_failure_in_the_first_step_leaves_no_best() -> None:
    verdict = assess({"step": [1, 2], "g_loss": [np.nan, 1.0]}, None, PARAMS)
    assert (verdict.status, verdict.onset_step, verdict.best_step) == ("diverged", 1, None)


def test_an_alarm_before_the_failure_is_reported_with_it() -> None:
    steps, epochs = run(1, "rate")
    steps = {**steps, "d_loss": steps["d_loss"].copy()}
    steps["d_loss"][17 * EPOCH - 1] = np.nan  # before the evaluation that would have confirmed
    verdict = assess(steps, epochs, PARAMS)
    assert (verdict.status, verdict.onset_step) == ("diverged", 17 * EPOCH)
    assert verdict.alarm_step is not None
    assert FIRST_BAD_STEP <= verdict.alarm_step < 17 * EPOCH


def test_an_onset_stays_the_onset_when_a_failure_follows() -> None:
    steps, epochs = run(1, "rate")
    onset = assess(steps, epochs, PARAMS)
    steps = {**steps, "d_loss": steps["d_loss"].copy()}
    steps["d_loss"][24 * EPOCH] = np.nan
    verdict = assess(steps, epochs, PARAMS)
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

    assert assess(masked(holes), epochs, PARAMS).status == "onset"
    kept = {name: values for name, values in steps.items() if name not in norms}
    assert assess(masked(nothing), epochs, PARAMS) == assess(kept, epochs, PARAMS)


def test_an_fd_that_is_not_finite_is_a_missing_fd() -> None:
    steps, epochs = run(1, "rate")
    epochs = {**epochs, "fd": epochs["fd"].copy()}
    best = assess(steps, epochs, PARAMS).best_epoch
    assert best is not None
    epochs["fd"][best - 1] = np.nan
    verdict = assess(steps, epochs, PARAMS)
    assert verdict.status == "onset"
    assert verdict.best_epoch not in (None, best)
    assert verdict.fd is not None
    assert np.isfinite(verdict.fd)


# Streaming.


@settings(max_examples=12, deadline=None)
@given(st.sets(st.integers(1, 20 * EPOCH), max_size=60), st.sampled_from(["rate", "not_finite"]))
def test_however_the_series_is_cut_the_verdict_is_the_same(
    cuts: set[int], failure: Failure
) -> None:
    steps, epochs = (cut(columns, 20 * EPOCH) for columns in run(1, failure))
    monitor = Monitor(PARAMS, EPOCH)
    raised = []
    start = 0
    for stop in sorted(cuts | {EPOCH * epoch for epoch in range(1, 21)}):
        part = {name: values[start:stop] for name, values in steps.items()}
        raised += monitor.add_steps(part.pop("step"), part)
        start = stop
        if stop % EPOCH == 0:
            row = {name: float(values[stop // EPOCH - 1]) for name, values in epochs.items()}
            del row["step"]
            monitor.add_evaluation(int(row.pop("epoch")), stop, row)
    assert monitor.verdict() == assess(steps, epochs, PARAMS)
    assert monitor.verdict().status in ("onset", "diverged")
    assert tuple(a for a in raised if "not finite" not in a.words) == monitor.alarms


@settings(max_examples=10, deadline=None)
@given(st.integers(5 * EPOCH, 25 * EPOCH))
def test_what_is_known_at_a_step_depends_on_nothing_after_it(step: int) -> None:
    steps, epochs = run(1, "explosion")
    until_now = fed_monitor(cut(steps, step), cut(epochs, step), PARAMS)
    whole = fed_monitor(steps, epochs, PARAMS)
    assert until_now.alarms == tuple(alarm for alarm in whole.alarms if alarm.step <= step)
    # And the past stays as it is when the future is another one.
    altered: Columns = {
        name: values if name == "step" else np.where(steps["step"] > step, 1e6 * values, values)
        for name, values in steps.items()
    }
    other = fed_monitor(altered, epochs, PARAMS)
    assert tuple(alarm for alarm in other.alarms if alarm.step <= step) == until_now.alarms


def test_a_confirmed_verdict_stays() -> None:
    steps, epochs = run(1, "rate")
    whole = assess(steps, epochs, PARAMS)
    assert whole.confirm_epoch is not None
    earlier = assess(
        cut(steps, whole.confirm_epoch * EPOCH), cut(epochs, whole.confirm_epoch * EPOCH), PARAMS
    )
    assert dataclasses.replace(whole, recovered=False) == earlier


# Units and gaps.


@pytest.mark.parametrize("failure", ["rate", "none", "frozen"])
@pytest.mark.parametrize("factor", [1e-3, 784.0])
def test_units_of_losses_gradients_and_fd_do_not_matter(failure: Failure, factor: float) -> None:
    steps, epochs = run(2, failure)
    scaled = {
        name: values * factor if name.endswith(("loss", "norm", "ratio")) else values
        for name, values in steps.items()
    }
    before = assess(steps, epochs, PARAMS)
    after = assess(scaled, {**epochs, "fd": epochs["fd"] * factor}, PARAMS)
    assert after.status == before.status
    assert (after.onset_step, after.best_step) == (before.onset_step, before.best_step)


def test_logs_of_every_tenth_iteration_give_the_same_kind_of_verdict() -> None:
    for failure in ("rate", "none", "frozen"):
        steps, epochs = run(2, failure)
        thin = {name: values[9::10] for name, values in steps.items()}
        expected = assess(steps, epochs, PARAMS).status
        assert assess(thin, epochs, PARAMS).status == expected


def test_losses_below_zero_are_watched_too() -> None:
    rng = np.random.default_rng(0)
    step = np.arange(1, 20 * EPOCH + 1)
    critic = 0.3 * rng.standard_normal(len(step))
    quiet = assess({"step": step, "d_loss": critic, "g_loss": -critic}, None, PARAMS)
    assert quiet.status == "stable"
    critic[15 * EPOCH :] -= 2
    verdict = assess({"step": step, "d_loss": critic, "g_loss": -critic}, None, PARAMS)
    assert verdict.status == "transient"
    assert verdict.alarm_step is not None
    assert 15 * EPOCH < verdict.alarm_step <= 16 * EPOCH


# What could not be known.


def test_losses_alone_alarm_and_say_that_nothing_could_confirm_it() -> None:
    steps, _ = run(1, "rate")
    verdict = assess(losses(steps), None, PARAMS)
    assert verdict.status == "transient"
    assert verdict.alarm_step is not None
    assert FIRST_BAD_STEP <= verdict.alarm_step <= FIRST_BAD_STEP + EPOCH
    assert "no evaluations were given" in verdict.reason
    assert (verdict.best_step, verdict.fd) == (None, None)


def test_losses_with_fd_are_enough_for_an_onset() -> None:
    steps, epochs = run(1, "rate")
    fd = {name: epochs[name] for name in ("epoch", "step", "fd")}
    assert assess(losses(steps), fd, PARAMS).status == "onset"


def test_a_stable_verdict_says_what_it_was_judged_by() -> None:
    steps, epochs = run(0, "none")
    assert "by all signals" in assess(steps, epochs, PARAMS).reason
    reason = assess(losses(steps), None, PARAMS).reason
    assert "g_loss and d_loss alone" in reason
    assert "without fd" in reason


def test_a_run_within_the_burn_in_is_too_short_to_tell() -> None:
    steps, epochs = (cut(columns, 5 * EPOCH) for columns in run(0, "none"))
    verdict = assess(steps, epochs, PARAMS)
    assert verdict.status == "stable"
    assert "too short" in verdict.reason
    assert verdict.best_epoch is not None


def test_nothing_at_all_is_stable_and_empty() -> None:
    verdict = Monitor(PARAMS, EPOCH).verdict()
    assert (verdict.status, verdict.best_epoch, verdict.went_wrong) == ("stable", None, False)


# How alarms, evaluations and time belong together.


def jumps_and_fds(jump_epoch: float, bad_epoch: int, epochs: int = 24) -> tuple[Columns, Columns]:
    """Quiet signals that jump for good, and an fd that triples at a later epoch."""
    rng = np.random.default_rng(0)
    step = np.arange(1, epochs * EPOCH + 1)
    noise = 0.1 * rng.standard_normal(len(step)) + 1.0 * (step > jump_epoch * EPOCH)
    number = np.arange(1, epochs + 1)
    fd = np.where(number < bad_epoch, 20.0, 60.0)
    return (
        {"step": step, "d_grad_norm": np.exp(noise)},
        {"epoch": number, "step": number * EPOCH, "fd": fd},
    )


def test_without_an_alarm_the_onset_is_the_first_bad_evaluation() -> None:
    steps, epochs = jumps_and_fds(99, 99)
    epochs["fd"][12:] = 26.0
    verdict = assess(steps, epochs, PARAMS)
    assert (verdict.status, verdict.signal, verdict.alarm_step) == ("silent", "fd", None)
    assert (verdict.onset_step, verdict.onset_epoch) == (13 * EPOCH, 13)
    assert verdict.confirm_epoch == 15
    assert "stayed there for 3 evaluations at epoch 15; no signal warned" in verdict.reason


def test_an_alarm_waits_five_epochs_and_no_longer() -> None:
    alone = fed_monitor(jumps_and_fds(12, 99)[0], None, PARAMS)
    last = max(alarm.step for alarm in alone.alarms)  # the jump has become the past
    late = -(-last // EPOCH) + 4
    waited = assess(*jumps_and_fds(12, late), PARAMS)
    assert (waited.status, waited.confirm_epoch) == ("onset", late)
    assert assess(*jumps_and_fds(12, late + 2), PARAMS).status == "silent"
    assert assess(*jumps_and_fds(12, 99), PARAMS).status == "transient"


def test_an_alarm_waits_for_the_next_evaluation_however_late_it_is() -> None:
    steps, epochs = jumps_and_fds(12, 24)
    alarms = fed_monitor(steps, None, PARAMS).alarms
    assert max(alarm.step for alarm in alarms) < 19 * EPOCH
    sparse = {name: values[[7, 23]] for name, values in epochs.items()}
    assert assess(steps, sparse, PARAMS).status == "onset"


def test_damage_that_was_measured_before_the_alarm_is_the_onset() -> None:
    steps, epochs = jumps_and_fds(13.2, 99)
    epochs["fd"][12:] = 26.0  # from epoch 13 on, bad but not enough before epoch 15
    verdict = assess(steps, epochs, PARAMS)
    assert verdict.status == "onset"
    assert verdict.onset_step == 13 * EPOCH
    assert verdict.alarm_step is not None
    assert verdict.alarm_step > 13 * EPOCH
    assert verdict.best_epoch == 1


def test_the_reason_names_signal_size_step_and_what_confirmed_it() -> None:
    verdict = assess(*jumps_and_fds(12, 14), PARAMS)
    assert verdict.signal == "d_grad_norm"
    assert "the gradient norm of D rose" in verdict.reason
    assert "deviations above the last 10 epochs" in verdict.reason
    assert f"at step {verdict.alarm_step:,}" in verdict.reason
    assert "fd rose to 3 times its best 1 epoch later" in verdict.reason


def test_a_run_that_gets_well_again_has_recovered() -> None:
    steps, epochs = jumps_and_fds(12, 14)
    assert not assess(steps, epochs, PARAMS).recovered
    epochs["fd"][15:] = 19.0
    verdict = assess(steps, epochs, PARAMS)
    assert (verdict.status, verdict.recovered) == ("onset", True)
    assert verdict.best_epoch == 1  # before the onset, as ever


def without(columns: Columns, *names: str) -> Columns:
    return {name: values for name, values in columns.items() if name not in names}


def sure_without_losses() -> tuple[Columns, Columns]:
    """A frozen generator that only D's certainty tells of."""
    steps, epochs = run(0, "frozen")
    return without(steps, "d_loss", "g_loss"), epochs


def losses_without_certainty() -> tuple[Columns, Columns]:
    """A frozen generator before a discriminator too small to be sure."""
    steps, epochs = run(0, "frozen")
    return without(steps, "d_real", "d_fake"), epochs


@pytest.mark.parametrize("frozen", [sure_without_losses, losses_without_certainty])
def test_a_stall_ends_when_samples_improve_again(
    frozen: Callable[[], tuple[Columns, Columns]],
) -> None:
    steps, epochs = frozen()
    assert assess(steps, epochs, PARAMS).status == "stall"
    better = {**epochs, "fd": epochs["fd"] * 0.97 ** np.arange(len(epochs["fd"]))}
    assert assess(steps, better, PARAMS).status == "transient"


@pytest.mark.parametrize("frozen", [sure_without_losses, losses_without_certainty])
def test_a_stall_takes_three_evaluations_without_improvement(
    frozen: Callable[[], tuple[Columns, Columns]],
) -> None:
    steps, epochs = frozen()
    onset = assess(steps, epochs, PARAMS).onset_epoch
    assert onset is not None

    def status(last_epoch: int) -> str:
        end = last_epoch * EPOCH
        return assess(cut(steps, end), cut(epochs, end), PARAMS).status

    assert (status(onset + 2), status(onset + 3)) == ("transient", "stall")


def test_a_discriminator_that_is_no_longer_sure_is_no_stall() -> None:
    steps, epochs = sure_without_losses()
    late = steps["step"] > 22 * EPOCH
    unsure = {**steps, "d_real": np.where(late, 0.6, steps["d_real"])}
    assert assess(unsure, epochs, PARAMS).status == "transient"


def test_to_call_everything_fake_is_not_to_be_sure() -> None:
    steps, epochs = sure_without_losses()
    assert assess({**steps, "d_real": steps["d_fake"]}, epochs, PARAMS).status == "stable"


def fooled(since: int) -> tuple[Columns, Columns]:
    """D calls everything real from an epoch's end on, and samples stay what they were."""
    steps, epochs = run(0, "none")
    late = steps["step"] > since * EPOCH
    answers = {name: np.where(late, 0.999, steps[name]) for name in ("d_real", "d_fake")}
    at = np.minimum(np.arange(len(epochs["epoch"])), max(since - 1, 7))
    measures = {name: values[at] for name, values in without(epochs, "epoch", "step").items()}
    return {**steps, **answers}, {**epochs, **measures}


def test_a_discriminator_that_takes_everything_for_real_alarms_and_is_a_stall() -> None:
    verdict = assess(*fooled(15), PARAMS)
    assert (verdict.status, verdict.signal) == ("stall", "fooled")
    assert verdict.reason.startswith("D took everything for real (D(x) and D(G(z)) over 0.99)")
    assert verdict.alarm_step == 16 * EPOCH


def test_saturation_from_the_start_alarms_when_the_burn_in_ends() -> None:
    assert assess(*fooled(0), PARAMS).alarm_step == PARAMS.burn_in_epochs * EPOCH


def test_a_decline_long_after_an_alarm_says_that_nothing_warned_lately() -> None:
    steps, epochs = fooled(0)
    late = epochs["epoch"] > 20
    verdict = assess(steps, {**epochs, "fd": epochs["fd"] * np.where(late, 3, 1)}, PARAMS)
    assert verdict.status == "silent"
    assert "no signal warned in the 5 epochs before, judged" in verdict.reason


def test_saturation_without_any_fd_is_a_stall_after_three_epochs() -> None:
    steps, _ = sure_without_losses()
    verdict = assess(steps, None, PARAMS)
    assert verdict.status == "stall"
    assert "no fd was given" in verdict.reason
    assert verdict.onset_step is not None
    assert assess(cut(steps, verdict.onset_step + EPOCH), None, PARAMS).status == "transient"


def test_d_pulls_ahead_where_its_loss_falls_while_that_of_g_rises_and_fd_tells_no_gain() -> None:
    steps, epochs = losses_without_certainty()
    verdict = assess(steps, epochs, PARAMS)
    assert verdict.reason.startswith("D pulls ahead: the loss of")
    assert verdict.onset_step == verdict.alarm_step
    for one in ("d_loss", "g_loss"):
        assert assess(without(steps, one), epochs, PARAMS).status == "transient"
    assert assess(steps, None, PARAMS).status == "transient"


# Forms.


@pytest.mark.parametrize("failure", ["rate", "none", "frozen", "not_finite", "silent"])
def test_the_json_has_the_keys_of_stop_json_and_no_nan(failure: Failure) -> None:
    verdict = assess(*run(1, failure), PARAMS)
    text = json.dumps(verdict.to_json(), allow_nan=False)
    assert list(json.loads(text)) == [
        *("status", "onset_epoch", "onset_step", "reason", "signal", "alarm_step"),
        *("confirm_epoch", "best_epoch", "best_step", "fd", "fd_interval", "recovered"),
    ]


def test_the_length_of_an_epoch_is_told_by_the_evaluations() -> None:
    steps, epochs = run(1, "rate")
    expected = assess(steps, epochs, PARAMS)
    other = dataclasses.replace(PARAMS, steps_per_epoch=7)
    assert assess(steps, epochs, other) == expected
    from_zero = assess(steps, {**epochs, "epoch": epochs["epoch"] - 1}, other)
    assert (from_zero.status, from_zero.onset_step) == ("onset", expected.onset_step)
    assert assess(steps, epochs, PARAMS, steps_per_epoch=EPOCH) == expected


def test_out_of_order_and_unknown_input_is_refused() -> None:
    monitor = Monitor(PARAMS, EPOCH)
    monitor.add_steps([1, 2, 3], {"d_loss": [1.0, 1.0, 1.0]})
    monitor.add_evaluation(1, 3, {"fd": 10.0})
    with pytest.raises(ValueError, match="step 3 came after the evaluation of step 3"):
        monitor.add_steps([3, 4], {"d_loss": [1.0, 1.0]})
    with pytest.raises(ValueError, match="steps must increase"):
        monitor.add_steps([5, 5], {"d_loss": [1.0, 1.0]})
    with pytest.raises(ValueError, match="unknown signal loss"):
        monitor.add_steps([6], {"loss": [1.0]})
    with pytest.raises(ValueError, match="d_loss has shape"):
        monitor.add_steps([6], {"d_loss": [1.0, 1.0]})
    with pytest.raises(ValueError, match="whole numbers"):
        monitor.add_steps([6.5], {"d_loss": [1.0]})
    with pytest.raises(ValueError, match="must increase: epoch 1"):
        monitor.add_evaluation(1, 9, {"fd": 10.0})
    with pytest.raises(ValueError, match="unknown measure fid"):
        monitor.add_evaluation(2, 9, {"fid": 10.0})
    monitor.add_steps([6], {"d_loss": [1.0]})
    with pytest.raises(ValueError, match="came after later steps"):
        monitor.add_evaluation(2, 5, {"fd": 10.0})
    with pytest.raises(ValueError, match="at least 1"):
        Monitor(PARAMS, 0)
