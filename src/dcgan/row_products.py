"""A 5x5 'same' convolution of 4x4 maps as four matrix products, one for each row of the output.

Of the 20 taps that such a convolution lays along a side, 6 meet padding only. Products of whole
rows leave out those above and below, and 4 of the 6 to the left and right: 14 x 16 multiplications
for each pair of channels instead of 20 x 20, at a matrix product's speed.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

SIZE = 4  # rows and columns

# For each output row: the input rows [first, last) that it sees, and the kernel row of the first.
_SEEN = ((0, 3, 2), (0, 4, 1), (0, 4, 0), (1, 4, 0))


class RowProducts(torch.autograd.Function):
    """Images [B, C, 4, 4] and weights [C', C, 5, 5] -> [B, C', 4, 4], as `F.conv2d(padding=2)`.

    `apply` takes and gives channels-last tensors of one dtype; twice differentiable.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        rows, banded = _rows(x), _banded(weight)
        y = x.new_empty(len(x), SIZE, banded.shape[0])
        for row, (pixels, taps) in enumerate(_slices(weight.shape[1])):
            torch.mm(rows[:, pixels], banded[:, taps].T, out=y[:, row])
        return _maps(y)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        channels_out, channels = weight.shape[:2]
        gradient = _rows(gradients[0]).view(len(x), SIZE, SIZE * channels_out)
        for_x = for_weight = None
        if ctx.needs_input_grad[0]:
            banded, for_rows = _banded(weight), torch.zeros_like(_rows(x))
            for row, (pixels, taps) in enumerate(_slices(channels)):
                for_rows[:, pixels].addmm_(gradient[:, row], banded[:, taps])
            for_x = _maps(for_rows)
        if ctx.needs_input_grad[1]:
            rows, for_banded = _rows(x), x.new_zeros(SIZE * channels_out, 5 * SIZE * channels)
            for row, (pixels, taps) in enumerate(_slices(channels)):
                for_banded[:, taps].addmm_(gradient[:, row].T, rows[:, pixels])
            for_weight = _unbanded(for_banded, channels)
        return for_x, for_weight


def _slices(channels: int) -> list[tuple[slice, slice]]:
    """For each output row, what it sees: a slice of the input's values and one of kernel rows."""
    row = SIZE * channels
    return [
        (slice(first * row, last * row), slice(tap * row, (tap + last - first) * row))
        for first, last, tap in _SEEN
    ]


def _rows(maps: Tensor) -> Tensor:
    """[B, C, 4, 4] -> [B, 16 C], pixel by pixel."""
    return maps.permute(0, 2, 3, 1).flatten(1)


def _maps(rows: Tensor) -> Tensor:
    """The inverse of `_rows`; also of [B, 4, 4 C]."""
    return rows.view(len(rows), SIZE, SIZE, -1).permute(0, 3, 1, 2)


def _banded(weight: Tensor) -> Tensor:
    """[C', C, 5, 5] -> [4 C', 5 * 4 C]: for each output column all columns of a row, by kernel row.

    Output column c meets input column i through tap i - c + 2, or not at all.
    """
    padded = F.pad(weight.permute(0, 2, 3, 1), (0, 0, 1, 1))
    return torch.stack([padded[:, :, 3 - c : 7 - c] for c in range(SIZE)]).flatten(0, 1).flatten(1)


def _unbanded(banded: Tensor, channels: int) -> Tensor:
    """The transpose of `_banded`, a sum over output columns: [4 C', 5 * 4 C] -> [C', C, 5, 5]."""
    parts = banded.view(SIZE, -1, 5, SIZE, channels)
    padded = parts.new_zeros(parts.shape[1], 5, 7, channels)
    for c in range(SIZE):
        padded[:, :, 3 - c : 7 - c] += parts[c]
    return padded[:, :, 1:6].permute(0, 3, 1, 2)
