"""The layers of the original, in the forms that compute fastest without changing the arithmetic.

Parameters always keep the original's shapes (5x5 kernels); only the computation is rearranged.
Shapes: B batch, C channels, H and W pixels. Images are NCHW, stored channels-last.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dcgan import processes
from dcgan.row_products import RowProducts

# A nearest-neighbour upsampled image repeats every pixel, so a 5-tap row of the kernel meets only
# three different pixels. Even output rows see taps {0,1}, {2,3}, {4} of the pixels i-1, i, i+1;
# odd output rows see {0}, {1,2}, {3,4}. Index: [output phase, low-resolution tap, original tap].
_PHASE_TAPS = torch.tensor(
    [
        [[1, 1, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 1]],
        [[1, 0, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 1, 1]],
    ],
    dtype=torch.float32,
)

# Images times channels from which products of rows are faster than a convolution (docs/speed.md).
_LARGE = 64 * 128


class UpsampleConv2d(nn.Conv2d):
    """Nearest upsampling by 2, then a 5x5 'same' convolution: [B, C, H, W] -> [B, C', 2H, 2W].

    Computed as a 3x3 convolution to four times the channels at low resolution, one group for each
    of the four output phases, followed by a pixel shuffle: 2.8 times fewer multiplications, the
    same outputs and gradients.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=5, padding=2)
        # [25, 36]: original taps to (row phase, column phase, row tap, column tap)
        merge = torch.einsum("pau,qbv->uvpqab", _PHASE_TAPS, _PHASE_TAPS).reshape(25, 36)
        self.register_buffer("_merge", merge, persistent=False)
        self._merge: Tensor

    def forward(self, x: Tensor) -> Tensor:
        out_channels, in_channels = self.weight.shape[:2]
        phases = (self.weight.reshape(-1, 25) @ self._merge).view(
            out_channels, in_channels, 4, 3, 3
        )
        kernel = phases.transpose(1, 2).reshape(4 * out_channels, in_channels, 3, 3)
        bias = None if self.bias is None else self.bias.repeat_interleave(4)
        return F.pixel_shuffle(F.conv2d(x, kernel, bias, padding=1), 2)


class DownsampleConv2d(nn.Conv2d):
    """Keras's 5x5 'same' convolution with stride 2: [B, C, H, W] -> [B, C', ceil(H/2), ceil(W/2)].

    Keras pads an even size by 1 before and 2 after, an odd size by 2 and 2. With one input channel
    and an even size, the four pixels of each 2x2 block become channels and the 5x5 kernel, padded
    to 6x6, becomes a 3x3 kernel over them: stride 1 and dense instead of stride 2 and thin.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=5, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        if self.in_channels == 1 and height % 2 == 0 and width % 2 == 0:
            kernel = F.pixel_unshuffle(F.pad(self.weight, (1, 0, 1, 0)), 2)
            return F.conv2d(F.pixel_unshuffle(x, 2), kernel, self.bias, padding=1)
        # The convolution pads both sides alike by itself: only the one line more is copied in.
        odd_height, odd_width = height % 2, width % 2
        padded = F.pad(x, (0, 1 - odd_width, 0, 1 - odd_height))
        padding = (1 + odd_height, 1 + odd_width)
        return F.conv2d(padded, self.weight, self.bias, stride=2, padding=padding)


class SmallMapConv2d(nn.Conv2d):
    """A 5x5 'same' convolution of 4x4 maps: [B, C, 4, 4] -> [B, C', 4, 4].

    Large ones are computed in float32 on a CPU as products of rows, which skip most of the padding.
    Small ones, and those in bf16, are faster as they are.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=5, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        large = len(x) * self.in_channels >= _LARGE
        if not large or x.device.type != "cpu" or x.dtype != torch.float32:
            return super().forward(x)
        y: Tensor = RowProducts.apply(x, self.weight)
        return y if self.bias is None else y + self.bias[:, None, None]


def dropout(x: Tensor, probability: float, rng: torch.Generator | None, parts: int = 1) -> Tensor:
    """Zero each value with `probability` and scale the others by 1 / (1 - probability).

    Four 16-bit draws come from one 64-bit random number, several times cheaper on a CPU than one
    Bernoulli draw for each value. The probability is met to 1/65536.

    Args:
        x: any shape, dense in memory (contiguous or channels-last).
        probability: in [0, 1).
        rng: the source of randomness; None takes torch's global generator.
        parts: batches that `x` is made of; of each, several processes have their own rows.
    """
    if probability == 0.0:
        return x
    # Drawn for the whole batch, so that an image's draws are the same among any processes.
    values = x.numel() * processes.size()
    draws = torch.empty(math.ceil(values / 4), dtype=torch.int64, device=x.device)
    draws.random_(-(2**63), None, generator=rng)
    threshold = min(round(probability * 65536), 65535) - 32768  # int16: -32768 to 32767
    keep = processes.own(draws.view(torch.int16)[:values], parts) >= threshold
    scale = keep.to(x.dtype).mul_(1.0 / (1.0 - probability))
    return x * scale.as_strided(x.shape, x.stride())
