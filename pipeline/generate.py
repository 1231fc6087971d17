"""Draw digits with the exported generator: a picture of many, arrays, or a walk between two."""

import argparse
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.base.cli import Parser, UserError, run, write_whole
from pipeline.base.paths import EXPORT
from pipeline.base.tiles import tile

MODEL = EXPORT / "generator.onnx"
FORMATS = ("png", "npz", "gif")
MAX_NUM, MAX_WALKERS, MAX_FRAMES = 100_000, 64, 300
_BATCH = 500
_FRAME_MILLISECONDS = 60
_WALK_SCALE = 4  # moving pictures of 28 pixels are too small to watch

Images = NDArray[np.uint8]  # [N, 28, 28]
Noise = NDArray[np.float32]  # [N, latent_dim] in (-1, 1)

EXAMPLES = """\
examples:
  python -m pipeline.generate --num 64 --seed 7 --out digits.png
      64 digits in one picture, 8 by 8
  python -m pipeline.generate --grid 10x3 --out strip.png
      30 digits, 10 columns and 3 rows
  python -m pipeline.generate --num 10000 --out digits.npz
      arrays: images uint8 [10000, 28, 28], noise float32 [10000, latent_dim]
  python -m pipeline.generate --walk --seed 3 --out walk.gif
      a digit turns into another; with --num 16, sixteen at once

The same seed draws the same digits, the first of many the same as few; so do walks. Needs no
PyTorch.
"""


def main() -> None:
    arguments = _parser().parse_args()
    chosen = _format(arguments.format, arguments.out, arguments.walk)
    out = arguments.out or Path(f"digits.{chosen}")
    if chosen == "npz" and arguments.grid is not None:
        raise UserError("--grid is the layout of a picture; leave it out for npz", 2)
    if arguments.frames is not None and not arguments.walk:
        raise UserError("--frames is the length of a walk; add --walk", 2)
    num, columns = _layout(arguments.num, arguments.grid, 1 if arguments.walk else 64)
    if arguments.walk and num > MAX_WALKERS:
        raise UserError(f"a walk shows at most {MAX_WALKERS} digits at once, not {num:,}", 2)

    generator = Generator(arguments.model)
    rng = np.random.default_rng(arguments.seed)
    noise = rng.uniform(-1, 1, (2 * num if arguments.walk else num, generator.latent_dim))
    if arguments.walk:
        # From the first to the second, from the third to the fourth: more walks change none.
        steps = walk(noise[::2], noise[1::2], arguments.frames or 60)
        _write(out, lambda file: _save_gif(file, (tile(generator(z), columns) for z in steps)))
    elif chosen == "npz":
        z = noise.astype(np.float32)
        images = generator(z)
        _write(out, lambda file: np.savez_compressed(file, images=images, noise=z))
    else:
        picture = tile(generator(noise.astype(np.float32)), columns)
        _write(out, lambda file: Image.fromarray(picture).save(file, "PNG"))
    print(f"{out}: {num:,} {'digit' if num == 1 else 'digits'}, seed {arguments.seed}")


class Generator:
    """The exported generator, computed by onnxruntime."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise UserError(f"{path}: no such file; `dvc repro export` makes {MODEL}")
        import onnxruntime  # here, because `--help` must not wait for it

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what is fatal is raised
        try:
            self._session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
            (z,), (image,) = self._session.get_inputs(), self._session.get_outputs()
            (_, self.latent_dim), (_, *shape) = z.shape, image.shape
        except Exception:  # onnxruntime raises many kinds for a broken file
            shape = []
        if shape != [1, 28, 28] or not isinstance(self.latent_dim, int):
            raise UserError(f"{path}: not a generator of digits; `dvc repro export` makes {MODEL}")
        self._names = [image.name], z.name

    def __call__(self, noise: Noise) -> Images:
        """The images of `noise`, each pixel rounded to the nearest of 256 levels."""
        outputs, z = self._names
        batches = [noise[i : i + _BATCH] for i in range(0, len(noise), _BATCH)]
        parts = [self._session.run(outputs, {z: batch})[0] for batch in batches]
        bytes_: Images = np.rint(np.concatenate(parts)[:, 0] * 255).astype(np.uint8)
        return bytes_


def walk(start: NDArray[np.float64], end: NDArray[np.float64], frames: int) -> Iterator[Noise]:
    """`frames` steps from `start` to `end`, each [N, latent_dim], both ends included.

    A straight line would pass near zero, where noise hardly ever is. Taken to the normal
    distribution, turned there, and taken back, every step is distributed as U(-1, 1).
    """
    from scipy.special import ndtr, ndtri  # here, because `--help` must not wait for it

    first, last = ndtri((start + 1) / 2), ndtri((end + 1) / 2)
    for angle in np.linspace(0, np.pi / 2, frames):
        yield (2 * ndtr(np.cos(angle) * first + np.sin(angle) * last) - 1).astype(np.float32)


def _save_gif(file: IO[bytes], pictures: Iterator[Images]) -> None:
    first, *others = (
        Image.fromarray(picture.repeat(_WALK_SCALE, axis=0).repeat(_WALK_SCALE, axis=1))
        for picture in pictures
    )
    first.save(
        file, "GIF", save_all=True, append_images=others, duration=_FRAME_MILLISECONDS, loop=0
    )


def _write(out: Path, save: Callable[[IO[bytes]], None]) -> None:
    try:
        with write_whole(out) as file:
            save(file)
    except OSError as error:
        raise UserError(f"{out}: {error.strerror or error}; nothing was written") from None


def _format(given: str | None, out: Path | None, walking: bool) -> str:
    """The format, from --format, the ending of --out, and --walk, which must agree."""
    ending = out.suffix[1:].lower() if out else ""
    tells = given is not None or out is None  # something else than the ending tells the format
    if ending not in FORMATS and (ending or not tells):
        endings = ", ".join(f".{name}" for name in FORMATS)
        raise UserError(f"--out {out}: its ending must be one of {endings}", 2)
    if given and ending and given != ending:
        raise UserError(f"--format {given} and --out {out} differ; leave one of them out", 2)
    chosen = given or ending or ("gif" if walking else "png")
    if walking != (chosen == "gif"):
        raise UserError(
            f"a walk is an animated picture: --walk needs a .gif file, not {chosen}"
            if walking
            else "an animated picture shows a walk: add --walk",
            2,
        )
    return chosen


def _layout(num: int | None, grid: tuple[int, int | None] | None, default: int) -> tuple[int, int]:
    """How many digits, and in how many columns: as asked for, or nearly square."""
    columns, rows = grid or (0, None)
    if num is None:
        num = columns * rows if rows else max(default, columns)
    if rows and num > columns * rows:
        raise UserError(f"--grid {columns}x{rows} has no room for {num:,} digits", 2)
    return num, columns or math.ceil(math.sqrt(num))


def _parser() -> Parser:
    parser = Parser(
        "generate",
        __doc__,
        epilog=EXAMPLES,
    )
    number, frames = _whole(1, MAX_NUM), _whole(2, MAX_FRAMES)
    parser.add_argument("--num", type=number, help="how many digits (default 64; of a walk 1)")
    parser.add_argument("--seed", type=_whole(0, 2**63 - 1), default=0, help="default 0")
    parser.add_argument("--out", type=Path, help="default digits.png, .npz or .gif")
    parser.add_argument("--format", choices=FORMATS, help="default: the ending of --out")
    parser.add_argument(
        "--grid",
        type=_grid,
        nargs="?",
        const=(0, None),
        metavar="COLUMNSxROWS",
        help="layout of the picture, such as 8x8, or 8 for as many rows as it takes "
        "(default: nearly square)",
    )
    parser.add_argument("--walk", action="store_true", help="an animation between two digits")
    parser.add_argument("--frames", type=frames, help="length of the walk (default 60)")
    parser.add_argument("--model", type=Path, default=MODEL, help=f"default {MODEL}")
    return parser


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not allowed; it must be a whole number from {low} to {high:,}"
            )
        return value

    return parse


def _grid(text: str) -> tuple[int, int | None]:
    layout = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", text)
    columns, rows = (int(layout[1]), int(layout[2] or 1)) if layout else (0, 0)
    if not 1 <= columns * rows <= MAX_NUM:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not allowed; it must be COLUMNSxROWS, such as 8x8, of at most "
            f"{MAX_NUM:,} digits"
        )
    return columns, rows if "x" in text else None


if __name__ == "__main__":
    run(main)
