import dataclasses

import pytest
import torch
import torch.nn.functional as F

from benchmarks.operations import (
    Layer,
    Pass,
    discriminator_layers,
    generator_layers,
    iteration_bytes,
    iteration_operations,
    iteration_passes,
    met_taps,
)
from dcgan.networks import Discriminator, Generator
from tests.small import train_params


@pytest.mark.parametrize(
    ("size", "stride", "before", "by_hand"),
    [
        (28, 1, 2, 28 * 5 - 2 - 1 - 1 - 2),
        (28, 2, 1, 14 * 5 - 1 - 2),  # pads 1 before, 2 after
        (14, 2, 1, 7 * 5 - 1 - 2),
        (7, 2, 2, 3 + 5 + 5 + 3),
        (4, 1, 2, 3 + 4 + 4 + 3),
    ],
)
def test_taps_that_meet_padding_are_not_counted(
    size: int, stride: int, before: int, by_hand: int
) -> None:
    assert met_taps(size, stride, before) == by_hand


def test_an_image_s_multiplications_are_those_of_a_hand_count_at_width_2() -> None:
    generator = {layer.name: layer.multiplications for layer in generator_layers(2, 3)}
    assert generator == {
        "project": 3 * 392,
        "up1": 8 * 4 * (2 * (7 + 6 + 6)) ** 2,  # the middle tap meets 7 pixels, each other one 6
        "up2": 4 * 2 * (2 * (14 + 13 + 13)) ** 2,
        "refine": 2 * 1 * 134**2,
        "to_image": 1 * 1 * 134**2,
    }
    discriminator = {layer.name: layer.multiplications for layer in discriminator_layers(2)}
    assert discriminator == {
        "conv1": 1 * 2 * 67**2,
        "conv2": 2 * 4 * 32**2,
        "conv3": 4 * 8 * 16**2,
        "conv4": 8 * 16 * 14**2,
        "score": 4 * 4 * 16,
    }


@pytest.mark.parametrize("phase", [0, 1])
def test_no_smaller_count_of_merged_taps_gives_an_upsampled_row(phase: int) -> None:
    # The merged taps that each output of one phase needs, seen from the products that are not 0.
    upsampled = F.interpolate(torch.eye(7)[:, None], scale_factor=2)  # [pixel, 1, 14]
    kernel = torch.arange(1.0, 6.0)[None, None]
    outputs = F.conv1d(upsampled, kernel, padding=2)[:, 0, phase::2]
    assert int((outputs != 0).sum()) == 3 * 7 - 2


def test_layers_hold_the_networks_kernels() -> None:
    for layers, network in (
        (generator_layers(4, 5), Generator(4, 5, dropout=0.4)),
        (discriminator_layers(4), Discriminator(4, dropout=0.4)),
    ):
        for layer in layers:
            assert layer.weights == getattr(network, layer.name).weight.numel()


def test_an_iteration_is_the_passes_that_training_needs() -> None:
    params = train_params(width=2, latent_dim=3, batch_size=4)
    g = sum(layer.multiplications for layer in generator_layers(2, 3))
    d = sum(layer.multiplications for layer in discriminator_layers(2))
    first_of_g, first_of_d = 3 * 392, 2 * 67**2
    discriminator_step = g + 2 * (3 * d - first_of_d)
    generator_step = 3 * g - first_of_g + 2 * d
    expected = 2 * 4 * (discriminator_step + generator_step)
    assert iteration_operations(params) == expected
    joint = dataclasses.replace(params, freeze_discriminator=False)
    assert iteration_operations(joint) == expected + 2 * 4 * d
    shared = dataclasses.replace(params, fakes="shared")
    assert iteration_operations(shared) == expected - 2 * 4 * g


def test_bytes_are_inputs_outputs_and_weights_once_a_pass() -> None:
    layer = Layer("one", channels_in=2, channels_out=3, uses=9, taps=25, pixels_in=4, pixels_out=5)
    assert Pass(layer, "forward", 10).values_moved == 10 * (2 * 4 + 3 * 5) + 2 * 3 * 25
    params = train_params()
    values = sum(one.values_moved for one in iteration_passes(params))
    assert iteration_bytes(params, 2) == 2 * values


@pytest.mark.parametrize("changes", [{"loss": "relativistic"}, {"r1_gamma": 1.0}])
def test_a_game_with_other_passes_is_not_counted_wrongly(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="plain cross-entropy"):
        iteration_passes(train_params(**changes))
