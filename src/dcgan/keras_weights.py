"""Weights of the original's Keras models, loaded into the modules of `networks`.

`arrays` is what Keras's `model.get_weights()` returns, layer by layer:

    generator        dense kernel [latent_dim, 7 * 7 * C], dense bias; batch norm gamma, beta,
                     moving mean, moving variance; then for each transposed convolution its kernel
                     [5, 5, out, in], its bias, and (but for the last) its batch norm's four
    discriminator    for each convolution its kernel [5, 5, in, out] and bias; then the dense
                     kernel [4 * 4 * C, 1] and bias

A torch state dict lists the same things in the same order, and `networks` flattens features in
Keras's order, so only the axes of kernels differ. Keras itself is not needed here;
benchmarks/keras_parity.py compares the loaded networks with the real ones.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dcgan.networks import Discriminator, Generator


def load_generator(generator: Generator, arrays: Sequence[NDArray[Any]]) -> None:
    """Copy the 26 arrays of a Keras generator of the same width and latent_dim, any float dtype.

    Raises ValueError, and changes nothing, when their number or a shape does not fit.
    """
    # A transposed convolution of stride 1 is a convolution with its kernel turned by 180 degrees.
    turned = [np.flip(array, (0, 1)) if array.ndim == 4 else array for array in arrays]
    _load(generator, turned, kernel_axes=(2, 3, 0, 1))


def load_discriminator(discriminator: Discriminator, arrays: Sequence[NDArray[Any]]) -> None:
    """Copy the 10 arrays of a Keras discriminator of the same width, any float dtype.

    Raises ValueError, and changes nothing, when their number or a shape does not fit.
    """
    _load(discriminator, arrays, kernel_axes=(2, 3, 1, 0))


@torch.no_grad()
def _load(network: nn.Module, arrays: Sequence[NDArray[Any]], kernel_axes: Sequence[int]) -> None:
    """`kernel_axes` of a torch kernel [out, in, height, width], in the order of Keras's axes."""
    kind = type(network).__name__
    targets = {
        name: tensor.permute(*kernel_axes) if tensor.dim() == 4 else _reversed_axes(tensor)
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")  # Keras does not count batches
    }
    if len(arrays) != len(targets):
        raise ValueError(
            f"{kind}: {len(targets)} Keras weight arrays are needed, not {len(arrays)}"
        )
    for index, (array, (name, target)) in enumerate(zip(arrays, targets.items(), strict=True)):
        if array.shape != target.shape:
            raise ValueError(
                f"{kind}: Keras weight array {index} ({name}) has shape {array.shape}, "
                f"but {tuple(target.shape)} is needed"
            )
    for array, target in zip(arrays, targets.values(), strict=True):
        target.copy_(torch.from_numpy(np.ascontiguousarray(array)))


def _reversed_axes(tensor: Tensor) -> Tensor:
    return tensor.t()  # [out, in] of a dense layer; of a vector, itself
