"""Where a log's bytes come from, and its lines whatever the encoding."""

import codecs
import gzip
import io
import re
import stat
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from ganverdict.formats.errors import BrokenLogError, ReadError

LINE_LIMIT = 1 << 20  # characters; longer lines are skipped
HEAD = 1 << 16
_CHUNK = 1 << 20
_GZIP, _GZIP_FORMAT = b"\x1f\x8b", 31  # its first bytes; zlib's number for it
_MOST_BYTES = 1 << 35  # unpacked
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
_BACKSPACES = re.compile("\x08+")


@dataclass
class Source:
    """A file by the name that messages use; `open` gives its raw bytes."""

    name: str
    stem: str
    open_raw: Callable[[], IO[bytes]]
    path: Path | None = None

    def open(self) -> IO[bytes]:
        """The bytes, unpacked where they are gzip."""
        raw = self.open_raw()
        packed = raw.read(2) == _GZIP
        raw.seek(0)
        return cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if packed else raw

    def head(self) -> bytes:
        """The first bytes, unpacked; what could be unpacked where the end is cut off."""
        found = b""
        for chunk in chunks(self, HEAD):
            found += chunk
            if len(found) >= HEAD:
                break
        return found[:HEAD]


def from_file(path: Path) -> Source:
    """A regular file; pipes and devices are refused, since they may never end."""
    name = str(path)
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        raise ReadError(f"{shown(name)}: {getattr(error, 'strerror', None) or error}") from None
    if not stat.S_ISREG(mode):
        raise ReadError(f"{shown(name)}: not a regular file; use - to read standard input")
    stem = path.name.removesuffix(".gz")
    return Source(name, Path(stem).stem, lambda: _open(path, name), path)


def _open(path: Path, name: str) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise BrokenLogError(f"{shown(name)}: {error.strerror}") from None


def from_standard_input() -> Source:
    """All of standard input, kept in a temporary file, since it is read more than once."""
    kept = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the source
    while chunk := sys.stdin.buffer.read(_CHUNK):
        kept.write(chunk)
    descriptor = kept.fileno()

    def again() -> IO[bytes]:
        kept.seek(0)
        return io.BufferedReader(io.FileIO(descriptor, closefd=False))

    return Source("-", "", again, None)


def shown(name: str) -> str:
    """A file's name as a message may show it: one line, no control characters."""
    clean = "".join(c if c.isprintable() else "?" for c in name)
    return clean if len(clean) <= 300 else clean[:297] + "..."


def chunks(source: Source, size: int = _CHUNK) -> Iterator[bytes]:
    """The bytes in pieces; a packed file that is cut off ends where it is cut."""
    total = 0
    with source.open_raw() as file:
        try:
            for chunk in _unpacked(file, size):
                total += len(chunk)
                if total > _MOST_BYTES:
                    raise BrokenLogError(f"{shown(source.name)}: more than {_MOST_BYTES >> 30} GiB")
                yield chunk
        except zlib.error:
            if total == 0:
                raise BrokenLogError(f"{shown(source.name)}: not a readable gzip file") from None
        except OSError as error:
            raise BrokenLogError(f"{shown(source.name)}: {error.strerror or error}") from None


def _unpacked(file: IO[bytes], size: int) -> Iterator[bytes]:
    packed = file.read(2) == _GZIP
    file.seek(0)
    unpacker = zlib.decompressobj(_GZIP_FORMAT)
    while chunk := file.read(size):
        if not packed:
            yield chunk
            continue
        while chunk:
            data = unpacker.decompress(chunk, size)
            if data:
                yield data
            chunk = unpacker.unconsumed_tail
            if unpacker.eof:
                # Another member may follow.
                chunk = unpacker.unused_data.lstrip(b"\0")
                unpacker = zlib.decompressobj(_GZIP_FORMAT)


def encoding(head: bytes) -> str:
    """The encoding by the byte-order mark, or by where the zeros are."""
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if head.startswith(mark):
            return name
    start = head[:2000]
    if start.count(0) > len(start) / 4:
        odd, even = start[1::2].count(0), start[::2].count(0)
        if odd > 4 * even:
            return "utf-16-le"
        if even > 4 * odd:
            return "utf-16-be"
    return "utf-8"


class Lines:
    """The lines of a source: progress bars split, colours and backspaces taken off.

    `unfinished` and `too_long` are known after the last line: whether it had no end, and how many
    lines were skipped for their length. A skipped line is yielded empty, so that numbers hold.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.unfinished = False
        self.too_long = 0

    def __iter__(self) -> Iterator[str]:
        for block in self.blocks():
            yield from block

    def blocks(self) -> Iterator[list[str]]:
        """The lines, some thousands at a time."""
        decoder = codecs.getincrementaldecoder(encoding(self._source.head()))(errors="replace")
        rest, skipping = "", False
        for chunk in chunks(self._source):
            text = rest + decoder.decode(chunk)
            held = text.endswith("\r")
            text = _clean(text[:-1] if held else text)
            whole, end, rest = text.rpartition("\n")
            if held:
                rest += "\r"
            if end:
                lines = _uncoloured(whole).split("\n")
                if skipping:
                    lines[0], skipping = "", False
                yield self._without_long(lines)
            if len(rest) > LINE_LIMIT:
                rest = ""
                if not skipping:
                    skipping = True
                    self.too_long += 1
        rest = _uncoloured(_clean(rest + decoder.decode(b"", True)))
        if skipping:
            yield [""]
        elif rest:
            lines = rest.split("\n")
            self.unfinished = bool(lines[-1])
            yield lines if self.unfinished else lines[:-1]

    def _without_long(self, lines: list[str]) -> list[str]:
        if max(map(len, lines)) > LINE_LIMIT:
            self.too_long += sum(len(line) > LINE_LIMIT for line in lines)
            return ["" if len(line) > LINE_LIMIT else line for line in lines]
        return lines


def _clean(text: str) -> str:
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\x08" in text:
        text = _BACKSPACES.sub("\n", text)
    return text.replace("\0", "") if "\0" in text else text


def _uncoloured(text: str) -> str:
    return _ESCAPES.sub("", text) if "\x1b" in text else text


def sample_lines(source: Source) -> list[str]:
    """The whole lines of the first 64 KiB, or as much of the first."""
    head = source.head()
    lines = _uncoloured(_clean(head.decode(encoding(head), errors="replace"))).split("\n")
    return lines[:-1] if len(lines) > 1 and (len(head) >= HEAD or not lines[-1]) else lines
