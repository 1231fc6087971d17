"""Images from a generator, without a trace in its training."""

from itertools import repeat

import torch
from torch import Tensor

from dcgan.batches import draw_noise
from dcgan.mnist import NUM_CLASSES
from dcgan.networks import Generator, one_hot
from dcgan.runtime import random_generator

GRID_IMAGES = 64
_BATCH = 125  # small enough that an image's largest maps stay in a CPU's cache


def fixed_noise(seed: int, latent_dim: int, device: torch.device) -> Tensor:
    """The noise [64, latent_dim] whose images show a run's progress, the same at every step."""
    return draw_noise(GRID_IMAGES, latent_dim, random_generator(device, seed, "fixed noise"))


def noise_bank(seed: int, num_samples: int, latent_dim: int, device: torch.device) -> Tensor:
    """The noise [num_samples, latent_dim] that samples are measured with."""
    return draw_noise(num_samples, latent_dim, random_generator(device, seed, "noise bank"))


def asked_digits(generator: Generator, num_samples: int) -> Tensor | None:
    """The digits, int64 [num_samples], that a conditional generator is asked for: every ten samples
    have one of each, and so has every tenth sample. None: it cannot be asked."""
    if not generator.conditional:
        return None
    number = torch.arange(num_samples, device=next(generator.parameters()).device)
    # Were each ten alike, every tenth sample would be one digit, and `metrics.frechet_sigma`, which
    # leaves them out together, would leave out all of a digit.
    return (number + number // NUM_CLASSES) % NUM_CLASSES


@torch.no_grad()
def generate(generator: Generator, noise: Tensor, digits: Tensor | None = None) -> Tensor:
    """Images [N, 1, 28, 28] in [0, 1], float32, by `generator` in inference mode.

    `digits`, int64 [N], None for `asked_digits`, are for a conditional generator alone.
    """
    generator.eval()
    if digits is None:
        digits = asked_digits(generator, len(noise))
    asked = repeat(None) if digits is None else torch.split(one_hot(digits), _BATCH)
    batches = zip(torch.split(noise, _BATCH), asked, strict=False)
    return torch.cat([generator(z, of).float() for z, of in batches])


def to_bytes(images: Tensor) -> Tensor:
    """Images in [0, 1] -> uint8 of the same shape, rounded to the nearest."""
    return (images * 255).round().to(torch.uint8)
