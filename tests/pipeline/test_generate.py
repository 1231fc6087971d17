import errno
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image, ImageSequence

from pipeline import generate as generating
from pipeline.base.cli import run
from pipeline.generate import main, walk

LATENT_DIM = 5


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with an exported generator: one linear layer, sigmoid, reshape."""
    weights = np.random.default_rng(0).normal(0, 2, (LATENT_DIM, 784)).astype(np.float32)
    monkeypatch.chdir(tmp_path)
    generating.MODEL.parent.mkdir()
    write_model(generating.MODEL, weights)
    return tmp_path


def write_model(path: Path, weights: Any, shape: tuple[int, ...] = (1, 28, 28)) -> None:
    constants = {"weights": weights, "shape": np.array([-1, *shape])}
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["z", "weights"], ["sums"]),
            helper.make_node("Sigmoid", ["sums"], ["flat"]),
            helper.make_node("Reshape", ["flat", "shape"], ["image"]),
        ],
        "generator",
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["batch", LATENT_DIM])],
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", *shape])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    opset = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)


def write_conditional_model(path: Path) -> None:
    """Noise sets the left half's shade; in the right one, row d is as bright as digit d's share."""
    patterns = np.zeros((10, 28, 28), np.float32)
    for digit in range(10):
        patterns[digit, digit, 14:] = 1
    left = np.zeros((LATENT_DIM, 28, 28), np.float32)
    left[0, :, :14] = 0.5
    constants = {
        "left": left.reshape(LATENT_DIM, 784),
        "right": patterns.reshape(10, 784),
        "shape": np.array([-1, 1, 28, 28]),
    }
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["z", "left"], ["shade"]),
            helper.make_node("Abs", ["shade"], ["of_noise"]),
            helper.make_node("MatMul", ["digit", "right"], ["of_digit"]),
            helper.make_node("Add", ["of_noise", "of_digit"], ["flat"]),
            helper.make_node("Reshape", ["flat", "shape"], ["image"]),
        ],
        "generator",
        [
            helper.make_tensor_value_info("z", TensorProto.FLOAT, ["batch", LATENT_DIM]),
            helper.make_tensor_value_info("digit", TensorProto.FLOAT, ["batch", 10]),
        ],
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 28, 28])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    opset = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)


def told_digits(images: Any) -> list[int]:
    """Which digit each image of that model was told."""
    return [int(digit) for digit in images[:, :10, 14:].mean(axis=2).argmax(axis=1)]


def draw(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command; returns its exit status."""
    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", ["generate", *arguments])
        try:
            run(main)
        except SystemExit as end:
            return int(end.code or 0)
    return 0


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("a.png", "a.npz", "a.gif"):
        options = ["--num", "3", "--out", name, *(["--walk"] if name == "a.gif" else [])]
        contents = []
        for seed in ("1", "1", "2"):
            assert draw(monkeypatch, *options, "--seed", seed) == 0
            contents.append(Path(name).read_bytes())
        assert contents[0] == contents[1] != contents[2]


def test_arrays_hold_the_noise_and_its_images(monkeypatch: pytest.MonkeyPatch) -> None:
    assert draw(monkeypatch, "--num", "1100", "--seed", "3", "--out", "a.npz") == 0
    arrays = np.load("a.npz")
    images, noise = arrays["images"], arrays["noise"]
    assert (images.shape, images.dtype) == ((1100, 28, 28), np.uint8)
    assert (noise.shape, noise.dtype) == ((1100, LATENT_DIM), np.float32)
    assert np.abs(noise).max() <= 1
    assert abs(np.square(noise).mean() - 1 / 3) < 0.02
    model = onnx.load(generating.MODEL)
    weights = numpy_helper.to_array(model.graph.initializer[0])
    exact = 255 / (1 + np.exp(-noise.astype(np.float64) @ weights)).reshape(images.shape)
    assert np.abs(images - exact).max() < 0.5 + 1e-3


def test_a_few_digits_are_the_first_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    for num in ("8", "600"):
        assert draw(monkeypatch, "--num", num, "--out", f"{num}.npz") == 0
    few, many = np.load("8.npz"), np.load("600.npz")
    assert np.array_equal(few["noise"], many["noise"][:8])
    assert np.abs(few["images"].astype(int) - many["images"][:8]).max() <= 1


@pytest.mark.parametrize(
    ("options", "columns", "rows"),
    [
        ([], 8, 8),
        (["--num", "64", "--grid"], 8, 8),
        (["--num", "1"], 1, 1),
        (["--num", "5"], 3, 2),
        (["--grid", "10x3"], 10, 3),
        (["--grid", "4x2", "--num", "5"], 4, 2),
        (["--grid", "4", "--num", "9"], 4, 3),
        (["--grid", "100"], 100, 1),
    ],
)
def test_a_picture_has_the_columns_and_rows_asked_for(
    monkeypatch: pytest.MonkeyPatch, options: list[str], columns: int, rows: int
) -> None:
    assert draw(monkeypatch, *options, "--out", "a.png") == 0
    with Image.open("a.png") as picture:
        assert picture.mode == "L"
        width, height = picture.size
    assert (width, height) == (columns * 30 - 2, rows * 30 - 2)


def test_every_digit_of_a_picture_stands_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    draw(monkeypatch, "--grid", "3x2", "--out", "a.png")
    draw(monkeypatch, "--num", "6", "--out", "a.npz")
    picture = np.asarray(Image.open("a.png"))
    for number, image in enumerate(np.load("a.npz")["images"]):
        top, left = number // 3 * 30, number % 3 * 30
        assert np.array_equal(picture[top : top + 28, left : left + 28], image)


def test_a_walk_leads_from_the_digits_of_its_seed_to_the_next_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = ["--seed", "4", "--out"]
    assert draw(monkeypatch, "--walk", "--num", "2", "--frames", "7", *options, "a.gif") == 0
    assert draw(monkeypatch, "--num", "4", *options, "a.npz") == 0
    images = np.load("a.npz")["images"].astype(int)
    with Image.open("a.gif") as film:
        assert film.info["loop"] == 0
        pictures = [np.asarray(frame.convert("L")) for frame in ImageSequence.Iterator(film)]
    assert len(pictures) == 7
    frames = [picture.astype(int)[::4, ::4] for picture in pictures]
    for frame, ends in ((frames[0], images[::2]), (frames[-1], images[1::2])):
        assert np.abs(frame[:, :28] - ends[0]).max() <= 1
        assert np.abs(frame[:, 30:] - ends[1]).max() <= 1
    changes = [np.abs(after - before).mean() for before, after in pairwise(frames)]
    assert max(changes) < np.abs(frames[-1] - frames[0]).mean()


def test_a_few_walks_are_the_first_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = []
    for num in ("2", "5"):
        options = ["--walk", "--num", num, "--grid", "5", "--frames", "3", "--out", "a.gif"]
        assert draw(monkeypatch, *options) == 0
        with Image.open("a.gif") as film:
            frames = [np.asarray(frame.convert("L")) for frame in ImageSequence.Iterator(film)]
        pictures.append(np.stack(frames).astype(int)[:, ::4, ::4][:, :28, :58])
    few, many = pictures
    assert few.max() > 0
    assert np.abs(few - many).max() <= 1


def test_every_step_of_a_walk_is_noise_like_that_of_the_training() -> None:
    rng = np.random.default_rng(0)
    start, end = rng.uniform(-1, 1, (2, 200, 100))
    for noise in walk(start, end, 5):
        assert noise.dtype == np.float32
        shares, _ = np.histogram(noise, bins=10, range=(-1, 1))
        assert np.abs(shares / noise.size - 0.1).max() < 0.01


def test_formats_follow_the_ending_or_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    for options, name in (
        ([], "digits.png"),
        (["--format", "npz"], "digits.npz"),
        (["--walk"], "digits.gif"),
        (["--format", "npz", "--out", "plain"], "plain"),
        (["--out", "new/folder/A.PNG"], "new/folder/A.PNG"),
    ):
        assert draw(monkeypatch, "--num", "2", *options) == 0
        assert Path(name).stat().st_size > 0


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (["--num", "0"], 2, "--num: '0' is not allowed; it must be a whole number from 1"),
        (["--num", "1e3"], 2, "--num: '1e3' is not allowed"),
        (["--num", "100001"], 2, "--num: '100001' is not allowed"),
        (["--seed", "-1"], 2, "--seed: '-1' is not allowed"),
        (["--grid", "0x3"], 2, "--grid: '0x3' is not allowed"),
        (["--grid", "3x"], 2, "--grid: '3x' is not allowed"),
        (["--grid", "99999x99999"], 2, "of at most 100,000 digits"),
        (["--grid", "2x2", "--num", "5"], 2, "--grid 2x2 has no room for 5 digits"),
        (["--format", "npz", "--grid"], 2, "--grid is the layout of a picture"),
        (["--frames", "5"], 2, "add --walk"),
        (["--walk", "--frames", "1"], 2, "--frames: '1' is not allowed"),
        (["--walk", "--num", "65"], 2, "at most 64 digits"),
        (["--walk", "--out", "a.png"], 2, "--walk needs a .gif file"),
        (["--out", "a.gif"], 2, "add --walk"),
        (["--out", "a.jpg"], 2, "--out a.jpg: its ending must be one of .png, .npz, .gif"),
        (["--out", "a"], 2, "its ending must be one of"),
        (["--out", "a.png", "--format", "npz"], 2, "differ"),
        (["--format", "bmp"], 2, "invalid choice: 'bmp'"),
        (["--model", "none.onnx"], 1, "none.onnx: no such file; `dvc repro export` makes"),
        (["--model", "wrong.onnx"], 1, "wrong.onnx: not a generator of digits"),
        (["--model", "text.onnx"], 1, "text.onnx: not a generator of digits"),
        (["--out", "folder.png"], 1, "folder.png: Is a directory; nothing was written"),
        (["--out", "text.onnx/a.png"], 1, "text.onnx/a.png: "),
        (["--digit", "10"], 2, "--digit: '10' is not allowed; it must be a whole number from 0"),
        (["--digits", "2o26"], 2, "--digits: '2o26' is not allowed; it must be digits"),
        (["--digits", "\u0667"], 2, "is not allowed; it must be digits"),
        (["--digits", ""], 2, "--digits: '' is not allowed"),
        (["--digits", "7" * 101], 2, "at most 100"),
        (["--digits", "20", "--digit", "2"], 2, "not allowed with argument"),
        (["--digits", "20", "--num", "4"], 2, "--digits tells how many; leave out --num"),
        (["--digits", "2026", "--grid", "3x1"], 2, "--grid 3x1 has no room for 4 digits"),
        (["--digits", "3", "--walk"], 2, "--digits must name two or more"),
        (["--colour"], 2, "unrecognized arguments: --colour"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    project: Path,
    options: list[str],
    status: int,
    words: str,
) -> None:
    (project / "folder.png").mkdir()
    (project / "text.onnx").write_text("no model")
    write_model(project / "wrong.onnx", np.zeros((LATENT_DIM, 27), np.float32), (3, 3, 3))
    before = sorted(project.rglob("*"))
    assert draw(monkeypatch, *options) == status
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    assert words in errors
    assert sorted(project.rglob("*")) == before


def test_a_full_disk_leaves_the_picture_that_was_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    assert draw(monkeypatch, "--out", "a.png") == 0
    before = Path("a.png").read_bytes()
    files = sorted(project.iterdir())

    def save(self: Image.Image, file: Any, *_: Any) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", save)
    assert draw(monkeypatch, "--out", "a.png", "--seed", "1") == 1
    assert "error: a.png: No space left on device; nothing was written" in capsys.readouterr().err
    assert Path("a.png").read_bytes() == before
    assert sorted(project.iterdir()) == files


@pytest.fixture
def conditional(project: Path) -> None:
    write_conditional_model(generating.MODEL)


@pytest.mark.usefixtures("conditional")
@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--digit", "7", "--num", "3"], [7, 7, 7]),
        (["--digits", "2026"], [2, 0, 2, 6]),
        (["--num", "12"], [*range(10), 0, 1]),
        ([], [*range(10)] * 10),
    ],
)
def test_the_digits_asked_for_are_drawn_and_told(
    monkeypatch: pytest.MonkeyPatch, options: list[str], wanted: list[int]
) -> None:
    assert draw(monkeypatch, *options, "--out", "a.npz") == 0
    arrays = np.load("a.npz")
    assert told_digits(arrays["images"]) == arrays["digits"].tolist() == wanted


@pytest.mark.usefixtures("conditional")
@pytest.mark.parametrize(
    ("options", "columns", "rows"),
    [
        (["--digits", "2026"], 4, 1),
        (["--digits", "20261126", "--grid", "4"], 4, 2),
        (["--digit", "3"], 8, 8),
        ([], 10, 10),
    ],
)
def test_what_is_spelled_stands_in_a_row_and_all_digits_in_ten_columns(
    monkeypatch: pytest.MonkeyPatch, options: list[str], columns: int, rows: int
) -> None:
    assert draw(monkeypatch, *options, "--out", "a.png") == 0
    with Image.open("a.png") as picture:
        assert picture.size == (columns * 30 - 2, rows * 30 - 2)


@pytest.mark.usefixtures("conditional")
def test_another_digit_of_the_same_seed_has_the_same_noise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for digit in ("1", "2"):
        assert draw(monkeypatch, "--digit", digit, "--num", "5", "--out", f"{digit}.npz") == 0
    ones, twos = np.load("1.npz"), np.load("2.npz")
    assert np.array_equal(ones["noise"], twos["noise"])
    assert np.array_equal(ones["images"][..., :14], twos["images"][..., :14])


@pytest.mark.usefixtures("conditional")
def test_a_walk_between_digits_keeps_its_noise_and_passes_every_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = ["--walk", "--digits", "385", "--frames", "5", "--num", "2", "--grid", "2"]
    assert draw(monkeypatch, *options, "--out", "a.gif") == 0
    with Image.open("a.gif") as film:
        pictures = [np.asarray(frame.convert("L")) for frame in ImageSequence.Iterator(film)]
    frames = np.stack(pictures).astype(int)[:, ::4, ::4]
    for walker in (frames[:, :, :28], frames[:, :, 30:]):
        assert np.abs(walker[:, :, :14] - walker[0, :, :14]).max() == 0
        shares = walker[:, [3, 8, 5], 20] / 255
        wanted = [[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0.5, 0.5], [0, 0, 1]]
        assert np.abs(shares - np.array(wanted)).max() < 0.01
    assert np.abs(frames[0, :, :14] - frames[0, :, 30:44]).max() > 0  # each has noise of its own


@pytest.mark.usefixtures("conditional")
def test_a_walk_between_noises_keeps_the_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["--walk", "--digit", "4", "--frames", "3", "--out", "a.gif"]
    assert draw(monkeypatch, *options) == 0
    with Image.open("a.gif") as film:
        pictures = [np.asarray(frame.convert("L")) for frame in ImageSequence.Iterator(film)]
    frames = np.stack(pictures)[:, ::4, ::4]
    assert told_digits(frames) == [4, 4, 4]
    assert np.abs(frames[0, :, :14].astype(int) - frames[-1, :, :14]).max() > 0


@pytest.mark.parametrize("options", [["--digit", "7"], ["--digits", "2026"]])
def test_a_generator_that_cannot_be_asked_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    project: Path,
    options: list[str],
) -> None:
    before = sorted(project.rglob("*"))
    assert draw(monkeypatch, *options) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: {generating.MODEL}: cannot be asked for a digit; train one")
    assert "python -m pipeline.recipe conditional" in said
    assert said.count("\n") == 1
    assert sorted(project.rglob("*")) == before


def test_it_starts_without_pytorch_and_mlflow() -> None:
    root = Path(generating.__file__).parent.parent
    program = "import pipeline.generate, sys; print({'torch', 'mlflow'} & set(sys.modules))"
    answer = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": f"{root}:{root / 'src'}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout == "set()\n"
