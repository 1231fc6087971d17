"""NumPy's files: arrays by name (`np.savez`), or one array, which its file names (`np.save`)."""

import math
import zipfile
from typing import IO, Any

import numpy as np

from ganverdict.formats.errors import BrokenLogError, ReadError
from ganverdict.formats.sources import Source, shown
from ganverdict.formats.table import MOST_COLUMNS, Series, Table, check_size

_ARRAY, _ZIP, _ENDING = b"\x93NUMPY", b"PK\x03\x04", ".npy"
_HEADERS: dict[tuple[int, int], Any] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}

Values = np.typing.NDArray[Any]


def is_arrays(head: bytes) -> bool:
    """Whether a file begins as NumPy's do: an array, or an archive whose first file is one."""
    end = 30 + int.from_bytes(head[26:28], "little")
    archive = head.startswith(_ZIP) and head[30:end].endswith(_ENDING.encode())
    return archive or head.startswith(_ARRAY)


def read_arrays(source: Source) -> Table:
    """The series of numbers in it, each a column. Python objects are never loaded."""
    name = shown(source.name)
    try:
        with source.open() as file:
            single = file.read(len(_ARRAY)) == _ARRAY
            file.seek(0)
            arrays = {"#value": _array(name, file, 0)} if single else _archived(name, file)
    except ReadError:
        raise
    except Exception as error:  # NumPy and zipfile raise many kinds on broken files
        first = str(error).strip().split("\n")[0][:200]
        raise BrokenLogError(f"{name}: no readable file of NumPy ({first})") from None
    columns: dict[str, Series] = {}
    for key, array in arrays.items():
        for column, values in _series(key, array):
            rows = np.arange(1, len(values) + 1, dtype=np.uint32)
            columns[column[:300]] = Series(rows, np.asarray(values, np.float64))
    if single and not columns:
        raise ReadError(f"{name}: this is an array without names; save it as CSV with a header")
    return Table(name, "NumPy", source.stem, columns)


def _archived(name: str, file: IO[bytes]) -> dict[str, Values | None]:
    arrays: dict[str, Values | None] = {}
    read = 0
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist()[:MOST_COLUMNS]:
            if not entry.filename.endswith(_ENDING):
                continue
            with archive.open(entry) as part:
                array = _array(name, part, read)
            read += 0 if array is None else array.size
            arrays[entry.filename.removesuffix(_ENDING)] = array
    return arrays


def _array(name: str, file: IO[bytes], read: int) -> Values | None:
    """An array of numbers, or of records of them; None for others, which are not read."""
    header = _HEADERS[np.lib.format.read_magic(file)]
    shape, _, dtype = header(file)
    count = math.prod(shape)
    # Of an array with two sides that are longer than 1 nobody knows which values belong together.
    if max(shape, default=1) != count or not _is_numeric(dtype):
        return None
    check_size(name, read + count * len(dtype.names or "1"))
    return np.frombuffer(file.read(count * dtype.itemsize), dtype, count)


def _is_numeric(dtype: np.dtype[Any]) -> bool:
    kinds = [dtype[name] for name in dtype.names] if dtype.names else [dtype]
    return all(kind.kind in "iuf" for kind in kinds)


def _series(key: str, array: Values | None) -> list[tuple[str, Values]]:
    """A column, or one for each field; what has a single value is a setting."""
    if array is None or len(array) < 2:
        return []
    if array.dtype.names:
        return [(name, array[name]) for name in array.dtype.names]
    return [(key, array)]
