import math
import statistics
from itertools import product

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from dcgan.metrics import (
    class_metrics,
    frechet_distance,
    frechet_sigma,
    kernel_distance,
    manifold_metrics,
    moments,
    nearest_distance,
    nearest_ratio,
    neighbour_radii,
)

EQUAL_SHARES = torch.full((10,), 0.1, dtype=torch.float64)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_covariance(size: int, rng: torch.Generator) -> Tensor:
    root = torch.randn(size, size + 3, generator=rng, dtype=torch.float64)
    return root @ root.T / size


def random_mean(size: int, rng: torch.Generator) -> Tensor:
    return torch.randn(size, generator=rng, dtype=torch.float64)


class Identity(nn.Module):
    """Takes features for images, so that torchmetrics sees what we see."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


# --- moments and Frechet distance


def test_moments_are_numpy_s_mean_and_unbiased_covariance() -> None:
    features = torch.randn(50, 6, generator=seeded(0))
    mean, cov = moments(features)
    assert mean.dtype == cov.dtype == torch.float64
    values = features.numpy().astype(np.float64)
    assert np.allclose(mean.numpy(), values.mean(0), rtol=1e-12)
    assert np.allclose(cov.numpy(), np.cov(values.T), rtol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 64])
def test_a_gaussian_is_at_no_distance_from_itself(size: int) -> None:
    rng = seeded(size)
    mean, cov = random_mean(size, rng), random_covariance(size, rng)
    assert frechet_distance(mean, cov, mean, cov) == pytest.approx(0, abs=1e-10)


def test_a_shifted_mean_costs_its_squared_length() -> None:
    rng = seeded(0)
    mean, cov, shift = random_mean(8, rng), random_covariance(8, rng), random_mean(8, rng)
    expected = shift.square().sum().item()
    assert frechet_distance(mean, cov, mean + shift, cov) == pytest.approx(expected)


def test_commuting_covariances_cost_the_squared_differences_of_their_roots() -> None:
    rng = seeded(1)
    values1, values2 = torch.rand(2, 6, generator=rng, dtype=torch.float64) * 5
    expected = (values1.sqrt() - values2.sqrt()).square().sum().item()
    turn, _ = torch.linalg.qr(random_covariance(6, rng))
    zero = torch.zeros(6, dtype=torch.float64)
    for basis in (torch.eye(6, dtype=torch.float64), turn):
        cov1, cov2 = (basis @ values.diag() @ basis.T for values in (values1, values2))
        assert frechet_distance(zero, cov1, zero, cov2) == pytest.approx(expected)


@pytest.mark.parametrize("size", [2, 5, 64])
def test_any_two_gaussians_are_as_far_apart_as_scipy_s_matrix_root_says(size: int) -> None:
    rng = seeded(size)
    mean1, cov1 = random_mean(size, rng), random_covariance(size, rng)
    mean2, cov2 = random_mean(size, rng), random_covariance(size, rng)
    root = scipy.linalg.sqrtm((cov1 @ cov2).numpy())
    expected = (mean1 - mean2).square().sum() + cov1.trace() + cov2.trace()
    expected -= 2 * np.trace(root).real
    distance = frechet_distance(mean1, cov1, mean2, cov2)
    assert distance == pytest.approx(expected.item(), rel=1e-9)
    assert frechet_distance(mean2, cov2, mean1, cov1) == pytest.approx(distance, rel=1e-9)


def test_flat_distributions_have_a_distance_too() -> None:
    flat = torch.diag(torch.tensor([1.0, 0, 0], dtype=torch.float64))
    other = torch.diag(torch.tensor([0.0, 4, 0], dtype=torch.float64))
    zero = torch.zeros(3, dtype=torch.float64)
    assert frechet_distance(zero, flat, zero, other) == pytest.approx(5)
    assert frechet_distance(zero, flat, zero, torch.zeros_like(flat)) == pytest.approx(1)


def test_frechet_distance_agrees_with_torchmetrics() -> None:
    rng = seeded(3)
    real = torch.randn(400, 12, generator=rng)
    fake = torch.randn(300, 12, generator=rng) @ torch.randn(12, 12, generator=rng) + 0.3
    theirs = FrechetInceptionDistance(feature=Identity(12)).set_dtype(torch.float64)
    theirs.update(real, real=True)
    theirs.update(fake, real=False)
    ours = frechet_distance(*moments(fake), *moments(real))
    assert ours == pytest.approx(theirs.compute().item(), rel=1e-6)


@pytest.mark.parametrize(("place", "value"), product(range(4), [math.nan, math.inf, -math.inf]))
def test_frechet_distance_of_what_is_not_finite_is_nan(place: int, value: float) -> None:
    rng = seeded(0)
    gaussians = [random_mean(3, rng), random_covariance(3, rng)]
    gaussians += [random_mean(3, rng), random_covariance(3, rng)]
    gaussians[place].view(-1)[0] = value
    assert math.isnan(frechet_distance(*gaussians))


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_frechet_sigma_tells_how_much_the_distance_moves_with_other_draws(shift: float) -> None:
    rng = seeded(0)
    mean, cov = torch.zeros(6, dtype=torch.float64), torch.eye(6, dtype=torch.float64)
    distances, sigmas = [], []
    for _ in range(150):
        features = 1.2 * torch.randn(600, 6, generator=rng) + shift
        distances.append(frechet_distance(*moments(features), mean, cov))
        sigmas.append(frechet_sigma(features, mean, cov))
    assert 0.75 < statistics.mean(sigmas) / statistics.stdev(distances) < 1.33


# --- kernel distance


def kernel_distance_by_hand(xs: list[list[float]], ys: list[list[float]]) -> float:
    """Binkowski et al., eq. 4, pair by pair."""

    def kernel(x: list[float], y: list[float]) -> float:
        return float(sum(a * b for a, b in zip(x, y, strict=True)) / len(x) + 1) ** 3

    def within(points: list[list[float]]) -> float:
        pairs = [(i, j) for i, j in product(range(len(points)), repeat=2) if i != j]
        return sum(kernel(points[i], points[j]) for i, j in pairs) / len(pairs)

    across = [kernel(x, y) for x, y in product(xs, ys)]
    return within(xs) + within(ys) - 2 * sum(across) / len(across)


def test_kernel_distance_of_one_group_is_the_sum_over_all_pairs() -> None:
    rng = seeded(0)
    x, y = torch.randn(12, 3, generator=rng), torch.randn(12, 3, generator=rng) + 1
    distance, error = kernel_distance(x, y, rng, groups=1, size=1000)
    assert distance == pytest.approx(kernel_distance_by_hand(x.tolist(), y.tolist()))
    assert math.isnan(error)


@pytest.mark.filterwarnings("ignore:Metric .Kernel Inception")
def test_kernel_distance_of_equal_subsets_agrees_with_torchmetrics() -> None:
    rng = seeded(1)
    x, y = torch.randn(100, 8, generator=rng), torch.randn(100, 8, generator=rng) + 0.5
    theirs = KernelInceptionDistance(feature=Identity(8), subsets=1, subset_size=100)
    theirs.set_dtype(torch.float64)
    theirs.update(x.double(), real=True)
    theirs.update(y.double(), real=False)
    with torch.random.fork_rng():
        expected = theirs.compute()[0].item()
    ours, _ = kernel_distance(y, x, rng, groups=1, size=100)
    assert ours == pytest.approx(expected, rel=1e-6)


def test_no_feature_is_in_two_groups() -> None:
    # One x stands out and changes the estimate of the group that it is in; were groups to share
    # features, it would be in none or in several, as chance has it.
    x, y = torch.zeros(40, 1), torch.ones(40, 1)
    x[7] = 2.0
    without = 1 + 8 - 2 * 1
    with_it = 1 + 8 - 2 * (9 * 1 + 27) / 10
    for seed in range(5):
        distance, _ = kernel_distance(x, y, seeded(seed), groups=4, size=10)
        assert distance == pytest.approx((3 * without + with_it) / 4)


def expected_kernel(a: float, b: float, size: int) -> float:
    """E (x.y / d + 1)^3 for x from N(a, I) and y from N(b, I) of d = `size`, by its cumulants."""
    first, second, third = a * b, (a**2 + 1) * (b**2 + 1), (a**3 + 3 * a) * (b**3 + 3 * b)
    variance = (second - first**2) / size
    skew = (third - 3 * second * first + 2 * first**3) / size**2
    return (1 + first) ** 3 + 3 * (1 + first) * variance + skew


@pytest.mark.parametrize("shift", [0.0, 0.4])
def test_kernel_distance_is_unbiased_and_its_error_honest(shift: float) -> None:
    rng = seeded(0)
    distances, errors = [], []
    for _ in range(200):
        x, y = torch.randn(500, 6, generator=rng) + shift, torch.randn(500, 6, generator=rng)
        distance, error = kernel_distance(x, y, rng, groups=10, size=50)
        distances.append(distance)
        errors.append(error)
    exact = expected_kernel(shift, shift, 6) + expected_kernel(0, 0, 6)
    exact -= 2 * expected_kernel(shift, 0, 6)
    spread = statistics.stdev(distances)
    assert abs(statistics.mean(distances) - exact) < 4 * spread / math.sqrt(200)
    assert (exact == 0) == (shift == 0)
    assert 0.8 < statistics.mean(errors) / spread < 1.25


def test_small_sets_make_small_groups() -> None:
    rng = seeded(0)
    x, y = torch.randn(30, 4, generator=rng), torch.randn(200, 4, generator=rng) + 3
    distance, error = kernel_distance(x, y, rng)
    assert distance > 5 * error > 0


def test_kernel_distance_draws_from_the_given_source_alone() -> None:
    x, y = torch.randn(2, 60, 4, generator=seeded(0))
    before = torch.get_rng_state()
    first, same, other = (kernel_distance(x, y, seeded(seed), 3, 10) for seed in (0, 0, 1))
    assert first == same != other
    assert torch.equal(torch.get_rng_state(), before)


# --- manifolds


def brute_force_radii(points: list[list[float]], k: int) -> list[float]:
    return [
        sorted(math.dist(point, other) for j, other in enumerate(points) if j != i)[k - 1]
        for i, point in enumerate(points)
    ]


def brute_force_figures(
    real: list[list[float]], fake: list[list[float]], k: int
) -> dict[str, float]:
    """As the papers define them, ball by ball."""
    real_radii, fake_radii = brute_force_radii(real, k), brute_force_radii(fake, k)
    holders = [
        sum(math.dist(point, x) <= radius for x, radius in zip(real, real_radii, strict=True))
        for point in fake
    ]
    recalled = [
        any(math.dist(point, x) <= radius for x, radius in zip(fake, fake_radii, strict=True))
        for point in real
    ]
    covered = [
        any(math.dist(point, x) <= radius for x in fake)
        for point, radius in zip(real, real_radii, strict=True)
    ]
    return {
        "precision": sum(count > 0 for count in holders) / len(fake),
        "recall": sum(recalled) / len(real),
        "density": sum(holders) / (k * len(fake)),
        "coverage": sum(covered) / len(real),
    }


@pytest.mark.parametrize(
    ("num_real", "num_fake", "k"), [(40, 30, 3), (30, 40, 5), (1030, 20, 5), (20, 1030, 5)]
)
def test_manifold_metrics_are_those_of_counting_balls_one_by_one(
    num_real: int, num_fake: int, k: int
) -> None:
    rng = seeded(num_real)
    real = torch.randn(num_real, 2, generator=rng)
    fake = torch.randn(num_fake, 2, generator=rng) * 0.7 + 0.8
    ours = manifold_metrics(real, neighbour_radii(real, k), fake, k)
    assert ours == pytest.approx(brute_force_figures(real.tolist(), fake.tolist(), k), abs=1e-12)
    assert 0 < ours["recall"] != ours["coverage"] > 0


@pytest.mark.parametrize(("num_real", "num_fake"), [(1250, 700), (700, 1250), (130, 1030)])
@pytest.mark.parametrize("scale", [0.8, 1.3])
def test_manifold_metrics_are_to_the_last_bit_those_of_tables_of_a_thousand_rows(
    num_real: int, num_fake: int, scale: float
) -> None:
    rng = seeded(num_real)
    real = torch.randn(num_real, 64, generator=rng).relu()
    fake = torch.randn(num_fake, 64, generator=rng).relu() * scale
    radii = neighbour_radii(real)
    assert torch.equal(radii, radii_by_thousands(real))
    metrics = manifold_metrics(real, radii, fake)
    assert metrics == metrics_by_thousands(real, radii, fake)
    assert metrics["density"] > 0


def radii_by_thousands(features: Tensor) -> Tensor:
    """The form that was written first."""
    tables = [torch.cdist(part, features) for part in torch.split(features, 1000)]
    return torch.cat([table.topk(6, largest=False).values[:, 5] for table in tables])


def metrics_by_thousands(real: Tensor, radii: Tensor, fake: Tensor) -> dict[str, float]:
    fake_radii = radii_by_thousands(fake)
    inside, covered, recalled = torch.zeros(len(fake)), [], []
    for part, own in zip(torch.split(real, 1000), torch.split(radii, 1000), strict=True):
        distance = torch.cdist(part, fake)
        holds = distance <= own[:, None]
        inside += holds.sum(0)
        covered.append(holds.any(1))
        recalled.append((distance <= fake_radii).any(1))
    return {
        "precision": (inside > 0).double().mean().item(),
        "recall": torch.cat(recalled).double().mean().item(),
        "density": inside.double().mean().item() / 5,
        "coverage": torch.cat(covered).double().mean().item(),
    }


def test_neighbour_radii_leave_out_the_point_itself() -> None:
    points = torch.tensor([[0.0], [1.0], [3.0], [7.0], [15.0]])
    assert neighbour_radii(points, k=1).tolist() == [1, 1, 2, 4, 8]
    assert neighbour_radii(points, k=4).tolist() == [15, 14, 12, 8, 15]


def test_manifold_metrics_of_a_set_with_itself_are_perfect_and_of_strangers_nothing() -> None:
    real = torch.randn(100, 4, generator=seeded(0))
    radii = neighbour_radii(real)
    metrics = manifold_metrics(real, radii, real)
    assert metrics["precision"] == metrics["recall"] == metrics["coverage"] == 1
    assert metrics["density"] == pytest.approx(1.2)  # each of the 5 + 1 in a ball counts
    far = manifold_metrics(real, radii, real + 1000)
    assert far == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}


@pytest.mark.parametrize(("num_real", "num_fake"), [(1000, 1000), (1000, 500)])
def test_coverage_and_density_of_honest_draws_are_those_of_theory(
    num_real: int, num_fake: int
) -> None:
    # Naeem et al. 2002.09797, section 3.3: no k of the nearest are fakes, by counting.
    k = 5
    missed = math.prod((num_real - i) / (num_real + num_fake - i) for i in range(1, k + 1))
    rng = seeded(0)
    found = []
    for _ in range(5):
        real, fake = (torch.randn(count, 3, generator=rng) for count in (num_real, num_fake))
        found.append(manifold_metrics(real, neighbour_radii(real, k), fake, k))
    assert statistics.mean(f["coverage"] for f in found) == pytest.approx(1 - missed, abs=0.01)
    assert statistics.mean(f["density"] for f in found) == pytest.approx(1, abs=0.05)


def test_samples_of_one_mode_are_precise_but_cover_and_recall_little() -> None:
    rng = seeded(0)
    middles = torch.tensor([[0.0, 0.0], [50.0, 0.0], [0.0, 50.0], [50.0, 50.0]])
    real = middles.repeat(100, 1) + torch.randn(400, 2, generator=rng)
    fake = torch.randn(400, 2, generator=rng)
    metrics = manifold_metrics(real, neighbour_radii(real), fake)
    assert metrics["precision"] > 0.95
    assert metrics["recall"] < 0.3
    assert metrics["coverage"] < 0.3


# --- digits


def logits_of(digits: list[int], confidence: float = 0.99) -> Tensor:
    """Logits whose best probability is `confidence`, for the given digits."""
    logits = torch.zeros(len(digits), 10)
    best = math.log(confidence / ((1 - confidence) / 9))
    logits[torch.arange(len(digits)), torch.tensor(digits)] = best
    return logits


def test_true_shares_are_at_no_divergence() -> None:
    metrics = class_metrics(logits_of([*range(10)] * 3), EQUAL_SHARES)
    assert metrics["class_kl"] == pytest.approx(0, abs=1e-12)
    assert metrics["min_share"] == pytest.approx(1)
    assert [metrics[f"share_{digit}"] for digit in range(10)] == pytest.approx([0.1] * 10)


def test_a_missing_digit_is_a_divergence_of_0_105() -> None:
    metrics = class_metrics(logits_of([*range(9)] * 3), EQUAL_SHARES)
    assert metrics["class_kl"] == pytest.approx(math.log(10 / 9))
    assert metrics["class_kl"] == pytest.approx(0.105, abs=5e-4)
    assert metrics["min_share"] == metrics["share_9"] == 0
    assert metrics["share_0"] == pytest.approx(1 / 9)


def test_one_digit_alone_is_a_divergence_of_2_3() -> None:
    metrics = class_metrics(logits_of([4] * 7), EQUAL_SHARES)
    assert metrics["class_kl"] == pytest.approx(math.log(10))
    assert metrics["share_4"] == 1


def test_divergence_and_rarest_share_are_taken_against_the_true_shares() -> None:
    true_share = torch.tensor([0.5, 0.25, 0.25, *[0.0] * 7], dtype=torch.float64)
    metrics = class_metrics(logits_of([0, 0, 1, 2]), true_share)
    assert metrics["class_kl"] == pytest.approx(0, abs=1e-12)
    assert metrics["min_share"] == pytest.approx(1)
    metrics = class_metrics(logits_of([0, 1, 1, 2]), true_share)
    assert metrics["class_kl"] == pytest.approx(0.25 * math.log(0.5) + 0.5 * math.log(2))
    assert metrics["min_share"] == pytest.approx(0.5)
    assert class_metrics(logits_of([0, 1, 2, 3]), true_share)["class_kl"] == math.inf


def test_honest_draws_diverge_as_the_chi_squared_law_says() -> None:
    rng, count = seeded(0), 10_000
    draws = torch.multinomial(EQUAL_SHARES, 200 * count, replacement=True, generator=rng)
    one_hot = nn.functional.one_hot(draws, 10).float()
    found = [class_metrics(part, EQUAL_SHARES)["class_kl"] for part in torch.split(one_hot, count)]
    # 2 N KL is chi-squared with 9 degrees of freedom.
    assert statistics.mean(found) == pytest.approx(9 / (2 * count), rel=0.15)
    assert sum(kl < 0.0014 for kl in found) >= 199


def test_confident_is_the_share_of_answers_surer_than_nine_in_ten() -> None:
    logits = torch.cat([logits_of([1, 2, 3], 0.91), logits_of([4], 0.89)])
    assert class_metrics(logits, EQUAL_SHARES)["confident"] == 0.75


# --- memorisation


def test_nearest_distance_is_the_smallest_of_all() -> None:
    rng = seeded(0)
    features, reference = torch.randn(1010, 3, generator=rng), torch.randn(17, 3, generator=rng)
    expected = [min(math.dist(x, y) for y in reference.tolist()) for x in features.tolist()]
    assert nearest_distance(features, reference).tolist() == pytest.approx(expected, abs=1e-5)


def test_nearest_ratio_is_about_1_for_new_features_and_towards_0_for_copies() -> None:
    rng = seeded(0)
    train, test, new = torch.randn(3, 500, 8, generator=rng)
    assert nearest_ratio(new, train, test) == pytest.approx(1, abs=0.05)
    assert nearest_ratio(train[:200], train, test) < 0.01
    assert nearest_ratio(test[:200], train, test) > 100
    half = torch.cat([train[:100], new[:100]])
    assert nearest_ratio(half, train, test) == pytest.approx(0.5, abs=0.05)


def test_nearest_ratio_insists_on_equally_many() -> None:
    features = torch.randn(10, 2)
    with pytest.raises(AssertionError):
        nearest_ratio(features, features, features[:9])
