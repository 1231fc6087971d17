from pathlib import Path

import torch

from dcgan import mnist
from tests.idx import write_idx_dataset


def test_synthetic_digits_are_told_apart_by_the_nearest_training_image(tmp_path: Path) -> None:
    data = mnist.load(write_idx_dataset(tmp_path))
    train, test = (
        mnist.to_unit(images).flatten(1) for images in (data.train_images, data.test_images)
    )
    nearest = torch.cdist(test, train).argmin(1)
    assert (data.train_labels[nearest] == data.test_labels).float().mean() > 0.85
    assert data.train_labels.bincount().tolist() == [60] * 10


def test_the_same_seed_writes_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    hashes = [
        mnist.data_hash(write_idx_dataset(tmp_path / str(index), 30, 10, seed))
        for index, seed in enumerate((0, 0, 1))
    ]
    assert hashes[0] == hashes[1] != hashes[2]
