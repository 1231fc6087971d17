"""Folders that appear whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.base.cli import naming
from pipeline.base.partial import clear_abandoned, prefix_and_suffix


@contextmanager
def folder_whole(path: Path) -> Iterator[Path]:
    """A new folder to fill; it takes the place of `path` when all went well, else it vanishes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    clear_abandoned(path.parent)
    prefix, suffix = prefix_and_suffix(path.name)
    # Beside `path` and so on the same disk: a rename puts the whole folder into place.
    with (
        naming(path),
        tempfile.TemporaryDirectory(dir=path.parent, prefix=prefix, suffix=suffix) as temporary,
    ):
        folder = Path(temporary) / "whole"
        folder.mkdir()
        yield folder
        if os.path.lexists(path):
            os.replace(path, Path(temporary) / "replaced")
        os.replace(folder, path)
