import dataclasses

import pytest
import torch
from torch import Tensor, nn

from benchmarks.plain_port import PlainPort
from dcgan.batches import draw_noise
from dcgan.mnist import to_unit
from dcgan.params import TrainParams
from dcgan.training import GanState, iteration
from tests.small import CPU, digits, train_params

ADAM = train_params(
    optimizer="adam", width=4, average_images=12, decay_d=0.1, decay_g=0.2, batch_size=8
)
RMSPROP = dataclasses.replace(ADAM, optimizer="rmsprop", average_images=0)
SHARED = dataclasses.replace(ADAM, fakes="shared")


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


@pytest.mark.parametrize("params", [ADAM, RMSPROP, SHARED], ids=["adam", "rmsprop", "shared"])
def test_the_plain_port_s_losses_are_the_engine_s_from_equal_weights_and_noise(
    params: TrainParams,
) -> None:
    state, plain = GanState(params, CPU), PlainPort(params)
    copy_weights(state, plain)
    images = digits(40, 1).train_images
    ours, theirs = [], []
    for step in range(4):
        real = to_unit(images[8 * step : 8 * step + 8])
        rng = torch.Generator().manual_seed(step)
        d_loss, g_loss, *_ = iteration(state, lambda *_, real=real: real, params, rng).tolist()
        ours.append((d_loss, g_loss))
        rng = torch.Generator().manual_seed(step)
        d_noise = draw_noise(len(real), params.latent_dim, rng)
        shared = params.fakes == "shared"
        g_noise = d_noise if shared else draw_noise(len(real), params.latent_dim, rng)
        theirs.append(plain.train_on(real, d_noise, g_noise))
    assert ours[0] != ours[1]
    for one, other in zip(ours, theirs, strict=True):
        assert one == pytest.approx(other, rel=2e-4)


def test_the_plain_port_s_averaged_weights_are_the_engine_s() -> None:
    params = ADAM
    state, plain = GanState(params, CPU), PlainPort(params)
    copy_weights(state, plain)
    real = to_unit(digits(8, 1).train_images)
    for step in range(2):
        rng = torch.Generator().manual_seed(step)
        iteration(state, lambda *_: real, params, rng)
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
