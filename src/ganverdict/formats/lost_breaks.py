"""Texts whose line breaks were lost on the way: row after row of one wording in a single line."""

import io
import re
from dataclasses import replace

from ganverdict.formats.sources import LINE_LIMIT, Source, chunks, encoding

_LONG = 200  # characters, of a line that may be several
_NUMBER = r"[-+]?(?:\d[\d.,]*(?:[eE][-+]?\d+)?|\b[nN]a[nN]\b|\binf\b)"
_FIND = re.compile(_NUMBER)
# At least four times the same words, which hold a letter, whatever the numbers. All is bounded: a
# line may be a million blanks.
_REPEATED = re.compile(r"((?=.{0,999}[A-Za-z]).{20,1000}?)(?:\s{1,20}\1){3,}")


def with_breaks(source: Source, lines: list[str]) -> tuple[Source, list[str]]:
    """A text and its first lines, with the breaks that repeated words tell."""
    if not any(map(_unit, lines)):
        return source, lines
    raw = b""
    for chunk in chunks(source):
        raw += chunk
        if len(raw) > LINE_LIMIT:
            return source, lines  # no paste is so long
    text = raw.decode(encoding(raw), errors="replace")
    text = "\n".join(map(_restored, text.splitlines())) + "\n"
    mended = text.encode()
    return replace(source, open_raw=lambda: io.BytesIO(mended)), text.split("\n")[:-1]


def _unit(line: str) -> str:
    """The words of one row, with 0 for each number; empty where they do not come again."""
    text = line.strip()
    if len(text) < _LONG:
        return ""
    match = _REPEATED.match(_FIND.sub("0", text))
    return match[1] if match and "0" in match[1] else ""


def _restored(line: str) -> str:
    unit = _unit(line)
    if not unit:
        return line
    row = _NUMBER.join(map(re.escape, unit.split("0")))
    return re.sub(row, r"\n\g<0>", line).lstrip("\n")
