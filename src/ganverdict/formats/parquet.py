"""Parquet files, through pyarrow where it is installed."""

import importlib
from typing import Any

import numpy as np

from ganverdict.formats.errors import BrokenLogError, ReadError
from ganverdict.formats.sources import Source, shown
from ganverdict.formats.table import (
    MOST_COLUMNS,
    MOST_OF_TEXTS,
    Coded,
    Series,
    Table,
    Texts,
    check_size,
    left_out,
    may_count,
)

_TEXTS = ("string", "large_string", "dictionary<values=string")


def is_parquet(head: bytes) -> bool:
    """Whether a file begins as Parquet files do."""
    return head.startswith(b"PAR1")


def read_parquet(source: Source) -> Table:
    """The numeric columns of a Parquet file; missing values are left out."""
    name = shown(source.name)
    try:
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise BrokenLogError(f"{name}: Parquet needs pyarrow: pip install pyarrow") from None
    try:
        with source.open() as file:
            parquet_file = parquet.ParquetFile(file)
            columns = _columns(name, parquet_file)
            texts = _texts(parquet_file)
            more = len(parquet_file.schema_arrow.names) - MOST_COLUMNS
    except ReadError:
        raise
    except Exception as error:  # pyarrow raises many kinds on broken files
        first = str(error).strip().split("\n")[0][:200]
        raise BrokenLogError(f"{name}: no readable Parquet file ({first})") from None
    notes = left_out(max(more, 0))
    return Table(name, "parquet", source.stem, columns, notes=notes, texts=texts)


def _columns(name: str, file: Any) -> dict[str, Series]:
    names = file.schema_arrow.names
    check_size(name, file.metadata.num_rows * min(len(names), MOST_COLUMNS))
    columns: dict[str, Series] = {}
    kept = {*sorted(names, key=lambda name: not may_count(name))[:MOST_COLUMNS]}
    for index, column in enumerate(names):
        if column not in kept:
            continue
        kind = str(file.schema_arrow.field(index).type)
        if not kind.startswith(("int", "uint", "float", "double", "halffloat", "decimal")):
            continue
        data = file.read(columns=[column]).column(0)
        valid = np.asarray(data.is_valid())
        rows = (np.flatnonzero(valid) + 1).astype(np.uint32)
        values = np.asarray(data.drop_null().to_numpy(), np.float64)
        if len(rows):
            columns[column] = Series(rows, values)
    return columns


def _texts(file: Any) -> dict[str, Texts]:
    """The columns of texts of which there are few."""
    fields = [field for field in file.schema_arrow if str(field.type).startswith(_TEXTS)]
    coded = {field.name: Coded() for field in fields[:MOST_OF_TEXTS]}
    for name, texts in coded.items():
        row = 0
        for batch in file.iter_batches(columns=[name]):
            for text in batch.column(0).to_pylist():
                row += 1
                if text is not None:
                    texts.add(row, text)
            if not texts.are_few:
                break
    return {name: texts.texts() for name, texts in coded.items() if texts.are_few}
