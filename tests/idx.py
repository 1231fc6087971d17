"""Small synthetic data sets in MNIST's files: seven-segment digits that a classifier can learn."""

from pathlib import Path

import torch
from torch import Tensor

from dcgan.mnist import to_idx

# Segments as (top, bottom, left, right) in a box of 20 rows and 12 columns.
_SEGMENTS = {
    "a": (0, 3, 0, 12),
    "b": (0, 11, 9, 12),
    "c": (9, 20, 9, 12),
    "d": (17, 20, 0, 12),
    "e": (9, 20, 0, 3),
    "f": (0, 11, 0, 3),
    "g": (9, 12, 0, 12),
}
_DIGITS = ("abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgedc", "abc", "abcdefg", "abcfgd")


def write_idx_dataset(folder: Path, train: int = 600, test: int = 200, seed: int = 0) -> Path:
    """Write the four IDX files into `folder` (made if missing); returns it.

    Every digit has its equal share, in random order, moved by up to 2 pixels, at a brightness of
    its own, under noise. The same arguments give the same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = torch.Generator().manual_seed(seed)
    for split, count in (("train", train), ("t10k", test)):
        images, labels = draw_digits(count, rng)
        (folder / f"{split}-images-idx3-ubyte").write_bytes(to_idx(images))
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(to_idx(labels))
    return folder


def draw_digits(count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images uint8 [count, 28, 28] and labels uint8 [count]."""
    labels = (torch.arange(count) % 10)[torch.randperm(count, generator=rng)]
    shifts = torch.randint(-2, 3, (count, 2), generator=rng).tolist()
    images = torch.zeros(count, 28, 28)
    for image, label, (down, right) in zip(images, labels.tolist(), shifts, strict=True):
        for segment in _DIGITS[label]:
            first_row, last_row, first_column, last_column = _SEGMENTS[segment]
            rows = slice(4 + down + first_row, 4 + down + last_row)
            columns = slice(8 + right + first_column, 8 + right + last_column)
            image[rows, columns] = 1
    brightness = 160 + 80 * torch.rand(count, 1, 1, generator=rng)
    noise = 15 * torch.rand(images.shape, generator=rng)
    return (images * brightness + noise).to(torch.uint8), labels.to(torch.uint8)
