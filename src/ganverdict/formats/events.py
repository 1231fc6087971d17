"""TensorBoard's event files, read directly.

A record is its length (8 bytes, little-endian), that number's checksum, the data and their
checksum; checksums are CRC-32C, masked. The data are protocol buffers: Event {wall_time = 1,
step = 2, summary = 5}, Summary {value = 1}, Value {tag = 1, simple_value = 2, tensor = 8},
TensorProto {dtype = 1, tensor_content = 4, float_val = 5, double_val = 6, int_val = 7}.
"""

import struct
from collections.abc import Iterator

from ganverdict.formats.sources import Source, chunks, shown
from ganverdict.formats.table import Builder, Table

_MOST_RECORD = 1 << 26  # pictures and graphs; longer records are a broken file
_MASK = 0xA282EAD8
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_FORMATS = {1: ("<f", 4), 2: ("<d", 8), 3: ("<i", 4), 9: ("<q", 8)}  # TensorFlow's DataType
STEP = "#step"


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return tuple(table)


_CRC = _crc_table()


def masked_crc(data: bytes) -> int:
    """TFRecord's checksum: a rotated CRC-32C and a constant."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + _MASK) & 0xFFFFFFFF


def is_event_file(head: bytes) -> bool:
    """Whether the first record's length has its checksum."""
    return len(head) >= 12 and masked_crc(head[:8]) == struct.unpack("<I", head[8:12])[0]


def read_events(source: Source) -> Table:
    """The scalars, by tag; a row a record, each with its own step."""
    name = shown(source.name)
    builder = Builder(name)
    notes: list[str] = []
    first_time = None
    for row, data in enumerate(_records(source, notes), 1):
        try:
            time, step, values = _event(data)
        except (ValueError, struct.error, IndexError):
            notes.append(f"record {row:,} is broken: skipped")
            continue
        first_time = time if first_time is None else first_time
        for tag, value in values:
            builder.add(tag, row, value)
        if values:
            builder.add(STEP, row, float(step))
    table = builder.table("TensorBoard", source.stem, notes)
    table.order = first_time or 0.0
    return table


class _Bytes:
    """The bytes of a source, so many at a time: fewer at its end, or where it is cut off."""

    def __init__(self, source: Source) -> None:
        self._chunks = chunks(source)
        self._held = bytearray()

    def take(self, count: int) -> bytes:
        while len(self._held) < count and (chunk := next(self._chunks, b"")):
            self._held += chunk
        taken = bytes(self._held[:count])
        del self._held[:count]
        return taken


def _records(source: Source, notes: list[str]) -> Iterator[bytes]:
    """The data of each record whose checksums hold; a broken or cut one is the last."""
    file = _Bytes(source)
    while head := file.take(12):
        if len(head) < 12 or not is_event_file(head):
            notes.append("the last record is cut off or broken: skipped")
            return
        (length,) = struct.unpack("<Q", head[:8])
        if length > _MOST_RECORD:
            notes.append("a record is too long: what follows was not read")
            return
        data = file.take(length + 4)
        if len(data) < length + 4:
            notes.append("the last record is cut off: skipped")
            return
        # Pictures are not read, so their checksums, which take long here, are not either.
        if length < 4096 and masked_crc(data[:-4]) != struct.unpack("<I", data[-4:])[0]:
            notes.append("a record is broken: what follows was not read")
            return
        yield data[:-4]


def _fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """The fields of a message: number, wire type and value."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        kind = key & 7
        value: int | bytes
        if kind == _VARINT:
            value, position = _varint(data, position)
        else:
            if kind == _BYTES:
                length, position = _varint(data, position)
            elif kind in (_EIGHT, _FOUR):
                length = 8 if kind == _EIGHT else 4
            else:
                raise ValueError("an unknown wire type")
            value = data[position : position + length]
            if len(value) < length:
                raise ValueError("a field is cut off")
            position += length
        yield key >> 3, kind, value


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ValueError("a number is too long")


def _event(data: bytes) -> tuple[float, int, list[tuple[str, float]]]:
    time, step, values = 0.0, 0, []
    for field, kind, value in _fields(data):
        if field == 1 and kind == _EIGHT and isinstance(value, bytes):
            (time,) = struct.unpack("<d", value)
        elif field == 2 and isinstance(value, int):
            step = value - (1 << 64) if value >= 1 << 63 else value
        elif field == 5 and isinstance(value, bytes):
            for inner, _, message in _fields(value):
                if inner == 1 and isinstance(message, bytes):
                    found = _scalar(message)
                    if found is not None:
                        values.append(found)
    return time, step, values


def _scalar(message: bytes) -> tuple[str, float] | None:
    """A summary value's tag and number, where it is a scalar."""
    tag, number = "", None
    for field, kind, value in _fields(message):
        if field == 1 and isinstance(value, bytes):
            tag = value[:300].decode("utf-8", errors="replace")
        elif field == 2 and kind == _FOUR and isinstance(value, bytes):
            (number,) = struct.unpack("<f", value)
        elif field == 8 and isinstance(value, bytes) and len(value) < 1000:
            number = _tensor(value)
    return (tag, number) if tag and number is not None else None


def _tensor(message: bytes) -> float | None:
    """The number in a tensor of one element."""
    content, dtype = b"", 1
    for field, kind, value in _fields(message):
        if field == 1 and isinstance(value, int):
            dtype = value
        elif field == 4 and isinstance(value, bytes):
            content = value
        elif field in (5, 6) and isinstance(value, bytes):
            size, code = (4, "<f") if field == 5 else (8, "<d")
            if len(value) == size:
                return float(struct.unpack(code, value)[0])
        elif field in (7, 10) and isinstance(value, int) and kind == _VARINT:
            return float(value)
    code, size = _FORMATS.get(dtype, ("", -1))
    return float(struct.unpack(code, content)[0]) if len(content) == size else None
