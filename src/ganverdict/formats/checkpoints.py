"""Names of checkpoints, in which a number says when they were: `G_5000.pth`, `epoch-12`."""

import re
from array import array
from functools import lru_cache

import numpy as np

from ganverdict.formats.names import checkpoint_unit, role
from ganverdict.naming import name_words

_NUMBER = re.compile(r"\d{1,15}")
_EMPHASIS = " \t`*~"  # of Markdown
_LONGEST = 300
_UNITS = ("iteration", "epoch", "kimg", "image")

Numbers = tuple["array[int]", "array[float]"]  # rows and values


class Names:
    """The names in one column, and the steps that their numbers tell."""

    def __init__(self) -> None:
        self._of_unit: dict[str, dict[int, float]] = {}  # by row, where a word says the unit
        self._words: list[str] | None = None  # between the numbers
        self._alike = True
        self._without = 0  # a number: `final`
        self._rows = array("I")
        self._numbers = array("d")

    def add(self, row: int, name: str) -> int:
        """Take the name in a row; return how many numbers are kept of it."""
        name = name.strip(_EMPHASIS)[:_LONGEST]
        words, numbers = _NUMBER.split(name), list(map(float, _NUMBER.findall(name)))
        if not numbers:
            self._without += 1
            return 0
        for unit, number in zip(map(_unit, words), numbers, strict=False):
            if unit:
                self._of_unit.setdefault(unit, {})[row] = number
        self._words = self._words or words
        self._alike = self._alike and words == self._words
        if self._alike:
            self._rows.append(row)
            self._numbers.extend(numbers)
        return 2 * len(numbers)

    def steps(self, column: str) -> dict[str, Numbers]:
        """Steps by their unit, where words say it, else by the name `column`.

        Of several numbers in a name it is those that change.
        """
        named = {u: (array("I", n), array("d", n.values())) for u, n in self._of_unit.items()}
        changing = {unit: n for unit, n in named.items() if len(set(n[1])) > 1}
        return changing or self._without_unit(column) or named

    def _without_unit(self, column: str) -> dict[str, Numbers]:
        """The one number that changes, or that there is, in names that are alike but for it."""
        if self._words is None or not self._alike or self._without >= len(self._rows):
            return {}
        numbers = np.frombuffer(self._numbers).reshape(len(self._rows), -1).T
        own = [n for words, n in zip(self._words, numbers, strict=False) if not _unit(words)]
        changing = [n for n in own if np.ptp(n)] or ([] if self._of_unit else own)
        if len({n.tobytes() for n in changing}) != 1:
            return {}
        return {column: (self._rows, array("d", changing[0]))}


def tells_steps(column: str) -> bool:
    """Whether the texts of a column may be names that tell a step."""
    return checkpoint_unit(column) is not None or role(column).kind == "step"


@lru_cache(maxsize=8192)
def _unit(words: str) -> str:
    """The unit of a number behind these words: an epoch in `netG_epoch_`; "" if they say none."""
    parts = name_words(words)
    meanings = (role(" ".join(parts[start:])) for start in range(len(parts)))
    return next((m.name for m in meanings if m.kind == "step" and m.name in _UNITS), "")
