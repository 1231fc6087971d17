"""Injections into trainings: what is kept of the state, and what of the records is assessed."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import validate_verdict
from benchmarks.validate_verdict import (
    EXPECTED,
    INJECTED,
    INJECTED_EPOCH,
    Record,
    continued,
    injections,
    narrow,
)
from dcgan.training import SIGNALS, GanState, fit
from ganverdict.verdict import STATUSES
from tests.searches import SHIPPED
from tests.small import CPU, FP32, digits, same, train_params
from tests.synthetic_runs import EPOCH, synthetic_run

IMAGES = digits(train=60, test=20).train_images
BASE = train_params(
    epochs=INJECTED_EPOCH + 1, steps_per_epoch=2, optimizer="adam", average_images=20
)


def trained(state: GanState, epochs: int) -> GanState:
    for _ in fit(state, IMAGES, dataclasses.replace(BASE, epochs=epochs), FP32):
        pass
    return state


@pytest.fixture(scope="module")
def saved() -> dict[str, object]:
    return trained(GanState(BASE, CPU), INJECTED_EPOCH).state_dict()


def test_every_kind_of_failure_that_is_expected_is_injected_or_made_of_a_healthy_run() -> None:
    assert set(injections(BASE)) == set(INJECTED) == set(EXPECTED) - {"spike", "drift"}
    for statuses in EXPECTED.values():
        assert set(statuses) <= set(STATUSES)


def test_a_failure_changes_what_it_says_and_nothing_else() -> None:
    base = narrow(SHIPPED.train, seed=3)
    for kind, injected in injections(base).items():
        changed = {
            name for name, value in vars(base).items() if vars(injected.train)[name] != value
        }
        assert changed - {"epochs"} == {
            "rate": {"lr_d", "lr_g"},
            "rate_g": {"lr_g"},
            "joint": {"freeze_discriminator"},
            "g_frozen": {"lr_g"},
            "one_digit": {"lr_g"},
        }.get(kind, set()), kind
        assert injected.train.epochs > INJECTED_EPOCH
    assert injections(base)["rate_g"].train.lr_g == 10 * base.lr_g
    few = {kind: injected.digits for kind, injected in injections(base).items() if injected.digits}
    assert few == {"digits_3000": 3000, "digits_500": 500}


@pytest.mark.parametrize("kind", INJECTED)
def test_a_state_goes_on_bit_for_bit_whatever_is_injected(
    kind: str, saved: dict[str, object]
) -> None:
    state = continued(saved, injections(BASE)[kind].train, CPU)
    found = state.state_dict()
    assert all(same(found[name], saved[name]) for name in set(saved) - {"g_optimizer"})
    (ours, theirs) = (one["g_optimizer"]["state"] for one in (found, saved))  # type: ignore[index]
    assert same(ours, theirs)


def test_after_the_injection_of_nothing_training_is_the_one_that_went_on(
    saved: dict[str, object],
) -> None:
    continuing = trained(continued(saved, injections(BASE)["healthy"].train, CPU), BASE.epochs)
    assert same(continuing.state_dict(), trained(GanState(BASE, CPU), BASE.epochs).state_dict())


def test_g_s_step_moves_d_from_the_joint_update_on(saved: dict[str, object]) -> None:
    joint = dataclasses.replace(injections(BASE)["joint"].train, lr_d=0.0, epochs=BASE.epochs)
    for train, moves in (
        (dataclasses.replace(joint, freeze_discriminator=True), False),
        (joint, True),
    ):
        state = continued(saved, train, CPU)
        before = [weight.detach().clone() for weight in state.d_weights]
        for _ in fit(state, IMAGES, train, FP32):
            pass
        pairs = zip(before, state.d_weights, strict=True)
        assert any(not torch.equal(old, new) for old, new in pairs) == moves


def test_a_record_is_saved_whole_and_its_held_out_losses_are_assessed(tmp_path: Path) -> None:
    steps, columns = synthetic_run(3, epochs=16)
    signals = np.stack([steps.get(name, np.full(len(steps["step"]), 0.1)) for name in SIGNALS], 1)
    sigma = {"fd_sigma": 0.01 * columns["fd"]}
    table = {**columns, **sigma, "d_loss_train": np.full(16, 0.5), "d_loss_test": np.full(16, 0.9)}
    epochs = [{name: float(values[i]) for name, values in table.items()} for i in range(16)]
    Record(signals, epochs).save(tmp_path / "healthy-1.npz")
    record = Record.load(tmp_path / "healthy-1.npz")
    assert record.epochs == epochs
    assert len(record.signals) == 16 * EPOCH
    states = [state.name for state in record.monitor(SHIPPED).verdict().states]
    assert "memorising" in states


def test_ten_seeds_a_row_are_assessed_and_none_of_them_chose_a_threshold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorded: list[list[int]] = []
    assessed: list[list[int]] = []
    monkeypatch.setattr(validate_verdict, "record_all", lambda seeds, _: recorded.append(seeds))
    monkeypatch.setattr(validate_verdict, "assess_all", lambda seeds, _: assessed.append(seeds))
    monkeypatch.setattr(validate_verdict, "load_params", lambda: SHIPPED)
    for arguments in ([], ["--assess-calibration"]):
        monkeypatch.setattr(sys, "argv", ["validate_verdict", *arguments])
        validate_verdict.main()
    assert recorded == [list(range(12))] * 2
    assert assessed == [list(range(2, 12)), [0, 1]]
