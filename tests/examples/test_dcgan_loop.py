import math
import re
from pathlib import Path

import pytest
import torch

from examples.dcgan_loop import distance, main, read_images
from tests.idx import write_idx_dataset

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_idx_dataset(tmp_path_factory.mktemp("data"), train=640)
    return folder / "train-images-idx3-ubyte"


def test_it_keeps_the_best_weights(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best = tmp_path / "best.pt"
    main([str(images), "--epochs", "4", "--width", "8", "--rate", "2e-3", "--best", str(best)])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert re.fullmatch(r"\[4/4\] \w+, best epoch [1-4]", lines[-1])
    assert {*torch.load(best)} == {"g", "d"}


def test_a_training_that_goes_wrong_is_ended(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--epochs", "40", "--width", "8", "--rate", "1e18", "--best", str(tmp_path / "b")]
    main([str(images), *options])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < 20
    assert "diverged" in lines[-2]
    assert "not finite" in lines[-1]


def test_the_distance_is_zero_for_the_same_images_and_grows_with_noise(images: Path) -> None:
    real = read_images(images)
    assert distance(real, real) == pytest.approx(0, abs=1e-4)
    little, much = (distance(real, real + k * torch.ones_like(real)) for k in (0.1, 0.5))
    assert 0 < little < much
    assert math.isnan(distance(real, real * math.nan))


@pytest.mark.parametrize(("content", "told"), [(None, "No such file"), (b"PK", "not an unpacked")])
def test_images_that_are_not_there_are_one_line(
    content: bytes | None, told: str, tmp_path: Path
) -> None:
    path = tmp_path / "images"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SystemExit) as ended:
        main([str(path)])
    assert re.fullmatch(rf"error: {re.escape(str(path))}: {told}.*", str(ended.value.code))
