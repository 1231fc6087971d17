import dataclasses

import pytest
import torch
from torch import Tensor, nn

import dcgan.layers
from benchmarks.plain_port import PlainPort
from dcgan.batches import Batch, draw_noise
from dcgan.mnist import to_unit
from dcgan.params import TrainParams
from dcgan.training import GanState, iteration
from tests.small import CPU, digits, train_params

ADAM = train_params(
    optimizer="adam", width=4, average_images=12, decay_d=0.1, decay_g=0.2, batch_size=8
)
RMSPROP = dataclasses.replace(ADAM, optimizer="rmsprop", average_images=0)
SHARED = dataclasses.replace(ADAM, fakes="shared")

Losses = tuple[list[float], tuple[float, float]]
"""d_loss and g_loss of the engine and of the plain port."""


def kernels_of(network: nn.Module) -> list[nn.Module]:
    """Linear, convolution and norm layers in the order in which images pass them."""
    kinds = (nn.Linear, nn.Conv2d, nn.BatchNorm1d, nn.BatchNorm2d)
    return [layer for layer in network.modules() if isinstance(layer, kinds)]


def channels_first(flat: Tensor, channels: int, side: int) -> Tensor:
    """Rows of features in the order (row, column, channel) -> (channel, row, column)."""
    pixels = flat.reshape(side, side, channels, *flat.shape[1:])
    return pixels.permute(2, 0, 1, *range(3, pixels.dim())).reshape(flat.shape)


def copy_weights(state: GanState, plain: PlainPort) -> None:
    """Give the plain port the weights of `state`, whose features are flattened as Keras does."""
    width = plain.params.width
    for network, port in (
        (state.generator, plain.generator),
        (state.discriminator, plain.discriminator),
    ):
        for source, target in zip(kernels_of(network), kernels_of(port), strict=True):
            values = dict(source.state_dict())
            if isinstance(target, nn.Linear) and target.out_features == 1:
                score = channels_first(values["weight"].T, 8 * width, 4)
                values["weight"] = score.T
            elif isinstance(target, nn.Linear | nn.BatchNorm1d):
                for name, value in values.items():
                    if value.dim():
                        values[name] = channels_first(value, 4 * width, 7)
            target.load_state_dict(values)
    if plain.averaged is not None:
        plain.averaged.load_state_dict(plain.generator.state_dict())


def train_both(params: TrainParams, steps: int) -> tuple[GanState, PlainPort, list[Losses]]:
    """Engine and port from equal weights, digits and noise; both losses of each at every step."""
    state, plain = GanState(params, CPU), PlainPort(params)
    copy_weights(state, plain)
    images = digits(8 * steps, 1).train_images
    losses: list[Losses] = []
    for step in range(steps):
        real = to_unit(images[8 * step : 8 * step + 8])
        rng = torch.Generator().manual_seed(step)
        ours = iteration(state, lambda *_, real=real: Batch(real, None), params, rng)[:2].tolist()
        rng = torch.Generator().manual_seed(step)
        d_noise = draw_noise(len(real), params.latent_dim, rng)
        shared = params.fakes == "shared"
        g_noise = d_noise if shared else draw_noise(len(real), params.latent_dim, rng)
        losses.append((ours, plain.train_on(real, d_noise, g_noise)))
    return state, plain, losses


@pytest.mark.parametrize("params", [ADAM, RMSPROP, SHARED], ids=["adam", "rmsprop", "shared"])
def test_the_plain_port_s_losses_are_the_engine_s_from_equal_weights_and_noise(
    params: TrainParams,
) -> None:
    _, _, losses = train_both(params, 4)
    assert losses[0][0] != losses[1][0]
    for ours, theirs in losses:
        assert ours == pytest.approx(theirs, rel=2e-4)


@pytest.mark.parametrize(
    ("params", "large"),
    [(ADAM, 2**14), (RMSPROP, 2**14), (SHARED, 2**14), (RMSPROP, 0)],
    ids=["adam", "rmsprop", "shared", "products of rows"],
)
def test_after_20_steps_losses_and_weights_are_still_the_plain_port_s(
    params: TrainParams, large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dcgan.layers, "_LARGE", large)
    start = PlainPort(params)
    copy_weights(GanState(params, CPU), start)
    state, plain, losses = train_both(params, 20)
    for ours, theirs in losses:
        assert ours == pytest.approx(theirs, rel=0.015)
    engine = PlainPort(params)
    copy_weights(state, engine)  # in the port's order of features
    # Rounding alone comes to 0.06 and 0.005 of the way: where gradients are next to nothing, these
    # optimisers move by the rate whatever their sign. D's decay off by a tenth comes to 0.05.
    for name, tolerance in (("generator", 0.15), ("discriminator", 0.02)):
        before, there, here = (
            dict(getattr(port, name).named_parameters()) for port in (start, plain, engine)
        )
        for weight, value in there.items():
            # A bias in front of a batch norm has no gradient but rounding: it may be anything.
            if value.dim() == 1 and name == "generator" and weight != "16.bias":
                continue
            moved = (value - before[weight]).norm()
            assert (here[weight] - value).norm() < tolerance * moved, f"{name} {weight}"


def test_the_plain_port_s_averaged_weights_are_the_engine_s() -> None:
    params = ADAM
    state, plain = GanState(params, CPU), PlainPort(params)
    copy_weights(state, plain)
    real = to_unit(digits(8, 1).train_images)
    for step in range(2):
        rng = torch.Generator().manual_seed(step)
        iteration(state, lambda *_: Batch(real, None), params, rng)
        rng = torch.Generator().manual_seed(step)
        plain.train_on(real, *(draw_noise(len(real), params.latent_dim, rng) for _ in range(2)))
    assert state.averaged is not None
    assert plain.averaged is not None
    layers = zip(kernels_of(state.averaged)[2:], kernels_of(plain.averaged)[2:], strict=True)
    for one, other in layers:
        if isinstance(one, nn.BatchNorm2d):
            assert isinstance(other, nn.BatchNorm2d)
            assert one.running_var is not None
            torch.testing.assert_close(one.running_var, other.running_var, rtol=1e-3, atol=1e-5)
        else:
            torch.testing.assert_close(one.weight, other.weight, rtol=1e-3, atol=1e-4)


def test_the_plain_port_trains_on_images_of_its_own_choice() -> None:
    params = dataclasses.replace(ADAM, g_dropout=0.4, d_dropout=0.4)
    plain = PlainPort(params)
    before = [weight.detach().clone() for weight in plain.generator.parameters()]
    with torch.random.fork_rng():
        losses = [plain.iteration(digits(20, 1).train_images) for _ in range(2)]
    assert all(0 < loss < 10 for pair in losses for loss in pair)
    assert plain.step == 2
    after = plain.generator.parameters()
    assert not any(torch.equal(one, other) for one, other in zip(before, after, strict=True))
