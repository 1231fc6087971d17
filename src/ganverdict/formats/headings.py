"""Lines that head those below them: `Validation:`, under which no loss is one of training."""

import re

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
_MOST = 10  # lines that one heads


class Headings:
    """Takes a text's lines in order, and puts the heading before those that it heads."""

    def __init__(self) -> None:
        self._left = 0  # lines that the last heading may still head

    def rewritten(self, lines: list[str]) -> list[str]:
        """As many lines."""
        return [self._line(line) for line in lines]

    def _line(self, line: str) -> str:
        if _DIGIT.search(line) is None and (match := _HEADING.fullmatch(line)):
            self._left = _MOST if match["held_out"] else 0
        elif not line.strip():
            self._left = 0
        elif self._left:
            self._left = 0 if _STEP.search(line) else self._left - 1
            return f"Val: {line}" if self._left else line
        return line
