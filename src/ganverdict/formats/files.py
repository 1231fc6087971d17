"""What kind of file this is, by its content, and its tables."""

from collections.abc import Callable

from ganverdict.formats.arrays import is_arrays, read_arrays
from ganverdict.formats.delimited import read_delimited, shape, side_by_side
from ganverdict.formats.errors import ReadError
from ganverdict.formats.events import is_event_file, read_events
from ganverdict.formats.json_files import is_json, is_json_lines, read_json, read_json_lines
from ganverdict.formats.lost_breaks import with_breaks
from ganverdict.formats.parquet import is_parquet, read_parquet
from ganverdict.formats.prints import read_prints
from ganverdict.formats.sources import Source, encoding, sample_lines, shown
from ganverdict.formats.streams import is_streams, read_streams
from ganverdict.formats.table import Table

_BINARY_LOGS: tuple[tuple[Callable[[bytes], bool], Callable[[Source], Table]], ...] = (
    (is_event_file, read_events),
    (is_parquet, read_parquet),
    (is_arrays, read_arrays),
)
_KNOWN_BINARIES = (
    (b"PK\x03\x04", "a zip archive (or a PyTorch checkpoint); unpack it"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"\x80\x02", "a pickle, which is never loaded"),
    (b"\x80\x03", "a pickle, which is never loaded"),
    (b"\x80\x04", "a pickle, which is never loaded"),
    (b"\x80\x05", "a pickle, which is never loaded"),
    (b"\x89HDF", "an HDF5 file"),
    (b"%PDF", "a PDF"),
    (b"\xfd7zXZ", "xz-compressed; unpack it"),
    (b"BZh", "bzip2-compressed; unpack it"),
    (b"\x28\xb5\x2f\xfd", "zstandard-compressed; unpack it"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it"),
    (b"\x7fELF", "a program"),
)


def read_file(source: Source) -> list[Table]:
    """The tables of a file; ReadError where it is none of the kinds that are known."""
    name = shown(source.name)
    head = source.head()
    if not head:
        raise ReadError(f"{name}: the file is empty")
    for is_kind, read_kind in _BINARY_LOGS:
        if is_kind(head):
            return [read_kind(source)]
    for magic, what in _KNOWN_BINARIES:
        if head.startswith(magic):
            raise ReadError(f"{name}: this is {what}")
    if is_binary(head):
        raise ReadError(f"{name}: not text, and no binary log that is known")
    return _read_text(source)


def _read_text(source: Source) -> list[Table]:
    lines = sample_lines(source)
    if is_streams(lines):
        return [read_streams(source)]
    if is_json_lines(lines):
        return [read_json_lines(source)]
    if is_json(lines):
        return read_json(source)
    source, lines = with_breaks(source, lines)
    form = shape(lines)
    if form is not None:
        return side_by_side(read_delimited(source, form))
    return [read_prints(source)]


def is_binary(head: bytes) -> bool:
    """Whether bytes are no text of any encoding."""
    if encoding(head) != "utf-8":
        return False
    head = head[:4096]
    control = sum(byte < 9 or 13 < byte < 27 or 27 < byte < 32 for byte in head)
    # A tenth of random bytes are control characters; more than that are no UTF-8.
    invalid = head.decode("utf-8", errors="replace").count("\ufffd")
    return control > 0.1 * len(head) or min(5 * control, invalid) > 0.1 * len(head)
