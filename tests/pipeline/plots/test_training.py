import dataclasses
import math
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

from dcgan.probing import PROBED
from dcgan.training import SIGNALS
from ganverdict.plot import WIDTH
from pipeline.plots import training as plots
from pipeline.plots.training import Course
from tests.idx import draw_digits
from tests.project import REPOSITORY

SCALE = {
    "floor": {"fd": 0.03, "class_kl": 0.0003},
    "test": {"fd": 0.06, "class_kl": 0.0002},
    "blurred": {"fd": 2.0, "class_kl": 0.0002},
    "nines_removed": {"fd": 2.2, "class_kl": 0.098},
    "one_class": {"fd": 88.0, "class_kl": 2.2},
    "noise": {"fd": 96.0, "class_kl": 0.0},
}


def digits(count: int) -> NDArray[np.uint8]:
    return np.asarray(draw_digits(count, torch.Generator().manual_seed(0))[0].numpy())


def course(epochs: int, steps_per_epoch: int, averaged: bool = False) -> Course:
    rng = np.random.default_rng(0)
    step = np.arange(1, epochs * steps_per_epoch + 1)
    signals = {name: np.exp(rng.normal(0, 0.3, len(step))) for name in SIGNALS}
    epoch = np.arange(1, epochs + 1)
    metrics = {"fd": 50.0 / epoch, "fd_sigma": 1.0 / epoch, "class_kl": 0.5 / epoch}
    metrics |= {name: np.exp(rng.normal(0, 0.1, epochs)) for name in PROBED}
    if averaged:
        metrics["fd_raw"] = 60.0 / epoch
    return Course(
        {"step": step, **signals},
        {"epoch": epoch, "step": epoch * steps_per_epoch, **metrics},
        best_epoch=max(epochs - 1, 1),
        alarm_step=len(step) // 2,
        onset_step=len(step) // 2 + 1,
    )


def damaged() -> Course:
    """A run that ended in numbers that are not finite, and whose samples hold one digit alone."""
    whole = course(3, 40)
    for name in SIGNALS:
        whole.steps[name][-30:] = np.nan
    whole.steps["g_loss"][-31] = np.inf
    whole.steps["d_loss"][5] = 0.0
    whole.epochs["fd"][-1] = np.nan
    whole.epochs["class_kl"][:] = 0.0
    whole.epochs["d_loss_train"][:] = 0.0
    whole.epochs["d_singular_conv1"][:] = np.nan
    return whole


DRAWN: dict[str, Callable[[Course], plots.Figure]] = {
    "losses": plots.losses,
    "gradients": plots.gradients,
    "discriminator": plots.discriminator,
    "quality": lambda run: plots.quality(run, SCALE),
}
COURSES = {
    "long": course(150, 468),
    "averaged": course(12, 60, averaged=True),
    "one epoch": course(1, 5),
    "damaged": damaged(),
}


@pytest.mark.parametrize(
    ("available", "wanted", "found"),
    [
        ([100, 200, 1000, 3000, 15000], [100, 1000, 3000, 15000], [0, 2, 3, 4]),
        ([90, 160, 900], [100, 1000, 3000], [0, 2]),
        ([500], [1, 10, 30], [0]),
        ([100, 200, 300], [300, 100], [0, 2]),
    ],
)
def test_the_nearest_are_chosen_once_each_in_order(
    available: list[int], wanted: list[int], found: list[int]
) -> None:
    assert plots.nearest(np.array(available), wanted) == found


@pytest.mark.parametrize("available", [1, 2, 39, 40, 41, 450, 100_000])
def test_an_animation_has_first_and_last_picture_and_not_too_many(available: int) -> None:
    chosen = plots.frame_choice(available)
    assert chosen == sorted(set(chosen))
    assert (chosen[0], chosen[-1]) == (0, available - 1)
    assert min(available, 10) <= len(chosen) <= plots.MAX_FRAMES
    half = sum(index < available / 2 for index in chosen)
    assert half >= len(chosen) / 2


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("run", COURSES)
def test_every_curve_is_a_png_of_a_page_s_width_with_nothing_cut_off(
    tmp_path: Path, name: str, run: str
) -> None:
    plots.save(DRAWN[name](COURSES[run]), tmp_path / "picture.png")
    check_picture(tmp_path / "picture.png")


@pytest.mark.parametrize("name", DRAWN)
def test_every_curve_has_the_marks_of_the_verdict_at_their_epochs(name: str) -> None:
    run = course(10, 30)
    figure = DRAWN[name](run)
    wanted = {"best: epoch 9": 9.0, "onset: epoch 6": 151 / 30, "alarm: epoch 5": 5.0}
    for axis in figure.axes:
        places = {str(line.get_label()): line.get_xdata() for line in axis.lines}
        for words, place in wanted.items():
            assert np.asarray(places[words]).tolist() == [place, place]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert set(wanted) <= set(legend)


def test_the_curve_as_trained_joins_the_epochs_at_which_it_was_measured() -> None:
    run = course(12, 60, averaged=True)
    missing = run.epochs["epoch"] % 5 != 0
    seldom = {**run.epochs, "fd_raw": np.ma.masked_array(run.epochs["fd_raw"], missing)}
    upper, _ = plots.quality(dataclasses.replace(run, epochs=seldom), SCALE).axes
    (line,) = (line for line in upper.lines if line.get_label() == "as trained")
    assert np.asarray(line.get_xdata()).tolist() == [5, 10]
    assert np.asarray(line.get_ydata()).tolist() == [12, 6]


def test_a_stable_run_has_only_the_mark_of_the_best_epoch() -> None:
    run = course(4, 10)
    stable = Course(run.steps, run.epochs, best_epoch=3)
    words = [text.get_text() for text in plots.losses(stable).legends[0].get_texts()]
    assert words == ["discriminator", "generator", "best: epoch 3"]


def test_known_sets_in_range_are_named_beside_the_distance() -> None:
    upper, _ = plots.quality(course(20, 10), SCALE).axes
    notes = {note.get_text() for note in upper.texts}
    assert notes == {"test", "nines removed,\nblurred"}


@pytest.mark.parametrize("figure_of", [plots.losses, plots.gradients])
def test_single_iterations_far_away_do_not_flatten_the_curves(
    figure_of: Callable[[Course], plots.Figure],
) -> None:
    run = course(4, 468)
    for name in ("d_loss", "d_grad_norm"):
        run.steps[name][7], run.steps[name][11] = 1e-7, 1e7
    low, high = figure_of(run).axes[0].get_ylim()
    assert 0.1 < low < high < 10  # the curves are near 1


def test_the_numbers_of_a_logarithmic_axis_do_not_run_into_each_other() -> None:
    run = course(3, 4)
    spread = np.array([0.03, 0.02, 0.04])  # that of test digits is 100 times lower
    run = dataclasses.replace(run, epochs={**run.epochs, "class_kl": spread})
    figure = plots.quality(run, SCALE)
    figure.draw_without_rendering()
    for axis in figure.axes:
        low, high = axis.get_ylim()
        shown = [x for x in axis.get_yticklabels() if low <= x.get_position()[1] <= high]
        boxes = sorted((label.get_window_extent() for label in shown), key=lambda box: box.y0)
        assert len(boxes) > 1
        assert all(lower.y1 < upper.y0 for lower, upper in pairwise(boxes))


@pytest.mark.parametrize("count", [1, 2, 4])
def test_grids_stand_side_by_side_under_their_titles(tmp_path: Path, count: int) -> None:
    grids = {f"epoch {number}": digits(64) for number in range(count)}
    figure = plots.side_by_side(grids)
    assert [axis.get_title() for axis in figure.axes] == list(grids)
    plots.save(figure, tmp_path / "picture.png")
    check_picture(tmp_path / "picture.png")
    assert sum(axis.get_position().width for axis in figure.axes) > 0.95


def test_the_class_picture_shows_both_shares(tmp_path: Path) -> None:
    seen = np.array([0.0, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    figure = plots.classes(seen, np.full(10, 0.1))
    (axis,) = figure.axes
    heights = [bar.get_height() for bar in axis.patches if isinstance(bar, Rectangle)]
    assert heights == seen.tolist()
    plots.save(figure, tmp_path / "picture.png")
    check_picture(tmp_path / "picture.png")


def test_neighbours_stand_below_their_samples(tmp_path: Path) -> None:
    images = digits(60)
    samples, near = images[:12], images[12:].reshape(12, 4, 28, 28)
    figure = plots.neighbours(samples, near, np.arange(12.0), "distances")
    upper, lower = (np.asarray(axis.images[0].get_array()) for axis in figure.axes)
    for column in range(12):
        left = slice(column * 30, column * 30 + 28)
        assert (upper[:28, left] == samples[column]).all()
        for row in range(4):
            assert (lower[row * 30 : row * 30 + 28, left] == near[column, row]).all()
    plots.save(figure, tmp_path / "picture.png")
    check_picture(tmp_path / "picture.png")


def test_the_same_picture_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("first.png", "second.png"):
        plots.save(plots.losses(COURSES["averaged"]), tmp_path / name)
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()


def test_an_animation_shows_every_grid_and_stays_small(tmp_path: Path) -> None:
    path = tmp_path / "progress.gif"
    frames = digits(plots.MAX_FRAMES * 64).reshape(-1, 64, 28, 28)
    frames[0] = np.random.default_rng(0).integers(0, 256, frames[0].shape)
    plots.animation(path, frames, [f"iteration {number}" for number in range(len(frames))])
    assert path.stat().st_size < 2_000_000
    with Image.open(path) as gif:
        assert gif.n_frames == len(frames)  # type: ignore[attr-defined]
        for number in (0, 1, 20, 39):
            gif.seek(number)
            shown = np.asarray(gif.convert("L"))
            corner = shown[:56:2, :56:2].astype(int)
            assert np.abs(corner - frames[number, 0].astype(int)).max() <= 16
            assert shown[480:].max() > 200  # the label
            assert gif.info["duration"] == (2500 if number == 39 else 160)
        assert gif.info["loop"] == 0


def check_picture(path: Path) -> None:
    """A whole PNG as wide as a page, not blank, with a white rim: nothing reaches over its edge."""
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        pixels = np.asarray(picture.convert("L"))
    height, width = pixels.shape
    assert width == 150 * WIDTH
    assert 200 < height <= width * 1.05
    assert path.stat().st_size < 1_000_000
    assert pixels.min() < 100
    assert math.isclose(min(pixels[:2].min(), pixels[-2:].min()), 255)
    assert math.isclose(min(pixels[:, :2].min(), pixels[:, -2:].min()), 255)


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "module://none"])
def test_the_backend_of_a_notebook_is_no_hindrance(tmp_path: Path, backend: str) -> None:
    """Every `!command` of a notebook inherits the variable, whether or not the module is there."""
    program = """
from pathlib import Path
from pipeline.plots import training
training.save(training.Figure(), Path("a.png"))
"""
    finished = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "MPLBACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert finished.stderr == ""
    assert (tmp_path / "a.png").stat().st_size > 0
