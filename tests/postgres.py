"""A PostgreSQL server for a test, started by the test itself."""

import contextlib
from collections.abc import Iterator

import pytest

from benchmarks.scaling.postgres import Server, binaries, postgres


@contextlib.contextmanager
def postgres_server(host: str = "127.0.0.1", password: str | None = None) -> Iterator[Server]:
    """A server with an empty database; skips the test where there is no PostgreSQL."""
    if binaries() is None:
        pytest.skip("no PostgreSQL here (Debian: apt-get install postgresql)")
    with postgres("fsync=off", host=host, password=password) as server:
        yield server
