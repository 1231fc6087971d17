"""What training scripts print: names with numbers, fractions of epochs and batches, bars.

Nothing here knows a single trainer. A line is cut at its numbers; the text before a number names
it. Lines of the same wording are then read by a regular expression made from the first of them,
which is some thirty times as fast.
"""

import re
from array import array
from dataclasses import dataclass, field, replace
from itertools import chain

import numpy as np

from ganverdict.formats.delimited import count
from ganverdict.formats.names import Role, role, words
from ganverdict.formats.numbers import number
from ganverdict.formats.sources import Lines, Source, shown
from ganverdict.formats.table import Series, Table, check_size

_LONGEST = 4_000  # characters of a line that are looked at
_MOST_NUMBERS = 200
_MOST_TEMPLATES = 400
_TRIED = 6  # templates tried before a line is read anew

_NUMBER = (
    r"[-+]?(?:\d{1,3}(?:,\d{3})+(?!\d|,\d)(?:\.\d+)?|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
    r"|(?:nan|inf|infinity|NaN|Inf|NAN|INF|Infinity)(?![a-zA-Z]))"
)
# The same in an expression for many lines, where speed counts.
_SLOT = (
    r"[-+\d.eE]+|[-+]?(?:nan|inf|infinity|NaN|Inf|NAN|INF|Infinity)"
    r"|[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?"
)
_SPACES, _MAY_BE_SPACES = r"[^\S\n]+", r"[^\S\n]*"
_TOGETHER = 512  # lines
_NEVER = re.compile(r"(?!)")
_MAY_HOLD_NUMBERS = re.compile(r"\d|nan|inf", re.IGNORECASE)
_BAR_MARKS = ("|", "[=", "[>", "─", "━", "█", "==", "--", "**", "__", "~~", "##")
_FIND = re.compile(rf"(?<![\w.])({_NUMBER})(?![\w]|\.\w)")
_BAR = re.compile(r"\|[^|\w]*\||\[[=>.\s]{2,}\]|[\u2500-\u25ff]+|[-=*_#~]{4,}")
_WRAPPER = re.compile(r"(?:[A-Za-z_.]*(?:tensor|array|float\d*|Tensor)\(\[?|[\[({<'\"$]|\s)+$")
_CUT = re.compile(r"[,;|\[\]{}<>\"']|\s-+\s|--+|\s-+>|(?<=[:=])|\s/\s|>>")
_STARTS = re.compile(r"^[\s>#*\[(]*$")
_PARENTS = frozenset("train training val valid validation test eval".split())
_NAMELESS = ("#fraction", "#bar")
_FRACTION = re.compile(r"\s*(?:/|of|out of)\s*[\[(]?\s*")
_IS = re.compile(r"\s(?:is|was|of)$")
# `FID at epoch 4: 33.2`, `FID after 1000 iterations: 33.2`: the name stands before the step.
_AT = re.compile(
    r"(?P<name>.+?)[\s(\[]+(?:at|after|for|in|on|@)\s+(?:the\s+)?(?P<step>[A-Za-z_]*)[\s#:=]*$"
)
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d{1,2}:\d{2}(?::\d{2})?(?:[.,]\d+)?")


@dataclass(frozen=True)
class _Slot:
    """A number of a line: what it is called, and whether the name was said to be one (`name:`)."""

    name: str
    explicit: bool
    start: int
    end: int
    of: int | None = None  # the index of the number after the slash


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
        self.last: _Template | None = None

    def take(self, first: int, lines: list[str]) -> None:
        """A block of lines, numbered from `first`."""
        for start in range(0, len(lines), _TOGETHER):
            part = lines[start : start + _TOGETHER]
            whole = "\n".join(part)
            if any(mark in whole for mark in _BAR_MARKS):
                part = [_BAR.sub("|", line) for line in part]
                whole = "\n".join(part)
            if not (self._alike and self._all_at_once(first + start, whole, len(part))):
                self._one_by_one(first + start, part)
        self._count()

    def _all_at_once(self, first: int, whole: str, count_of: int) -> bool:
        """Take lines that are all of the latest wording; False where they are not."""
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
        return {name: _joined(parts) for name, parts in gathered.items()}


def _joined(parts: list[Series]) -> Series:
    if len(parts) == 1:
        return parts[0]
    rows = np.concatenate([part.rows for part in parts])
    values = np.concatenate([part.values for part in parts])
    order = np.argsort(rows, kind="stable")
    return Series(rows[order], values[order])


def _pattern(line: str, slots: list[_Slot]) -> str:
    """The expression of all lines with this line's words, its named numbers in groups.

    Where none has a name, numbers within words may differ, too.
    """
    if not slots:
        return r"\d+".join(map(_literal, re.split(r"\d+", line)))
    groups = {(slot.start, slot.end) for slot in slots}
    pieces, position = [], 0
    for match in _FIND.finditer(line):
        pieces.append(_literal(line[position : match.start(1)]))
        pieces.append(f"({_SLOT})" if match.span(1) in groups else f"(?:{_SLOT})")
        position = match.end(1)
        if len(pieces) > 2 * _MOST_NUMBERS:
            break
    else:
        pieces.append(_literal(line[position:]))
        return "".join(pieces)
    pieces.append(".*")
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
            pieces.append(re.escape(part))
    return "".join(pieces)


def slots_of(line: str) -> list[_Slot]:
    """The named numbers of a line, in order."""
    found = [m.span(1) for m, _ in zip(_FIND.finditer(line), range(_MOST_NUMBERS), strict=False)]
    if not found:
        return []
    dates = [m.span() for m in _DATE.finditer(line)] if ":" in line or "-" in line else []
    slots: list[_Slot] = []
    fractions: list[int] = []
    bare: _Slot | None = None
    parent = split = ahead = ""
    position = index = 0
    while index < len(found):
        start, end = found[index]
        gap, position = line[position:start], end
        if any(a <= start < b and b - a > end - start for a, b in dates):
            if not gap.rstrip().endswith(("=", ":")) or _in_date(dates, start):
                index += 1
                continue
        of = None
        if index + 1 < len(found) and _FRACTION.fullmatch(line[end : found[index + 1][0]]):
            of = index + 1
        name, explicit, above = _name(gap)
        if ahead and not _has_meaning(name):
            name, explicit = ahead, True
        elif ahead and role(name).kind == "step" and slots and slots[-1].name == "step":
            # The word after the number says what it counted.
            slots[-1] = replace(slots[-1], name=name)
            name, explicit = ahead, True
        ahead = ""
        if match := _AT.search(gap[-200:]):
            named = _name(match["name"] + ":")[0]
            counted = match["step"] or "step"
            if _has_meaning(named) and role(counted).kind == "step":
                ahead, name, explicit = named, counted, True
        if explicit and gap.count(")") > gap.count("("):
            before = _name(_before_parenthesis(line, start) + ":")[0]
            name = before if _has_meaning(before) else name
        parent = above if above else ("" if ";" in gap or "]" in gap else parent)
        split = next((w for w in words(above) if w in _PARENTS), split)
        if above and explicit and not _has_meaning(name):
            longer = f"{above} {name}"
            if _has_meaning(longer):
                name = longer
        elif parent and explicit and not _has_meaning(name) and _has_meaning(f"{parent} {name}"):
            name = f"{parent} {name}"
        elif split and explicit and role(name).kind == "signal":
            name = f"{split} {name}"
        meaning = role(name) if name else Role("unknown")
        if not name:
            if of is not None and line[found[of][1] : found[of][1] + 1] != "/":
                fractions.append(len(slots))
                slots.append(
                    _Slot("|" if gap.rstrip().endswith("|") else "", False, start, end, of)
                )
            elif bare is None and index == 0 and _STARTS.fullmatch(gap) and _is_count(line, end):
                bare = _Slot("#step", False, start, end)
            elif len(fractions) == 1 and len(slots) == 1 and _in_brackets(gap, line, end):
                # `[44/50][1050]`: the epoch and a batch, of nobody says how many.
                fractions.append(len(slots))
                slots.append(_Slot("", False, start, end))
            elif bare is not None and index == 1 and line[found[0][1] : start].strip() in ":,":
                slots.append(_Slot("#value", True, start, end))
        elif explicit or meaning.kind not in ("unknown", "time"):
            slots.append(_Slot(name, explicit, start, end, of))
        if of is not None and not (name and meaning.kind == "signal"):
            position = found[of][1]
            index += 1
        index += 1
    return _with_steps(line, slots, fractions, bare, found)


def _in_brackets(gap: str, line: str, end: int) -> bool:
    return gap.strip() in ("][", "] [", "](") and line[end : end + 1] in ("]", ")")


def _in_date(dates: list[tuple[int, int]], start: int) -> bool:
    return any(a < start < b for a, b in dates)


def _is_count(line: str, end: int) -> bool:
    """Whether a bare number at the start may be a step: what follows is no word of it."""
    following = line[end : end + 2]
    return following[:1] in ("", ":", ",", " ", "\t", "]", ")", "|", ";") and following != ". "


def _name(gap: str) -> tuple[str, bool, str]:
    """The name that a number's left text ends with, whether `:` or `=` follows it, and what
    stands before it as a heading (`Train:`, `Discriminator |`)."""
    text = gap[-200:].rstrip()
    stripped = _WRAPPER.sub("", _IS.sub(" = ", text))
    marks = stripped.rstrip("=:>~-$ ")
    after = stripped[len(marks) :]
    explicit = ":" in after or "=" in after or ">" in after
    pieces = [piece.strip(" \t:=.*#") for piece in _CUT.split(marks.rstrip("\"'] "))]
    name = _balanced(pieces[-1])
    heading = next((piece for piece in reversed(pieces[:-1]) if piece), "")
    if after.strip() and not explicit:
        # After a dash stands the number of an epoch or of a snapshot, or nothing that has a name.
        return (name, False, "") if role(name).kind == "step" else ("", False, "")
    if name and (not explicit or not _has_meaning(name)):
        name = _last_known(name) or (name if explicit else "")
    return name[:100], explicit, heading[-60:]


def _balanced(name: str) -> str:
    """A name without the parentheses that do not belong to it; `D(G(z))` keeps its own."""
    opened: list[int] = []
    start = 0
    for index, character in enumerate(name):
        if character == "(":
            opened.append(index)
        elif character == ")":
            if opened:
                opened.pop()
            else:
                start = index + 1
    if opened and opened[-1] >= start:
        start = opened[-1] + 1
    return name[start:].strip(" \t:=.*#")


def _before_parenthesis(line: str, end: int) -> str:
    """The text that a parenthesis, closed at the end of `line[:end]`, follows: `FID (step: 9):`."""
    text = line[:end].rstrip(" \t:=")
    if not text.endswith(")"):
        return ""
    depth = 0
    for index in range(len(text) - 1, max(len(text) - 200, -1), -1):
        depth += (text[index] == ")") - (text[index] == "(")
        if depth == 0:
            return text[:index]
    return ""


def _last_known(text: str) -> str:
    """The end of a text that is a name with a meaning: the longest, of a measure the shortest."""
    parts = text.split()
    names = [" ".join(parts[-length:]) for length in range(1, min(4, len(parts)) + 1)]
    known = [name for name in names if _has_meaning(name)]
    measures = [name for name in known if role(name).kind == "measure"]
    return measures[0] if measures else known[-1] if known else ""


def _has_meaning(name: str) -> bool:
    return role(name).kind not in ("unknown", "time") and bool(words(name))


def _with_steps(
    line: str,
    slots: list[_Slot],
    fractions: list[int],
    bare: _Slot | None,
    found: list[tuple[int, int]],
) -> list[_Slot]:
    """Fractions without a name are the epoch, then the batch; a bare number at the start a step."""
    kinds = {role(s.name).name for s in slots if words(s.name) and role(s.name).kind == "step"}
    if "epoch" in kinds:
        order = ["batch"] if "batch" not in kinds else []
    elif bare is not None and fractions and not kinds:
        order, bare = ["batch"], _Slot("epoch", False, bare.start, bare.end)
    elif len(fractions) > 1:
        order = ["epoch", "batch"]
    elif kinds:
        order = []
    else:
        order = ["#bar" if slots[fractions[0]].name else "#fraction"] if fractions else []
    named: list[_Slot] = []
    for index, slot in enumerate(slots):
        if index in fractions:
            if not order:
                continue
            slot = _Slot(order.pop(0), False, slot.start, slot.end, slot.of)
        named.append(slot)
        if slot.of is not None and (role(slot.name).kind == "step" or slot.name in _NAMELESS):
            named.append(_Slot(f"{slot.name}/of", False, *found[slot.of]))
    has_step = any(role(s.name).kind == "step" or s.name in _NAMELESS for s in named)
    if bare is not None and (bare.name == "epoch" or not has_step):
        named.insert(0, bare)
    return sorted(named, key=lambda slot: slot.start)


def read_prints(source: Source) -> Table:
    """Everything that a text names and counts."""
    name = shown(source.name)
    reader = PrintReader(name)
    lines = Lines(source)
    first = 1
    previous: _Template | None = None
    for block in lines.blocks():
        if len(block) > 1:
            reader.take(first, block[:-1])
        previous = reader.last
        reader.take(first + len(block) - 1, block[-1:])
        first += len(block)
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
