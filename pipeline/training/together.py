"""One training run in several processes: the first one decides, the others train along.

The first one has the history, the verdict, the checkpoints and the tracker. It tells the others
what to train from, after every report whether to go on, and with which status all of it ended.
"""

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from dcgan import processes
from dcgan.measuring import Meter, measure_epoch
from dcgan.mnist import Mnist
from dcgan.params import TrainParams
from dcgan.training import GanState, fit
from pipeline.base.cli import UserError
from pipeline.base.params import Params


@dataclass(frozen=True)
class _Begin:
    """Train so from that state, which is packed: tensors of a GPU would come back to that GPU."""

    train: TrainParams
    state: bytes


@dataclass(frozen=True)
class _End:
    status: int


_Order = _Begin | _End | None
"""None: go on."""


def begin(train: TrainParams, state: GanState) -> None:
    """Tell the others to train so from `state`."""
    if processes.size() > 1:
        packed = io.BytesIO()
        torch.save(state.state_dict(), packed)
        _order(_Begin(train, packed.getvalue()))


def go_on() -> None:
    """Tell the others that the report was not the last one of this training."""
    _order(None)


@contextlib.contextmanager
def leading() -> Iterator[None]:
    """End the others as the block ends, and not before it has."""
    status = 1
    try:
        yield
        status = 0
    except UserError as error:
        status = error.exit_status
        raise
    finally:
        with contextlib.suppress(processes.LostError):
            _order(_End(status))


def follow(
    params: Params,
    data: Mnist,
    meter: Meter,
    device: torch.device,
    before_step: Callable[[int], bool],
) -> int:
    """Train and measure along with the first process; returns the exit status of all."""
    images, labels = data.train_images.to(device), data.train_labels.to(device)
    train, runtime = params.train, params.runtime
    state = GanState(train, device)
    order = _order(None)
    while isinstance(order, _Begin):
        state.load_state_dict(torch.load(io.BytesIO(order.state), "cpu", weights_only=True))
        reports = fit(state, images, order.train, runtime, before_step, labels)
        order = None
        while order is None and (report := next(reports, None)) is not None:
            if report.epoch is not None and report.failed_step is None:
                raw = train.raw_at(report.epoch)
                measure_epoch(meter, state, data, train.loss, runtime, raw)
            order = _order(None)
        order = _order(None) if order is None else order
    return 1 if order is None else order.status


def _order(order: _Order) -> _Order:
    return processes.from_first(order)
