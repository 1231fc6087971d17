"""What the discriminator knows and how large it has grown: signals of an epoch's end.

D's loss in training says nothing of digits that it never saw. Here it answers in inference mode, on
training digits and on held-out ones, against the same samples: where the two losses part, it tells
its training digits from all others and teaches G to copy them.
"""

from itertools import repeat

import torch
from torch import Tensor

from dcgan.losses import discriminator_loss
from dcgan.mnist import Mnist, to_unit
from dcgan.networks import Discriminator
from dcgan.params import RuntimeParams
from dcgan.runtime import autocast

PROBE_IMAGES = 1000
"""Digits of either kind and samples that the losses are means over, or as many as there are."""

_LAYERS = ("conv1", "conv2", "conv3", "conv4", "score")
PROBED = ("d_loss_train", "d_loss_test", "d_weight_norm", *(f"d_singular_{n}" for n in _LAYERS))
"""The names of the signals."""

_BATCH = 250  # more would need more memory, and be no faster
_HALVINGS = 60  # of an interval of logits, after which it is as short as float64 can tell


def probe(
    discriminator: Discriminator,
    samples: Tensor,
    data: Mnist,
    loss: str,
    runtime: RuntimeParams,
    asked: Tensor | None = None,
) -> dict[str, float]:
    """The signals of D as it is; nothing is drawn, and D stays as it is but for its mode.

    `d_loss_train` and `d_loss_test` are its losses of the kind `loss` on digits and `samples`
    [N, 1, 28, 28], in nats, see `best_loss`; `d_weight_norm` the norm of all its weights together;
    `d_singular_<layer>` the largest singular value of each layer's weights. A conditional D is told
    the digits' labels and what the samples were `asked` to be, int64 [N].
    """
    device = samples.device
    parts = [to_unit(_some(images)).to(device) for images in (data.train_images, data.test_images)]
    parts.append(samples[:PROBE_IMAGES])
    digits = None
    if asked is not None:
        labels = [_some(some).long().to(device) for some in (data.train_labels, data.test_labels)]
        digits = torch.cat([*labels, asked[:PROBE_IMAGES]])
    with torch.no_grad(), autocast(runtime, device):
        discriminator.eval()
        told = repeat(None) if digits is None else torch.split(digits, _BATCH)
        batches = zip(torch.split(torch.cat(parts), _BATCH), told, strict=False)
        answers = torch.cat([discriminator(batch, of) for batch, of in batches]).double().cpu()
    train, test, fake = torch.split(answers, [len(part) for part in parts])
    weights = [weight.detach().double() for weight in discriminator.parameters()]
    norm = torch.stack([weight.square().sum() for weight in weights]).sum().sqrt()
    losses = [best_loss(loss, real, fake) for real in (train, test)]
    layers = [largest_singular_value(getattr(discriminator, name).weight) for name in _LAYERS]
    return dict(zip(PROBED, [*losses, float(norm), *layers], strict=True))


def best_loss(kind: str, real: Tensor, fake: Tensor) -> float:
    """D's loss from logits [N] and [M], in nats, had it added the best constant to all of them.

    Without dropout D's logits lie elsewhere than in training, and the loss of that shift would hide
    what D knows. The constant is granted: a convex problem in one unknown, whose slope is halved
    down to its root. A relativistic loss does not depend on it; its pairs are the first of each.
    NaN where a logit is not finite.
    """
    real, fake = real.double(), fake.double()
    both = torch.cat([real, fake])
    if not both.isfinite().all():
        return float("nan")
    if kind == "relativistic":
        pairs = min(len(real), len(fake))
        return float(discriminator_loss(kind, real[:pairs], fake[:pairs]))
    # With the largest logit moved to 0 every answer is at most 1/2, with the smallest at least.
    low, high = -both.max(), -both.min()
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        falls = (fake + middle).sigmoid().mean() < (-real - middle).sigmoid().mean()
        low, high = (middle, high) if falls else (low, middle)
    return float(discriminator_loss(kind, real + low, fake + low))


def largest_singular_value(weight: Tensor) -> float:
    """Of a kernel [C', ...] as the matrix [C', rest], as in Miyato et al. 1802.05957, eq. 6.

    From the eigenvalues of its smaller Gram matrix: exact to the last digits and, once an epoch, so
    cheap that power iterations, which keep a vector from epoch to epoch, would gain nothing.
    """
    matrix = weight.detach().flatten(1).double()
    if not matrix.isfinite().all():
        return float("nan")
    if len(matrix) > matrix.shape[1]:
        matrix = matrix.T
    return float(torch.linalg.eigvalsh(matrix @ matrix.T)[-1].clamp(min=0).sqrt())


def _some(images: Tensor) -> Tensor:
    """Evenly from the whole set: the first digits of MNIST's test set are not like its last."""
    return images[:: -(-len(images) // PROBE_IMAGES)]
