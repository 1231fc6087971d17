"""Writes TensorBoard's event files, by another road than the reader's."""

import struct
from collections.abc import Iterable
from pathlib import Path

from ganverdict.formats.events import masked_crc


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _bytes(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _scalar(tag: str, value: float, tensor: bool) -> bytes:
    name = _bytes(1, tag.encode())
    if not tensor:
        return name + _varint(2 << 3 | 5) + struct.pack("<f", value)
    dtype = _varint(1 << 3) + _varint(1)
    return name + _bytes(8, dtype + _bytes(4, struct.pack("<f", value)))


def record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    checks = [struct.pack("<I", masked_crc(part)) for part in (length, data)]
    return length + checks[0] + data + checks[1]


def write_events(
    path: Path, scalars: Iterable[tuple[str, int, float]], tensor: bool = False
) -> Path:
    """Tag, step and value of each; `tensor` as TensorFlow 2 writes them, else as PyTorch does."""
    time = 1_700_000_000.0
    parts = [record(_varint(1 << 3 | 1) + struct.pack("<d", time) + _bytes(3, b"brain.Event:2"))]
    for tag, step, value in scalars:
        time += 0.5
        event = _varint(1 << 3 | 1) + struct.pack("<d", time) + _varint(2 << 3) + _varint(step)
        parts.append(record(event + _bytes(5, _bytes(1, _scalar(tag, value, tensor)))))
    path.write_bytes(b"".join(parts))
    return path
