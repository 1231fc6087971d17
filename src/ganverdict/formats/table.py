"""What was read of one file before its names have a meaning."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ganverdict.formats.checkpoints import Names, tells_steps
from ganverdict.formats.errors import BrokenLogError
from ganverdict.formats.names import role

Floats = NDArray[np.float64]

MOST_CELLS = 120_000_000
MOST_COLUMNS = 4_096
_MOST_TOLD = 100_000
_MOST_TEXTS = 1_000  # different ones in a column that may name runs
MOST_OF_TEXTS = 64  # columns
_LONGEST_TEXT = 100


@dataclass(frozen=True)
class Series:
    """A column: `rows` [n] (increasing line or record numbers) and `values` [n]."""

    rows: NDArray[np.uint32]
    values: Floats

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Texts:
    """A column of few different texts: `codes` count them in `names`, as they first came."""

    codes: Series
    names: list[str]


@dataclass
class Table:
    """The columns of one file, by name, as they stand there.

    - `layout`: "CSV", "text", "JSON", ...: how it was written.
    - `carry`: a value belongs to the last step that was printed before it, or in its row, not to
      the step of its row only.
    - `sample`: its header or some of it, to tell what kind it is; `order`: when it was begun.
    - `stem`: the file's name without ending, the name of a column that has none.
    - `texts`: columns of texts, which may say of which run a row is.
    """

    file: str
    layout: str
    stem: str
    columns: dict[str, Series]
    carry: bool = False
    notes: list[str] = field(default_factory=list)
    sample: str = ""
    order: float = 0.0
    texts: dict[str, Texts] = field(default_factory=dict)


class Builder:
    """Gathers columns; a value costs twelve bytes."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._columns: dict[str, tuple[array[int], array[float]]] = {}
        self._checkpoints: dict[str, Names] = {}
        self._texts: dict[str, Coded] = {}
        self._cells = 0
        self._left_out: set[str] = set()

    def add(self, name: str, row: int, value: float) -> None:
        """One value."""
        column = self._column(name)
        if column is not None:
            column[0].append(row)
            column[1].append(value)
            self._count(1)

    def extend(self, name: str, rows: "array[int]", values: "array[float]") -> None:
        """Many values of one column: arrays of "I" and of "d"."""
        column = self._column(name)
        if column is not None:
            column[0].extend(rows)
            column[1].extend(values)
            self._count(len(values))

    def tell(self, name: str, row: int, text: str) -> None:
        """A text in place of a number, which may be a checkpoint's name, or a run's."""
        own = name.rpartition("/")[2]
        if tells_steps(own):
            self._count(self._checkpoints.setdefault(own, Names()).add(row, text))
        elif name in self._texts or len(self._texts) < MOST_OF_TEXTS:
            self._count(self._texts.setdefault(name, Coded()).add(row, text))

    def _column(self, name: str) -> "tuple[array[int], array[float]] | None":
        column = self._columns.get(name)
        if column is None:
            if len(self._columns) >= MOST_COLUMNS and not self._has_room_for(name):
                if len(self._left_out) < _MOST_TOLD:
                    self._left_out.add(name)
                return None
            column = self._columns[name] = (array("I"), array("d"))
        return column

    def _has_room_for(self, name: str) -> bool:
        """Whether a column beyond the first ones is taken: one that has a meaning."""
        return may_count(name) and len(self._columns) < 2 * MOST_COLUMNS

    def notes(self) -> list[str]:
        """What was left out."""
        return left_out(len(self._left_out))

    def _count(self, cells: int) -> None:
        self._cells += cells
        check_size(self._file, self._cells)

    def columns(self) -> dict[str, Series]:
        """All that was added; NumPy arrays on the same memory."""
        columns = {name: column for name, column in self._columns.items() if column[0]}
        for name, texts in self._checkpoints.items():
            if name not in columns:
                columns = {**texts.steps(name), **columns}
        return {
            name: Series(np.frombuffer(rows, np.uint32), np.frombuffer(values, np.float64))
            for name, (rows, values) in columns.items()
        }

    def texts(self) -> dict[str, Texts]:
        """The columns of texts of which there are few."""
        return {name: coded.texts() for name, coded in self._texts.items() if coded.are_few}

    def table(
        self, layout: str, stem: str = "", notes: Sequence[str] = (), sample: str = ""
    ) -> Table:
        """All of it, with what was left out among the notes."""
        told = [*self.notes(), *notes]
        return Table(
            self._file, layout, stem, self.columns(), notes=told, sample=sample, texts=self.texts()
        )


class Coded:
    """The texts of one column, each kept once; given up where there are many."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}
        self._rows, self._values = array("I"), array("d")
        self.are_few = True

    def add(self, row: int, text: str) -> int:
        """Take the text in a row; return how many numbers are kept of it."""
        if not self.are_few:
            return 0
        text = text.strip()[:_LONGEST_TEXT]
        self._rows.append(row)
        self._values.append(self._codes.setdefault(text, len(self._codes)))
        if len(self._codes) > _MOST_TEXTS:
            self.are_few = False
            self._codes, self._rows, self._values = {}, array("I"), array("d")
        return 1

    def texts(self) -> Texts:
        """All that was taken."""
        codes = Series(np.frombuffer(self._rows, np.uint32), np.frombuffer(self._values))
        return Texts(codes, list(self._codes))


def may_count(name: str) -> bool:
    """Whether a column has a meaning, so that it is taken of however many."""
    return role(name).kind in ("step", "signal", "half", "measure")


def left_out(columns: int) -> list[str]:
    """The note that so many columns were not taken."""
    what = f"columns beyond the first {MOST_COLUMNS:,} left out, which are no loss, measure or step"
    return [f"{columns:,} {what}"] if columns else []


def check_size(file: str, cells: int) -> None:
    """Refuse what would fill the memory."""
    if cells > MOST_CELLS:
        raise BrokenLogError(
            f"{file}: more than {MOST_CELLS:,} numbers; keep every tenth row of it"
        )
