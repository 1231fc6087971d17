"""The judge: a small digit classifier whose features measure samples."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dcgan.averaging import average_into
from dcgan.mnist import Mnist, to_unit
from dcgan.optimisers import Adam
from dcgan.params import JudgeParams, RuntimeParams
from dcgan.runtime import autocast, random_generator

NUM_FEATURES = 64
_BATCH = 125  # of inference; small enough to stay in a CPU's cache


class Judge(nn.Module):
    """Images [B, 1, 28, 28] in [0, 1] -> features [B, 64]; `head` maps features to 10 logits."""

    def __init__(self) -> None:
        super().__init__()
        # Two pixels by two become four channels first: a quarter of the work, the same digits.
        self.body = nn.Sequential(
            nn.PixelUnshuffle(2),
            *_block(4, 32),
            *_block(32, 64, stride=2),
            *_block(64, 64),
            *_block(64, 64),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.Flatten(),
            nn.Linear(64 * 4 * 4, NUM_FEATURES, bias=False),
            nn.BatchNorm1d(NUM_FEATURES),
            nn.ReLU(),
        )
        self.head = nn.Linear(NUM_FEATURES, 10)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.body(images)
        return features


def _block(in_channels: int, out_channels: int, stride: int = 1) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(out_channels), nn.ReLU()


@dataclass(frozen=True)
class JudgeReport:
    """One epoch of the judge's training: mean loss, and the weights averaged so far."""

    epoch: int
    loss: float
    judge: Judge


def fit(
    data: Mnist, params: JudgeParams, runtime: RuntimeParams, device: torch.device
) -> Iterator[JudgeReport]:
    """Train a judge on slightly moved, turned and scaled digits; yields a report each epoch.

    The yielded judge holds exponentially averaged weights, in inference mode. It is trained in the
    precision of `runtime` and judges in float32, always.
    """
    rng = random_generator(device, params.seed, "judge")
    # torch fills new layers from its global generator; fork it so that nobody else notices.
    with torch.random.fork_rng():
        torch.manual_seed(params.seed)
        judge = Judge().to(device)
    averaged = copy.deepcopy(judge).eval().requires_grad_(False)
    images, labels = data.train_images.to(device), data.train_labels.to(device).long()
    batches = max(len(images) // params.batch_size, 1)
    optimizer = Adam(judge.parameters(), betas=(0.9, 0.99))
    total_steps = max(params.epochs * batches, 6)  # with 5, torch divides by the 0 of a rise of 1
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, params.lr, total_steps=total_steps, pct_start=0.2
    )
    for epoch in range(params.epochs):
        order = torch.randperm(len(images), generator=rng, device=device)
        total = torch.zeros((), device=device)
        for batch in range(batches):
            index = order[batch * params.batch_size : (batch + 1) * params.batch_size]
            moved = _augment(to_unit(images[index]), rng)
            with autocast(runtime, device):
                logits = judge.head(judge(moved)).float()
            loss = F.cross_entropy(logits, labels[index])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
            # A plain mean at first, then a window of about 200 steps.
            average_into(averaged, judge, max(1 / (epoch * batches + batch + 1), 0.005))
            total += loss.detach()
        yield JudgeReport(epoch + 1, total.item() / batches, averaged)


def _augment(images: Tensor, rng: torch.Generator) -> Tensor:
    """Turn by up to 10 degrees, scale by up to 10 %, move by up to 2 pixels, each image its own."""
    draw = torch.rand(4, len(images), generator=rng, device=images.device) * 2 - 1
    angle, scale = draw[0] * (10 / 180 * torch.pi), 1 + 0.1 * draw[1]
    cos, sin, shift = torch.cos(angle) * scale, torch.sin(angle) * scale, draw[2:] * (2 / 14)
    rows = torch.stack([cos, -sin, shift[0], sin, cos, shift[1]], dim=1).view(-1, 2, 3)
    grid = F.affine_grid(rows, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


@torch.no_grad()
def features_and_logits(judge: Judge, images: Tensor) -> tuple[Tensor, Tensor]:
    """Images, uint8 [N, 28, 28] or float [N, 1, 28, 28] in [0, 1] -> [N, 64] and [N, 10]."""
    parts = []
    for batch in torch.split(images, _BATCH):
        features = judge(to_unit(batch) if batch.dtype == torch.uint8 else batch)
        parts.append((features, judge.head(features)))
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])


def confusion(judge: Judge, images: Tensor, labels: Tensor) -> Tensor:
    """Counts [10, 10]: row is the true digit, column the judge's answer."""
    answers = features_and_logits(judge, images)[1].argmax(1)
    pairs = labels.to(answers.device).long() * 10 + answers
    return torch.bincount(pairs, minlength=100).view(10, 10)
