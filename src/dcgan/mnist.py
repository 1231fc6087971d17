"""MNIST's four IDX files as uint8 tensors: strict reading, and a hash that names the data.

IDX, big-endian: two zero bytes, the type of the values (8: unsigned byte), the number of
dimensions, one 32-bit size for each dimension, then the values, the last dimension fastest.
"""

import hashlib
import math
import struct
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

# The files and the MD5 of their uncompressed bytes.
FILES = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
IMAGE_SIZE = 28
NUM_CLASSES = 10
_UNSIGNED_BYTE = 8


@dataclass(frozen=True, eq=False)
class Mnist:
    """Images uint8 [N, 28, 28], 0 black to 255 white; labels uint8 [N], 0 to 9."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor


def load(folder: Path) -> Mnist:
    """Read the four files of `folder`.

    Raises FileNotFoundError for a missing file, ValueError with one line naming a wrong one.
    """
    return Mnist(*_load_split(folder, "train"), *_load_split(folder, "t10k"))


def _load_split(folder: Path, split: str) -> tuple[Tensor, Tensor]:
    image_file = folder / f"{split}-images-idx3-ubyte"
    label_file = folder / f"{split}-labels-idx1-ubyte"
    images = parse_idx(image_file.read_bytes(), str(image_file))
    labels = parse_idx(label_file.read_bytes(), str(label_file))
    if images.shape[1:] != (IMAGE_SIZE, IMAGE_SIZE):
        raise ValueError(f"{image_file}: has the shape {list(images.shape)}, not [N, 28, 28]")
    if labels.shape != images.shape[:1]:
        raise ValueError(
            f"{label_file}: has the shape {list(labels.shape)}, not one label for each of the "
            f"{len(images)} images"
        )
    highest = int(labels.max())
    if highest >= NUM_CLASSES:
        raise ValueError(f"{label_file}: has the label {highest}; labels are 0 to 9")
    return images, labels


def parse_idx(data: bytes, name: str) -> Tensor:
    """The uint8 tensor that an IDX file holds, in the shape its header gives.

    Raises ValueError with one line, beginning with `name`, if one byte is too many or too few,
    the values are not unsigned bytes, or nothing is in it.
    """
    if len(data) < 4 or data[:3] != bytes([0, 0, _UNSIGNED_BYTE]):
        raise ValueError(f"{name}: not an IDX file of unsigned bytes (begins {data[:4].hex()})")
    num_dimensions = data[3]
    header = 4 + 4 * num_dimensions
    if num_dimensions == 0 or len(data) < header:
        raise ValueError(f"{name}: its IDX header is not whole")
    shape = struct.unpack_from(f">{num_dimensions}I", data, 4)
    if len(data) - header != math.prod(shape):
        raise ValueError(
            f"{name}: holds {len(data) - header} values where its header says {math.prod(shape)}"
        )
    if len(data) == header:
        raise ValueError(f"{name}: holds no values")
    # Through a bytearray, because a tensor on immutable bytes could be written to.
    return torch.frombuffer(bytearray(memoryview(data)[header:]), dtype=torch.uint8).view(shape)


def to_idx(values: Tensor) -> bytes:
    """The IDX file of a uint8 tensor; the inverse of `parse_idx`."""
    assert values.dtype == torch.uint8
    header = struct.pack(f">2x2B{values.dim()}I", _UNSIGNED_BYTE, values.dim(), *values.shape)
    return header + values.cpu().numpy().tobytes()


def to_unit(images: Tensor) -> Tensor:
    """Images uint8 [..., 28, 28] -> float32 [..., 1, 28, 28] in [0, 1]."""
    return images.unsqueeze(-3).to(torch.float32).div_(255)


def is_known(name: str, data: bytes) -> bool:
    """Whether `data` is, byte for byte, the file that MNIST has under `name`."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest() == FILES[name]


def data_hash(folder: Path) -> str:
    """16 hex digits that name the data: of the SHA-256 of the four files' SHA-256."""
    whole = hashlib.sha256()
    for name in FILES:
        with (folder / name).open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()[:16]
