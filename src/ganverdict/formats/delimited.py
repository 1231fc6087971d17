"""Tables of cells: CSV, TSV, spreadsheets, columns between spaces, with a header or without."""

import csv
import re
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ganverdict.formats.errors import BrokenLogError
from ganverdict.formats.names import Role, is_held_out, is_split, role
from ganverdict.formats.numbers import DOTTED_THOUSANDS, is_missing, number
from ganverdict.formats.sources import Lines, Source, shown
from ganverdict.formats.table import Builder, Series, Table
from ganverdict.naming import name_words

_SEPARATORS = (",", "\t", ";", "|", None)
_COMMENT = ("#", "//", "%")
_RULE = "|-: \t\r\n"  # between the heading and the rows, as in Markdown
# The words of the column that says which quantity a row is of, and of the one that has its value.
_TAG_WORDS = frozenset(
    ("tag", "tags", "metric", "metrics", "key", "name", "variable", "measure", "scalar")
)
# Of prints and progress bars.
_NAMED_NUMBER = re.compile(r"[A-Za-z_]\s*[:=]\s*[-+.]?(?:\d|nan\b|inf\b)")
_VALUE_WORDS = frozenset(("value", "values", "val"))
_RUN_COLUMN = re.compile(r"(?:run|experiment)(?:_(?:id|hash|name|uuid))?")
_OF_RUN = " - "
_SIDES = 2
_MOST_NAMELESS = 3  # columns, of more without a step nobody can tell what they are


@dataclass
class Shape:
    """How a delimited file is written: its separator, its decimals and its columns."""

    separator: str | None
    header: list[str] | None
    columns: int
    comma: bool  # decimals are written with a comma


def shape(lines: list[str]) -> Shape | None:
    """How these first lines are delimited, or None where they are no table of cells."""
    body = [line for line in lines if line.strip(_RULE) and not line.lstrip().startswith(_COMMENT)]
    comments = [line.lstrip().lstrip("#/%") for line in lines if line.lstrip().startswith(_COMMENT)]
    body = body[:60]
    if not body:
        return None
    # White space in the cells of a table that Markdown drew may look like more columns.
    drawn = all(line.lstrip().startswith("|") for line in body)
    separators = ("|",) if drawn else _SEPARATORS
    found = [s for s in (_with(body, comments, separator) for separator in separators) if s]
    return max(found, key=lambda s: s.columns, default=None)


def _with(body: list[str], comments: list[str], separator: str | None) -> Shape | None:
    """The shape with this separator, where the lines have one."""
    rows = [cells(line, separator) for line in body]
    first = rows[0]
    if separator is None and len(first) > 1 and _are_prints(rows[:3]):
        return None
    header = _trimmed(first) if any(first) and not any(map(_numeric, first)) else None
    if header is not None:
        rows = rows[1:]
        if separator in (None, "\t") and _have_one_more(rows, len(header)):
            header = ["", *header]  # pandas and R number the rows without a name for it
        if not all(len(name) <= 300 and not name.startswith(("{", "[{")) for name in header):
            return None
        width = len(header)
        if not rows:
            names = [name for name in header if not _NAMED_NUMBER.search(name)]
            named = [name for name in names if role(name).kind != "unknown"]
            return Shape(separator, header, width, False) if len(named) > 1 else None
    width = len(header or first)
    fitting = _table_rows(rows, width)
    if fitting is None or (width == 1 and separator != ","):
        return None
    if header is None:
        if _mostly_text(fitting) or _looks_printed(body, separator):
            return None
        header = next((h for c in comments if (h := _commented(c, separator, width))), None)
    elif _texts_with_numbers(fitting):
        return None
    return Shape(separator, header, width, _has_decimal_comma(fitting, separator))


def _are_prints(rows: list[list[str]]) -> bool:
    """Whether words are followed by numbers, perhaps under a title: `step: 0, e_loss: 0.3`."""
    return any(cell.endswith((",", ";", ":")) for row in rows for cell in row)


def _have_one_more(rows: list[list[str]], width: int) -> bool:
    """Whether each row has a cell more than `width`, which is not what a last tab leaves."""
    return {len(row) for row in rows} == {width + 1} and any(row[-1].strip() for row in rows)


def _table_rows(rows: list[list[str]], width: int) -> list[list[str]] | None:
    """The rows of so many cells, where most have that and most of these have numbers."""
    fitting = [row for row in rows if len(_without_tail(row, width)) == width]
    numeric = [r for r in fitting if any(map(_numeric, r)) or all(map(is_missing, r))]
    enough = len(fitting) >= 0.7 * len(rows) and len(numeric) >= 0.7 * len(fitting)
    return fitting if enough else None


def _mostly_text(rows: list[list[str]]) -> bool:
    """Whether rows without a header are words with numbers between them."""
    if any(_known(role(cell)) for cell in rows[0] if not _numeric(cell)):
        return True
    texts = sum(not _numeric(cell) and not is_missing(cell) for row in rows for cell in row)
    return texts > 0.5 * sum(map(len, rows))


def _commented(comment: str, separator: str | None, width: int) -> list[str] | None:
    """A header that stands in a comment, as NumPy writes it."""
    names = [name.strip() for name in cells(comment, separator)]
    return names if len(names) == width and not any(map(_numeric, names)) else None


def _looks_printed(body: list[str], separator: str | None) -> bool:
    if separator == ",":
        return any(":" in line or "=" in line for line in body)
    return sum(map(bool, map(_NAMED_NUMBER.search, body))) > 0.5 * len(body)


def _texts_with_numbers(rows: list[list[str]]) -> bool:
    """Whether most cells are sentences with a number in them, as in `Loss G: 1.2,Loss D: -0.1`."""
    filled = [cell for row in rows for cell in row if cell.strip()]
    printed = sum((":" in cell or "=" in cell) and number(cell) is None for cell in filled)
    return printed > 0.5 * len(filled)


def _numeric(cell: str) -> bool:
    return number(cell) is not None


def _has_decimal_comma(rows: list[list[str]], separator: str | None) -> bool:
    if separator == ",":
        return False
    found = [c for row in rows for c in row if "," in c and _numeric(c)]
    dotted = any(
        "." in c and "," not in c and _numeric(c) and not DOTTED_THOUSANDS.fullmatch(c.strip())
        for row in rows
        for c in row
    )
    return any(_is_decimal(c) for c in found) and not dotted


def _is_decimal(cell: str) -> bool:
    whole, _, rest = cell.strip().strip('"').rpartition(",")
    return len(rest) != 3 or "." in whole or len(whole.lstrip("+-")) > 3 or whole.strip("+-") == "0"


def cells(line: str, separator: str | None) -> list[str]:
    """The cells of one line; quotes do not reach beyond it."""
    if separator is None:
        return line.split()
    if '"' not in line:
        return line.split(separator)
    try:
        return next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    except csv.Error:
        return line.split(separator)


def _trimmed(row: list[str]) -> list[str]:
    row = [cell.strip().strip("\"'").strip() for cell in row]
    if len(row) > 2 and row[-1] == "" and "" not in row[:-1]:
        return row[:-1]
    return row


def _without_tail(row: list[str], width: int) -> list[str]:
    """A row without the empty cells that follow a separator at the end."""
    while len(row) > width and not row[-1].strip():
        row = row[:-1]
    return row


@dataclass
class _Reading:
    """The state of one pass through a file."""

    name: str
    shape: Shape
    builder: Builder
    names: list[str]
    wrong_length: list[int] = field(default_factory=list)
    no_number: dict[str, list[int]] = field(default_factory=dict)
    headers: list[int] = field(default_factory=list)
    tag: int | None = None
    value: int | None = None
    run: int | None = None
    has_training: bool = False
    seen: int = 0

    def take(self, number_of_first: int, lines: list[str]) -> None:
        """A block of lines."""
        separator = self.shape.separator
        if self._at_once(number_of_first, lines):
            return
        rows: list[list[str]] = []
        places: list[int] = []
        for place, line in enumerate(lines, number_of_first):
            if not line.strip(_RULE) or line[0] in "#%" or line.startswith("//"):
                continue
            row = cells(line, separator) if '"' in line else line.split(separator)
            if len(row) != len(self.names):
                row = _without_tail(row, len(self.names))
                if len(row) != len(self.names):
                    self._flush(rows, places)
                    rows, places = [], []
                    if not self._header(row, place, [], [], 0):
                        self.wrong_length.append(place)
                    continue
            rows.append(row)
            places.append(place)
        self._flush(rows, places)

    def _at_once(self, number_of_first: int, lines: list[str]) -> bool:
        """Take a block in which each line is a row and begins with a digit; False if it is not."""
        if self.tag is not None or self.shape.comma or len(self.names) < 2 or self._splits():
            return False
        separator = self.shape.separator
        rows = [line.split(separator) for line in lines]
        if set(map(len, rows)) != {len(self.names)}:
            return False
        if not all(row[0][:1].isdigit() for row in rows):
            return False
        if any('"' in line for line in lines):
            return False
        self.seen += len(rows)
        self._columns(rows, range(number_of_first, number_of_first + len(rows)))
        return True

    def _flush(self, rows: list[list[str]], places: list[int]) -> None:
        if not rows:
            return
        self.seen += len(rows)
        self._blank_held_out(rows)
        if self.tag is not None:
            for row, place in zip(rows, places, strict=True):
                self._long(row, place)
            return
        # A header in between has letters in its first cell, or none where that has no name.
        start = 0
        for index, row in enumerate(rows):
            if not row[0][:1].isdigit() and self._header(row, places[index], rows, places, start):
                start = index + 1
        self._columns(rows[start:], places[start:])

    def _splits(self) -> list[int]:
        """Where it stands of which data a row is."""
        return [index for index, name in enumerate(self.names) if is_split(name)]

    def _blank_held_out(self, rows: list[list[str]]) -> None:
        """Takes the losses out of rows of held-out data, where others are of training."""
        splits = self._splits()
        held_out = [row for row in rows if any(is_held_out(row[index]) for index in splits)]
        self.has_training = self.has_training or len(held_out) < len(rows)
        if not self.has_training:
            return
        losses = [i for i, name in enumerate(self.names) if role(name).kind in ("signal", "half")]
        for row in held_out:
            is_loss = self.tag is not None and role(row[self.tag]).kind in ("signal", "half")
            for index in [*losses, *([self.value] if is_loss and self.value is not None else [])]:
                row[index] = ""

    def _columns(self, rows: list[list[str]], places: Sequence[int]) -> None:
        """A block, column by column; at once where each cell of one is a number."""
        numbers = array("I", places)
        for name, column in zip(self.names, zip(*rows, strict=True), strict=False):
            try:
                if self.shape.comma:
                    raise ValueError
                values = array("d", map(float, column))
            except ValueError:
                self._cells(name, column, places)
            else:
                self.builder.extend(name, numbers, values)

    def _cells(self, name: str, column: tuple[str, ...], places: Sequence[int]) -> None:
        numbers, values = array("I"), array("d")
        for place, cell in zip(places, column, strict=True):
            if cell == "":
                continue
            value = number(cell, self.shape.comma)
            if value is not None:
                numbers.append(place)
                values.append(value)
            elif not is_missing(cell):
                self.builder.tell(name, place, cell)
                self.no_number.setdefault(name, []).append(place)
        if values:
            self.builder.extend(name, numbers, values)

    def _long(self, row: list[str], place: int) -> None:
        """A row of a long table: which quantity, and its value."""
        assert self.tag is not None
        assert self.value is not None
        for index, cell in enumerate(row):
            value = number(cell, self.shape.comma)
            if index != self.tag and value is not None:
                name = self._named(row) if index == self.value else self.names[index]
                self.builder.add(name, place, value)
            elif index not in (self.tag, self.value):
                self.builder.tell(self.names[index], place, cell)

    def _named(self, row: list[str]) -> str:
        """What a row of a long table is of, and of which run, as in charts of several."""
        assert self.tag is not None
        tag = row[self.tag].strip()
        return tag if self.run is None else f"{row[self.run].strip()}{_OF_RUN}{tag}"

    def _header(
        self, row: list[str], place: int, rows: list[list[str]], places: list[int], start: int
    ) -> bool:
        """Whether a row is a header, the same again or another one, which then counts.

        The rows before it, from `start` on, are taken under the names that hold so far.
        """
        names = _trimmed(row)
        again = names == _plain(self.names)
        if not again and (any(map(_numeric, row)) or sum(_known(role(name)) for name in names) < 2):
            return False
        self.headers.append(place)
        end = places.index(place) if places else 0
        self._columns(rows[start:end], places[start:end])
        if again:
            return True
        self.names = _unique(names)
        self.tag = self.value = self.run = None
        return True


def _known(meaning: Role) -> bool:
    return meaning.kind in ("step", "signal", "measure") and not meaning.weak


def _unique(names: Iterable[str]) -> list[str]:
    """Names of columns; a second one of a name is told apart by a zero and its number."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name}\0{seen[name]}")
    return result


def _plain(names: list[str]) -> list[str]:
    return [name.partition("\0")[0] for name in names]


def read_delimited(source: Source, form: Shape) -> Table:
    """A table of cells; rows are numbered by their lines."""
    name = shown(source.name)
    header = form.header
    names = _unique(header) if header is not None else _anonymous(form.columns)
    reading = _Reading(name, form, Builder(name), names)
    if header is not None:
        reading.tag, reading.value = long_columns(header)
        if reading.tag is not None:
            reading.run = _run_column(header)
    lines = Lines(source)
    place = 1
    skip_header = header is not None
    last = ""
    for block in lines.blocks():
        if block:
            last = block[-1]
        taken: list[str] | None = block
        if skip_header:
            taken = _blank_header(block, form)
            skip_header = taken is None
        reading.take(place, taken or [])
        place += len(block)
    columns = _merged(reading, name)
    if reading.run is not None:
        columns = _of_one_run(columns)
    texts = reading.builder.texts()
    table = Table(name, "CSV", source.stem, columns, sample=last, texts=texts)
    if header is not None:
        table.sample = " ".join(header)
    else:
        _take_without_heading(table)
    table.notes += _notes(reading, lines, place - 1)
    return table


def _blank_header(block: list[str], form: Shape) -> list[str] | None:
    """The block with its header blanked, so that lines keep their numbers; None if it has none."""
    for index, line in enumerate(block):
        if line.strip(_RULE) and not line.lstrip().startswith(_COMMENT):
            if form.header in (names := _trimmed(cells(line, form.separator)), ["", *names]):
                return [""] * (index + 1) + block[index + 1 :]
            return block
    return None


def _anonymous(columns: int) -> list[str]:
    """Names where there is no header: one column is a value, the first of several a step."""
    if columns == 1:
        return ["#value"]
    return ["#step", "#value", *(f"#value{index}" for index in range(2, columns))]


def _take_without_heading(table: Table) -> None:
    """Keep what can be told apart without names: a column of values, perhaps behind its steps."""
    named = {name: s for name, s in table.columns.items() if not name.startswith("#")}
    nameless = [series for name, series in table.columns.items() if name not in named]
    steps = table.columns.get("#step")
    has_steps = steps is not None and _is_steps(steps)
    whole = steps is not None and bool(np.all(steps.values == np.floor(steps.values)))
    if len(nameless) > _MOST_NAMELESS and not (has_steps and whole):
        told = f"{len(nameless):,} columns of numbers without a heading: give them names"
        table.notes.append(f"{told} in a first line, such as step,d_loss,g_loss")
        table.columns = named
        return
    taken = ["#step", "#value"] if has_steps else ["#value"]
    left_out = len(nameless) - len(taken)
    names = [*taken, *(f"#value{index + 1}" for index in range(left_out))]
    table.columns = {**dict(zip(names, nameless, strict=False)), **named}
    if left_out > 0:
        which = "column is" if left_out == 1 else f"{left_out:,} columns are"
        table.notes.append(f"no heading: the last {which} left out")


def _is_steps(series: Series) -> bool:
    """Whether a column may count rows: it rises, but for a few starts anew."""
    values = series.values
    return len(values) < 3 or bool(np.mean(np.diff(values) > 0) > 0.5)


def long_columns(header: Sequence[str]) -> tuple[int | None, int | None]:
    """Of a table with a row for each value: where its name stands, and where the value itself."""
    words = [frozenset(name_words(name)) for name in header]
    tags = [i for i, given in enumerate(words) if given and given <= _TAG_WORDS]
    values = [i for i, given in enumerate(words) if len(given - _TAG_WORDS) == 1]
    values = [i for i in values if words[i] - _TAG_WORDS <= _VALUE_WORDS]
    if len(tags) == len(values) == 1:
        return tags[0], values[0]
    return None, None


def _run_column(header: list[str]) -> int | None:
    """Where the run of a row stands."""
    names = enumerate(map("_".join, map(name_words, header)))
    return next((index for index, name in names if _RUN_COLUMN.fullmatch(name)), None)


def _of_one_run(columns: dict[str, Series]) -> dict[str, Series]:
    """Without the runs' names, unless two of them have a value of one name."""
    plain = [name.partition(_OF_RUN)[2] or name for name in columns]
    return (
        columns if len({*plain}) < len(plain) else dict(zip(plain, columns.values(), strict=True))
    )


def side_by_side(table: Table) -> list[Table]:
    """The tables that stand side by side in one: of iterations, and a shorter one of epochs.

    Each begins in the first row and has steps of its own, so that a row says nothing of two.
    """
    whole = max(table.columns.values(), key=len, default=None)
    by_length: dict[int, dict[str, Series]] = {}
    for name, series in table.columns.items():
        by_length.setdefault(len(series), {})[name] = series
    lengths = [n for n, columns in by_length.items() if _own_steps(columns)]
    if whole is None or len(lengths) != _SIDES or 2 * min(lengths) > max(lengths):
        return [table]
    short = by_length[min(lengths)]
    prefix = whole.rows[: min(lengths)]
    if max(lengths) != len(whole) or not all(
        np.array_equal(s.rows, prefix) for s in short.values()
    ):
        return [table]
    rest = {name: series for name, series in table.columns.items() if name not in short}
    other = replace(table, columns=short, notes=[])
    return [replace(table, columns=rest), other]


def _own_steps(columns: dict[str, Series]) -> bool:
    """Whether one of these columns counts them: each value is higher than the one before."""
    return any(
        role(name).kind == "step" and bool(np.all(np.diff(series.values) > 0))
        for name, series in columns.items()
        if len(series) > 1
    )


def _merged(reading: _Reading, file: str) -> dict[str, Series]:
    """The columns, of which two of one name must be equal."""
    columns = reading.builder.columns()
    merged: dict[str, Series] = {}
    for name, series in columns.items():
        plain = name.partition("\0")[0]
        if plain not in merged:
            merged[plain] = series
        elif role(plain).kind not in ("unknown", "time") and not same(merged[plain], series):
            place = _first_difference(merged[plain], series)
            raise BrokenLogError(
                f"{file}: two columns are called {plain!r} and differ (first in line {place});"
                " remove or rename one"
            )
    return merged


def same(one: Series, other: Series) -> bool:
    """Whether two columns hold the same values in the same rows."""
    return np.array_equal(one.rows, other.rows) and np.array_equal(
        one.values, other.values, equal_nan=True
    )


def _first_difference(one: Series, other: Series) -> int:
    count = min(len(one), len(other))
    a, b = one.values[:count], other.values[:count]
    differ = (one.rows[:count] != other.rows[:count]) | ~((a == b) | (np.isnan(a) & np.isnan(b)))
    where = np.flatnonzero(differ)
    return int(one.rows[where[0]]) if len(where) else count


def _notes(reading: _Reading, lines: Lines, last_line: int) -> list[str]:
    notes = reading.builder.notes()
    wrong = reading.wrong_length
    if wrong and wrong[-1] >= last_line - 1 and (lines.unfinished or len(wrong) == 1):
        notes.append(f"line {wrong.pop():,} is cut off: skipped")
    if wrong:
        notes.append(
            f"{count(len(wrong), 'line')} with another number of cells skipped"
            f" (first: line {wrong[0]:,})"
        )
    if reading.headers:
        notes.append(
            f"header repeated in line {reading.headers[0]:,}"
            + (f" and {len(reading.headers) - 1} more" if len(reading.headers) > 1 else "")
        )
    for name, places in list(reading.no_number.items()):
        if _known(role(name)) and len(places) < reading.seen:
            notes.append(
                f"{name}: {count(len(places), 'cell')} without a number taken as missing"
                f" (first: line {places[0]:,})"
            )
    if lines.too_long:
        notes.append(f"{count(lines.too_long, 'line')} longer than a million characters skipped")
    return notes


def count(number_of: int, noun: str) -> str:
    """`1 line`, `2 lines`."""
    return f"{number_of:,} {noun}" + ("" if number_of == 1 else "s")
