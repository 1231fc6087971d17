"""Jupyter notebooks: what each cell printed is a log by itself."""

import io
import json
import re
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from typing import Any

from ganverdict.formats.errors import ReadError
from ganverdict.formats.files import read_file
from ganverdict.formats.folders import has_losses, is_log
from ganverdict.formats.sources import Source, chunks, encoding, shown
from ganverdict.formats.table import Table

_MOST_BYTES = 1 << 28  # read as a whole
_BEGINS = re.compile(r'\s*\{\s*"(?:cells|metadata|nbformat|nbformat_minor)"\s*:')


def is_notebook(source: Source) -> bool:
    """Whether a file begins as notebooks do; by its name as well, since JSON may begin so."""
    if source.path is None or ".ipynb" not in source.path.suffixes:
        return False
    head = source.head()
    return _BEGINS.match(head.decode(encoding(head), errors="replace").lstrip("\ufeff")) is not None


def read_notebook(source: Source) -> list[tuple[str, list[Table]]]:
    """The runs in a notebook: a cell that printed losses, and the measures of those after it.

    Raises ReadError where there are neither.
    """
    name = shown(source.name)
    runs: list[tuple[str, list[Table]]] = []
    for number, text in _outputs(source, name):
        title = f"{name}, cell {number}"
        cell = Source(title, source.stem, partial(io.BytesIO, text.encode(errors="replace")))
        try:
            tables = [table for table in read_file(cell) if is_log(table)]
        except ReadError:
            continue
        if not tables:
            continue
        begun = bool(runs) and any(map(has_losses, runs[-1][1]))
        if any(map(has_losses, tables)) is begun or not runs:
            runs.append((title, tables))
        else:
            runs[-1][1].extend(tables)
    if not runs:
        raise ReadError(f"{name}: no cell of this notebook printed a log that is known")
    return runs


def _outputs(source: Source, name: str) -> Iterator[tuple[int, str]]:
    """The number of each cell that printed anything, and what it printed."""
    raw, total = [], 0
    for chunk in chunks(source):
        total += len(chunk)
        if total > _MOST_BYTES:
            raise ReadError(f"{name}: a notebook of more than {_MOST_BYTES >> 20} MiB")
        raw.append(chunk)
    whole = b"".join(raw)
    try:
        text = whole.decode(encoding(whole[:2000]), errors="replace").lstrip("\ufeff")
        for number, cell in enumerate(json.loads(text)["cells"], 1):
            text = "".join(map(_text, cell.get("outputs", ())))
            if text.strip():
                yield number, text
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ReadError(f"{name}: not a readable notebook ({type(error).__name__})") from None


def _text(output: dict[str, Any]) -> str:
    """What one output shows as text: what was printed, or a table; nothing of a picture.

    What is printed may go on in the next output in the middle of a line.
    """
    if output.get("output_type") == "stream":
        return _joined(output.get("text", ""))
    data = output.get("data") or {}
    if any(kind.startswith("image/") for kind in data):
        return ""
    if "<table" in (page := _joined(data.get("text/html", ""))):
        rows = _Rows()
        rows.feed(page)
        return "".join(f"\n{','.join(row)}" for row in rows.rows) + "\n"
    return f"\n{_joined(data.get('text/plain', ''))}\n"


def _joined(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)


class _Rows(HTMLParser):
    """The cells of a page's tables, as rows."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []

    def handle_starttag(self, tag: str, _: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th") and self.rows:
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip().replace(",", " ")
