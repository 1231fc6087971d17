"""A DCGAN's training loop in plain PyTorch, with the verdict in five lines (marked with ->).

    make setup && source .venv/bin/activate && dvc repro fetch    # once: PyTorch, and the digits
    python examples/dcgan_loop.py data/mnist/train-images-idx3-ubyte

It needs PyTorch, NumPy, and 28 x 28 images in MNIST's format, unpacked. It trains on them, measures
samples once an epoch and prints a line of it, and ends when the verdict says that training went
wrong. It writes one file, `best.pt` (--best): the weights of the epoch that was best.
"""

import argparse
import math
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from ganverdict import Monitor

NOISE = 64  # numbers that an image is made from


def generator(width: int) -> nn.Sequential:
    """Noise [B, 64, 1, 1] to images [B, 1, 28, 28] in [-1, 1]."""
    return nn.Sequential(
        nn.ConvTranspose2d(NOISE, 2 * width, 7, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.ConvTranspose2d(width, 1, 4, stride=2, padding=1),
        nn.Tanh(),
    )


def discriminator(width: int) -> nn.Sequential:
    """Images to one logit each: how much more likely a real one is."""
    return nn.Sequential(
        nn.Conv2d(1, width, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.LeakyReLU(0.2),
        nn.Conv2d(2 * width, 1, 7),
        nn.Flatten(0),
    )


def read_images(path: Path) -> Tensor:
    """All images of an IDX file, float32 [N, 1, 28, 28] in [-1, 1]."""
    try:
        content = path.read_bytes()
    except OSError as error:
        sys.exit(f"error: {path}: {error.strerror}; `dvc repro fetch` brings MNIST to data/mnist")
    size = len(content) - 16
    if not content.startswith(b"\0\0\x08\x03") or size < 64 * 784 or size % 784:
        sys.exit(f"error: {path}: not an unpacked IDX file of at least 64 images of 28 x 28")
    pixels = np.frombuffer(content, dtype=np.uint8, offset=16)
    return torch.from_numpy(pixels.astype(np.float32)).reshape(-1, 1, 28, 28) / 127.5 - 1


def distance(real: Tensor, fake: Tensor) -> float:
    """The Frechet distance of images shrunk to 7 x 7: quick, and better than no measure.

    Where there are features of a trained network, as for an FID, take those. NaN of samples that
    are not finite: eigenvalues of those may end the process.
    """
    if not fake.isfinite().all():
        return math.nan
    shrunk = [F.avg_pool2d(images, 4).flatten(1).double() for images in (real, fake)]
    means = [images.mean(dim=0) for images in shrunk]
    covariances = [torch.cov(images.T) for images in shrunk]
    eigenvalues = torch.linalg.eigvals(covariances[0] @ covariances[1]).real.clamp(min=0)
    spread = covariances[0].trace() + covariances[1].trace() - 2 * eigenvalues.sqrt().sum()
    return float((means[0] - means[1]).square().sum() + spread)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path, help="an IDX file of 28 x 28 images")
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--rate", type=float, default=2e-4)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--best", type=Path, default=Path("best.pt"))
    options = parser.parse_args(arguments)

    torch.manual_seed(0)
    images = read_images(options.images)
    g, d = generator(options.width), discriminator(options.width)
    for_g = torch.optim.Adam(g.parameters(), options.rate, betas=(0.5, 0.999))
    for_d = torch.optim.Adam(d.parameters(), options.rate, betas=(0.5, 0.999))
    batches = len(images) // 64
    step = 0
    monitor = Monitor(steps_per_epoch=batches, loss="bce_sum")  # ->

    for epoch in range(1, options.epochs + 1):
        for chosen in torch.randperm(len(images))[: batches * 64].split(64):
            step += 1
            real, fake = images[chosen], g(torch.randn(64, NOISE, 1, 1))

            # D: real images are real, samples are not.
            for_d.zero_grad()
            d_loss = F.softplus(-d(real)).mean() + F.softplus(d(fake.detach())).mean()
            d_loss.backward()
            for_d.step()

            # G: D is to take samples for real.
            for_g.zero_grad()
            g_loss = F.softplus(-d(fake)).mean()
            g_loss.backward()
            for_g.step()

            monitor.log(step, d_loss=d_loss.item(), g_loss=g_loss.item())  # ->

        with torch.no_grad():
            samples = g(torch.randn(1000, NOISE, 1, 1))
        verdict = monitor.evaluate(step, epoch, fd=distance(images[:10_000], samples))  # ->
        if verdict.best_step == step:  # ->
            torch.save({"g": g.state_dict(), "d": d.state_dict()}, options.best)
        print(f"[{epoch}/{options.epochs}] {verdict.status}, best epoch {verdict.best_epoch}")
        if verdict.ends_training:  # ->
            print(verdict.reason)
            break


if __name__ == "__main__":
    main()
