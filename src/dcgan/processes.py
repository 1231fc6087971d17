"""One training over several processes: which rows are whose, and what they tell each other.

A process is one of torchrun's: each has the same weights and its own rows of every batch. Until
`joined`, and where there is one process, every function gives back what it gets and no time is
spent. All processes must call the same functions in the same order.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

# Its functions have the group of the moment of their import as a default, torch.optim may import
# it at any time, and a group that is kept so has threads that abort the process as it ends.
import torch.distributed.nn
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

T = TypeVar("T")

_MEET_SECONDS = 120
_WAIT_SECONDS = 3600  # for a process that is at work, such as the first one at an epoch's end
_rank, _size = 0, 1


class LostError(RuntimeError):
    """Another process has ended, or cannot be reached."""


def rank() -> int:
    """This process's number; 0 is the first, which alone writes and shows."""
    return _rank


def size() -> int:
    """How many processes there are."""
    return _size


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Be one of the processes that the environment tells of, as torchrun sets it.

    Tensors of `device` travel by gloo on a CPU and by nccl on a GPU. Raises LostError where the
    others cannot be met.
    """
    global _rank, _size
    with _losing():
        meet: Any = rendezvous("env://", timeout=timedelta(seconds=_MEET_SECONDS))
        store, _, _ = next(meet)
        # What is on a CPU is told by gloo even beside GPUs: nobody then waits for one.
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
            store=store,
            rank=int(os.environ["RANK"]),
            world_size=int(os.environ["WORLD_SIZE"]),
            timeout=timedelta(seconds=_WAIT_SECONDS),
        )
        _rank, _size = dist.get_rank(), dist.get_world_size()
        dist.barrier()
    try:
        yield
    finally:
        dist.destroy_process_group()
        _rank, _size = 0, 1


def own(whole: Tensor, parts: int = 1) -> Tensor:
    """This process's rows of `whole` [parts * N, ...], which has `parts` sets of N one by one."""
    if _size == 1:
        return whole
    count = len(whole) // parts
    sets = whole.view(parts, count, *whole.shape[1:])
    rows: Tensor = sets[:, count * _rank // _size : count * (_rank + 1) // _size]
    return rows.flatten(0, 1)


def gathered(rows: Tensor) -> Tensor:
    """The rows of all, in order, for the first process; the others get back their own."""
    if _size == 1:
        return rows
    parts: list[Any] | None = [None] * _size if _rank == 0 else None
    _told(dist.gather_object, rows.cpu(), parts)
    return rows if parts is None else torch.cat(parts).to(rows.device)


def average_(tensors: list[Tensor]) -> None:
    """Replace float tensors of one dtype by their means over the processes, in place."""
    if _size == 1:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    _told(dist.all_reduce, flat)
    flat /= _size
    parts = torch.split(flat, [tensor.numel() for tensor in tensors])
    torch._foreach_copy_(
        tensors, [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]
    )


def stacked(values: Tensor) -> Tensor:
    """`values` [N] of every process: [size, N]."""
    rows = values.new_zeros(_size, len(values))
    rows[_rank] = values
    if _size > 1:
        _told(dist.all_reduce, rows)  # sums with zeros: the same bits for all
    return rows


def highest(number: int) -> int:
    """The highest of the processes' numbers."""
    if _size == 1:
        return number
    told = torch.tensor(int(number))
    _told(dist.all_reduce, told, dist.ReduceOp.MAX)
    return int(told)


def from_first(value: T) -> T:
    """What the first process says; tensors in it must be on a CPU."""
    if _size == 1:
        return value
    told = [value]
    _told(dist.broadcast_object_list, told, device=torch.device("cpu"))
    return told[0]


def _told(collective: Callable[..., object], *arguments: object, **options: object) -> None:
    with _losing():
        collective(*arguments, **options)


@contextlib.contextmanager
def _losing() -> Iterator[None]:
    """torch raises many kinds for a process that is gone."""
    try:
        yield
    except RuntimeError as error:
        raise LostError(" ".join(str(error).split())) from error
