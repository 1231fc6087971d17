"""This project's logs as columns of numbers: CSV files and MLflow runs."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.base.cli import UserError

Column = np.ma.MaskedArray[Any, Any]
Columns = dict[str, Column]
"""Columns of equal length by our names: float64 with missing values masked; "step" is int64."""


def read_csv(path: Path, names: tuple[str, ...]) -> Columns:
    """Read those columns that the file has, of `names`.

    An empty cell is missing; nan and inf are values. Raises UserError with the line at fault.
    """
    header, lines, rows = _cells(path)
    columns: Columns = {}
    for name in names:
        if name in header:
            index = header.index(name)
            columns[name] = _numbers([row[index].strip() for row in rows], path, name, lines)
    for name in ("epoch", "step"):
        if name in columns:
            columns[name] = _counts(columns[name], path, name, lines)
    return columns


def from_histories(histories: Mapping[str, tuple[list[int], list[float]]]) -> Columns:
    """Metric histories by our names, as MLflow keeps them: a row for each step that any has."""
    latest = {name: dict(zip(*pair, strict=True)) for name, pair in histories.items()}
    steps = sorted({step for values in latest.values() for step in values})
    columns: Columns = {"step": np.ma.asarray(np.array(steps, dtype=np.int64))}
    for name, values in latest.items():
        row = np.array([values.get(step, 0.0) for step in steps], dtype=np.float64)
        # MLflow stores infinity as the largest number.
        row[np.abs(row) >= np.finfo(np.float64).max] = np.inf
        columns[name] = np.ma.masked_array(row, mask=[step not in values for step in steps])
    return columns


def _cells(path: Path) -> tuple[list[str], list[int], list[list[str]]]:
    """Header, and line number and cells of each row that is not blank."""
    lines, rows = [], []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    raise UserError(
                        f"{path}, line {reader.line_num}: {len(row)} cells, but the header has "
                        f"{len(header)}"
                    )
                lines.append(reader.line_num)
                rows.append(row)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error):
        raise UserError(f"{path}: is not a CSV file in UTF-8") from None
    if not any(header):
        raise UserError(f"{path}: is empty; its first line must name columns")
    if not rows:
        raise UserError(f"{path}: has a header and no rows")
    return header, lines, rows


def _numbers(texts: list[str], path: Path, name: str, lines: list[int]) -> Column:
    values = np.zeros(len(texts))
    for row, text in enumerate(texts):
        try:
            values[row] = float(text or 0)
        except ValueError:
            shown = text if len(text) <= 40 else text[:37] + "..."
            raise UserError(
                f"{path}, line {lines[row]}: {name} is {shown!r}, not a number"
            ) from None
    return np.ma.masked_array(values, mask=[not text for text in texts])


def _counts(values: Column, path: Path, name: str, lines: list[int]) -> Column:
    """Whole numbers from 0 on, each larger than the one before."""
    plain = np.ma.filled(values, np.nan)
    whole = np.isfinite(plain) & (plain >= 0) & (plain < 2**53) & (plain == np.floor(plain))
    if not whole.all():
        row = int((~whole).argmax())
        shown = "empty" if np.ma.getmaskarray(values)[row] else f"{plain[row]:.15g}"
        raise UserError(f"{path}, line {lines[row]}: {name} is {shown}; it must be a whole number")
    late = np.flatnonzero(np.diff(plain) <= 0)
    if len(late):
        before, row = plain[late[0]], int(late[0]) + 1
        raise UserError(
            f"{path}, line {lines[row]}: {name} {plain[row]:.15g} comes after {before:.15g}; "
            "they must increase"
        )
    return np.ma.asarray(plain.astype(np.int64))
