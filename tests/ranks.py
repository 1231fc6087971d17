"""A function in several processes at once, as torchrun would start them."""

import multiprocessing
import os
import pickle
import socket
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch

from dcgan import processes

_FORKSERVER = multiprocessing.get_context("forkserver")
_FORKSERVER.set_forkserver_preload([__name__])


def in_ranks(size: int, function: Callable[..., Any], *arguments: object) -> list[Any]:
    """What `function`, of a module, gives in each of `size` processes that have joined."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    started = []
    for rank in range(size):
        ours, theirs = _FORKSERVER.Pipe(duplex=False)
        told = (theirs, rank, size, port, function, arguments)
        process = _FORKSERVER.Process(target=_in_rank, args=told, daemon=True)
        process.start()
        theirs.close()
        started.append((process, ours))
    results = [pickle.loads(ours.recv_bytes()) for _, ours in started]  # noqa: S301
    for process, _ in started:
        process.join()
    for failed, result in results:
        assert not failed, result
    return [result for _, result in results]


def _in_rank(
    answer: Connection,
    rank: int,
    size: int,
    port: int,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size)}
    try:
        with processes.joined(torch.device("cpu")):
            result = function(*arguments)
        told = (False, result)
    except BaseException:
        told = (True, traceback.format_exc())
    answer.send_bytes(pickle.dumps(told))  # `send` would share a tensor's memory, and then end
