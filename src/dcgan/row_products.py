"""A 5x5 'same' convolution of 4x4 maps as products of whole rows.

Of the 20 taps that such a convolution lays along a side, 6 meet padding only. Products of whole
rows leave out those above and below, and 4 of the 6 to the left and right: 14 x 16 multiplications
for each pair of channels instead of 20 x 20, at a matrix product's speed.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

SIZE, TAPS = 4, 5


class RowProducts(torch.autograd.Function):
    """Images [B, C, 4, 4] and weights [C', C, 5, 5] -> [B, C', 4, 4], as `F.conv2d(padding=2)`.

    `apply` takes tensors of one dtype, best channels-last, as what it gives; twice differentiable.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        rows, sums = _rows(x), x.new_zeros(len(x), SIZE, SIZE * len(weight))
        for tap in range(TAPS):
            banded = _banded(weight[:, :, tap])
            for row, seen in _met(tap):
                sums[:, row].addmm_(rows[:, seen], banded.T)
        return _maps(sums)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        rows, gradient = _rows(x), _rows(gradients[0])
        for_x = for_weight = None
        if ctx.needs_input_grad[0]:
            for_rows = torch.zeros_like(rows)
            for tap in range(TAPS):
                banded = _banded(weight[:, :, tap])
                for row, seen in _met(tap):
                    for_rows[:, seen].addmm_(gradient[:, row], banded)
            for_x = _maps(for_rows)
        if ctx.needs_input_grad[1]:
            for_taps = []
            for tap in range(TAPS):
                for_banded = x.new_zeros(gradient.shape[2], rows.shape[2])
                for row, seen in _met(tap):
                    for_banded.addmm_(gradient[:, row].T, rows[:, seen])
                for_taps.append(_unbanded(for_banded))
            for_weight = torch.stack(for_taps, 1).permute(0, 3, 1, 2)
        return for_x, for_weight


def _met(tap: int) -> list[tuple[int, int]]:
    """Each output row that meets pixels through a row of taps, and the input row of these."""
    return [(row, row + tap - 2) for row in range(SIZE) if 0 <= row + tap - 2 < SIZE]


def _rows(maps: Tensor) -> Tensor:
    """[B, C, 4, 4] -> [B, 4, 4 C]: rows of pixels."""
    return maps.permute(0, 2, 3, 1).flatten(2)


def _maps(rows: Tensor) -> Tensor:
    """The inverse of `_rows`."""
    return rows.view(len(rows), SIZE, SIZE, -1).permute(0, 3, 1, 2)


def _banded(taps: Tensor) -> Tensor:
    """A row of taps [C', C, 5] -> what a row of pixels is multiplied with, [4 C', 4 C].

    Output column c meets input column i through tap i - c + 2, or not at all.
    """
    padded = F.pad(taps.transpose(1, 2), (0, 0, 1, 1))
    return torch.cat([padded[:, 3 - c : 7 - c] for c in range(SIZE)]).flatten(1)


def _unbanded(banded: Tensor) -> Tensor:
    """The transpose of `_banded`, a sum over output columns: [4 C', 4 C] -> [C', 5, C]."""
    columns = banded.view(SIZE, len(banded) // SIZE, SIZE, -1)
    padded = F.pad(torch.zeros_like(columns[0]), (0, 0, 0, 3))
    for c, column in enumerate(columns):
        padded[:, 3 - c : 7 - c] += column
    return padded[:, 1:6]
