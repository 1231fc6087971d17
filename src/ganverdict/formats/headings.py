"""Lines that head those below them: `Validation:`, under which no loss is one of training."""

import re

from ganverdict.formats.names import role
from ganverdict.formats.slots import slots_of

_HEADING = re.compile(
    r"\W*(?:(?P<held_out>val|valid|validation|test|testing|eval|evaluation)|train|training)"
    r"(?:\s+(?:set|data|losses|loss|results|metrics|phase))?\W*",
    re.IGNORECASE,
)
_DIGIT = re.compile(r"\d")
# A row of its own, that says when it was.
_STEP = re.compile(
    r"(?<![a-z])(?:epoch|step|iter|iteration|batch)s?\W*\d|\d\s*/\s*\d|^\W*\d", re.IGNORECASE
)
_NUMBER = re.compile(r"[\d.]+")
_LONGEST = 4_000  # characters


class Headings:
    """Takes a text's lines in order, and puts the heading before those that it heads.

    Up to a row with a step of its own, a measure, an empty line, or a wording that comes again.
    """

    def __init__(self) -> None:
        self._is_on = False
        self._headed: set[str] = set()  # wordings

    def rewritten(self, lines: list[str]) -> list[str]:
        """As many lines."""
        return [self._line(line) for line in lines]

    def _line(self, line: str) -> str:
        if _DIGIT.search(line) is None and (match := _HEADING.fullmatch(line)):
            self._is_on = match["held_out"] is not None
            self._headed.clear()
        elif self._is_on:
            wording = _NUMBER.sub("0", line)
            self._is_on = not self._ends(line, wording)
            self._headed.add(wording)
            return f"Val: {line}" if self._is_on else line
        return line

    def _ends(self, line: str, wording: str) -> bool:
        if not line.strip() or _STEP.search(line) or wording in self._headed:
            return True
        return any(role(slot.name).kind == "measure" for slot in slots_of(line[:_LONGEST]))
