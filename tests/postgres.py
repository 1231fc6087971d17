"""A PostgreSQL server for a test, started by the test itself."""

import contextlib
from collections.abc import Iterator

import pytest

from benchmarks.scaling import postgres as server


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """The address of an empty database; skips the test where there is no PostgreSQL."""
    if server.binaries() is None:
        pytest.skip("no PostgreSQL here (Debian: apt-get install postgresql)")
    with server.postgres("fsync=off") as running:
        yield running.address()
