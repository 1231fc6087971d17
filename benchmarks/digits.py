"""Few training digits, as if there were no others."""

import dataclasses

import torch

from dcgan.mnist import Mnist
from dcgan.runtime import random_generator


def few_digits(data: Mnist, count: int, seed: int) -> Mnist:
    """`data` with `count` of its training digits, drawn by `seed`; the test digits are the same."""
    rng = random_generator("cpu", seed, "few digits")
    some = torch.randperm(len(data.train_images), generator=rng)[:count]
    return dataclasses.replace(
        data, train_images=data.train_images[some], train_labels=data.train_labels[some]
    )
