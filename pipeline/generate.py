"""Draw digits with the exported generator: a picture of many, arrays, or a walk between some."""

import argparse
import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.base.cli import Parser, UserError, run, write_whole
from pipeline.base.paths import EXPORT
from pipeline.base.tiles import tile

MODEL = EXPORT / "generator.onnx"
FORMATS = ("png", "npz", "gif")
MAX_NUM, MAX_WALKERS, MAX_FRAMES, MAX_SPELLED = 100_000, 64, 300, 100
_BATCH = 500
_FRAME_MILLISECONDS = 60
_WALK_SCALE = 4  # moving pictures of 28 pixels are too small to watch

DEFAULT_FRAMES = 60
ALL_DIGITS = 100  # of a conditional generator: ten of each

Images = NDArray[np.uint8]  # [N, 28, 28]
Noise = NDArray[np.float32]  # [N, latent_dim] in (-1, 1)
Shares = NDArray[np.float32]  # [N, 10]: one-hot, or between digits
ONE_HOT: Shares = np.eye(10, dtype=np.float32)

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

of a conditional generator (python -m pipeline.recipe conditional):
  python -m pipeline.generate --digit 7 --num 64
      sevens
  python -m pipeline.generate --digits 2026
      a row that spells it
  python -m pipeline.generate --walk --digits 38
      a three turns into an eight, of the same noise
  python -m pipeline.generate
      ten rows of 0 to 9

The same seed draws the same digits, the first of many the same as few; so do walks. Needs no
PyTorch.
"""


def main() -> None:
    arguments = _parser().parse_args()
    chosen = _format(arguments.format, arguments.out, arguments.walk)
    out = arguments.out or Path(f"digits.{chosen}")
    _refuse_what_does_not_fit(arguments, chosen)
    num, columns = _layout(arguments)
    if arguments.walk and num > MAX_WALKERS:
        raise UserError(f"a walk shows at most {MAX_WALKERS} digits at once, not {num:,}", 2)

    generator = Generator(arguments.model)
    asked = arguments.digit is not None or arguments.digits is not None
    if asked and not generator.conditional:
        raise UserError(
            f"{arguments.model}: cannot be asked for a digit; train one that can, with "
            "train.conditional: true (python -m pipeline.recipe conditional)"
        )
    plain = not asked and arguments.num is None and arguments.grid is None
    if generator.conditional and plain and not arguments.walk:
        num, columns = ALL_DIGITS, 10
    rng = np.random.default_rng(arguments.seed)
    if arguments.walk:
        steps = _steps(arguments, num, generator.latent_dim, rng)
        pictures = (tile(generator(z, shares), columns) for z, shares in steps)
        _write(out, lambda file: _save_gif(file, pictures))
    else:
        z = rng.uniform(-1, 1, (num, generator.latent_dim)).astype(np.float32)
        digits = _asked(num, arguments.digit, arguments.digits)
        arrays = {"images": generator(z, ONE_HOT[digits]), "noise": z}
        if generator.conditional:
            arrays["digits"] = digits
        _write(out, lambda file: _save(file, chosen, arrays, columns))
    print(f"{out}: {num:,} {'digit' if num == 1 else 'digits'}, seed {arguments.seed}")


def _refuse_what_does_not_fit(arguments: argparse.Namespace, chosen: str) -> None:
    """Options that are right alone and not together."""
    if chosen == "npz" and arguments.grid is not None:
        raise UserError("--grid is the layout of a picture; leave it out for npz", 2)
    if arguments.frames is not None and not arguments.walk:
        raise UserError("--frames is the length of a walk; add --walk", 2)
    if arguments.digits is None:
        return
    if arguments.walk and len(arguments.digits) < 2:
        raise UserError("--walk goes from digit to digit: --digits must name two or more", 2)
    if not arguments.walk and arguments.num is not None:
        raise UserError("--digits tells how many; leave out --num", 2)


def _layout(arguments: argparse.Namespace) -> tuple[int, int]:
    """How many digits, and in how many columns: as asked for, or nearly square."""
    num, (columns, rows) = arguments.num, arguments.grid or (0, None)
    if arguments.digits is not None and not arguments.walk:
        num = len(arguments.digits)
        columns = columns or num
    if num is None:
        num = columns * rows if rows else max(1 if arguments.walk else 64, columns)
    if rows and num > columns * rows:
        raise UserError(f"--grid {columns}x{rows} has no room for {num:,} digits", 2)
    return num, columns or math.ceil(math.sqrt(num))


def _steps(
    arguments: argparse.Namespace, num: int, latent_dim: int, rng: np.random.Generator
) -> Iterator[tuple[Noise, Shares]]:
    """Noise and digits of each step of a walk: between digits, or else between two noises."""
    frames = arguments.frames or DEFAULT_FRAMES
    if arguments.digits is not None:
        z = rng.uniform(-1, 1, (num, latent_dim)).astype(np.float32)
        return ((z, shares) for shares in turn(arguments.digits, num, frames))
    # From the first to the second, from the third to the fourth: more walks change none.
    noise = rng.uniform(-1, 1, (2 * num, latent_dim))
    shares = ONE_HOT[_asked(num, arguments.digit, None)]
    return ((z, shares) for z in walk(noise[::2], noise[1::2], frames))


def _asked(num: int, digit: int | None, spelled: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """The digits, [num], that a conditional generator is asked for: 0 to 9 again and again where
    nobody says which."""
    if spelled is not None:
        return spelled
    return np.arange(num) % 10 if digit is None else np.full(num, digit)


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
            (z, *told), (image,) = self._session.get_inputs(), self._session.get_outputs()
            (_, self.latent_dim), (_, *shape) = z.shape, image.shape
            if [entry.shape[1:] for entry in told] not in ([], [[10]]):
                shape = []
        except Exception:  # onnxruntime raises many kinds for a broken file
            shape = []
        if shape != [1, 28, 28] or not isinstance(self.latent_dim, int):
            raise UserError(f"{path}: not a generator of digits; `dvc repro export` makes {MODEL}")
        self.conditional = bool(told)
        self._inputs = [z.name, *(entry.name for entry in told)]

    def __call__(self, noise: Noise, digits: Shares) -> Images:
        """The images of `noise`, each pixel rounded to the nearest of 256 levels.

        `digits` are for a conditional generator alone.
        """
        parts = []
        for first in range(0, len(noise), _BATCH):
            given = (values[first : first + _BATCH] for values in (noise, digits))
            named = dict(zip(self._inputs, given, strict=False))
            parts.append(self._session.run(None, named)[0])
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


def turn(digits: NDArray[np.int64], num: int, frames: int) -> Iterator[Shares]:
    """`frames` steps from the first of `digits` by all others to the last, for `num` walkers.

    Each step is [num, 10]: one-hot at a digit, straight between two.
    """
    for place in np.linspace(0, len(digits) - 1, frames):
        leg = min(int(place), len(digits) - 2)
        share = np.float32(place - leg)
        row = (1 - share) * ONE_HOT[digits[leg]] + share * ONE_HOT[digits[leg + 1]]
        yield np.tile(row, (num, 1))


def _save(file: IO[bytes], chosen: str, arrays: Mapping[str, Any], columns: int) -> None:
    if chosen == "npz":
        np.savez_compressed(file, **arrays)
    else:
        Image.fromarray(tile(arrays["images"], columns)).save(file, "PNG")


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


def _parser() -> Parser:
    parser = Parser(
        "generate",
        __doc__,
        epilog=EXAMPLES,
    )
    number, frames = _whole(1, MAX_NUM), _whole(2, MAX_FRAMES)
    parser.add_argument(
        "--num",
        type=number,
        help="how many digits (default 64; of a walk 1; of a conditional generator ten of each)",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--digit", type=_whole(0, 9), help="which one, of a conditional generator (default: all)"
    )
    which.add_argument(
        "--digits",
        type=_digits,
        metavar="TEXT",
        help="a row that spells it, such as 2026; with --walk, the digits on the way",
    )
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
    parser.add_argument("--walk", action="store_true", help="an animation from digit to digit")
    parser.add_argument(
        "--frames", type=frames, help=f"length of the walk (default {DEFAULT_FRAMES})"
    )
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


def _digits(text: str) -> NDArray[np.int64]:
    if not re.fullmatch(rf"[0-9]{{1,{MAX_SPELLED}}}", text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not allowed; it must be digits, such as 2026, at most {MAX_SPELLED}"
        )
    return np.array([int(digit) for digit in text])


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
