"""One iteration of each contestant, as something to call."""

from typing import Literal, get_args

import torch
from torch import Tensor

from benchmarks.plain_port import PlainPort
from dcgan.batches import RealBatches
from dcgan.params import RuntimeParams, TrainParams
from dcgan.runtime import autocast, derive_seed
from dcgan.training import GanState, iteration

Precision = Literal["fp32", "bf16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def random_images(device: str = "cpu") -> Tensor:
    """As many images as MNIST has; time does not depend on what they show."""
    rng = torch.Generator().manual_seed(0)
    return torch.randint(256, (60_000, 28, 28), dtype=torch.uint8, generator=rng).to(device)


class Engine:
    """This project's training: each call is one turn of the loop in `dcgan.training.fit`."""

    def __init__(self, params: TrainParams, precision: Precision, images: Tensor) -> None:
        device = images.device
        self.params = params
        self.runtime = RuntimeParams("cuda" if device.type == "cuda" else "cpu", 0, precision)
        self.state = GanState(params, device)
        labels = torch.zeros(len(images), dtype=torch.uint8, device=device)
        self.batches, self.rng = RealBatches(images, params, labels), torch.Generator(device)

    def __call__(self) -> Tensor:
        """One iteration's signals, on the device."""
        self.rng.manual_seed(derive_seed(self.params.seed, "step", self.state.step))
        with autocast(self.runtime, self.rng.device):
            return iteration(self.state, self.batches, self.params, self.rng)


class Plain:
    """The plain port; each call is one iteration."""

    def __init__(self, params: TrainParams, images: Tensor) -> None:
        self.port, self.images = PlainPort(params, str(images.device)), images

    def __call__(self) -> tuple[float, float]:
        """One iteration's losses."""
        return self.port.iteration(self.images)
