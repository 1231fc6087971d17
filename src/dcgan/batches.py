"""Which real images an iteration sees, and which noise; a function of the original and the step."""

from typing import NamedTuple

import torch
from torch import Tensor

from dcgan import processes
from dcgan.mnist import to_unit
from dcgan.params import TrainParams
from dcgan.runtime import random_generator


class Batch(NamedTuple):
    """Real images of one step, float32 [B, 1, 28, 28] in [0, 1], and what they show.

    `digits`, int64 [B], are None where the training is not conditional. Of several processes each
    has its own rows of the step's batch.
    """

    images: Tensor
    digits: Tensor | None


class RealBatches:
    """Batches of `params.batch_size` real images by step.

    `replacement` draws each image anew, as the original does; `epochs` shows every image once
    before any is shown again. The images stay where they are as uint8; only a batch becomes floats.
    """

    def __init__(self, images: Tensor, params: TrainParams, labels: Tensor | None = None) -> None:
        if params.conditional and labels is None:
            raise ValueError("a conditional training needs the labels of its images")
        self._images, self._params = images, params
        self._labels = labels if params.conditional else None
        self._orders: dict[int, Tensor] = {}

    def __call__(self, step: int, rng: torch.Generator) -> Batch:
        size, device = self._params.batch_size, self._images.device
        if self._params.sampling == "replacement":
            index = torch.randint(len(self._images), (size,), generator=rng, device=device)
        else:
            places = torch.arange(step * size, (step + 1) * size)
            passes = places // len(self._images)
            index = torch.empty(size, dtype=torch.int64, device=device)
            for number in range(int(passes[0]), int(passes[-1]) + 1):
                here = passes == number
                index[here.to(device)] = self._order(number)[places[here] % len(self._images)]
        index = processes.own(index)
        digits = None if self._labels is None else self._labels[index].long()
        return Batch(to_unit(self._images[index]), digits)

    def _order(self, number: int) -> Tensor:
        if number not in self._orders:
            self._orders = {k: v for k, v in self._orders.items() if k == number - 1}
            rng = random_generator(self._images.device, self._params.seed, "order", number)
            self._orders[number] = torch.randperm(
                len(self._images), generator=rng, device=self._images.device
            )
        return self._orders[number]


def draw_noise(size: int, latent_dim: int, rng: torch.Generator) -> Tensor:
    """The generator's input: float32 [size, latent_dim] from U(-1, 1), on the device of `rng`."""
    return torch.rand(size, latent_dim, generator=rng, device=rng.device) * 2 - 1
