"""How good samples are, in the judge's eyes: one meter for training, evaluation and search."""

import dataclasses
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dcgan import processes
from dcgan.judge import NUM_FEATURES, Judge, features_and_logits
from dcgan.metrics import (
    class_metrics,
    frechet_distance,
    frechet_sigma,
    kernel_distance,
    manifold_metrics,
    moments,
    nearest_ratio,
    neighbour_radii,
    shares,
)
from dcgan.mnist import NUM_CLASSES, Mnist, to_unit
from dcgan.networks import Generator
from dcgan.params import MeasureParams, RuntimeParams
from dcgan.probing import PROBE_IMAGES, probe
from dcgan.runtime import autocast, random_generator
from dcgan.sampling import asked_digits, generate, noise_bank
from dcgan.training import GanState


@dataclass(frozen=True)
class Reference:
    """What samples are compared with: the real digits, as the judge sees them.

    Attributes:
        mean, cov: moments of all training features, float64 [d] and [d, d].
        share: the training digits' shares, float64 [10].
        train, test: features of equally many random training and test digits, float32 [n, d].
        radii: distance of each row of `train[:k]` to its fifth neighbour among them, float32 [k].
    """

    mean: Tensor
    cov: Tensor
    share: Tensor
    train: Tensor
    test: Tensor
    radii: Tensor

    def check(self) -> None:
        """Raise ValueError unless all is finite and of the shapes above."""
        d, count = NUM_FEATURES, len(self.train)
        wanted = {"mean": (d,), "cov": (d, d), "share": (10,), "test": (count, d)}
        wanted |= {"train": (count, d), "radii": (min(len(self.radii), count),)}
        for name, shape in wanted.items():
            tensor = getattr(self, name)
            if tuple(tensor.shape) != shape or not tensor.isfinite().all():
                raise ValueError(f"{name} is not finite numbers of shape {list(shape)}")


def reference(judge: Judge, data: Mnist, params: MeasureParams) -> Reference:
    """Measure the real digits once; every later metric is taken against this."""
    train, _ = features_and_logits(judge, data.train_images)
    test, _ = features_and_logits(judge, data.test_images)
    rng = random_generator(train.device, params.seed, "reference")
    some_train, some_test = (
        features[torch.randperm(len(features), generator=rng, device=rng.device)][:count]
        for features, count in ((train, len(test)), (test, len(train)))
    )
    mean, cov = moments(train)
    radii = neighbour_radii(some_train[: params.num_neighbour_samples])
    return Reference(mean, cov, shares(data.train_labels), some_train, some_test, radii)


class Meter:
    """Measures images, always against the same reference; draws nothing from a shared state."""

    def __init__(self, judge: Judge, against: Reference, params: MeasureParams) -> None:
        self.judge, self.against, self.params = judge.eval(), against, params

    def smaller(self, number: int) -> "Meter":
        """A quicker meter: every metric of an epoch's end from `number` images, at most as many as
        this one's neighbours. Its fd is higher than this one's and comparable with its own only."""
        params = dataclasses.replace(
            self.params, num_training_samples=number, num_neighbour_samples=number
        )
        radii = neighbour_radii(self.against.train[:number])
        return Meter(self.judge, dataclasses.replace(self.against, radii=radii), params)

    def samples(self, generator: Generator, num_samples: int, first: int | None = None) -> Tensor:
        """The images [num_samples, 1, 28, 28] that stand for a generator: always the same noise.

        Of them only the `first` so many, if it is given. Of several processes each gets its own
        rows.
        """
        noise = noise_bank(
            self.params.seed,
            num_samples,
            generator.latent_dim,
            next(generator.parameters()).device,
        )
        digits = asked_digits(generator, num_samples)
        own_digits = None if digits is None else processes.own(digits[:first])
        return generate(generator, processes.own(noise[:first]), own_digits)

    def fd(self, images: Tensor) -> float:
        """Frechet distance of the judge's features, images [N, 1, 28, 28] against training set."""
        return self.fd_of(features_and_logits(self.judge, images)[0])

    def quick(self, images: Tensor, asked: Tensor | None = None) -> dict[str, float]:
        """The metrics of every epoch: fd and its deviation, manifolds, digits, confidence.

        Where `asked` [N] tells which digits the images were to be, the digits' shares are compared
        with those, and `as_asked` is the share of images that the judge reads so.
        """
        return self.quick_of(*features_and_logits(self.judge, images), asked)

    def full(self, images: Tensor, asked: Tensor | None = None) -> dict[str, float]:
        """Every metric: the quick ones, kid with its standard error, and nn_ratio.

        `nn_ratio` looks at as many training digits as there are test digits, a sixth of MNIST's:
        copies of digits from all of the training set give 0.8, not 0.
        """
        features, logits = features_and_logits(self.judge, images)
        rng = random_generator(features.device, self.params.seed, "kid")
        kid, kid_error = kernel_distance(features, self.against.train, rng)
        few = features[: self.params.num_neighbour_samples]
        nn_ratio = nearest_ratio(few, self.against.train, self.against.test)
        return {
            **self.quick_of(features, logits, asked),
            "kid": kid,
            "kid_error": kid_error,
            "nn_ratio": nn_ratio,
        }

    def fd_of(self, features: Tensor) -> float:
        """`fd` of images whose features [N, 64] are known."""
        return frechet_distance(*moments(features), self.against.mean, self.against.cov)

    def quick_of(self, features: Tensor, logits: Tensor, asked: Tensor | None) -> dict[str, float]:
        """`quick` of images whose features [N, 64] and logits [N, 10] are known."""
        few = self.params.num_neighbour_samples
        near = self.against.train[:few]
        share = self.against.share if asked is None else shares(asked)
        metrics = {
            "fd": self.fd_of(features),
            "fd_sigma": frechet_sigma(features, self.against.mean, self.against.cov),
            **class_metrics(logits, share),
            **manifold_metrics(near, self.against.radii, features[:few]),
        }
        if asked is not None:
            metrics["as_asked"] = (logits.argmax(1) == asked).double().mean().item()
        return metrics


def scale(meter: Meter, data: Mnist) -> dict[str, dict[str, float]]:
    """The full metrics of known sets, from as good as real to noise: what a metric is worth.

    `meter` measures against `data`. `floor` is one half of the training digits against the other;
    the others are against all.
    Sets with fewer digits than `num_samples` repeat some.
    """
    judge, against, params = meter.judge, meter.against, meter.params
    rng = random_generator("cpu", params.seed, "scale")
    images, labels = data.train_images, data.train_labels
    order = torch.randperm(len(images), generator=rng)
    half = order[: len(images) // 2]
    other = Mnist(
        images[order[len(half) :]], labels[order[len(half) :]], data.test_images, data.test_labels
    )

    def some(pool: Tensor) -> Tensor:
        repeats = -(-params.num_samples // len(pool))
        return to_unit(pool.repeat(repeats, 1, 1)[: params.num_samples])

    ordered = images[order]
    # MNIST's first 5,000 test digits are other people's than its last; metrics of few would differ.
    fresh = data.test_images[torch.randperm(len(data.test_images), generator=rng)]
    # A mild blur, and eights: with a stronger one, or with ones, it would be up to the judge's seed
    # which of two neighbours on the scale comes first.
    blur = torch.tensor([1.0, 4.0, 1.0]).outer(torch.tensor([1.0, 4.0, 1.0])).div(36)
    known = {
        "floor": Meter(judge, reference(judge, other, params), params).full(some(images[half])),
        "test": meter.full(some(fresh)),
        "blurred": meter.full(F.conv2d(some(ordered), blur[None, None], padding=1)),
        "nines_removed": meter.full(some(ordered[labels[order] != 9])),
        "one_class": meter.full(some(ordered[labels[order] == 8])),
        "noise": meter.full(torch.rand(params.num_samples, 1, 28, 28, generator=rng)),
    }
    # The test digit nearest to a test digit must be another one.
    half_test = len(against.test) // 2
    held_out, others = against.test[:half_test], against.test[-half_test:]
    known["test"]["nn_ratio"] = nearest_ratio(
        held_out[: params.num_neighbour_samples], against.train[:half_test], others
    )
    return known


def by_digit(meter: Meter, images: Tensor, asked: Tensor, data: Mnist) -> list[dict[str, float]]:
    """How well a conditional generator draws each digit that was asked for, in order.

    For each: "digit", "as_asked", "fd" of its images against the training digits of that kind,
    "fd_test" the same of as many test digits of that kind, or all, and "read_0" to "read_9", the
    shares of images that the judge reads so. Digits without two images of a set are left out.
    """
    features, logits = features_and_logits(meter.judge, images)
    answers = logits.argmax(1)
    known = [
        (features_and_logits(meter.judge, part.to(features.device))[0], labels.to(asked))
        for part, labels in (
            (data.train_images, data.train_labels),
            (data.test_images, data.test_labels),
        )
    ]
    rows = []
    for digit in range(NUM_CLASSES):
        mine, (train, test) = features[asked == digit], (f[labels == digit] for f, labels in known)
        if min(map(len, (mine, train, test))) < 2:
            continue
        real = moments(train)
        read = shares(answers[asked == digit]).tolist()
        rows.append(
            {
                "digit": digit,
                "as_asked": read[digit],
                "fd": frechet_distance(*moments(mine), *real),
                "fd_test": frechet_distance(*moments(test[: len(mine)]), *real),
                **{f"read_{other}": share for other, share in enumerate(read)},
            }
        )
    return rows


def measure_epoch(
    meter: Meter,
    state: GanState,
    data: Mnist,
    loss: str,
    runtime: RuntimeParams,
    raw: bool = True,
) -> dict[str, float]:
    """The metrics of an epoch's end, for `num_training_samples` images, and what D knows.

    They are of the averaged weights where there are such; `fd_raw` is then of the weights as
    trained, and missing without `raw`. D's signals, see `dcgan.probing`, are of samples from the
    weights as trained, against which it plays; `loss` is its kind. Both networks compute in the
    precision of training, the judge in float32. Several processes draw and judge their own rows of
    the images; the first one measures and tells the others.
    """

    def drawn(generator: Generator, first: int | None = None) -> Tensor:
        with autocast(runtime, next(generator.parameters()).device):
            return meter.samples(generator, meter.params.num_training_samples, first)

    def judged(images: Tensor) -> tuple[Tensor, Tensor]:
        features, logits = features_and_logits(meter.judge, images)
        return processes.gathered(features), processes.gathered(logits)

    images = drawn(state.sampler)
    features, logits = judged(images)
    raw_features = None
    if state.averaged is not None:
        images = drawn(state.generator, None if raw else PROBE_IMAGES)
        if raw:
            raw_features, _ = judged(images)
    images = processes.gathered(images)
    metrics: dict[str, float] = {}
    if processes.rank() == 0:
        asked = asked_digits(state.sampler, len(features))
        metrics = meter.quick_of(features, logits, asked)
        if raw_features is not None:
            metrics["fd_raw"] = meter.fd_of(raw_features)
        metrics |= probe(state.discriminator, images, data, loss, runtime, asked)
    return processes.from_first(metrics)
