"""Tables within a text: a header and rows of numbers, or boxes with a name and a number a line.

Their lines are rewritten as other prints are, `epoch: 3, d_loss: 0.7`, and then read like these.
"""

import re

from ganverdict.formats.names import role
from ganverdict.formats.numbers import number

_EDGES = "|│┃║"
_EDGE = re.compile(f"[{_EDGES}]")
_WORD = re.compile(r"\w")
_NUMBER = re.compile(r"(?<![\w.])[-+.]?\d")
_GAP = re.compile(r"\s*\t\s*|\s{2,}")
_MARKS = re.compile(r"[,;:=|\[\]{}<>\"']+")  # at which a print's name would be cut
_KNOWN = ("step", "signal", "half", "measure")
_FEWEST = 2  # names that are known, numbers of a row
_LONGEST = 2_000  # characters of a line


class Grids:
    """Takes a text's lines in order, and gives them as prints."""

    def __init__(self) -> None:
        self._names: list[str] = []  # of the last table with edges
        self._columns: dict[int, str] = {}  # of the last one without: by where its name begins
        self._box: dict[str, str] = {}  # the prints of a box that is not closed, by their names
        self._after_header = False

    def rewritten(self, lines: list[str]) -> list[str]:
        """As many lines."""
        return [self._line(line) for line in lines]

    def rest(self) -> str:
        """What a box holds that the text ends in."""
        box, self._box = self._box, {}
        return ", ".join(filter(None, box.values()))

    def _line(self, line: str) -> str:
        text = line.strip()
        if text[:1] and text[0] in _EDGES and text[-1] in _EDGES and len(text) < _LONGEST:
            if _WORD.search(text):
                return self._with_edges(line, [c.strip() for c in _EDGE.split(text[1:-1])])
        elif self._box:
            box = self.rest()
            return f"{box} | {line}" if _WORD.search(line) else box
        elif not _NUMBER.search(line):
            self._header(line)
        elif self._columns:
            return self._row(line)
        return line

    def _with_edges(self, line: str, cells: list[str]) -> str:
        if not any(map(_NUMBER.search, cells)):
            if self._after_header and len(cells) == len(self._names):
                cells = [f"{a} {b}".strip() for a, b in zip(self._names, cells, strict=True)]
            self._names, self._after_header = cells, True
            return line
        self._after_header = False
        if len(cells) == _FEWEST and not _NUMBER.search(cells[0]):
            begun = self.rest() if cells[0] in self._box else ""  # a box that nothing closed
            self._box[cells[0]] = _printed(*cells)
            return begun
        return _print_of(self._names, cells) or line

    def _header(self, line: str) -> None:
        """Takes the names of a table without edges, where the line may be its header."""
        names = _GAP.split(line.strip()) if len(line) < _LONGEST else []
        known = sum(role(name).kind in _KNOWN for name in names)
        if known >= _FEWEST and not _MARKS.search(line):
            starts = [match.end() for match in re.finditer(r"^\s*|\s*\t\s*|\s{2,}", line.rstrip())]
            self._columns = dict(zip(starts, names, strict=False))

    def _row(self, line: str) -> str:
        cells = {match.start(): match[0] for match in re.finditer(r"\S+", line)}
        if len(cells) == len(self._columns):
            return _print_of(list(self._columns.values()), list(cells.values())) or line
        # Cells without a value are left blank.
        names = [self._columns.get(start, "") for start in cells]
        return (all(names) and _print_of(names, list(cells.values()))) or line


def _print_of(names: list[str], cells: list[str]) -> str:
    """A row as a print; "" where it is none."""
    if len(names) != len(cells) or not any(role(name).kind in _KNOWN for name in names):
        return ""
    printed = [_printed(name, cell) for name, cell in zip(names, cells, strict=True)]
    return ", ".join(filter(None, printed)) if sum(map(bool, printed)) >= _FEWEST else ""


def _printed(name: str, cell: str) -> str:
    value = number(cell)
    return "" if value is None else f"{_MARKS.sub(' ', name).strip()}: {value!r}"
