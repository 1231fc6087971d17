"""Losses on discriminator logits [B]; every one is a mean over the batch, in nats."""

import torch
import torch.nn.functional as F
from torch import Tensor


def discriminator_loss(kind: str, real: Tensor, fake: Tensor) -> Tensor:
    """What the discriminator minimises, from its logits on real and on generated images.

    `bce`: binary cross-entropy over the concatenation, labels 1 for real and 0 for fake (log 2 for
    a discriminator that cannot tell). `relativistic`: softplus(fake - real), real and fake in
    pairs (Jolicoeur-Martineau 1807.00734; Huang et al. 2501.05441, eq. 2).
    """
    if kind == "relativistic":
        return F.softplus(fake - real).mean()
    return (F.softplus(-real).mean() + F.softplus(fake).mean()) / 2


def generator_loss(kind: str, real: Tensor | None, fake: Tensor) -> Tensor:
    """What the generator minimises: cross-entropy towards label 1, or its relativistic pair.

    `real` is needed by `relativistic` alone.
    """
    if kind == "relativistic":
        assert real is not None
        return F.softplus(real - fake).mean()
    return F.softplus(-fake).mean()


def gradient_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """R1: mean over the batch of |d logit / d image|^2 (Mescheder et al. 1801.04406, eq. 9).

    `images` [B, 1, 28, 28] must require gradients and have led to `logits` [B]. The factor
    gamma / 2 is the caller's.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()
