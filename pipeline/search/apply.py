"""Values written into params.yaml where they stand: comments, order and everything else stay."""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path

from pipeline.base.cli import UserError, write_whole


def apply(path: Path, section: str, values: Mapping[str, object]) -> str:
    """Write `values` into a section of plain `key: value` lines; returns the difference.

    Raises UserError, and changes nothing, if a key is not there exactly once.
    """
    before = path.read_text(encoding="utf-8")
    after = changed(before, section, values)
    if after != before:
        with write_whole(path) as file:
            file.write(after.encode())
    old, new = before.splitlines(), after.splitlines()
    names = {"fromfile": str(path), "tofile": f"{path} (new)"}
    return "\n".join(difflib.unified_diff(old, new, lineterm="", n=1, **names))


def changed(text: str, section: str, values: Mapping[str, object]) -> str:
    """The text with new values; a comment after a value keeps its column where it can."""
    lines = text.splitlines(keepends=True)
    starts = [
        i for i, line in enumerate(lines) if re.match(rf"{re.escape(section)}:\s*(#|$)", line)
    ]
    if len(starts) != 1:
        raise UserError(f"params.yaml: the section {section} is not there as lines of its own", 2)
    end = next(
        (i for i in range(starts[0] + 1, len(lines)) if re.match(r"[^\s#]", lines[i])), len(lines)
    )
    for key, value in values.items():
        pattern = re.compile(rf"(\s+{re.escape(key)}:[ \t]+)([^\s#]+)([ \t]*)(.*)", re.DOTALL)
        found = [i for i in range(starts[0] + 1, end) if pattern.fullmatch(lines[i])]
        match = pattern.fullmatch(lines[found[0]]) if len(found) == 1 else None
        if match is None:
            raise UserError(f"params.yaml: {section}.{key} is not there as a line of its own", 2)
        head, old, gap, rest = match.groups()
        new = f"{value:g}" if isinstance(value, float) else str(value)
        if rest.startswith("#"):
            gap = " " * max(len(old) + len(gap) - len(new), 1)
        lines[found[0]] = f"{head}{new}{gap}{rest}"
    return "".join(lines)
