"""What a program printed, kept as JSON by what ran it: Kaggle's logs, and Docker's."""

import io
import json
import re
from functools import partial

from ganverdict.formats.prints import read_prints
from ganverdict.formats.sources import Lines, Source
from ganverdict.formats.table import Table

_BEGINS = re.compile(r'\s*\[?\s*\{\s*"(?:stream_name|data|log|stream|time)"\s*:')
_STREAM = re.compile(r'"(?:stream_name|stream)"\s*:\s*"std(?:out|err)"')


def is_streams(lines: list[str]) -> bool:
    """Whether pieces of what was printed stand here, each with the stream that it came by."""
    start = "".join(lines[:3])[:4000]
    return _BEGINS.match(start) is not None and _STREAM.search(start) is not None


def read_streams(source: Source) -> Table:
    """What was printed, as a text; a piece a line, with or without the commas of a list."""
    pieces = []
    for line in Lines(source):
        try:
            piece = json.loads(line.strip().removeprefix("[").strip(",").removesuffix("]"))
        except (ValueError, RecursionError):
            continue
        if isinstance(piece, dict) and isinstance(text := piece.get("data", piece.get("log")), str):
            pieces.append(text)
    content = "".join(pieces).encode(errors="replace")
    return read_prints(Source(source.name, source.stem, partial(io.BytesIO, content)))
