"""Contestants of `benchmarks.time_to_quality`: each trains for a while, then shows its images.

Each is trained as if it were alone: torch's global random numbers, which the ports draw from, are
kept for each of them, and what is drawn to be measured comes from a noise of its own.
"""

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.contestants import PRECISIONS, Engine, Plain
from benchmarks.examples_port import LATENT_DIM, ExamplesPort
from benchmarks.recipes import ROOT
from benchmarks.timing import CLOCKS, call_for
from dcgan.batches import draw_noise
from dcgan.measuring import Meter
from dcgan.params import TrainParams
from dcgan.runtime import autocast, random_generator
from pipeline.base.cli import UserError
from pipeline.base.paths import DATA

_BATCH = 125


class Contestant(Protocol):
    """One training."""

    def train(self, seconds: float) -> tuple[int, float]:
        """Go on for at least so many seconds of its clock: iterations done, seconds taken."""

    def images(self, number: int) -> Tensor:
        """Its samples: float32 [number, 1, 28, 28] in [0, 1], always of the same noise."""


class Here:
    """A contestant in this process.

    `build` gives what is called for each iteration, and what draws so many images.
    """

    def __init__(
        self,
        build: Callable[[], tuple[Callable[[], object], Callable[[int], Tensor]]],
        seed: int,
        clock: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._random = torch.Generator().manual_seed(seed).get_state()
        with self._alone():
            self._iteration, self._draw = build()

    def train(self, seconds: float) -> tuple[int, float]:
        """As `Contestant.train`."""
        with self._alone():
            return call_for(seconds, self._iteration, self._clock)

    def images(self, number: int) -> Tensor:
        """As `Contestant.images`."""
        with torch.no_grad():
            return self._draw(number)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """With torch's global random numbers as this contestant left them."""
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self._random)
            yield
            self._random = torch.get_rng_state()


def engine(
    params: TrainParams, precision: str, images: Tensor, meter: Meter, clock: str
) -> Contestant:
    """This project's training, in whose samples its averaged weights count."""

    def build() -> tuple[Callable[[], object], Callable[[int], Tensor]]:
        (known,) = (known for known in PRECISIONS if known == precision)
        iteration = Engine(params, known, images)

        def draw(number: int) -> Tensor:
            with autocast(iteration.runtime, images.device):
                return meter.samples(iteration.state.sampler, number)

        return iteration, draw

    return Here(build, params.seed, CLOCKS[clock])


def plain(params: TrainParams, images: Tensor, clock: str) -> Contestant:
    """The plain port of the original."""

    def build() -> tuple[Callable[[], object], Callable[[int], Tensor]]:
        iteration = Plain(params, images)

        def draw(number: int) -> Tensor:
            rng = random_generator("cpu", 0, "samples")
            return _draw(iteration.port.generator, draw_noise(number, params.latent_dim, rng))

        return iteration, draw

    return Here(build, params.seed, CLOCKS[clock])


def examples(width: int, seed: int, images: Tensor, clock: str) -> Contestant:
    """The recipe of pytorch/examples."""

    def build() -> tuple[Callable[[], object], Callable[[int], Tensor]]:
        iteration = ExamplesPort(width, images)

        def draw(number: int) -> Tensor:
            rng = random_generator("cpu", 0, "samples")
            noise = torch.randn(number, LATENT_DIM, 1, 1, generator=rng)
            return (_draw(iteration.generator, noise) + 1) / 2

        return iteration, draw

    return Here(build, seed, CLOCKS[clock])


def _draw(generator: nn.Module, noise: Tensor) -> Tensor:
    generator.eval()
    return torch.cat([generator(some) for some in torch.split(noise, _BATCH)])


class Keras:
    """The original's Keras, a process in an environment of its own; a context that ends it."""

    def __init__(self, python: Path, width: int, seed: int, threads: int, clock: str) -> None:
        self._python = python
        command = [str(python), "-m", "benchmarks.keras_turns", "--width", str(width)]
        command += ["--seed", str(seed), "--threads", str(threads), "--clock", clock]
        command += ["--data", str(DATA.resolve())]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Keras":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def train(self, seconds: float) -> tuple[int, float]:
        """As `Contestant.train`."""
        answer = self._ask({"train": seconds})
        return int(answer["iterations"]), answer["seconds"]

    def images(self, number: int) -> Tensor:
        """As `Contestant.images`."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "images.npy"
            self._ask({"images": number, "file": str(file)})
            return torch.from_numpy(np.load(file)).permute(0, 3, 1, 2).contiguous()

    def _ask(self, request: dict[str, object]) -> dict[str, float]:
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            answer: dict[str, float] = json.loads(self._process.stdout.readline())
        except (BrokenPipeError, ValueError):
            raise UserError(
                f"{self._python}: Keras ended, see above; `make bench-keras` makes its environment "
                "and tries it"
            ) from None
        return answer
