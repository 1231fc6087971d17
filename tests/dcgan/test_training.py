import copy
import dataclasses
import io
import math
from collections.abc import Iterable
from itertools import product
from typing import Any
from unittest.mock import patch

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dcgan import training
from dcgan.batches import Batch, RealBatches, draw_noise
from dcgan.layers import dropout
from dcgan.losses import discriminator_loss, generator_loss
from dcgan.mnist import to_unit
from dcgan.networks import one_hot
from dcgan.params import TrainParams
from dcgan.runtime import autocast, derive_seed
from dcgan.sampling import fixed_noise, generate, to_bytes
from dcgan.training import (
    SIGNALS,
    GanState,
    Report,
    discriminator_step,
    fit,
    generator_step,
    iteration,
    keras_decayed,
)
from tests.small import CPU, FP32, digits, same, train_params

EVERYTHING = train_params(
    optimizer="adam",
    average_images=12,
    r1_gamma=1.0,
    r1_every=3,
    loss="relativistic",
    sampling="epochs",
    g_dropout=0.4,
    d_dropout=0.4,
    fakes="training",
    sample_every=4,
    decay_d=0.01,
)
SHARED = dataclasses.replace(EVERYTHING, fakes="shared", r1_gamma=0.0, loss="bce")
JOINT = train_params(
    freeze_discriminator=False, d_dropout=0.4, g_dropout=0.4, decay_g=0.1, sample_every=5
)
ASKED = dataclasses.replace(SHARED, conditional=True, r1_gamma=1.0, loss="relativistic")
RECIPES = pytest.mark.parametrize(
    "params",
    [EVERYTHING, SHARED, JOINT, ASKED],
    ids=["everything", "shared", "joint", "conditional"],
)
LABELS = digits(30, 1).train_labels


@pytest.fixture(scope="module")
def images() -> Tensor:
    return digits(30, 1).train_images


@pytest.fixture
def real(images: Tensor) -> Batch:
    return Batch(to_unit(images[:4]), None)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def snapshot(part: nn.Module | GanState) -> dict[str, Any]:
    return copy.deepcopy(dict(part.state_dict()))


def saved_and_loaded(state: dict[str, object]) -> dict[str, object]:
    """Through a file that may hold nothing but tensors, numbers and plain containers."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: dict[str, object] = torch.load(file, weights_only=True)
    return loaded


def trained(params: TrainParams, images: Tensor) -> tuple[GanState, list[Report]]:
    state = GanState(params, CPU)
    return state, list(fit(state, images, params, FP32, train_labels=LABELS))


def flat(tensors: Iterable[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


# --- equal runs, resumed runs


@RECIPES
def test_equal_seeds_give_bitwise_equal_runs_whatever_the_global_source_says(
    params: TrainParams, images: Tensor
) -> None:
    runs = []
    for global_seed, seed in ((0, 1), (1, 1), (0, 2)):
        torch.manual_seed(global_seed)
        before = torch.get_rng_state()
        state, reports = trained(dataclasses.replace(params, seed=seed), images)
        assert torch.equal(torch.get_rng_state(), before)
        runs.append((state.state_dict(), [vars(report) for report in reports]))
    assert same(runs[0], runs[1])
    assert not same(runs[0][0], runs[2][0])


@RECIPES
def test_a_run_resumed_from_any_report_is_bit_for_bit_the_uninterrupted_one(
    params: TrainParams, images: Tensor
) -> None:
    state = GanState(params, CPU)
    saved = []
    for report in fit(state, images, params, FP32, train_labels=LABELS):
        assert state.step == report.step
        saved.append((vars(report), saved_and_loaded(state.state_dict())))
    assert len(saved) >= 3
    for number, (_, checkpoint) in enumerate(saved):
        resumed = GanState(dataclasses.replace(params, seed=99), CPU)  # other weights at first
        resumed.load_state_dict(checkpoint)
        after = [vars(report) for report in fit(resumed, images, params, FP32, train_labels=LABELS)]
        assert same(after, [report for report, _ in saved[number + 1 :]])
        assert same(resumed.state_dict(), state.state_dict())


def test_bf16_runs_are_finite_resume_exactly_and_keep_their_weights_in_float32(
    images: Tensor,
) -> None:
    runtime = dataclasses.replace(FP32, precision="bf16")
    state = GanState(EVERYTHING, CPU)
    checkpoint = None
    for report in fit(state, images, EVERYTHING, runtime):
        checkpoint = checkpoint or saved_and_loaded(state.state_dict())
        assert report.failed_step is None
    resumed = GanState(EVERYTHING, CPU)
    assert checkpoint is not None
    resumed.load_state_dict(checkpoint)
    assert list(fit(resumed, images, EVERYTHING, runtime))
    assert same(resumed.state_dict(), state.state_dict())
    assert {weight.dtype for weight in state.g_weights + state.d_weights} == {torch.float32}
    assert not same(state.state_dict(), trained(EVERYTHING, images)[0].state_dict())


@RECIPES
def test_under_bf16_the_generator_meets_the_discriminator_that_has_just_moved(
    params: TrainParams, images: Tensor
) -> None:
    runtime = dataclasses.replace(FP32, precision="bf16")
    params = dataclasses.replace(params, lr_d=0.1)
    batches = RealBatches(images, params, LABELS)
    whole, parted = GanState(params, CPU), GanState(params, CPU)
    rng, same_rng = (torch.Generator().manual_seed(5) for _ in range(2))
    with autocast(runtime, CPU):
        signals = dict(zip(SIGNALS, iteration(whole, batches, params, rng), strict=True))
    with autocast(runtime, CPU):
        real, fake = batches(0, same_rng), None
        if params.fakes == "shared":
            noise = draw_noise(len(real.images), params.latent_dim, same_rng)
            told = None if real.digits is None else one_hot(real.digits)
            fake = parted.generator.train()(noise, told, same_rng).float()
        discriminator_step(parted, real, params, same_rng, fake)
    with autocast(runtime, CPU):
        g_loss, g_grad_norm, _ = generator_step(parted, real, params, same_rng, fake)
    assert signals["g_loss"] == g_loss
    assert signals["g_grad_norm"] == g_grad_norm


def test_the_state_holds_an_average_only_where_it_is_asked_for() -> None:
    assert GanState(train_params(), CPU).averaged is None
    state = GanState(train_params(average_images=5), CPU)
    assert state.sampler is state.averaged is not state.generator
    assert same(state.averaged.state_dict(), state.generator.state_dict())
    assert "averaged" not in GanState(train_params(), CPU).state_dict()


# --- who is moved


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_a_frozen_discriminator_is_untouched_by_the_generator_s_step(
    optimizer: str, real: Batch
) -> None:
    params = train_params(optimizer=optimizer)
    state = GanState(params, CPU)
    before_d, before_g = snapshot(state.discriminator), snapshot(state.generator)
    optimizer_before = copy.deepcopy(state.d_optimizer.state_dict())
    generator_step(state, real, params, seeded())
    assert same(snapshot(state.discriminator), before_d)
    assert same(state.d_optimizer.state_dict(), optimizer_before)
    assert all(weight.grad is None for weight in state.d_weights)
    after_g = snapshot(state.generator)
    assert not any(torch.equal(after_g[name], before_g[name]) for name in before_g)


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_a_discriminator_that_is_not_frozen_moves_with_the_generator_towards_label_1(
    optimizer: str, real: Batch
) -> None:
    params = train_params(optimizer=optimizer, freeze_discriminator=False)
    state = GanState(params, CPU)
    before_d, before_g = snapshot(state.discriminator), snapshot(state.generator)
    fakes = torch.rand(16, 1, 28, 28, generator=seeded())
    answer = state.discriminator(fakes).mean()
    generator_step(state, real, params, seeded())
    after_d, after_g = snapshot(state.discriminator), snapshot(state.generator)
    assert not any(torch.equal(after_d[name], before_d[name]) for name in before_d)
    assert not any(torch.equal(after_g[name], before_g[name]) for name in before_g)
    assert state.discriminator(fakes).mean() > answer
    # The optimiser of D's own step has no part in it.
    assert state.d_optimizer.state_dict()["state"] == {}


def test_the_discriminator_s_step_with_fakes_from_inference_leaves_all_of_the_generator(
    real: Batch,
) -> None:
    params = train_params(fakes="inference", g_dropout=0.4)
    state = GanState(params, CPU)
    before, before_d = snapshot(state.generator), snapshot(state.discriminator)
    discriminator_step(state, real, params, seeded())
    assert same(snapshot(state.generator), before)
    assert not same(snapshot(state.discriminator), before_d)


def test_the_discriminator_s_step_with_fakes_from_training_moves_running_statistics_alone(
    real: Batch,
) -> None:
    params = train_params(fakes="training", g_dropout=0.4)
    state = GanState(params, CPU)
    before = snapshot(state.generator)
    discriminator_step(state, real, params, seeded())
    for name, value in state.generator.state_dict().items():
        is_statistic = "running" in name or "num_batches" in name
        assert torch.equal(value, before[name]) != is_statistic, name


def test_shared_fakes_are_one_batch_that_both_steps_learn_from(images: Tensor) -> None:
    params = train_params(fakes="shared", lr_d=0.02)
    state, plain = GanState(params, CPU), GanState(params, CPU)
    batches = RealBatches(images, params)
    signals = dict(zip(SIGNALS, iteration(state, batches, params, seeded()).tolist(), strict=True))

    rng = seeded()
    real = batches(0, rng).images
    generator, discriminator = plain.generator.train(), plain.discriminator.train()
    fake = generator(draw_noise(len(real), params.latent_dim, rng))
    d_loss = discriminator_loss("bce", discriminator(real), discriminator(fake.detach()))
    d_norm = nn.utils.get_total_norm(torch.autograd.grad(d_loss, plain.d_weights))
    # The generator learns from the discriminator that has moved, with the fakes of before.
    discriminator.load_state_dict(state.discriminator.state_dict())
    g_loss = generator_loss("bce", None, discriminator(fake))
    gradients = torch.autograd.grad(g_loss, plain.g_weights)
    expected = {"d_loss": d_loss, "g_loss": g_loss, "d_grad_norm": d_norm}
    expected["g_grad_norm"] = nn.utils.get_total_norm(gradients)
    for name, value in expected.items():
        assert signals[name] == pytest.approx(value.item(), rel=1e-4), name


# --- digits that are asked for


@pytest.mark.parametrize("fakes", ["shared", "inference", "training"])
@pytest.mark.parametrize("loss", ["bce", "relativistic"])
def test_both_networks_are_told_the_digits_of_the_batch(
    fakes: str, loss: str, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = train_params(
        conditional=True, fakes=fakes, loss=loss, batch_size=8, r1_gamma=1.0, sampling="epochs"
    )
    state = GanState(params, CPU)
    wanted = RealBatches(images, params, LABELS)(0, seeded()).digits
    assert wanted is not None
    assert len({*wanted.tolist()}) > 3
    told: dict[str, list[Tensor]] = {"generator": [], "discriminator": []}
    for name, seen in told.items():
        network = getattr(state, name)
        network.register_forward_pre_hook(lambda _, given, seen=seen: seen.append(given[1]))
    iteration(state, RealBatches(images, params, LABELS), params, seeded())
    assert len(told["generator"]) == (1 if fakes == "shared" else 2)
    assert all(torch.equal(rows, one_hot(wanted)) for rows in told["generator"])
    # The whole batch, the penalty's, and G's step; a relativistic G also compares with real ones.
    together, *alone = told["discriminator"]
    assert torch.equal(together, wanted.repeat(2))
    assert len(alone) == (3 if loss == "relativistic" else 2)
    assert all(torch.equal(labels, wanted) for labels in alone)


def test_a_conditional_pair_learns_which_digit_is_which() -> None:
    # Two digits that differ in one pixel's shade: what is asked for is all there is to learn.
    shades = torch.zeros(40, 28, 28, dtype=torch.uint8)
    labels = torch.arange(40) % 2
    shades[labels == 1] = 255
    params = train_params(
        conditional=True, optimizer="adam", lr_d=1e-2, lr_g=2e-2, batch_size=16, epochs=20
    )
    state = GanState(params, CPU)
    for _ in fit(state, shades, params, FP32, train_labels=labels):
        pass
    noise = fixed_noise(0, params.latent_dim, CPU)
    dark, light = (
        generate(state.generator, noise, torch.full((64,), digit)).mean() for digit in (0, 1)
    )
    assert light > dark + 0.5


def test_a_conditional_training_without_labels_is_refused(images: Tensor) -> None:
    params = train_params(conditional=True)
    with pytest.raises(ValueError, match="needs the labels"):
        next(fit(GanState(params, CPU), images, params, FP32))


# --- signals


@pytest.mark.parametrize(
    ("loss", "r1_gamma", "optimizer"),
    product(["bce", "relativistic"], [0.0, 3.0], ["adam", "rmsprop"]),
)
def test_the_discriminator_s_signals_are_those_computed_by_hand(
    loss: str, r1_gamma: float, optimizer: str, real: Batch
) -> None:
    params = train_params(loss=loss, r1_gamma=r1_gamma, r1_every=2, optimizer=optimizer)
    state = GanState(params, CPU)
    discriminator, generator = copy.deepcopy(state.discriminator), copy.deepcopy(state.generator)
    got = [x.item() for x in discriminator_step(state, real, params, seeded(5))]

    fake = generator.eval()(draw_noise(4, params.latent_dim, seeded(5))).detach()
    on_real, on_fake = discriminator(real.images), discriminator(fake)
    expected_loss = discriminator_loss(loss, on_real, on_fake)
    images = real.images.clone().requires_grad_()
    (slope,) = torch.autograd.grad(discriminator(images).sum(), images, create_graph=True)
    penalty = r1_gamma / 2 * 2 * slope.square().sum() / 4
    weights = list(discriminator.parameters())
    gradient = flat(torch.autograd.grad(expected_loss + penalty, weights))
    moved = flat(state.d_weights) - flat(weights)
    expected = [
        expected_loss.item(),
        on_real.sigmoid().mean().item(),
        on_fake.sigmoid().mean().item(),
        gradient.norm().item(),
        (moved.norm() / flat(weights).norm()).item(),
    ]
    assert got == pytest.approx(expected, rel=1e-4)
    assert moved.norm() > 0


@pytest.mark.parametrize(("loss", "frozen"), product(["bce", "relativistic"], [True, False]))
def test_the_generator_s_signals_are_those_computed_by_hand_and_its_own(
    loss: str, frozen: bool, real: Batch
) -> None:
    params = train_params(loss=loss, freeze_discriminator=frozen, optimizer="adam")
    state = GanState(params, CPU)
    discriminator, generator = copy.deepcopy(state.discriminator), copy.deepcopy(state.generator)
    got = [x.item() for x in generator_step(state, real, params, seeded(5))]

    fake = discriminator(generator.train()(draw_noise(4, params.latent_dim, seeded(5))))
    expected_loss = generator_loss(loss, discriminator(real.images), fake)
    weights = list(generator.parameters())
    gradient = flat(torch.autograd.grad(expected_loss, weights))
    moved = flat(state.g_weights) - flat(weights)
    expected = [
        expected_loss.item(),
        gradient.norm().item(),
        (moved.norm() / flat(weights).norm()).item(),
    ]
    assert got == pytest.approx(expected, rel=1e-4)


def test_adam_s_first_step_moves_every_weight_by_the_rate_against_its_own_gradient(
    real: Batch,
) -> None:
    # torch's fused kernel fails this: it pairs channels-last weights with others' gradients.
    params = train_params(optimizer="adam", lr_d=0.004)
    state = GanState(params, CPU)
    discriminator, generator = copy.deepcopy(state.discriminator), copy.deepcopy(state.generator)
    *_, ratio = discriminator_step(state, real, params, seeded(5))

    fake = generator.eval()(draw_noise(4, params.latent_dim, seeded(5))).detach()
    loss = discriminator_loss(params.loss, discriminator(real.images), discriminator(fake))
    weights = list(discriminator.parameters())
    gradient = flat(torch.autograd.grad(loss, weights))
    moved = flat(state.d_weights) - flat(weights)
    clear = gradient.abs() > 1e-5
    assert clear.float().mean() > 0.3
    torch.testing.assert_close(moved[clear], -0.004 * gradient[clear].sign(), rtol=0.01, atol=0)
    expected = 0.004 * math.sqrt(moved.numel()) / flat(weights).norm().item()
    assert ratio.item() == pytest.approx(expected, rel=0.02)


def test_adam_s_first_step_moves_the_generator_s_weights_against_their_own_gradients(
    real: Batch,
) -> None:
    # Gradients of the upsampling kernels are laid out unlike their weights, unless made alike.
    params = train_params(optimizer="adam", lr_g=0.004, width=4)
    state = GanState(params, CPU)
    discriminator, generator = copy.deepcopy(state.discriminator), copy.deepcopy(state.generator)
    generator_step(state, real, params, seeded(5))

    answers = discriminator(generator.train()(draw_noise(4, params.latent_dim, seeded(5))))
    loss = generator_loss(params.loss, None, answers)
    weights = dict(generator.named_parameters())
    gradients = torch.autograd.grad(loss, [*weights.values()])
    for (name, old), gradient, new in zip(weights.items(), gradients, state.g_weights, strict=True):
        clear = gradient.abs() > 1e-5
        assert clear.any() or name.endswith("bias"), name
        expected = -0.004 * gradient[clear].sign()
        torch.testing.assert_close((new - old)[clear], expected, rtol=0.01, atol=0)


def test_an_iteration_s_signals_stand_in_their_documented_order(images: Tensor) -> None:
    params = train_params()
    state, other = GanState(params, CPU), GanState(params, CPU)
    batches = RealBatches(images, params)
    signals = dict(zip(SIGNALS, iteration(state, batches, params, seeded()).tolist(), strict=True))

    rng = seeded()
    real = batches(0, rng)
    d_loss, d_real, d_fake, d_norm, d_ratio = discriminator_step(other, real, params, rng)
    g_loss, g_norm, g_ratio = generator_step(other, real, params, rng)
    assert signals == {
        "d_loss": d_loss,
        "g_loss": g_loss,
        "d_real": d_real,
        "d_fake": d_fake,
        "d_grad_norm": d_norm,
        "g_grad_norm": g_norm,
        "d_update_ratio": d_ratio,
        "g_update_ratio": g_ratio,
    }
    assert (state.step, other.step) == (1, 0)


# --- rates and penalties


def test_keras_s_decay_divides_the_rate() -> None:
    assert keras_decayed(2e-4, 0.0, 10**9) == 2e-4
    assert keras_decayed(2e-4, 6e-8, 0) == 2e-4
    assert keras_decayed(2e-4, 6e-8, 70_200) == pytest.approx(2e-4 / (1 + 6e-8 * 70_200))
    assert keras_decayed(1.0, 0.5, 2) == 0.5


@pytest.mark.parametrize("frozen", [True, False])
def test_both_rates_decay_with_the_iterations_done(frozen: bool, images: Tensor) -> None:
    params = train_params(
        lr_d=0.01, lr_g=0.02, decay_d=0.5, decay_g=0.1, freeze_discriminator=frozen, sample_every=1
    )
    state = GanState(params, CPU)
    for report in fit(state, images, params, FP32, train_labels=LABELS):
        done = report.step - 1
        assert state.d_optimizer.param_groups[0]["lr"] == pytest.approx(0.01 / (1 + 0.5 * done))
        assert state.g_optimizer.param_groups[0]["lr"] == pytest.approx(0.02 / (1 + 0.1 * done))


def test_the_lazy_penalty_acts_at_every_nth_step_and_at_no_other(
    images: Tensor, real: Batch
) -> None:
    with_it = train_params(r1_gamma=50.0, r1_every=3, optimizer="adam")
    without = dataclasses.replace(with_it, r1_gamma=0.0)
    state = GanState(without, CPU)
    acted = []
    for step in range(8):
        assert state.step == step
        weights = []
        for params in (with_it, without):
            tried = copy.deepcopy(state)
            discriminator_step(tried, real, params, seeded(step))
            weights.append(flat(tried.d_weights))
        acted.append(not torch.equal(*weights))
        iteration(state, RealBatches(images, without), without, seeded(step))
    assert acted == [step % 3 == 0 for step in range(8)]


# --- the whole iteration against one written plainly


class PlainGan:
    """The original's iteration as its tables say it: torch functions on a dictionary of weights."""

    def __init__(self, state: GanState, params: TrainParams) -> None:
        self.params, self.step = params, 0
        self.g = {name: value.clone() for name, value in state.generator.state_dict().items()}
        self.d = {name: value.clone() for name, value in state.discriminator.state_dict().items()}
        d_weights = [value.requires_grad_() for value in self.d.values()]
        g_weights = [
            value.requires_grad_()
            for name, value in self.g.items()
            if "running" not in name and "num_batches" not in name
        ]
        self.d_optimizer = torch.optim.RMSprop(d_weights, alpha=0.9, eps=1e-7)
        moved = g_weights if params.freeze_discriminator else g_weights + d_weights
        self.g_optimizer = torch.optim.RMSprop(moved, alpha=0.9, eps=1e-7)

    def drop(self, x: Tensor, probability: float, rng: torch.Generator) -> Tensor:
        return dropout(x.contiguous(memory_format=torch.channels_last), probability, rng)

    def norm(self, name: str, x: Tensor, training: bool) -> Tensor:
        parts = ("running_mean", "running_var", "weight", "bias")
        mean, var, weight, bias = (self.g[f"{name}.{part}"] for part in parts)
        return F.relu(F.batch_norm(x, mean, var, weight, bias, training, momentum=0.1, eps=1e-3))

    def generator(self, z: Tensor, rng: torch.Generator, training: bool) -> Tensor:
        g = self.g
        x = self.norm("project_norm", F.linear(z, g["project.weight"], g["project.bias"]), training)
        x = x.view(len(z), 7, 7, -1).permute(0, 3, 1, 2)
        if training:
            x = self.drop(x, self.params.g_dropout, rng)
        for name, norm, upsampled in (
            ("up1", "norm1", True),
            ("up2", "norm2", True),
            ("refine", "norm3", False),
        ):
            x = F.interpolate(x, scale_factor=2, mode="nearest") if upsampled else x
            x = F.conv2d(x, g[f"{name}.weight"], g[f"{name}.bias"], padding=2)
            x = self.norm(norm, x, training)
        return torch.sigmoid(F.conv2d(x, g["to_image.weight"], g["to_image.bias"], padding=2))

    def discriminator(self, x: Tensor, rng: torch.Generator) -> Tensor:
        d = self.d
        # Keras's 'same': 28 -> 14 and 14 -> 7 pad 1 before and 2 after; 7 -> 4 pads 2 and 2.
        for name, padding, stride in (
            ("conv1", (1, 2, 1, 2), 2),
            ("conv2", (1, 2, 1, 2), 2),
            ("conv3", (2, 2, 2, 2), 2),
            ("conv4", (2, 2, 2, 2), 1),
        ):
            weight, bias = d[f"{name}.weight"], d[f"{name}.bias"]
            x = F.leaky_relu(F.conv2d(F.pad(x, padding), weight, bias, stride=stride), 0.2)
            x = self.drop(x, self.params.d_dropout, rng)
        x = x.permute(0, 2, 3, 1).reshape(len(x), -1)
        return F.linear(x, d["score.weight"], d["score.bias"]).squeeze(1)

    def iterate(self, images: Tensor, rng: torch.Generator) -> tuple[float, float]:
        p, size = self.params, self.params.batch_size
        index = torch.randint(len(images), (size,), generator=rng)
        real = images[index].unsqueeze(1).double() / 255
        with torch.no_grad():
            z = torch.rand(size, p.latent_dim, generator=rng).double() * 2 - 1
            fake = self.generator(z, rng, training=False)
        logits = self.discriminator(torch.cat([real, fake]), rng)
        labels = torch.cat([torch.ones(size), torch.zeros(size)]).double()
        d_loss = F.binary_cross_entropy(torch.sigmoid(logits), labels)
        self.descend(self.d_optimizer, d_loss, p.lr_d / (1 + p.decay_d * self.step))

        z = torch.rand(size, p.latent_dim, generator=rng).double() * 2 - 1
        logits = self.discriminator(self.generator(z, rng, training=True), rng)
        g_loss = F.binary_cross_entropy(torch.sigmoid(logits), torch.ones(size).double())
        self.descend(self.g_optimizer, g_loss, p.lr_g / (1 + p.decay_g * self.step))
        self.step += 1
        return d_loss.item(), g_loss.item()

    @staticmethod
    def descend(optimizer: torch.optim.Optimizer, loss: Tensor, lr: float) -> None:
        optimizer.param_groups[0]["lr"] = lr
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


@pytest.mark.parametrize("frozen", [True, False], ids=["frozen", "joint"])
def test_three_iterations_of_the_seed_s_recipe_equal_plainly_written_ones(
    frozen: bool, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In float64: biases before a batch norm have the gradient 0, which float32 rounds to noise,
    # and RMSprop makes steps of full length out of noise.
    monkeypatch.setattr(Tensor, "float", Tensor.double)
    monkeypatch.setattr(training, "draw_noise", lambda *args: draw_noise(*args).double())
    params = train_params(
        freeze_discriminator=frozen,
        g_dropout=0.4,
        d_dropout=0.4,
        lr_d=2e-3,
        lr_g=1e-3,
        decay_d=0.1,
        decay_g=0.2,
    )
    state = GanState(params, CPU)
    state.generator.double()
    state.discriminator.double()
    plain = PlainGan(state, params)
    in_floats = RealBatches(images, params)
    for step in range(3):

        def batches(step: int, rng: torch.Generator) -> Batch:
            # x / 255 in float64, without the rounding of float32
            return Batch((in_floats(step, rng).images.double() * 255).round() / 255, None)

        signals = iteration(state, batches, params, seeded(step))
        expected = plain.iterate(images, seeded(step))
        assert signals[:2].tolist() == pytest.approx(expected, rel=1e-9)
    for network, values in ((state.generator, plain.g), (state.discriminator, plain.d)):
        for name, value in network.state_dict().items():
            if "num_batches" not in name:
                assert torch.allclose(value, values[name], rtol=1e-7, atol=1e-9), name


# --- the average


@pytest.mark.parametrize("average_images", [3, 12, 1000])
def test_the_average_is_the_weighted_sum_of_all_generators_so_far(
    average_images: int, images: Tensor
) -> None:
    params = train_params(average_images=average_images, sample_every=1, lr_g=0.05)
    state = GanState(params, CPU)
    assert state.averaged is not None
    seen: list[dict[str, Tensor]] = []
    # Half of the weight is on the last `average_images` images; a plain mean until then.
    kept = 0.5 ** (params.batch_size / average_images)
    for report in fit(state, images, params, FP32, train_labels=LABELS):
        seen.append({n: v.clone().double() for n, v in state.generator.state_dict().items()})
        shares = [max(1 - kept, 1 / n) for n in range(1, report.step + 1)]
        weights = [
            share * math.prod(1 - later for later in shares[i + 1 :])
            for i, share in enumerate(shares)
        ]
        assert sum(weights) == pytest.approx(1)
        for name, value in state.averaged.state_dict().items():
            if "num_batches" not in name:
                expected = sum(w * part[name] for w, part in zip(weights, seen, strict=True))
                assert torch.allclose(value.double(), torch.as_tensor(expected), atol=1e-5), name


def test_half_of_a_long_average_is_younger_than_the_half_life(images: Tensor) -> None:
    # Were the generator 0 before and 1 after, the average after `average_images` would be 1/2.
    params = train_params(average_images=40, batch_size=4, lr_g=0.0, lr_d=0.0)
    state = GanState(params, CPU)
    assert state.averaged is not None
    state.step = 100_000
    with torch.no_grad():
        state.generator.project.bias.fill_(1)
        state.averaged.project.bias.fill_(0)
    for _ in range(10):
        iteration(state, RealBatches(images, params), params, seeded())
    assert torch.allclose(state.averaged.project.bias, torch.tensor(0.5), atol=1e-5)


# --- reports


def test_reports_come_at_epoch_ends_and_sample_steps_and_hold_every_step_once(
    images: Tensor,
) -> None:
    _, reports = trained(train_params(sample_every=4), images)
    assert [(r.step, r.epoch, r.first_step) for r in reports] == [
        (4, None, 1),
        (6, 1, 5),
        (8, None, 7),
        (12, 2, 9),
    ]
    for report in reports:
        assert report.signals.shape == (report.step - report.first_step + 1, len(SIGNALS))
        assert report.signals.dtype == torch.float32
        assert torch.isfinite(report.signals).all()
        assert (report.failed_step, report.failed_signal) == (None, "")
    _, by_epoch = trained(train_params(sample_every=0), images)
    assert [(r.step, r.epoch) for r in by_epoch] == [(6, 1), (12, 2)]
    rows = torch.cat([report.signals for report in reports])
    assert torch.equal(torch.cat([report.signals for report in by_epoch]), rows)


@settings(max_examples=40)
@given(st.integers(1, 9), st.integers(1, 4), st.integers(0, 12), st.integers(0, 36))
def test_reports_come_in_order_for_every_length_and_from_every_start(
    steps_per_epoch: int, epochs: int, sample_every: int, start: int
) -> None:
    params = train_params(steps_per_epoch=steps_per_epoch, epochs=epochs, sample_every=sample_every)
    state = GanState(params, CPU)
    state.step = start

    def counting(state: GanState, *_: object) -> Tensor:
        state.step += 1
        return torch.full((len(SIGNALS),), float(state.step))

    with patch.object(training, "iteration", counting):
        reports = list(fit(state, torch.zeros(4, 28, 28, dtype=torch.uint8), params, FP32))
    last = steps_per_epoch * epochs
    due = [
        step
        for step in range(start + 1, last + 1)
        if step % steps_per_epoch == 0 or (sample_every and step % sample_every == 0)
    ]
    assert [report.step for report in reports] == due
    assert [report.epoch for report in reports] == [
        None if step % steps_per_epoch else step // steps_per_epoch for step in due
    ]
    rows = [step for report in reports for step in report.signals[:, 0].tolist()]
    assert rows == [*range(start + 1, last + 1)]
    assert [report.first_step for report in reports] == [r.signals[0, 0] for r in reports]


def test_the_grid_is_of_the_fixed_noise_and_of_the_generator_that_counts(images: Tensor) -> None:
    for average_images in (0, 1000):
        params = train_params(average_images=average_images)
        state = GanState(params, CPU)
        noise = fixed_noise(params.seed, params.latent_dim, CPU)
        for report in fit(state, images, params, FP32, train_labels=LABELS):
            assert report.grid.shape == (64, 28, 28)
            assert report.grid.dtype == torch.uint8
            counts = state.averaged or state.generator
            assert torch.equal(report.grid, to_bytes(generate(counts, noise)).squeeze(1))


def test_before_step_is_asked_before_every_step_and_its_no_ends_without_a_report(
    images: Tensor,
) -> None:
    params = train_params(sample_every=4)
    asked: list[int] = []

    def until_step_9(steps_done: int) -> bool:
        asked.append(steps_done)
        return steps_done < 9

    state = GanState(params, CPU)
    reports = list(fit(state, images, params, FP32, until_step_9))
    assert asked == [*range(10)]
    assert [report.step for report in reports] == [4, 6, 8]
    assert state.step == 9  # of which the last is lost, as documented

    def never(_: int) -> bool:
        return False

    assert list(fit(GanState(params, CPU), images, params, FP32, never)) == []


def test_a_finished_run_does_nothing_more(images: Tensor) -> None:
    params = train_params()
    state, _ = trained(params, images)
    before = snapshot(state)
    assert list(fit(state, images, params, FP32)) == []
    assert same(snapshot(state), before)


def test_an_iteration_s_draws_depend_on_seed_and_step_alone(images: Tensor) -> None:
    states = []

    def record(_state: object, _batches: object, _params: object, rng: torch.Generator) -> Tensor:
        states.append(rng.get_state())
        _state.step += 1  # type: ignore[attr-defined]
        return torch.zeros(len(SIGNALS))

    params = train_params()
    with patch.object(training, "iteration", record):
        list(fit(GanState(params, CPU), images, params, FP32))
    for step, state in enumerate(states):
        assert torch.equal(state, seeded(derive_seed(params.seed, "step", step)).get_state())


# --- hard failures


def poisoned(
    params: TrainParams, images: Tensor, poison: Any, at_step: int
) -> tuple[GanState, list[Report]]:
    """A run in which `poison(state)` strikes just before the step with the number `at_step`."""
    state = GanState(params, CPU)

    def strike(steps_done: int) -> bool:
        if steps_done == at_step - 1:
            with torch.no_grad():
                poison(state)
        return True

    return state, list(fit(state, images, params, FP32, strike))


def in_d_weight(state: GanState) -> None:
    state.discriminator.conv3.weight[1, 0, 2, 2] = math.nan


def in_g_weight(state: GanState) -> None:
    state.generator.refine.weight[0, 0, 2, 2] = math.nan


def in_running_statistic(state: GanState) -> None:
    state.generator.norm1.running_mean[0] = math.nan  # type: ignore[index]


def in_d_memory(state: GanState) -> None:
    state.d_optimizer.state[state.discriminator.conv1.weight]["square_avg"][0] = math.nan


def in_g_memory(state: GanState) -> None:
    state.g_optimizer.state[state.generator.up1.weight]["square_avg"][0] = math.nan


@pytest.mark.parametrize(
    ("poison", "signal"),
    [
        (in_d_weight, "d_loss"),
        (in_g_weight, "d_loss"),
        (in_running_statistic, "d_loss"),
        (in_d_memory, "g_loss"),  # D's loss was taken before its step
        (in_g_memory, "g_update_ratio"),
    ],
)
@pytest.mark.parametrize("at_step", [2, 6, 7, 9])
def test_what_is_not_finite_is_reported_by_its_step_and_name_and_ends_the_run(
    images: Tensor, poison: Any, signal: str, at_step: int
) -> None:
    params = train_params(sample_every=4)
    state, reports = poisoned(params, images, poison, at_step)
    last = reports[-1]
    assert (last.failed_step, last.failed_signal) == (at_step, signal)
    assert last.first_step <= at_step <= last.step == state.step
    assert all(report.failed_step is None for report in reports[:-1])
    # What came before is there and is that of a healthy run.
    healthy = torch.cat([report.signals for report in trained(params, images)[1]])
    rows = torch.cat([report.signals for report in reports])
    assert torch.equal(rows[: at_step - 1], healthy[: at_step - 1])
    assert not torch.isfinite(rows[at_step - 1, SIGNALS.index(signal)])


def test_a_weight_that_overflows_fails_in_the_very_step_that_made_it(images: Tensor) -> None:
    state, (report,) = trained(train_params(lr_g=2e38), images)
    assert (report.failed_step, report.failed_signal) == (1, "g_update_ratio")
    assert not torch.isfinite(flat(state.g_weights)).all()
