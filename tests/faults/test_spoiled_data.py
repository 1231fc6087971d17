"""Data sets of strangers that are tiny, lopsided, spoiled: refused by name, or used."""

import gzip
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from ruamel.yaml import YAML

from dcgan.mnist import FILES, load, to_idx
from pipeline import evaluate, fetch, judge, train
from tests.commands import status_of
from tests.faults.length import times
from tests.idx import draw_digits, write_idx_dataset
from tests.project import SMALL


@pytest.fixture
def given(clone: Path) -> Path:
    """A folder that data.path names, with 20 training and 10 test digits."""
    folder = write_idx_dataset(clone.parent / "given", train=20, test=10)
    change(clone, "data", {"path": str(folder)})
    return folder


def change(clone: Path, section: str, values: dict[str, object]) -> None:
    yaml = YAML()
    params = yaml.load(clone / "params.yaml")
    params[section].update(values)
    yaml.dump(params, clone / "params.yaml")


def test_whatever_is_done_to_a_file_it_is_refused_by_name_or_still_right(
    given: Path, capsys: pytest.CaptureFixture[str], attacked: Callable[[int, str], None]
) -> None:
    rng, attacks = random.Random(6), times(60, 600)
    good = {name: (given / name).read_bytes() for name in FILES}
    refused = 0
    for _ in range(attacks):
        name = rng.choice(list(FILES))
        spoiled = bytearray(good[name])
        for _ in range(rng.randint(1, 3)):
            kind, place = rng.randint(0, 4), rng.randrange(16)
            if kind == 0:
                del spoiled[rng.randrange(len(spoiled)) :]
            elif kind == 1:
                spoiled += rng.randbytes(rng.randint(1, 100))
            elif place < len(spoiled):
                spoiled[place] ^= 1 << rng.randrange(8) if kind == 2 else 0xFF
        packed = rng.random() < 0.3
        file = given / (f"{name}.gz" if packed else name)
        (given / name).unlink()
        content = gzip.compress(bytes(spoiled)) if packed else bytes(spoiled)
        if packed and rng.random() < 0.5:
            content = content[: rng.randrange(len(content))]
        file.write_bytes(content)
        if status_of(fetch.main):
            error = capsys.readouterr().err
            assert error.count("\n") == 1
            # A wrong count of images shows at the labels.
            assert name in error or name.replace("images-idx3", "labels-idx1") in error, error
            refused += 1
        else:
            assert len(load(Path("data/mnist")).test_images) >= 1
        file.unlink()
        (given / name).write_bytes(good[name])
    assert refused > attacks / 3
    attacked(attacks, f"spoiled files, {refused} of them refused")


def all_work_or_one_refuses(capsys: pytest.CaptureFixture[str], *stages: ModuleType) -> bool:
    """Run stages in turn. One that does not work must say why in one line; returns whether none."""
    for stage in stages:
        status = status_of(stage.main)
        errors = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
        assert len(errors) == bool(status), errors
        if status:
            return False
    return True


SMALLEST = [((20, 10), 2), ((11, 1), 2), ((300, 3), 50), ((99, 300), 50), ((100, 20), 99)]


@pytest.mark.parametrize(("numbers", "sizes"), SMALLEST[:: times(4, 1)])
def test_the_smallest_data_sets_come_to_an_end_or_to_one_line(
    given: Path, capsys: pytest.CaptureFixture[str], numbers: tuple[int, int], sizes: int
) -> None:
    write_idx_dataset(given, *numbers)
    change(Path.cwd(), "judge", {"batch_size": sizes, "min_accuracy": 0.0, "epochs": 1})
    change(Path.cwd(), "train", {"batch_size": sizes, "epochs": 1, "steps_per_epoch": 1})
    shutil.rmtree("checkpoints")
    all_work_or_one_refuses(capsys, fetch, judge, train, evaluate)


def test_images_without_any_ink_are_one_line_or_used(
    given: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_idx_dataset(given, train=100, test=50)
    images, labels = draw_digits(100, torch.Generator().manual_seed(0))
    (given / "train-images-idx3-ubyte").write_bytes(to_idx(images * 0))
    (given / "train-labels-idx1-ubyte").write_bytes(to_idx(labels))
    change(Path.cwd(), "judge", {"min_accuracy": 0.0})
    shutil.rmtree("checkpoints")
    if all_work_or_one_refuses(capsys, fetch, judge, train, evaluate):
        assert "NaN" not in Path("reports/metrics.json").read_text()


EXTREME = [
    {"batch_size": 2, "epochs": 1, "steps_per_epoch": 1, "sample_every": 0},
    {"latent_dim": 1, "width": 2, "epochs": 1, "steps_per_epoch": 2, "sample_every": 1},
    {"lr_g": 0, "lr_d": 0, "epochs": 1, "steps_per_epoch": 3},
    {"lr_g": 10, "lr_d": 10, "epochs": 2, "steps_per_epoch": 3, "optimizer": "rmsprop"},
    {"g_dropout": 0.999999, "d_dropout": 0.999999, "epochs": 1, "steps_per_epoch": 2},
    {"batch_size": 400, "epochs": 1, "steps_per_epoch": 1, "sampling": "epochs"},
    {"batch_size": 401, "epochs": 1, "steps_per_epoch": 1, "sampling": "epochs"},
    {"average_images": 1, "epochs": 1, "steps_per_epoch": 2},
    {"decay_g": 10, "decay_d": 10, "r1_gamma": 1000000, "r1_every": 1, "epochs": 1,
     "steps_per_epoch": 2},
]  # fmt: skip


@pytest.mark.parametrize("values", EXTREME[:: times(4, 1)], ids=lambda values: ", ".join(values))
def test_good_but_extreme_parameters_work_or_are_one_line(
    clone: Path, capsys: pytest.CaptureFixture[str], values: dict[str, object]
) -> None:
    change(clone, "train", {**SMALL["train"], **values})
    if all_work_or_one_refuses(capsys, train, evaluate):
        assert Path("reports/plots/fd.png").exists()
