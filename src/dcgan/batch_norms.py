"""Batch norms whose batch is that of all processes together (torch's own needs GPUs for it)."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from dcgan import processes


class BatchNorm1d(nn.BatchNorm1d):
    """torch's; in training by the statistics of the whole batch, [B, C] of each process."""

    def forward(self, x: Tensor) -> Tensor:
        return _whole(self, x) if self.training and processes.size() > 1 else super().forward(x)


class BatchNorm2d(nn.BatchNorm2d):
    """torch's; in training by the statistics of the whole batch, [B, C, H, W] of each process."""

    def forward(self, x: Tensor) -> Tensor:
        return _whole(self, x) if self.training and processes.size() > 1 else super().forward(x)


def _whole(norm: nn.BatchNorm1d | nn.BatchNorm2d, x: Tensor) -> Tensor:
    y, mean, var = _Normalise.apply(x, norm.weight, norm.bias, norm.eps)
    count = x.numel() // x.shape[1] * processes.size()
    with torch.no_grad():  # as torch does, which keeps the unbiased variance
        norm.running_mean.lerp_(mean, norm.momentum)  # type: ignore[union-attr, arg-type]
        norm.running_var.lerp_(var * (count / (count - 1)), norm.momentum)  # type: ignore[union-attr, arg-type]
        norm.num_batches_tracked.add_(1)  # type: ignore[union-attr]
    return y  # type: ignore[no-any-return]


class _Normalise(torch.autograd.Function):
    """Equally many rows of each process, normalised by mean and variance of all of them.

    The gradients of weight and bias are those of this process's rows alone.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        unused = torch.zeros_like(weight)  # in whose precision it counts, if x has less
        own = torch.batch_norm_update_stats(x, unused, unused.clone(), 0.0)
        means, variances = processes.stacked(torch.cat(own)).chunk(2, dim=1)
        mean = means.mean(0)
        var = variances.mean(0) + (means - mean).square().mean(0)
        ctx.save_for_backward(x, weight, mean, var)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, var)
        return F.batch_norm(x, mean, var, weight, bias, False, 0.0, eps), mean, var

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, var = ctx.saved_tensors
        for_x, for_weight, for_bias = torch.ops.aten.native_batch_norm_backward(
            gradients[0], x, weight, mean, var, None, None, False, ctx.eps, [True, True, True]
        )
        # So far as if mean and variance were constants; what goes through them is for all rows.
        sums = processes.stacked(torch.cat([for_weight, for_bias])).sum(0)
        count = x.numel() // x.shape[1] * processes.size()
        slope, shift = (sums / -count * (weight * (var + ctx.eps).rsqrt()).repeat(2)).chunk(2)
        for_x += F.batch_norm(x, mean, var, slope, shift, False, 0.0, ctx.eps)
        return for_x, for_weight, for_bias, None
