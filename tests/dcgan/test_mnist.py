from pathlib import Path

import pytest
import torch

from dcgan import mnist
from tests.idx import write_idx_dataset

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = mnist.FILES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_idx_dataset(tmp_path / "data", train=20, test=10)


def flip(data: bytes, bit: int) -> bytes:
    flipped = bytearray(data)
    flipped[bit // 8] ^= 1 << bit % 8
    return bytes(flipped)


def test_an_idx_file_is_read_as_its_definition_says() -> None:
    written_by_hand = bytes.fromhex("00000802 00000002 00000003 00010203ff05")
    values = mnist.parse_idx(written_by_hand, "x")
    assert values.dtype == torch.uint8
    assert values.tolist() == [[0, 1, 2], [3, 255, 5]]


@pytest.mark.parametrize("shape", [(1,), (7,), (2, 3), (3, 28, 28)])
def test_what_is_written_is_read_back(shape: tuple[int, ...]) -> None:
    values = torch.randint(0, 256, shape, dtype=torch.uint8)
    assert torch.equal(mnist.parse_idx(mnist.to_idx(values), "x"), values)
    transposed = values.transpose(0, -1)
    assert torch.equal(mnist.parse_idx(mnist.to_idx(transposed), "x"), transposed)


def test_every_truncation_and_every_excess_is_refused_in_one_line() -> None:
    whole = mnist.to_idx(torch.zeros(2, 3, 4, dtype=torch.uint8))
    for wrong in [whole[:length] for length in range(len(whole))] + [whole + b"\0"]:
        with pytest.raises(ValueError, match=r"^some/file: .+$") as caught:
            mnist.parse_idx(wrong, "some/file")
        assert "\n" not in str(caught.value)


def test_every_flipped_bit_of_the_header_is_refused() -> None:
    whole = mnist.to_idx(torch.zeros(3, 28, 28, dtype=torch.uint8))
    for bit in range(16 * 8):
        with pytest.raises(ValueError, match=r"^x: "):
            mnist.parse_idx(flip(whole, bit), "x")


def test_values_that_are_not_unsigned_bytes_and_empty_files_are_refused() -> None:
    for wrong in ("00000d01 00000001 00000000", "00000801 00000000", "00000800 00"):
        with pytest.raises(ValueError, match=r"^x: "):
            mnist.parse_idx(bytes.fromhex(wrong), "x")


def test_loaded_tensors_belong_to_the_caller(folder: Path) -> None:
    data = mnist.load(folder)
    assert data.train_images.shape == (20, 28, 28)
    assert data.train_labels.shape == (20,)
    assert data.test_images.shape == (10, 28, 28)
    assert data.test_labels.shape == (10,)
    data.train_images.zero_()
    assert mnist.load(folder).train_images.any()


@pytest.mark.parametrize("name", mnist.FILES)
def test_a_missing_file_is_reported_by_name(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        mnist.load(folder)


@pytest.mark.parametrize("name", mnist.FILES)
def test_a_truncated_file_is_refused_by_name(folder: Path, name: str) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:-1])
    with pytest.raises(ValueError, match=f"{name}: "):
        mnist.load(folder)


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        (TRAIN_IMAGES, TRAIN_LABELS, TRAIN_IMAGES),
        (TEST_IMAGES, TEST_LABELS, TEST_IMAGES),
        (TRAIN_LABELS, TEST_LABELS, TRAIN_LABELS),
        (TRAIN_IMAGES, TEST_IMAGES, TRAIN_LABELS),
    ],
)
def test_swapped_files_are_refused(folder: Path, first: str, second: str, named: str) -> None:
    (folder / first).rename(folder / "aside")
    (folder / second).rename(folder / first)
    (folder / "aside").rename(folder / second)
    with pytest.raises(ValueError, match=named):
        mnist.load(folder)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        (TRAIN_LABELS, torch.tensor([0] * 19 + [10])),
        (TEST_LABELS, torch.tensor([255] * 10)),
        (TRAIN_LABELS, torch.zeros(21)),
        (TRAIN_LABELS, torch.zeros(20, 1)),
        (TRAIN_IMAGES, torch.zeros(20, 28, 27)),
        (TEST_IMAGES, torch.zeros(10, 784)),
        (TEST_IMAGES, torch.zeros(10 * 784)),
    ],
)
def test_wrong_labels_counts_and_sizes_are_refused_by_name(
    folder: Path, name: str, values: torch.Tensor
) -> None:
    (folder / name).write_bytes(mnist.to_idx(values.to(torch.uint8)))
    with pytest.raises(ValueError, match=name):
        mnist.load(folder)


def test_unit_images_span_zero_to_one_and_gain_a_channel() -> None:
    values = torch.arange(256, dtype=torch.uint8).repeat(49).view(2, 8, 28, 28)
    unit = mnist.to_unit(values)
    assert unit.shape == (2, 8, 1, 28, 28)
    assert unit.dtype == torch.float32
    assert unit.min() == 0
    assert unit.max() == 1
    assert torch.equal((unit * 255).round().to(torch.uint8).squeeze(2), values)
    assert values.max() == 255  # the original is untouched


def test_the_hash_names_the_bytes_and_not_the_folder(folder: Path, tmp_path: Path) -> None:
    name = mnist.data_hash(folder)
    assert len(name) == 16
    assert set(name) <= set("0123456789abcdef")
    assert mnist.data_hash(write_idx_dataset(tmp_path / "elsewhere", train=20, test=10)) == name


@pytest.mark.parametrize("name", mnist.FILES)
def test_one_flipped_bit_in_any_file_changes_the_hash(folder: Path, name: str) -> None:
    before = mnist.data_hash(folder)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(flip(content, 8 * len(content) - 1))
    assert mnist.data_hash(folder) != before


def test_bytes_moved_between_files_change_the_hash(folder: Path) -> None:
    before = mnist.data_hash(folder)
    (folder / TRAIN_LABELS).rename(folder / "aside")
    (folder / TEST_LABELS).rename(folder / TRAIN_LABELS)
    (folder / "aside").rename(folder / TEST_LABELS)
    assert mnist.data_hash(folder) != before
