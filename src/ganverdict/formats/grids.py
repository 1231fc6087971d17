"""Tables within a text: a header and rows of numbers, or boxes with a name and a number a line.

Their lines are rewritten as other prints are, `epoch: 3, d_loss: 0.7`, and then read like these.
"""

import re

from ganverdict.formats.names import role
from ganverdict.formats.numbers import is_missing, number
from ganverdict.naming import name_words

_EDGES = "|│┃║"
_EDGE = re.compile(f"[{_EDGES}]")
_WORD = re.compile(r"\w")
_NUMBER = re.compile(r"(?<![\w.])[-+.]?\d")
_CELL = re.compile(r"\S+")
_APART = re.compile(r"\S+(?: \S+)*")  # a name may have single spaces in it
_MARKS = re.compile(r"[,;:=|\[\]{}<>\"']+")  # at which a print's name would be cut
_OF = re.compile(r"\d+ ?/ ?\d+")  # `3/100`
_KNOWN = ("step", "signal", "half", "measure")
_FEWEST = 2  # names that are known, numbers of a row
_LONGEST = 2_000  # characters of a line


class Grids:
    """Takes a text's lines in order, and gives them as prints."""

    def __init__(self) -> None:
        self._names: list[str] = []  # of the last table with edges
        self._columns: list[re.Match[str]] = []  # the names of the last one without
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
        text = _EDGE.sub(" ", line).rstrip()
        if len(text) > _LONGEST or _MARKS.search(text):
            return
        found = list(_APART.finditer(text))
        known = sum(_is_known(match[0]) for match in found)
        if len(found) == 1:  # single spaces between names that are all known
            found = list(_CELL.finditer(text))
            known = len(found) * all(_is_known(match[0]) for match in found)
        if known >= _FEWEST:
            self._columns = found

    def _row(self, line: str) -> str:
        cells = list(_CELL.finditer(_EDGE.sub(" ", line)))
        if not all(
            _NUMBER.match(cell[0]) or is_missing(cell[0]) or number(cell[0]) for cell in cells
        ):
            return line
        names = [match[0] for match in self._columns]
        if len(cells) == len(names) + 1 and cells[0].end() <= self._columns[0].start():
            cells = cells[1:]  # pandas numbers the rows without a name for it
        elif len(cells) != len(names):
            # Cells without a value are left blank.
            names = [next((n[0] for n in self._columns if _below(n, c)), "") for c in cells]
        return (all(names) and _print_of(names, [cell[0] for cell in cells])) or line


def _is_known(name: str) -> bool:
    return bool(name_words(name)) and role(name).kind in _KNOWN


def _below(name: re.Match[str], cell: re.Match[str]) -> bool:
    """Whether a cell begins or ends where the name of its column does."""
    return cell.start() == name.start() or cell.end() == name.end()


def _print_of(names: list[str], cells: list[str]) -> str:
    """A row as a print; "" where it is none."""
    if len(names) != len(cells) or not any(map(_is_known, names)):
        return ""
    printed = [_printed(name, cell) for name, cell in zip(names, cells, strict=True)]
    return ", ".join(filter(None, printed)) if sum(map(bool, printed)) >= _FEWEST else ""


def _printed(name: str, cell: str) -> str:
    value = number(cell)
    if value is None and _OF.fullmatch(cell) and role(name).kind == "step":
        return f"{name}: {cell}"
    return "" if value is None else f"{_MARKS.sub(' ', name).strip()}: {value!r}"
