"""The DCGAN of pytorch/examples at 28x28: what a reader of PyTorch's own example has.

Written from https://github.com/pytorch/examples/blob/main/dcgan/main.py: Adam at 2e-4 with beta1
0.5, batch 64, noise of 100 normal numbers, weights from N(0, 0.02), batch norms' scales from
N(1, 0.02), D on real and on fake images apart, images in [-1, 1]. The example draws 64x64 pictures
in five layers from 4x4 to 64x64; here they are four, from 4x4 over 7x7 and 14x14 to 28x28, and D
mirrors them. Images come from memory, without the example's loader and its workers.
"""

import torch
from torch import Tensor, nn

LATENT_DIM, BATCH_SIZE, RATE, BETAS = 100, 64, 2e-4, (0.5, 0.999)


def examples_generator(width: int) -> nn.Sequential:
    """Noise [B, 100, 1, 1] -> images [B, 1, 28, 28] in [-1, 1]."""
    return nn.Sequential(
        nn.ConvTranspose2d(LATENT_DIM, 4 * width, 4, bias=False),
        nn.BatchNorm2d(4 * width),
        nn.ReLU(),
        nn.ConvTranspose2d(4 * width, 2 * width, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.ConvTranspose2d(width, 1, 4, stride=2, padding=1, bias=False),
        nn.Tanh(),
    )


def examples_discriminator(width: int) -> nn.Sequential:
    """Images [B, 1, 28, 28] in [-1, 1] -> probability of real [B]."""
    return nn.Sequential(
        nn.Conv2d(1, width, 4, stride=2, padding=1, bias=False),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.LeakyReLU(0.2),
        nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(4 * width),
        nn.LeakyReLU(0.2),
        nn.Conv2d(4 * width, 1, 4, bias=False),
        nn.Sigmoid(),
        nn.Flatten(0),
    )


class ExamplesPort:
    """Both networks and their optimisers; random numbers are torch's global ones, as there."""

    def __init__(self, width: int, images: Tensor) -> None:
        self.images = images  # uint8 [N, 28, 28]
        self.generator, self.discriminator = (
            examples_generator(width),
            examples_discriminator(width),
        )
        for network in (self.generator, self.discriminator):
            network.apply(_initialise)
        self.g_optimizer, self.d_optimizer = (
            torch.optim.Adam(network.parameters(), lr=RATE, betas=BETAS)
            for network in (self.generator, self.discriminator)
        )
        self.loss = nn.BCELoss()
        self._order = torch.empty(0, dtype=torch.int64)

    def __call__(self) -> tuple[float, float]:
        """One iteration on the next images of a pass in random order. Returns both losses."""
        real = self._next_real()
        ones, zeros = torch.ones(len(real)), torch.zeros(len(real))
        self.generator.train()
        self.discriminator.zero_grad()
        d_real = self.loss(self.discriminator(real), ones)
        d_real.backward()
        fake = self.generator(torch.randn(len(real), LATENT_DIM, 1, 1))
        d_fake = self.loss(self.discriminator(fake.detach()), zeros)
        d_fake.backward()
        self.d_optimizer.step()

        self.generator.zero_grad()
        g_loss = self.loss(self.discriminator(fake), ones)
        g_loss.backward()
        self.g_optimizer.step()
        return (d_real + d_fake).item(), g_loss.item()

    def _next_real(self) -> Tensor:
        """The next [B, 1, 28, 28] in [-1, 1]; a pass's last batch may be smaller, as there."""
        if not len(self._order):
            self._order = torch.randperm(len(self.images))
        now, self._order = self._order[:BATCH_SIZE], self._order[BATCH_SIZE:]
        return self.images[now].unsqueeze(1).float() / 127.5 - 1


def _initialise(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0, 0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1, 0.02)
