"""Two hosts on this machine: each with a network, an address and a name of its own."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Host:
    """Where a test runs commands.

    Attributes:
        name: as the system tells it there.
        namespace: of its network; None: it is this machine as it is.
    """

    name: str
    namespace: str | None

    @property
    def prefix(self) -> tuple[str, ...]:
        """What to put before a command to have it run there."""
        if self.namespace is None:
            return ()
        named = 'hostname "$0" && exec "$@"'
        return (
            *("ip", "netns", "exec", self.namespace, "unshare", "--uts"),
            *("sh", "-c", named, self.name),
        )

    def link(self, up: bool) -> None:
        """Connect or cut it; what is under way is not told."""
        assert self.namespace is not None
        _ip("link", "set", f"{self.namespace}v", "up" if up else "down")


@dataclass(frozen=True)
class Network:
    """Hosts, and the address at which they reach what runs on this machine itself."""

    server: str
    hosts: tuple[Host, Host]
    apart: bool
    reason: str = ""


@contextlib.contextmanager
def two_hosts() -> Iterator[Network]:
    """Two network namespaces on a bridge; where none may be made, one host twice, and the reason.

    The link of a host is cut on this machine's side, so that packets vanish without a word.
    """
    number = os.getpid() % 60_000
    net = f"10.{199 + number // 256 % 50}.{number % 256}"
    names = [f"gan{number}{letter}" for letter in "ab"]
    bridge = f"gan{number}"
    try:
        _make(bridge, net, names)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        _remove(bridge, names)
        alone = Host(os.uname().nodename, None)
        yield Network("127.0.0.1", (alone, alone), apart=False, reason=said.strip())
        return
    try:
        hosts = Host("host-a", names[0]), Host("host-b", names[1])
        yield Network(f"{net}.1", hosts, apart=True)
    finally:
        _remove(bridge, names)


def _make(bridge: str, net: str, names: list[str]) -> None:
    _ip("link", "add", bridge, "type", "bridge")
    _ip("addr", "add", f"{net}.1/24", "dev", bridge)
    _ip("link", "set", bridge, "up")
    for number, name in enumerate(names, start=2):
        _ip("netns", "add", name)
        _ip("link", "add", f"{name}v", "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("link", "set", f"{name}v", "master", bridge)
        _ip("link", "set", f"{name}v", "up")
        _ip("-n", name, "addr", "add", f"{net}.{number}/24", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")
        _ip("-n", name, "link", "set", "lo", "up")
    host = Host("host-a", names[0])
    subprocess.run([*host.prefix, "true"], check=True, capture_output=True, text=True)


def _remove(bridge: str, names: list[str]) -> None:
    for command in (*(("netns", "del", name) for name in names), ("link", "del", bridge)):
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            _ip(*command)


def _ip(*command: str) -> None:
    subprocess.run(["ip", *command], check=True, capture_output=True, text=True)
