"""Metrics of sample quality, computed from a judge's features and answers.

Features are [N, d]; every function works on CPU or GPU and returns Python floats or small tensors.
"""

import math

import torch
from torch import Tensor

_ROWS = 250  # of a table of distances to thousands; small enough to stay in a CPU's cache


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [d] and unbiased covariance [d, d] of features [N, d], in float64."""
    features = features.double()
    return features.mean(0), torch.cov(features.T)


def frechet_distance(mean1: Tensor, cov1: Tensor, mean2: Tensor, cov2: Tensor) -> float:
    """Squared Frechet (2-Wasserstein) distance of two Gaussians, float64 in and out.

    |mean1 - mean2|^2 + tr(cov1 + cov2 - 2 (cov1 cov2)^(1/2)), Heusel et al. 1706.08500, eq. 6.
    The last trace is taken from the eigenvalues of the symmetric cov1^(1/2) cov2 cov1^(1/2).
    Not finite input gives nan.
    """
    everything = torch.cat([mean1, mean2, cov1.flatten(), cov2.flatten()])
    if not torch.isfinite(everything).all():
        return math.nan
    values, vectors = torch.linalg.eigh(cov1)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ cov2 @ root).clamp(min=0).sqrt().sum()
    distance = (mean1 - mean2).square().sum() + cov1.trace() + cov2.trace() - 2 * cross
    return max(float(distance), 0.0)


def frechet_sigma(features: Tensor, mean: Tensor, cov: Tensor, groups: int = 10) -> float:
    """Standard error of the Frechet distance of features [N, d] to fixed moments.

    Delete-a-group jackknife (Efron & Stein 1981): how much the figure would move with other noise.
    """
    left_out = [
        frechet_distance(
            *moments(features[torch.arange(len(features)) % groups != group]), mean, cov
        )
        for group in range(groups)
    ]
    values = torch.tensor(left_out, dtype=torch.float64)
    return math.sqrt((groups - 1) * float(values.var(correction=0)))


def kernel_distance(
    features1: Tensor, features2: Tensor, rng: torch.Generator, groups: int = 10, size: int = 1000
) -> tuple[float, float]:
    """Kernel distance (KID): unbiased squared MMD, kernel (x.y / d + 1)^3, Binkowski 1801.01401.

    Returns its mean over `groups` of `size` random features of each set, and the standard error of
    that mean, nan for one group. Sets that are too small for it make smaller groups. No feature is
    in two groups: only then are the groups' estimates independent and the error honest.
    """
    size = min(size, len(features1) // groups, len(features2) // groups)
    assert size > 1
    estimates = []
    dealt = (_deal(features, groups, size, rng) for features in (features1, features2))
    for x, y in zip(*dealt, strict=True):
        within = _kernel_sum(x, x, same=True) + _kernel_sum(y, y, same=True)
        across = _kernel_sum(x, y, same=False)
        estimates.append(within / (size * (size - 1)) - 2 * across / size**2)
    values = torch.stack(estimates)
    error = values.std().item() / math.sqrt(groups) if groups > 1 else math.nan
    return values.mean().item(), error


def _deal(features: Tensor, groups: int, size: int, rng: torch.Generator) -> tuple[Tensor, ...]:
    """Disjoint random groups, float64 [size, d] each."""
    order = torch.randperm(len(features), generator=rng, device=rng.device)[: groups * size]
    return torch.split(features[order.to(features.device)].double(), size)


def _kernel_sum(x: Tensor, y: Tensor, same: bool) -> Tensor:
    kernel = (x @ y.T / x.shape[1] + 1) ** 3
    return kernel.sum() - kernel.diagonal().sum() if same else kernel.sum()


def neighbour_radii(features: Tensor, k: int = 5) -> Tensor:
    """Distance [N] from each feature to its k-th nearest other one."""
    parts = [
        torch.cdist(part, features).topk(k + 1, largest=False).values[:, k]  # the 0th is itself
        for part in torch.split(features, _ROWS)
    ]
    return torch.cat(parts)


def manifold_metrics(
    real: Tensor, real_radii: Tensor, fake: Tensor, k: int = 5
) -> dict[str, float]:
    """Precision and recall (1904.06991), density and coverage (2002.09797), each about 0 to 1.

    Args:
        real: features [N, d] of true images, and `real_radii` [N], their `neighbour_radii`.
        fake: features [M, d] of samples.
        k: the neighbour that sets each radius.
    """
    fake_radii = neighbour_radii(fake, k)
    inside = torch.zeros(len(fake), dtype=torch.int32, device=fake.device)  # real balls around each
    covered, recalled = [], []
    for part, radii in zip(torch.split(real, _ROWS), torch.split(real_radii, _ROWS), strict=True):
        distance = torch.cdist(part, fake)
        holds = distance <= radii[:, None]
        inside += holds.sum(0, dtype=torch.int32)  # int64, the default, takes seven times as long
        covered.append(_any_of_each_row(holds))
        recalled.append(_any_of_each_row(distance <= fake_radii))
    return {
        "precision": (inside > 0).double().mean().item(),
        "recall": torch.cat(recalled).double().mean().item(),
        "density": inside.double().mean().item() / k,
        "coverage": torch.cat(covered).double().mean().item(),
    }


def _any_of_each_row(values: Tensor) -> Tensor:
    """`values.any(1)` as 0 and 1, for bool [N, M], ten times as fast on a CPU."""
    return values.view(torch.uint8).amax(1)


def shares(digits: Tensor) -> Tensor:
    """The share of each of the ten digits in `digits` [N], float64 [10]."""
    return torch.bincount(digits.long(), minlength=10).double() / len(digits)


def class_metrics(logits: Tensor, true_share: Tensor) -> dict[str, float]:
    """What digits the judge sees in samples, from its logits [N, 10].

    Returns class_kl, the divergence KL(seen || true) in nats; min_share, the rarest digit's share
    over its true share; confident, the share of samples whose best probability exceeds 0.9; and
    share_0 .. share_9.

    Args:
        true_share: [10], the shares among the training digits, or those asked for.
    """
    share = shares(logits.argmax(1))
    true_share = true_share.to(share)
    seen, real = share > 0, true_share > 0  # a data set need not have all ten
    kl = (share[seen] * (share[seen] / true_share[seen]).log()).sum()
    confidence = logits.softmax(1).amax(1)
    return {
        "min_share": (share[real] / true_share[real]).min().item(),
        "class_kl": max(kl.item(), 0.0),
        "confident": (confidence > 0.9).double().mean().item(),
        **{f"share_{digit}": value for digit, value in enumerate(share.tolist())},
    }


def nearest_distance(features: Tensor, reference: Tensor) -> Tensor:
    """Distance [N] from each feature to the nearest one of `reference`."""
    parts = [torch.cdist(part, reference).amin(1) for part in torch.split(features, _ROWS)]
    return torch.cat(parts)


def nearest_ratio(features: Tensor, train: Tensor, test: Tensor) -> float:
    """Mean distance to the nearest training digit over that to the nearest test digit.

    `train` and `test` must hold equally many. About 1 for new digits, towards 0 for copies.
    """
    assert len(train) == len(test)
    to_train = nearest_distance(features, train).double().mean()
    return (to_train / nearest_distance(features, test).double().mean()).item()
