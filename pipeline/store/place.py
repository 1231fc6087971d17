"""Where checkpoints are kept for others: a folder or an address (`runtime.checkpoints`).

An address is fsspec's, such as s3://bucket/folder; its credentials are never part of it.
"""

import re
import textwrap
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipeline.base.cli import UserError, write_whole

_KEY = "runtime.checkpoints"
_EXTRAS = {"s3": '; `pip install ".[s3]"` brings it', "s3a": '; `pip install ".[s3]"` brings it'}
# A store that is away is to cost seconds: botocore by itself tries for minutes.
_S3 = {
    "config_kwargs": {"connect_timeout": 5, "read_timeout": 20, "retries": {"max_attempts": 1}},
    "use_listings_cache": False,
    "skip_instance_cache": True,  # it would outlive a change of the environment
}


class AwayError(UserError):
    """The place cannot be read or written; the same command may find it again later."""


class Place:
    """A folder at a place that several machines reach; what is written appears whole.

    All methods raise AwayError for whatever is wrong with the place.
    """

    def __init__(self, place: str, name: str = "") -> None:
        """`name` is the folder's. Raises UserError for a place that can never be used."""
        self._shown = place
        self._folder: Path | None = None
        if "://" not in place or place.startswith("file://"):
            self._folder = Path(place.removeprefix("file://")) / name
            return
        if re.search(r"://[^/@]*:[^/]*@", place) or urlsplit(place).query:
            raise UserError(
                f"params.yaml: {_KEY}: holds a password; this file is in git, so leave it out and "
                "export it (docs/sharing.md)",
                2,
            )
        self._files, root = _open(place)
        self._root = f"{root}/{name}" if name else str(root)

    def read(self, file: str) -> bytes | None:
        """The content of a file; None: there is none."""
        try:
            if self._folder is not None:
                return (self._folder / file).read_bytes()
            return bytes(self._files.cat_file(f"{self._root}/{file}"))
        except FileNotFoundError:
            return None
        except Exception as error:  # each kind of store has its own
            raise self._away("read", error) from None

    def write(self, file: str, content: bytes) -> None:
        """Replace a file."""
        try:
            if self._folder is not None:
                with write_whole(self._folder / file) as whole:
                    whole.write(content)
                return
            path = f"{self._root}/{file}"
            if path.startswith("/"):  # stores of objects have no folders, and would make a bucket
                self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
            with self._files.transaction, self._files.open(path, "wb") as whole:
                whole.write(content)
        except Exception as error:
            raise self._away("written", error) from None

    def names(self) -> list[str]:
        """All files, folders within included."""
        try:
            if self._folder is not None:
                files = [file for file in self._folder.rglob("*") if file.is_file()]
                return [file.relative_to(self._folder).as_posix() for file in files]
            prefix = f"{self._root}/"
            return [str(path).removeprefix(prefix) for path in self._files.find(self._root)]
        except Exception as error:
            raise self._away("read", error) from None

    def remove(self, file: str) -> None:
        """Remove a file, if it is there."""
        try:
            if self._folder is not None:
                (self._folder / file).unlink(missing_ok=True)
            else:
                self._files.rm_file(f"{self._root}/{file}")
        except FileNotFoundError:
            pass
        except Exception as error:
            raise self._away("written", error) from None

    def probe(self) -> None:
        """Raise unless a file can be written and read there."""
        name, content = f".probe-{uuid.uuid4().hex}", b"probe\n"
        self.write(name, content)
        if self.read(name) != content:
            raise AwayError(f"{_KEY}: {self._shown}: what is written there is not there afterwards")
        self.remove(name)

    def _away(self, verb: str, error: Exception) -> AwayError:
        return AwayError(f"{_KEY}: {self._shown}: cannot be {verb} ({_brief(error)})")


def _open(place: str) -> tuple[Any, str]:
    """fsspec's file system of an address, and the folder's path there."""
    from fsspec.core import url_to_fs  # here: takes as long as all other imports of this room

    scheme = place.partition("://")[0]
    try:
        files, root = url_to_fs(place, **(_S3 if scheme in _EXTRAS else {}))
    except ImportError as error:
        extra = _EXTRAS.get(scheme, "")
        raise UserError(f"{_KEY}: {place}: needs a package ({_brief(error)}){extra}", 2) from None
    except ValueError as error:
        raise UserError(f"{_KEY}: {place}: no address of fsspec's ({_brief(error)})", 2) from None
    except Exception as error:  # such as a host that is asked at once
        raise AwayError(f"{_KEY}: {place}: cannot be reached ({_brief(error)})") from None
    if scheme in _EXTRAS:
        files.retries = 2
    return files, str(root)


def _brief(error: BaseException) -> str:
    """The first line of an error, without addresses."""
    line = (str(error).splitlines() or [""])[0]
    safe = re.sub(r"[\w+.-]+://\S*", "the store", line)
    return f"{type(error).__name__}: {textwrap.shorten(safe, 200, placeholder=' ...')}"
