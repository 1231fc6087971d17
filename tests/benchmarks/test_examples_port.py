"""The recipe of pytorch/examples: shapes, start, order of images, whose weights move."""

import copy

import torch
from torch import nn

from benchmarks.examples_port import (
    BATCH_SIZE,
    LATENT_DIM,
    ExamplesPort,
    examples_discriminator,
    examples_generator,
)
from tests.small import digits

IMAGES = digits(130, 1).train_images


def test_images_have_28_pixels_a_side_and_lie_in_minus_one_to_one() -> None:
    images = examples_generator(4)(100 * torch.randn(3, LATENT_DIM, 1, 1))
    assert images.shape == (3, 1, 28, 28)
    assert images.abs().max() <= 1
    answers = examples_discriminator(4)(images)
    assert answers.shape == (3,)
    assert ((answers > 0) & (answers < 1)).all()


def test_weights_start_as_the_example_s() -> None:
    port = ExamplesPort(16, IMAGES)
    layers = [*port.generator, *port.discriminator]
    kernels = [layer for layer in layers if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(kernels) == 8
    assert all(layer.bias is None for layer in kernels)
    for mean, weights in (
        (0.0, torch.cat([layer.weight.flatten() for layer in kernels])),
        (1.0, torch.cat([layer.weight for layer in layers if isinstance(layer, nn.BatchNorm2d)])),
    ):
        assert abs(weights.mean().item() - mean) < 0.005
        assert abs(weights.std().item() - 0.02) < 0.002


def test_a_pass_shows_every_image_once_in_batches_of_64() -> None:
    numbered = torch.arange(130, dtype=torch.uint8).reshape(130, 1, 1).expand(130, 28, 28)
    port, seen = ExamplesPort(2, numbered), []
    port.discriminator.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    for _ in range(3):
        port()
    real = [((batch[:, 0, 0, 0] + 1) * 127.5).round() for batch in seen[::3]]
    assert [len(batch) for batch in real] == [BATCH_SIZE, BATCH_SIZE, 2]
    order = torch.cat(real).tolist()
    assert sorted(order) == list(range(130))
    assert order != sorted(order)


def test_an_iteration_is_adam_s_step_of_each_network_on_its_own_loss() -> None:
    port = ExamplesPort(4, IMAGES[:BATCH_SIZE])
    before = copy.deepcopy(port)
    torch.manual_seed(3)
    d_loss, g_loss = port()

    torch.manual_seed(3)
    generator, discriminator = before.generator, before.discriminator
    real = IMAGES[torch.randperm(BATCH_SIZE)][:, None] / 127.5 - 1
    fake = generator(torch.randn(BATCH_SIZE, LATENT_DIM, 1, 1))
    wanted = -(discriminator(real).log().mean() + (1 - discriminator(fake.detach())).log().mean())
    assert abs(wanted.item() - d_loss) < 1e-4
    weights = [*discriminator.parameters()]
    with torch.no_grad():
        for weight, slope in zip(weights, torch.autograd.grad(wanted, weights), strict=True):
            weight.sub_(2e-4 * slope / (slope.abs() + 1e-8))  # Adam's first step
    wanted = -discriminator(fake).log().mean()
    assert abs(wanted.item() - g_loss) < 1e-3
    weights = [*generator.parameters()]
    with torch.no_grad():
        for weight, slope in zip(weights, torch.autograd.grad(wanted, weights), strict=True):
            weight.sub_(2e-4 * slope / (slope.abs() + 1e-8))
    for one, other in ((port.generator, generator), (port.discriminator, discriminator)):
        for moved, expected in zip(one.parameters(), other.parameters(), strict=True):
            # Where a slope is next to nothing, its sign is rounding's.
            near = (moved - expected).abs() < 2e-5
            assert near.float().mean() > 0.95
