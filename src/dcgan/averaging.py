"""Exponentially averaged weights (Yazici et al., arXiv 1806.04498)."""

import torch
from torch import nn


@torch.no_grad()
def average_into(averaged: nn.Module, model: nn.Module, weight: float) -> None:
    """Move `averaged` towards `model` by `weight` in [0, 1], running batch statistics included."""
    pairs = zip(averaged.state_dict().values(), model.state_dict().values(), strict=True)
    floats = [(old, new) for old, new in pairs if old.is_floating_point()]
    torch._foreach_lerp_([old for old, _ in floats], [new for _, new in floats], weight)
