"""Folders that appear whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.base.cli import naming
from pipeline.base.partial import clear_abandoned, partial_name


@contextmanager
def folder_whole(path: Path) -> Iterator[Path]:
    """A new folder to fill; it takes the place of `path` when all went well, else it vanishes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    clear_abandoned(path.parent)
    # Beside `path` and so on the same disk: a rename puts the whole folder into place.
    partial = path.with_name(partial_name(path.name))
    folder = partial / "whole"
    with naming(path):
        try:
            folder.mkdir(parents=True)
            yield folder
            if os.path.lexists(path):
                os.replace(path, partial / "replaced")
            os.replace(folder, path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
