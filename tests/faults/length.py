"""How long the attacks go on: a little in `make test`, at length in `make test-faults`."""

import os

LONG = os.environ.get("FAULTS") == "long"


def times(short: int, long: int) -> int:
    """How many attacks there are to be."""
    return long if LONG else short
