"""Generator and Discriminator, layer for layer those of the original (Keras), at any width.

`width` is the channel count of the discriminator's first layer, 64 in the original; every other
width keeps the original's proportions. Features are flattened in Keras's order (row, column,
channel), which is also how channels-last tensors lie in memory, so neither reshape copies anything.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dcgan.batch_norms import BatchNorm1d, BatchNorm2d
from dcgan.layers import DownsampleConv2d, SmallMapConv2d, UpsampleConv2d, dropout
from dcgan.mnist import NUM_CLASSES

BATCH_NORM_EPS = 1e-3  # Keras's default
BATCH_NORM_MOMENTUM = 0.1  # Keras counts what it keeps (0.9), torch what it replaces


class Generator(nn.Module):
    """Noise z [B, latent_dim], drawn from U(-1, 1) -> images [B, 1, 28, 28] in [0, 1].

    A `conditional` one is also told which digits to draw, float [B, 10], see `one_hot`: joined to
    the noise, as in Mirza & Osindero 1411.1784. Rows that are not one-hot lie between digits.
    """

    def __init__(
        self, width: int, latent_dim: int, dropout: float, conditional: bool = False
    ) -> None:
        super().__init__()
        if width < 2 or width % 2:
            raise ValueError(f"width must be an even number of at least 2, not {width}")
        self.width, self.latent_dim, self.dropout = width, latent_dim, dropout
        self.conditional = conditional
        told = NUM_CLASSES if conditional else 0
        self.project = nn.Linear(latent_dim + told, 7 * 7 * 4 * width)
        self.project_norm = _batch_norm_1d(7 * 7 * 4 * width)
        self.up1 = UpsampleConv2d(4 * width, 2 * width)
        self.norm1 = _batch_norm_2d(2 * width)
        self.up2 = UpsampleConv2d(2 * width, width)
        self.norm2 = _batch_norm_2d(width)
        self.refine = nn.Conv2d(width, width // 2, 5, padding=2)
        self.norm3 = _batch_norm_2d(width // 2)
        self.to_image = nn.Conv2d(width // 2, 1, 5, padding=2)
        self.to(memory_format=torch.channels_last)

    def forward(
        self, z: Tensor, digits: Tensor | None = None, rng: torch.Generator | None = None
    ) -> Tensor:
        if self.conditional:
            assert digits is not None
            z = torch.cat([z, digits], dim=1)
        x = F.relu(self.project_norm(self.project(z)))
        x = x.view(-1, 7, 7, 4 * self.width).permute(0, 3, 1, 2)
        if self.training:
            x = dropout(x, self.dropout, rng)
        x = F.relu(self.norm1(self.up1(x)))
        x = F.relu(self.norm2(self.up2(x)))
        x = F.relu(self.norm3(self.refine(x)))
        return torch.sigmoid(self.to_image(x))


class Discriminator(nn.Module):
    """Images [B, 1, 28, 28] in [0, 1] -> logits [B]; sigmoid(logit) is the probability of real.

    A `conditional` one is told which digit each image is to be, int64 [B], and adds to the logit
    the product of its features with that digit's vector (Miyato & Koyama 1802.05637, eq. 3).
    `parts` tells of how many batches, one after the other, the images are.
    """

    def __init__(self, width: int, dropout: float, conditional: bool = False) -> None:
        super().__init__()
        self.width, self.dropout = width, dropout
        self.conv1 = DownsampleConv2d(1, width)
        self.conv2 = DownsampleConv2d(width, 2 * width)
        self.conv3 = DownsampleConv2d(2 * width, 4 * width)
        self.conv4 = SmallMapConv2d(4 * width, 8 * width)
        self.score = nn.Linear(4 * 4 * 8 * width, 1)
        self.conditional = conditional
        if conditional:
            self.digits = nn.Embedding(NUM_CLASSES, 4 * 4 * 8 * width)
        self.to(memory_format=torch.channels_last)

    def forward(
        self,
        images: Tensor,
        digits: Tensor | None = None,
        rng: torch.Generator | None = None,
        parts: int = 1,
    ) -> Tensor:
        x = images
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = F.leaky_relu(conv(x), 0.2)
            if self.training:
                x = dropout(x, self.dropout, rng, parts)
        x = x.permute(0, 2, 3, 1).flatten(1)
        logits: Tensor = self.score(x).squeeze(1)
        if self.conditional:
            assert digits is not None
            logits = logits + (self.digits(digits) * x).sum(1)
        return logits


def one_hot(digits: Tensor) -> Tensor:
    """Digits, int64 [N] -> float32 [N, 10], as a conditional generator is told them."""
    return F.one_hot(digits, NUM_CLASSES).float()


def initialise(module: nn.Module, rng: torch.Generator) -> None:
    """Keras's initial values: Glorot uniform kernels, zero biases, unit batch-norm scales."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.Embedding):
            nn.init.xavier_uniform_(layer.weight, generator=rng)
            if not isinstance(layer, nn.Embedding) and layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.reset_parameters()


def _batch_norm_1d(features: int) -> BatchNorm1d:
    return BatchNorm1d(features, eps=BATCH_NORM_EPS, momentum=BATCH_NORM_MOMENTUM)


def _batch_norm_2d(features: int) -> BatchNorm2d:
    return BatchNorm2d(features, eps=BATCH_NORM_EPS, momentum=BATCH_NORM_MOMENTUM)
