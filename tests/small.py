"""Parameters of runs that take milliseconds."""

import dataclasses
from typing import Any

import torch
from torch import Tensor

from dcgan.mnist import Mnist
from dcgan.params import MeasureParams, TrainParams
from pipeline.base.params import MachineParams
from tests.idx import draw_digits

CPU = torch.device("cpu")
FP32 = MachineParams(
    device="cpu", threads=1, precision="fp32", processes=1, checkpoints="checkpoints"
)
MEASURE = MeasureParams(
    seed=0, num_samples=200, num_training_samples=100, num_neighbour_samples=100
)

_TRAIN = TrainParams(
    seed=1,
    width=2,
    latent_dim=4,
    conditional=False,
    g_dropout=0.0,
    d_dropout=0.0,
    batch_size=4,
    sampling="replacement",
    epochs=2,
    steps_per_epoch=6,
    sample_every=0,
    optimizer="rmsprop",
    lr_d=1e-3,
    lr_g=1e-3,
    decay_d=0.0,
    decay_g=0.0,
    beta1=0.5,
    beta2=0.99,
    loss="bce",
    freeze_discriminator=True,
    fakes="inference",
    r1_gamma=0.0,
    r1_every=1,
    average_images=0,
    raw_every=1,
    stop="never",
    rollbacks=2,
)


def train_params(**changes: Any) -> TrainParams:
    """The original's kind of training, tiny; every plain choice unless changed."""
    return dataclasses.replace(_TRAIN, **changes)


def digits(train: int, test: int, seed: int = 0) -> Mnist:
    """Synthetic digits, as in `tests.idx`, without files."""
    rng = torch.Generator().manual_seed(seed)
    return Mnist(*draw_digits(train, rng), *draw_digits(test, rng))


def same(one: object, other: object) -> bool:
    """Whether two nests of containers, numbers and tensors are bit for bit the same."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
