"""Folders that appear whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def folder_whole(path: Path) -> Iterator[Path]:
    """A new folder to fill; it takes the place of `path` when all went well, else it vanishes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside `path` and so on the same disk: a rename puts the whole folder into place.
    with tempfile.TemporaryDirectory(
        dir=path.parent, prefix=f".{path.name}.", suffix=".partial"
    ) as temporary:
        folder = Path(temporary) / "whole"
        folder.mkdir()
        yield folder
        if os.path.lexists(path):
            os.replace(path, Path(temporary) / "replaced")
        os.replace(folder, path)
