import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dcgan.losses import discriminator_loss, generator_loss, gradient_penalty
from dcgan.networks import Discriminator

KINDS = ["bce", "relativistic"]


def random_logits(seed: int, size: int = 6) -> tuple[Tensor, Tensor]:
    real, fake = 3 * torch.randn(2, size, generator=torch.Generator().manual_seed(seed))
    return real, fake


@pytest.mark.parametrize("kind", KINDS)
def test_a_discriminator_that_cannot_tell_loses_log_2_and_so_does_the_generator(kind: str) -> None:
    zeros = torch.zeros(5)
    assert discriminator_loss(kind, zeros, zeros).item() == pytest.approx(math.log(2))
    assert generator_loss(kind, zeros, zeros).item() == pytest.approx(math.log(2))


def test_bce_is_torch_s_cross_entropy_over_the_concatenation() -> None:
    real, fake = random_logits(0)
    logits = torch.cat([real, fake])
    labels = torch.cat([torch.ones(6), torch.zeros(6)])
    expected = F.binary_cross_entropy_with_logits(logits, labels).item()
    assert discriminator_loss("bce", real, fake).item() == pytest.approx(expected)
    towards_real = F.binary_cross_entropy_with_logits(fake, torch.ones(6)).item()
    assert generator_loss("bce", None, fake).item() == pytest.approx(towards_real)
    assert generator_loss("bce", real, fake).item() == pytest.approx(towards_real)


def test_the_relativistic_losses_are_softplus_of_paired_differences() -> None:
    real, fake = random_logits(1)
    pairs = list(zip(real.tolist(), fake.tolist(), strict=True))
    for_d = sum(math.log1p(math.exp(b - a)) for a, b in pairs) / 6
    for_g = sum(math.log1p(math.exp(a - b)) for a, b in pairs) / 6
    assert discriminator_loss("relativistic", real, fake).item() == pytest.approx(for_d)
    assert generator_loss("relativistic", real, fake).item() == pytest.approx(for_g)
    assert generator_loss("relativistic", fake, real).item() == pytest.approx(for_d)


def test_the_relativistic_generator_needs_the_real_logits() -> None:
    with pytest.raises(AssertionError):
        generator_loss("relativistic", None, torch.zeros(2))


@pytest.mark.parametrize("kind", KINDS)
def test_losses_of_logits_beyond_what_exp_can_hold_are_finite(kind: str) -> None:
    real, fake = torch.full((2, 3), 1e4)
    assert discriminator_loss(kind, -real, fake).item() == pytest.approx(
        1e4 if kind == "bce" else 2e4
    )
    assert generator_loss(kind, real, -fake).item() == pytest.approx(1e4 if kind == "bce" else 2e4)


@pytest.mark.parametrize("kind", KINDS)
def test_descending_the_losses_moves_the_logits_apart_and_together(kind: str) -> None:
    real, fake = (logits.requires_grad_() for logits in random_logits(2))
    for_real, for_fake = torch.autograd.grad(discriminator_loss(kind, real, fake), [real, fake])
    assert (for_real < 0).all()
    assert (for_fake > 0).all()
    (for_fake,) = torch.autograd.grad(generator_loss(kind, real, fake), [fake])
    assert (for_fake < 0).all()


def test_the_penalty_of_a_linear_discriminator_is_the_squared_length_of_its_weights() -> None:
    weight = torch.randn(1, 28, 28, requires_grad=True)
    images = torch.rand(5, 1, 28, 28, requires_grad=True)
    logits = (images * weight).sum(dim=(1, 2, 3)) + 3
    penalty = gradient_penalty(logits, images)
    assert penalty.item() == pytest.approx(weight.square().sum().item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(penalty, weight)
    assert torch.allclose(gradient, 2 * weight)


def test_the_penalty_is_the_mean_of_each_image_s_own_slope() -> None:
    # logit = s_i |x|^2 / 2 has the slope s_i x.
    steepness = torch.tensor([0.0, 1.0, 3.0])
    images = torch.rand(3, 1, 28, 28, requires_grad=True)
    squares = images.square().sum(dim=(1, 2, 3))
    expected = (steepness**2 * squares).mean().item()
    penalty = gradient_penalty(steepness * squares / 2, images)
    assert penalty.item() == pytest.approx(expected, rel=1e-5)


def test_the_penalty_s_gradient_agrees_with_small_differences() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(width=2, dropout=0.0).double()
    images = torch.rand(3, 1, 28, 28, dtype=torch.float64, requires_grad=True)
    weight = discriminator.conv4.weight

    def penalty() -> Tensor:
        return gradient_penalty(discriminator(images), images)

    (gradient,) = torch.autograd.grad(penalty(), weight)
    with torch.no_grad():
        direction = torch.randn_like(weight)
    moved = []
    for sign in (1, -1):
        with torch.no_grad():
            weight += sign * 1e-5 * direction
        moved.append(penalty().item())
        with torch.no_grad():
            weight -= sign * 1e-5 * direction
    slope = (moved[0] - moved[1]) / 2e-5
    assert (gradient * direction).sum().item() == pytest.approx(slope, rel=1e-4)
