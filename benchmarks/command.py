"""What the benchmarks' commands share: a command line whose errors are one line."""

import argparse
import importlib.util
import sys
from collections.abc import Callable

from pipeline.base import cli


class Parser(cli.Parser):
    """The command line of `python -m benchmarks.NAME`; for a `main` that `run` runs."""

    def __init__(self, name: str, description: str | None) -> None:
        super().__init__(name, description)
        self.prog = f"python -m benchmarks.{name}"


def at_least(low: int) -> Callable[[str], int]:
    """What reads a whole number from `low` on."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < low:
            raise argparse.ArgumentTypeError(f"{text} must be a whole number of at least {low}")
        return int(text)

    return read


def need_tensorflow() -> None:
    """End in one line where there is no TensorFlow, which the environment of `make` lacks."""
    if importlib.util.find_spec("tensorflow") is None:
        sys.exit(
            "error: this needs tensorflow: `make bench-keras` makes an environment that has it"
            " (.venv-keras)"
        )
