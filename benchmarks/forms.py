"""Do other forms of single layers compute faster than those in use?

    python -m benchmarks.forms                    # four minutes; one thread, and one a core
    python -m benchmarks.forms --only iterations --rounds 3

All at the default's size, in fp32. Section `layers`: each form of a layer by itself, forward or
backward, in turns with the form in use, `times_used` is its speed over that one's. Section
`iterations`: whole iterations, in images a second, `times_today` over that of the default.
"""

import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable, Mapping
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

import dcgan.layers
from benchmarks.command import Parser, at_least
from benchmarks.contestants import Engine, random_images
from benchmarks.recipes import default_params
from benchmarks.speed import isolated
from benchmarks.timing import (
    Row,
    alternate,
    machine,
    quartiles,
    rounded,
    show,
    tables,
    times_faster,
)
from dcgan.params import TrainParams
from dcgan.row_products import RowProducts
from pipeline.base.cli import run

CALLS = 5  # of a layer, a round
ITERATIONS = 8  # a round; one of them has the penalty, where it comes every eighth time
TODAY = "today"

Form = Callable[..., Tensor]


@dataclasses.dataclass(frozen=True)
class Layer:
    """Forms of one layer, the one in use first, on the same tensors.

    `inputs` are what each form takes, of which the gradients are wanted where that is required.
    """

    name: str
    inputs: tuple[Tensor, ...]
    forms: Mapping[str, Form]

    def calls(self) -> dict[tuple[str, str], Callable[[], object]]:
        """By form and direction."""
        found: dict[tuple[str, str], Callable[[], object]] = {}
        for name, form in self.forms.items():
            output = form(*self.inputs)
            wanted = [tensor for tensor in self.inputs if tensor.requires_grad]
            found[name, "forward"] = functools.partial(form, *self.inputs)
            found[name, "backward"] = functools.partial(
                torch.autograd.grad, output, wanted, torch.ones_like(output), retain_graph=True
            )
        return found


def convolution(x: Tensor, weight: Tensor) -> Tensor:
    """D's last layer, of 4x4 maps, without its bias."""
    return F.conv2d(x, weight, padding=2)


def by_rows(x: Tensor, weight: Tensor) -> Tensor:
    """The same by products of rows."""
    y: Tensor = RowProducts.apply(x, weight)
    return y


def shuffled(x: Tensor) -> Tensor:
    """Four phases of each channel to 2x2 pixels: [B, 4 C, H, W] -> [B, C, 2 H, 2 W]."""
    return F.pixel_shuffle(x, 2)


def copied(x: Tensor) -> Tensor:
    """The same by a strided copy of whole pixels, of channels that are sorted by phase."""
    images, channels, height, width = x.shape
    phases = x.permute(0, 2, 3, 1).view(images, height, width, 2, 2, channels // 4)
    pixels = phases.permute(0, 1, 3, 2, 4, 5).reshape(images, 2 * height, 2 * width, -1)
    return pixels.permute(0, 3, 1, 2)


def normed(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Batch norm, then ReLU."""
    return F.relu(F.batch_norm(x, None, None, weight, bias, training=True))


def normed_in_place(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The same in one map, which is all that a pass over both would save without a compiler."""
    return F.relu_(F.batch_norm(x, None, None, weight, bias, training=True))


def layers(train: TrainParams) -> list[Layer]:
    """Of the default: D's last in D's step (real digits and fakes), and in G's; what is in G."""
    width, images = train.width, train.batch_size
    weight = _maps(8 * width, 4 * width, 5, 5)
    rows = {"products of rows": by_rows, "convolution": convolution}
    return [
        Layer(
            "D's last convolution, D's step",
            (_maps(2 * images, 4 * width, 4, 4).requires_grad_(), weight.clone().requires_grad_()),
            rows,
        ),
        Layer(
            "D's last convolution, G's step",
            (_maps(images, 4 * width, 4, 4).requires_grad_(), weight),
            dict(reversed(rows.items())),
        ),
        Layer(
            "shuffle after the second upsampling",
            (_maps(images, 4 * width, 14, 14).requires_grad_(),),
            {"pixel_shuffle": shuffled, "strided copy": copied},
        ),
        Layer(
            "batch norm and ReLU after it",
            (
                _maps(images, width, 28, 28).requires_grad_(),
                torch.ones(width).requires_grad_(),
                torch.zeros(width).requires_grad_(),
            ),
            {"two maps": normed, "in place": normed_in_place},
        ),
    ]


def layer_rows(rounds: int) -> list[Row]:
    """A row for each layer, direction and form, in this process."""
    found: list[Row] = []
    for layer in layers(default_params().train):
        calls = {key: _repeated(call, CALLS) for key, call in layer.calls().items()}
        names = {f"{form}, {direction}": call for (form, direction), call in calls.items()}
        alternate(names, 1)
        times = alternate(names, rounds)
        used = next(iter(layer.forms))
        for form, direction in calls:
            own = times[f"{form}, {direction}"].wall
            low, middle, high = (1000 / CALLS * value for value in quartiles(own))
            found.append(
                {
                    "section": "layers",
                    "threads": torch.get_num_threads(),
                    "layer": layer.name,
                    "direction": direction,
                    "form": form,
                    "ms": rounded(middle),
                    "ms_q1": rounded(low),
                    "ms_q3": rounded(high),
                    "times_used": rounded(times_faster(own, times[f"{used}, {direction}"].wall)),
                }
            )
    return found


def iterations(train: TrainParams, images: Tensor) -> dict[str, tuple[int, Callable[[], object]]]:
    """Contestants: images of a round, and the call that trains on them."""
    halved = dataclasses.replace(train, batch_size=train.batch_size // 2)
    unpunished = dataclasses.replace(train, r1_gamma=0.0)
    limit = functools.partial(mock.patch.object, dcgan.layers, "_LARGE")
    return {
        TODAY: _training(train, images),
        "D's last convolution as one": _training(train, images, functools.partial(limit, 2**62)),
        "it by rows in G's step too": _training(train, images, functools.partial(limit, 0)),
        "without any R1": _training(unpunished, images),
        "half the batch": _training(halved, images),
    }


def iteration_rows(rounds: int) -> list[Row]:
    """A row for each contestant, in this process."""
    contestants = iterations(default_params().train, random_images())
    calls = {name: call for name, (_, call) in contestants.items()}
    alternate(calls, 1)
    times = alternate(calls, rounds)
    today = [seconds / contestants[TODAY][0] for seconds in times[TODAY].wall]
    found: list[Row] = []
    for name, (images, _) in contestants.items():
        own = [seconds / images for seconds in times[name].wall]
        low, middle, high = (1 / value for value in reversed(quartiles(own)))
        found.append(
            {
                "section": "iterations",
                "threads": torch.get_num_threads(),
                "contestant": name,
                "images_per_s": rounded(middle),
                "q1": rounded(low),
                "q3": rounded(high),
                "times_today": rounded(times_faster(own, today)),
            }
        )
    return found


def _maps(*shape: int) -> Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return values.to(memory_format=torch.channels_last)


def _repeated(call: Callable[[], object], times: int) -> Callable[[], object]:
    return lambda: [call() for _ in range(times)]


def _training(
    train: TrainParams,
    images: Tensor,
    form: Callable[[], contextlib.AbstractContextManager[object]] = contextlib.nullcontext,
) -> tuple[int, Callable[[], object]]:
    engine = Engine(train, "fp32", images)

    def call() -> None:
        with form():
            for _ in range(ITERATIONS):
                engine()

    return ITERATIONS * train.batch_size, call


SECTIONS = {"layers": layer_rows, "iterations": iteration_rows}


def main() -> None:
    parser = Parser("forms", __doc__)
    parser.add_argument("--rounds", type=at_least(1), default=15, help="of turns (default 15)")
    parser.add_argument("--only", choices=SECTIONS, help="of the two (default: both)")
    arguments = parser.parse_args()
    found = [show(machine())]
    for name in [arguments.only] if arguments.only else SECTIONS:
        for threads in sorted({1, os.cpu_count() or 1}):
            rows = isolated(threads, SECTIONS[name], arguments.rounds)
            found += [show(row) for row in rows]
    print("\n" + tables(found))


if __name__ == "__main__":
    run(main)
