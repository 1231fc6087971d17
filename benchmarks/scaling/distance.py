"""A server put far away: a relay on 127.0.0.1 that delays all it carries, and counts round trips.

`tc netem` delays packets, and needs root and a kernel that has it; this needs neither. What it does
not delay is a connection's making (a worker makes two, for good), and answers of more than some ten
kilobytes take one round trip here where TCP's slow start may take two or three.
"""

import asyncio
import contextlib
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized

SPAWN = multiprocessing.get_context("spawn")
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Relay:
    """A running relay: its port, and a count that grows."""

    port: int
    _count: "Synchronized[int]"

    @property
    def round_trips(self) -> int:
        """How often a client has sent something and then waited for the answer, until now."""
        return self._count.value


@contextlib.contextmanager
def relay(port: int, milliseconds: float) -> Iterator[Relay]:
    """Stand in front of a server on `port`; a question and its answer take `milliseconds` more."""
    count = SPAWN.Value("q", 0)
    told, theirs = SPAWN.Pipe(duplex=False)
    arguments = (port, milliseconds / 2000, count, theirs)
    process = SPAWN.Process(target=_serve, args=arguments, daemon=True)
    process.start()
    theirs.close()
    try:
        yield Relay(told.recv(), count)
    finally:
        process.terminate()
        process.join()


def _serve(port: int, seconds: float, count: "Synchronized[int]", told: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command's business, which ends this process
    asyncio.run(_carry(port, seconds, count, told))


async def _carry(port: int, seconds: float, count: "Synchronized[int]", told: Connection) -> None:
    async def connected(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection("127.0.0.1", port)
        # Whoever spoke last: a question begins where the client speaks after the server.
        asking = False

        def question() -> None:
            nonlocal asking
            count.value += not asking
            asking = True

        def answer() -> None:
            nonlocal asking
            asking = False

        await asyncio.gather(
            _pump(client, to_server, seconds, question), _pump(server, to_client, seconds, answer)
        )

    serving = await asyncio.start_server(connected, "127.0.0.1", 0)
    told.send(serving.sockets[0].getsockname()[1])
    await serving.serve_forever()


async def _pump(
    source: asyncio.StreamReader,
    sink: asyncio.StreamWriter,
    seconds: float,
    seen: Callable[[], None],
) -> None:
    """Carry bytes in their order, each `seconds` after it came."""
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def write() -> None:
        while True:
            due, data = await waiting.get()
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if not data:
                break
            sink.write(data)
            await sink.drain()
        sink.close()

    writing = asyncio.ensure_future(write())
    data = b"-"
    while data:
        data = b""
        with contextlib.suppress(ConnectionError):
            data = await source.read(_CHUNK)
        if data:
            seen()
        waiting.put_nowait((time.monotonic() + seconds, data))
    with contextlib.suppress(ConnectionError):
        await writing
