"""What training scripts print: names with numbers, fractions of epochs and batches, bars.

Nothing here knows a single trainer. A line is cut at its numbers; the text before a number names
it. Lines of the same wording are then read by a regular expression made from the first of them,
which is some thirty times as fast.
"""

import re
from array import array
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from ganverdict.formats.delimited import count
from ganverdict.formats.grids import Grids
from ganverdict.formats.headings import Headings
from ganverdict.formats.names import role
from ganverdict.formats.numbers import number
from ganverdict.formats.slots import HELD_OUT_MARK, Slot, numbers_of, slots_of
from ganverdict.formats.sources import Lines, Source, shown
from ganverdict.formats.table import Series, Table, check_size

_LONGEST = 4_000  # characters of a line that are looked at
_MOST_TEMPLATES = 400
_TRIED = 6  # templates tried before a line is read anew

# The same in an expression for many lines, where speed counts: sets of single characters are
# looked up in a table, classes such as \d and \s are not.
_SLOT = (
    r"[-+0-9.eEf]+|[-+]?(?:nan|inf|infinity|NaN|Inf|NAN|INF|Infinity)"
    r"|[-+]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?"
)
_SPACE = r"[ \t\f\v\u00a0\u2000-\u200a\u202f\u3000]"
_SPACES, _MAY_BE_SPACES = f"{_SPACE}+", f"{_SPACE}*"
_TOGETHER = 512  # lines
_NTH_EPOCH = re.compile(r"第\s*(\d+)\s*(?:个|次)?\s*(?:轮|回合|周期|epoch)次?", re.IGNORECASE)
_NTH_STEP = re.compile(
    r"第\s*(\d+)\s*(?:个|次)?\s*(?:步|迭代|批次|step|iter(?:ation)?)", re.IGNORECASE
)
_MOST_ALIKE = 16  # names that differ by a number, as those of several discriminators do
_DIGITS = re.compile(r"\d+")
_NEVER = re.compile(r"(?!)")
_MAY_HOLD_NUMBERS = re.compile(r"\d|nan|inf", re.IGNORECASE)
_BAR_MARKS = ("|", "[=", "[>", "─", "━", "█", "==", "--", "**", "__", "~~", "##")
_BAR = re.compile(r"\|[^|\w]*\||\[[=>.\s]{2,}\]|[\u2500-\u25ff]+|[-=*_#~]{4,}")
# Numbers with a unit, such as a bar's speed, which no slot is: `33.10it/s`, `1.5s/it`, `12.3k/20k`.
_WITH_UNIT = re.compile(
    r"(?<![\w.])[0-9]+(?:\.[0-9]+)?"
    r"(?=(?:[a-zA-Z]+/[a-zA-Z]+|it|ms|s|sec|secs|min|m|h|[kKMG]i?B?|B)(?![\w:=]))"
)


@dataclass
class _Template:
    """Lines of one wording: the expression, the columns' names and all their numbers."""

    pattern: re.Pattern[str]
    names: tuple[str, ...]
    rows: "array[int]" = field(default_factory=lambda: array("I"))
    values: "array[float]" = field(default_factory=lambda: array("d"))


class PrintReader:
    """Takes lines, gives columns."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._templates: list[_Template] = []
        self._by_pattern: dict[str, _Template] = {}
        self._by_names: dict[tuple[str, ...], _Template] = {}
        self._alike = False  # whether the lines before were all of one wording
        self._barred = False  # whether there were progress bars among them
        self.last: _Template | None = None

    def take(self, first: int, lines: list[str]) -> None:
        """A block of lines, numbered from `first`."""
        for start in range(0, len(lines), _TOGETHER):
            part = lines[start : start + _TOGETHER]
            whole = "\n".join(part)
            # What the latest wording fits needs no look for bars, which takes as long.
            if not self._barred and self._all_at_once(first + start, whole, len(part)):
                continue
            self._barred = any(mark in whole for mark in _BAR_MARKS)
            if self._barred:
                part = [_BAR.sub("|", line) for line in part]
                if self._all_at_once(first + start, "\n".join(part), len(part)):
                    continue
            self._one_by_one(first + start, part)
        self._count()

    def _all_at_once(self, first: int, whole: str, count_of: int) -> bool:
        """Take lines that are all of the latest wording; False where they are not."""
        if not self._alike:
            return False
        template = self._templates[0]
        found = template.pattern.findall(whole)
        if len(found) != count_of or len(template.names) < 2:
            return False
        try:
            values = array("d", map(float, chain.from_iterable(found)))
        except ValueError:
            return False
        template.values.extend(values)
        template.rows.extend(range(first, first + count_of))
        self.last = template
        return True

    def _one_by_one(self, first: int, lines: list[str]) -> None:
        learned = 0
        start = self._templates[:1]
        for row, line in enumerate(lines, first):
            if not line:
                continue
            if len(line) > _LONGEST:
                line = line[:_LONGEST]
            templates = self._templates
            for position, template in enumerate(templates):
                match = template.pattern.fullmatch(line)
                if match is not None:
                    self._found(template, row, match)
                    if position:
                        templates.insert(0, templates.pop(position))
                        learned += 1
                    break
                if position == _TRIED:
                    self._learn(row, line)
                    learned += 1
                    break
            else:
                self._learn(row, line)
                learned += 1
        self._alike = learned == 0 and bool(start) and bool(start[0].names)

    def _found(self, template: _Template, row: int, match: re.Match[str]) -> None:
        if not template.names:
            return
        try:
            template.values.extend(map(float, match.groups()))
            template.rows.append(row)
        except ValueError:
            self._keep(template, row, match.groups())
        self.last = template

    def _count(self) -> None:
        check_size(self._file, sum(len(t.values) for t in self._all()))

    def _keep(self, template: _Template, row: int, texts: tuple[str, ...]) -> None:
        """Numbers that `float` does not read, such as `1,000`."""
        whole = len(template.rows) * len(template.names)
        del template.values[whole:]
        values = [number(text) for text in texts]
        template.values.extend(float("nan") if v is None else v for v in values)
        template.rows.append(row)

    def _learn(self, row: int, line: str) -> None:
        if not _MAY_HOLD_NUMBERS.search(line):
            return
        slots = slots_of(line)
        pattern = _pattern(line, slots)
        template = self._by_pattern.get(pattern)
        if template is None and len(self._by_pattern) >= _MOST_TEMPLATES:
            # Words that change from line to line: kept by the names alone.
            if slots:
                names = tuple(slot.name for slot in slots)
                template = self._by_names.setdefault(names, _Template(_NEVER, names))
                self._keep(template, row, tuple(line[slot.start : slot.end] for slot in slots))
                self.last = template
            return
        if template is None:
            template = _Template(
                re.compile(f"(?m:^{pattern}$)"), tuple(slot.name for slot in slots)
            )
            self._by_pattern[pattern] = template
        self._templates = [template] + [t for t in self._templates if t is not template]
        del self._templates[_TRIED * 4 :]
        if not slots:
            return
        self.last = template
        self._keep(template, row, tuple(line[slot.start : slot.end] for slot in slots))

    def _all(self) -> list[_Template]:
        return [*self._by_pattern.values(), *self._by_names.values()]

    def columns(self) -> dict[str, Series]:
        """All numbers by name; where a name stands twice in a line the first counts."""
        gathered: dict[str, list[Series]] = {}
        for template in self._all():
            if not template.rows:
                continue
            rows = np.frombuffer(template.rows, np.uint32)
            values = np.frombuffer(template.values, np.float64).reshape(len(rows), -1)
            done = set()
            for index, name in enumerate(template.names):
                if name not in done:
                    gathered.setdefault(name, []).append(Series(rows, values[:, index]))
                    done.add(name)
        few = _few(gathered)
        if not any(role(name).kind in ("signal", "half") for name in few):
            # All losses are of what looked held out: `Test run, epoch 3: d_loss 0.7`.
            few = {name.removeprefix(HELD_OUT_MARK): parts for name, parts in few.items()}
        return {name: _joined(parts) for name, parts in few.items()}


def _few(gathered: dict[str, list[Series]]) -> dict[str, list[Series]]:
    """Many names that differ only by numbers within their words are one: `E3 S70 d_loss`."""
    alike: dict[str, list[str]] = {}
    for name in gathered:
        alike.setdefault(_DIGITS.sub("", name), []).append(name)
    few: dict[str, list[Series]] = {}
    for plain, names in alike.items():
        if len(names) > _MOST_ALIKE and role(plain).kind in ("signal", "half", "measure"):
            few.setdefault(plain, []).extend(part for name in names for part in gathered[name])
        else:
            few.update((name, gathered[name]) for name in names)
    return few


def _joined(parts: list[Series]) -> Series:
    if len(parts) == 1:
        return parts[0]
    rows, first = np.unique(np.concatenate([part.rows for part in parts]), return_index=True)
    return Series(rows, np.concatenate([part.values for part in parts])[first])


def _pattern(line: str, slots: list[Slot]) -> str:
    """The expression of all lines with this line's words, its named numbers in groups.

    Where none has a name, numbers within words may differ, too.
    """
    if not slots:
        return r"\d+".join(map(_literal, re.split(r"\d+", line)))
    groups = {(slot.start, slot.end) for slot in slots}
    pieces, position = [], 0
    for start, end in numbers_of(line):
        pieces.append(_literal(line[position:start]))
        pieces.append(f"({_SLOT})" if (start, end) in groups else f"(?:{_SLOT})")
        position = end
    rest = line[position:]
    pieces.append(".*" if _MAY_HOLD_NUMBERS.search(rest) and len(pieces) > 300 else _literal(rest))
    return "".join(pieces)


def _literal(text: str) -> str:
    """Words as they are, any number of spaces for spaces."""
    parts = re.split(r"(\s+)", text)
    pieces = []
    for index, part in enumerate(parts):
        if part.isspace():
            # Spaces after a word or a number may vanish where a number fills its width.
            pieces.append(
                _SPACES if 0 < index < len(parts) - 1 and parts[index + 1] else _MAY_BE_SPACES
            )
        else:
            pieces.append(r"[0-9.]+".join(map(re.escape, _WITH_UNIT.split(part))))
    return "".join(pieces)


def _translated(line: str) -> str:
    """`第3轮`, the third epoch, which Chinese writes around its number."""
    return (
        line
        if "第" not in line
        else _NTH_STEP.sub(r" step \1 ", _NTH_EPOCH.sub(r" epoch \1 ", line))
    )


def read_prints(source: Source) -> Table:
    """Everything that a text names and counts."""
    name = shown(source.name)
    reader = PrintReader(name)
    lines, grids, headings = Lines(source), Grids(), Headings()
    first = 1
    previous: _Template | None = None
    for block in lines.blocks():
        block = headings.rewritten(grids.rewritten(list(map(_translated, block))))
        if len(block) > 1:
            reader.take(first, block[:-1])
        previous = reader.last
        reader.take(first + len(block) - 1, block[-1:])
        first += len(block)
    if rest := grids.rest():
        reader.take(first, [rest])
    notes = []
    last = reader.last
    if (
        lines.unfinished
        and last is not None
        and previous is not None
        and last is not previous
        and last.rows[-1] == first - 1
        and len(last.names) < len(previous.names)
        and set(last.names) <= set(previous.names)
    ):
        del last.rows[-1]
        del last.values[len(last.rows) * len(last.names) :]
        notes.append(f"line {first - 1:,} is cut off: skipped")
    if lines.too_long:
        notes.append(f"{count(lines.too_long, 'line')} longer than a million characters skipped")
    return Table(name, "text", source.stem, reader.columns(), carry=True, notes=notes)
