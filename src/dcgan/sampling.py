"""Images from a generator, without a trace in its training."""

import torch
from torch import Tensor

from dcgan.batches import draw_noise
from dcgan.networks import Generator
from dcgan.runtime import random_generator

GRID_IMAGES = 64
_BATCH = 125  # small enough that an image's largest maps stay in a CPU's cache


def fixed_noise(seed: int, latent_dim: int, device: torch.device) -> Tensor:
    """The noise [64, latent_dim] whose images show a run's progress, the same at every step."""
    return draw_noise(GRID_IMAGES, latent_dim, random_generator(device, seed, "fixed noise"))


def noise_bank(seed: int, num_samples: int, latent_dim: int, device: torch.device) -> Tensor:
    """The noise [num_samples, latent_dim] that samples are measured with."""
    return draw_noise(num_samples, latent_dim, random_generator(device, seed, "noise bank"))


@torch.no_grad()
def generate(generator: Generator, noise: Tensor) -> Tensor:
    """Images [N, 1, 28, 28] in [0, 1], float32, by `generator` in inference mode."""
    generator.eval()
    return torch.cat([generator(z).float() for z in torch.split(noise, _BATCH)])


def to_bytes(images: Tensor) -> Tensor:
    """Images in [0, 1] -> uint8 of the same shape, rounded to the nearest."""
    return (images * 255).round().to(torch.uint8)
