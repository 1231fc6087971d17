"""The named numbers of one printed line."""

import re
from dataclasses import dataclass, field, replace
from itertools import pairwise

from ganverdict.formats.names import HELD_OUT, role
from ganverdict.naming import name_words

MOST_NUMBERS = 200
HELD_OUT_MARK = "val: "  # before names that say it not by themselves
_NUMBER = (
    r"[-+]?(?:\d{1,3}(?:,\d{3})+(?!\d|,\d)(?:\.\d+)?|(?:\d+\.?\d*|\.\d+)(?:[eEf][-+]?\d+)?"
    r"|(?:nan|inf|infinity|NaN|Inf|NAN|INF|Infinity)(?![a-zA-Z]))"
)
# A number may be glued to the word of a step: `epoch12 d_loss: 0.7`, `iter_000100: ...`.
_GLUED = "|".join(f"(?<={word})" for word in ("poch", "poch_", "POCH", "iter", "iter_", "step"))
_ENDS = r"(?:(?![\w]|\.\w)|(?=(?:epoch|iter|step)_?\d))"  # perhaps glued to the next's name
_FIND = re.compile(rf"(?:(?<![\w.])|(?:{_GLUED})(?=\d))({_NUMBER}){_ENDS}")
_WRAPPER = re.compile(r"(?:[A-Za-z_.]*(?:tensor|[aA]rray|float\d*|Tensor)\(\[?|[\[({<'\"$`]|\s)+$")
_CUT = re.compile(r"[,;|\[\]{}<>\"']|\s-+\s|--+|\s-+>|(?<=[:=])|\s/\s|>>")
_EDGES = " \t\u00a0:=.*#`"  # beside names
_WIDE = {0xFEE0 + ord(mark): mark for mark in ":,;()[]=|"}  # of Chinese and Japanese
_STARTS = re.compile(r"^[\s>#*\[(]*$")
_EPOCH_AND_BATCH = re.compile(r"[\s>#*]*\[\s*\d+\s*,\s*\d+\s*\]\s*[^\s\d]")  # `[1,   100] loss: `
_PARENTS = ("train", "training", "val", "valid", "validation", "test", "eval")
# `Validation epoch 3 D loss: 0.7`, `(val) step 3 D loss: 0.7`.
_SPLIT_STEP = re.compile(
    r"\b(?:train|training|(?P<held_out>val|valid|validation|test|eval))[\s\])|:-]+"
    r"(?:epoch|step|iter|iteration|batch)\W*$",
    re.IGNORECASE,
)
_GOES_ON = re.compile(r"\s*,|\s+\w\W*$")  # a list of losses, as of `Validation loss G: 1, D: 2`
_NAMELESS = ("#fraction", "#bar")
_VALUES = ("signal", "half", "measure")
_BEHIND = re.compile(r"\s*\[(?P<name>[A-Za-z][\w ]*)\](?!\s*[A-Za-z:=])")  # `1.353 [d_loss]`
_SEVERAL = re.compile(r"\s*[|/,&]\s*|\s+and\s+")
_FRACTION = re.compile(r"\s*(?:/|of|out of)\s*[\[(]?\s*")
_IS = re.compile(r"\s(?:is|was|of)$")
# `FID at epoch 4: 33.2`, `FID after 1000 iterations: 33.2`: the name stands before the step.
_AT = re.compile(
    r"(?P<name>.+?)[\s(\[]+(?:at|after|for|in|on|@)\s+(?:the\s+)?(?P<step>[A-Za-z_]*)[\s#:=]*$"
)
# A number that only tells of how many a value is: `FID (5000): 33.2`, `FID of 5000 images is 33.2`.
_THINGS = r"\s+(?:[A-Za-z]+\s+)?(?:samples|images|imgs|splits|subsets|runs|seeds)\b"
_COUNTED = re.compile(rf"{_THINGS}(?!\s*[/\d])")
_OF_THOUSANDS = re.compile(
    rf"[\s(\[]+(?:(?:with|of|on|over|using|from|for)\s+)?\d+[kK]{_THINGS}\s*[)\]]?"
)
# The word of a step may stand behind it: `0 epoch, 150 batch, d_loss: 0.7`.
_WORD_BEHIND = re.compile(
    r"\s*(?P<name>epochs?|batch(?:es)?|iter(?:ation)?s?|steps?)\s*(?=[,;|\])])", re.IGNORECASE
)
_AFTER_NOTHING = re.compile(r"(?:^|.*[\]),;|])[\s\[(]*(?:[Aa]fter\s+)?")
# A unit behind a number, and a word that is a value, belong to no name: `0.59 s d_loss: 0.7`,
# `12ms/step d_loss: 0.7`, `ada_p: No d_loss: 0.7`.
_VALUE_BEFORE = re.compile(
    r"(?:^|\d[\d.]*)\s*(?:[mu]?s|secs?|seconds?|mins|minutes?|hrs?|hours?|[a-z]+(?=/))(?:/[a-z]+)?"
    r"(?=\s+[A-Za-z_])"
    r"|(?<=[:=])\s*(?:No|None|Yes|True|False|N/?A|null|on|off)(?=\s+[A-Za-z_])"
)
_CLOSED = re.compile(r"\s*(?:[A-Za-z]+\s*)?[)\]](?=\s*[:=]\s*[-+.\dnNiI])")
# A dash for a colon, where a list has them: `perceptual - 126.2; gen_gan - 0.51; `.
_DASHED = re.compile(r"[;)]\s*[A-Za-z]\w*\s-")
_OF = re.compile(r"[\s(\[]+(?:(?:with|of|on|over|using|from|for)\s*)?$")
# What follows a bar's percentage, where the bar is cut to a line: `Steps:   1%| 150/20000 [...`.
_SHARE = re.compile(r"%\s*\|\s*(?=[\d.]+[kMG]?/)")
# A value that was once reached, and its step: `FID: 90.1, best FID 24.3 (epoch 105)`.
_REACHED = frozenset(("best", "lowest", "min", "minimum", "highest", "max", "top", "previous"))
_CLASS = re.compile(r"\b(?:class|label|category)\W*$", re.IGNORECASE)
_BEST = re.compile(r"\b(?:best|lowest)\b[^.!;|*\]]*$", re.IGNORECASE)
_NO_LONGER_BEST = re.compile(r"[.!;|*\]]")
# The last: `[0803 11:00:00 @monitor.py:467]`, month and day before the time.
_DATE = re.compile(
    r"(?<![\d.])\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d{1,2}:\d{2}(?::\d{2})?(?:[.,]\d+)?"
    r"|(?<=\[)(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])[ ]\d{2}:\d{2}:\d{2}"
)


@dataclass(frozen=True)
class Slot:
    """A number of a line: what it is called, and whether the name was said to be one (`name:`)."""

    name: str
    explicit: bool
    start: int
    end: int
    of: int | None = None  # the index of the number after the slash
    behind_best: bool = False  # whether it may tell of the best until now, and not of this row


@dataclass
class _Cut:
    """The state while a line is cut: what was found so far, and what the text before says."""

    line: str
    found: list[tuple[int, int]]
    slots: list[Slot] = field(default_factory=list)
    fractions: list[int] = field(default_factory=list)  # the places in `slots` without a name
    bare: Slot | None = None  # a number at the start of the line
    parent: str = ""  # a heading that names what follows: `Discriminator:`
    whole: str = ""  # the loss whose parts the open bracket names: `g_loss(mse: 0.1, adv: `
    split: str = ""  # whether what follows is of training or of validation
    of_class: bool = False  # whether what follows is of one class
    list_held_out: bool = False  # whether names after commas are of validation, as the first was
    listed: list[str] = field(default_factory=list)  # names still without a value: `D | G: 1 | 2`
    names_are_behind: bool = False  # `1.353 [d_loss]   1.074 [g_loss]`, to the line's end
    ahead: str = ""  # a name that stood before the step of its value: `FID at epoch 4: `
    read_to: int = 0  # where the text begins that may name the next number
    behind_best: bool = False  # whether what follows tells of the best until now
    best_is_next: bool = False  # whether that is still without its value

    def take(self, index: int, gap: str, of: int | None) -> bool:
        """The number `found[index]`, named by `gap`; whether the one it is `of` is taken, too."""
        start, end = self.found[index]
        if _SHARE.match(self.line, end):
            # No value by itself; the step before it is the count behind the bar.
            name = _name(gap)[0]
            self.ahead = name if _has_meaning(name) and role(name).kind == "step" else ""
            return False
        if not self.listed:
            self.listed = self._listed(index, gap)
        if self.listed:
            self.slots.append(Slot(self.listed.pop(0), True, start, end))
            return False
        if name := self._qualified(gap, start, end):
            self.ahead = name
            return False
        if match := self._word_behind(gap, end):
            self.slots.append(Slot(match["name"], True, start, end))
            self.read_to = match.end()
            return False
        name, explicit = self._of_best(gap, *self._name(gap, start))
        if self.names_are_behind and (behind := _BEHIND.match(self.line, end)):
            name, explicit = behind["name"], True
        meaning = role(name) if name else None
        if meaning is None:
            self._nameless(index, gap, of)
        elif explicit or meaning.kind not in ("unknown", "time"):
            self.slots.append(Slot(name, explicit, start, end, of, self.behind_best))
        return of is not None and (meaning is None or meaning.kind != "signal")

    def _word_behind(self, gap: str, end: int) -> re.Match[str] | None:
        """The word of a step behind its number, where no name stands before it."""
        match = _WORD_BEHIND.match(self.line, end)
        return match if match and not self.ahead and _AFTER_NOTHING.fullmatch(gap) else None

    def _of_best(self, gap: str, name: str, explicit: bool) -> tuple[str, bool]:
        """The name, with "best" where that stood before: `Saved the best model (FID 24.3)`.

        Or with "per class", where a class's number did: `class 1 FID: 24.3`.
        """
        if self.of_class and role(name).kind == "measure":
            name = f"per class {name}"
        self.of_class = _CLASS.search(gap) is not None
        if _BEST.search(gap):
            self.behind_best = self.best_is_next = True
        elif _NO_LONGER_BEST.search(gap):
            self.behind_best = self.best_is_next = False
        words = name_words(name)
        if self.best_is_next and role(words[-1] if words else "value").kind != "step":
            self.best_is_next = False
            if role(name).kind == "measure" and _REACHED.isdisjoint(words):
                return f"best {name}", explicit
        return name, explicit

    def _qualified(self, gap: str, start: int, end: int) -> str:
        """The name of a value that is still to come, where a number only says of how many it is."""
        match = _COUNTED.match(self.line, end) or _CLOSED.match(self.line, end)
        if not match or not self.line[start:end].replace(",", "").isdigit():
            return ""
        named, explicit, _ = _name(_OF.sub("", gap[-200:]))
        name = self.ahead or named
        if explicit or not name or role(name).kind not in _VALUES:
            return ""
        self.read_to = match.end()
        return name

    def _name(self, gap: str, start: int) -> tuple[str, bool]:
        name, explicit, above = _name(gap)
        if ahead := self.ahead:
            name, explicit = self._of_ahead(name, explicit)
        elif (match := _AT.search(gap[-200:])) and role(match["step"] or "step").kind == "step":
            named = _name(match["name"] + ":")[0]
            if _has_meaning(named):
                self.ahead = named
                return match["step"] or "step", True
        if explicit and not ahead and gap.count(")") > gap.count("("):
            before = _name(_before_parenthesis(self.line, start) + ":")[0]
            name = before if _has_meaning(before) else name
        self.parent = above or ("" if ";" in gap or "]" in gap else self.parent)
        self.split = next((w for w in name_words(above) if w in _PARENTS), self.split)
        self.whole = _whole_of(gap, self.whole)
        if explicit and not _has_meaning(name) and (longer := self._below(name)):
            name = longer
        elif split := self._split_of(name, explicit, gap):
            name = f"{HELD_OUT_MARK}{name}" if split.lower() in HELD_OUT else f"{split} {name}"
        return name, explicit

    def _below(self, name: str) -> str:
        """The name with what it stands in or below, where that gives it a meaning."""
        part = f"{self.whole} {name}"
        if self.whole and name and _is_loss(part) and not role(part).weak:
            return part
        headed = f"{self.parent} {name}"
        return headed if _has_meaning(headed) else ""

    def _split_of(self, name: str, explicit: bool, gap: str) -> str:
        """Whether a loss is one of training or of validation, where its name does not say so."""
        words = {word.lower() for word in name.split()}
        if explicit and len(words) > 2 and "loss" in words:
            # `Validation loss G: 0.7, D: 0.6`: of both.
            self.list_held_out = not HELD_OUT.isdisjoint(words)
        elif not _GOES_ON.match(gap):
            self.list_held_out = False
        if match := _SPLIT_STEP.search(gap):
            self.split = match["held_out"] or ""
        if role(name).kind != "signal":
            return ""
        split = "val" if self.list_held_out else self.split
        return split if explicit or split.lower() in HELD_OUT else ""

    def _listed(self, index: int, gap: str) -> list[str]:
        """Names that stand before as many values, both apart by the same: `D | G loss: 1 | 2`."""
        text = gap[-200:].rstrip()
        names = _SEVERAL.split(text.rstrip("=: ")) if text.endswith((":", "=")) else []
        known: list[str] = []
        while names and _is_signal(name := _last_known(names.pop())):
            known.insert(0, name)
        between = self.found[index : index + len(known)]
        gaps = [self.line[a[1] : b[0]] for a, b in pairwise(between)]
        whole = len(known) > 1 and len(between) == len(known)
        return known if whole and all(map(_SEVERAL.fullmatch, gaps)) else []

    def _of_ahead(self, name: str, explicit: bool) -> tuple[str, bool]:
        """The name for a value whose step stood before it."""
        ahead, self.ahead = self.ahead, ""
        last = self.slots[-1].name if self.slots else ""
        if role(name).kind == "step" and name_words(name) and last == "step":
            # `after 1000 iterations: `: the word after the number says what it counted.
            self.slots[-1] = replace(self.slots[-1], name=name)
            return ahead, True
        return (name, explicit) if _has_meaning(name) else (ahead, True)

    def _nameless(self, index: int, gap: str, of: int | None) -> None:
        start, end = self.found[index]
        if of is not None:
            if self.line[self.found[of][1] :][:1] != "/":
                self._fraction(
                    Slot("|" if gap.rstrip().endswith("|") else "", False, start, end, of)
                )
        elif index == 0 and _STARTS.fullmatch(gap) and _is_count(self.line, end):
            self.bare = Slot("#step", False, start, end)
        elif len(self.fractions) == len(self.slots) == 1 and _in_brackets(gap, self.line, end):
            # `[44/50][1050]`: the epoch and a batch, of nobody says how many.
            self._fraction(Slot("", False, start, end))
        elif self.bare is not None and index == 1 and _EPOCH_AND_BATCH.match(self.line):
            self._fraction(Slot("", False, start, end))
        elif self.bare is not None and index == 1 and gap.strip() in (":", ","):
            self.slots.append(Slot("#value", True, start, end))

    def _fraction(self, slot: Slot) -> None:
        self.fractions.append(len(self.slots))
        self.slots.append(slot)


def numbers_of(line: str) -> list[tuple[int, int]]:
    """Where the numbers of a line begin and end."""
    return [m.span(1) for m, _ in zip(_FIND.finditer(line), range(MOST_NUMBERS), strict=False)]


def slots_of(line: str) -> list[Slot]:
    """The named numbers of a line, in order."""
    if not line.isascii():
        line = line.translate(_WIDE)
    found = numbers_of(line)
    dates = [m.span() for m in _DATE.finditer(line)] if ":" in line or "-" in line else []
    last = _BEHIND.match(line, found[-1][1]) if found else None
    cut = _Cut(line, found, names_are_behind=last is not None and _is_signal(last["name"]))
    position = index = 0
    while index < len(found):
        start, end = found[index]
        gap, position = line[position:start], end
        if _is_date(dates, start, end, gap):
            index += 1
            continue
        of = None
        if index + 1 < len(found) and _FRACTION.fullmatch(line[end : found[index + 1][0]]):
            of = index + 1
        if cut.take(index, gap, of) and of is not None:
            position = found[of][1]
            index += 1
        position = max(position, cut.read_to)
        index += 1
    return _with_steps(cut)


def _is_date(dates: list[tuple[int, int]], start: int, end: int, gap: str) -> bool:
    """Whether a number is part of a date or of a time of day, and no value: `step:10:...`."""
    for first, last in dates:
        if first <= start < last and last - first > end - start:
            return start > first or not gap.rstrip().endswith(("=", ":"))
    return False


def _in_brackets(gap: str, line: str, end: int) -> bool:
    return gap.strip() in ("][", "] [", "](") and line[end : end + 1] in ("]", ")")


def _is_count(line: str, end: int) -> bool:
    """Whether a bare number at the start may be a step: what follows is no word of it."""
    following = line[end : end + 2]
    ends = following[:1] in ("", ":", ",", " ", "\t", "]", ")", "|", ";") and following != ". "
    return ends and line[end - 1].isdigit()  # a line may be `nan` alone


def _name(gap: str) -> tuple[str, bool, str]:
    """The name that a number's left text ends with, whether `:` or `=` follows it, and what
    stands before it as a heading (`Train:`, `Discriminator |`)."""
    text = _VALUE_BEFORE.sub(" ", _OF_THOUSANDS.sub("", gap[-200:])).rstrip()
    stripped = _WRAPPER.sub("", _IS.sub(" = ", text))
    marks = stripped.rstrip("=:>~-$ ")
    after = stripped[len(marks) :]
    explicit = ":" in after or "=" in after or ">" in after
    explicit |= _DASHED.fullmatch(text) is not None
    pieces = [piece.strip(_EDGES) for piece in _CUT.split(marks.rstrip("\"'] "))]
    name = _balanced(pieces[-1])
    heading = next((piece for piece in reversed(pieces[:-1]) if piece), "")
    if after.strip() and not explicit:
        # After a dash stands the number of an epoch or of a snapshot, or nothing that has a name.
        return (name, False, "") if role(name).kind == "step" else ("", False, "")
    if name and (not explicit or not _has_meaning(name)):
        name = _last_known(name) or (name if explicit else "")
    return name[:100].replace("\\_", "_"), explicit, heading[-60:]  # Markdown's `Loss\_D`


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
    return name[start:].strip(_EDGES)


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


def _whole_of(gap: str, whole: str) -> str:
    """The loss that a bracket follows which is open at the end; `whole` was it before."""
    opened, closed = gap.rfind("("), gap.rfind(")")
    if opened < closed:
        return ""
    if opened < 0:
        return whole
    name = _last_known(_CUT.split(gap[closed + 1 : opened][-200:])[-1])
    return name if _is_loss(name) else ""


def _last_known(text: str) -> str:
    """The end of a text that is a name with a meaning: the longest, of a measure the shortest."""
    parts = text.split()
    names = [" ".join(parts[-length:]) for length in range(1, min(4, len(parts)) + 1)]
    # What stands before: `dev disc cost` is held out, and not D's loss itself.
    before = [*reversed(parts[:-1]), ""]
    if len(before) > 2 and before[0].lower() in ("loss", "losses"):
        before[0] = before[1]  # `Validation loss G`
    known = [
        name
        for name, word in zip(names, before, strict=False)
        if _has_meaning(name) and not _is_another(name, word.strip("[](){}").lower())
    ]
    measures = [name for name in known if role(name).kind == "measure"]
    return measures[0] if measures else known[-1] if known else ""


def _is_another(name: str, before: str) -> bool:
    """Whether the word before a name makes it another quantity: `dev disc cost`, `min FID`."""
    if role(name).kind == "measure":
        return before in _REACHED
    return _is_signal(name) and (before in HELD_OUT or before in ("best", "lowest"))


def _is_signal(name: str) -> bool:
    return role(name).kind in ("signal", "half")


def _is_loss(name: str) -> bool:
    meaning = role(name)
    return meaning.kind == "half" or meaning.name in ("d_loss", "g_loss")


def _has_meaning(name: str) -> bool:
    return role(name).kind not in ("unknown", "time") and bool(name_words(name))


def _with_steps(cut: _Cut) -> list[Slot]:
    """Fractions without a name are the epoch, then the batch; a bare number at the start a step."""
    bare, fractions = cut.bare, cut.fractions
    kinds = {role(s.name).name for s in cut.slots if name_words(s.name) and _is_step(s.name)}
    order: list[str] = []
    if "epoch" in kinds:
        order = [] if "batch" in kinds else ["batch"]
    elif bare is not None and len(fractions) == 1 and not kinds:
        order, bare = ["batch"], replace(bare, name="epoch")
    elif len(fractions) > 1:
        order = ["epoch", "batch"]
    elif fractions and not kinds:
        order = ["#bar" if cut.slots[fractions[0]].name else "#fraction"]
    named: list[Slot] = []
    for index, slot in enumerate(cut.slots):
        if index in fractions:
            if not order:
                continue
            slot = replace(slot, name=order.pop(0))
        named.append(slot)
        if slot.of is not None and _is_step(slot.name):
            start, end = cut.found[slot.of]
            named.append(replace(slot, name=f"{slot.name}/of", start=start, end=end))
    if bare is not None and (bare.name == "epoch" or not any(_is_step(s.name) for s in named)):
        named.append(bare)
    return _without_steps_of_best(sorted(named, key=lambda slot: slot.start))


def _without_steps_of_best(slots: list[Slot]) -> list[Slot]:
    """Without the steps at which the best was reached, unless values of the row follow them."""
    last = max((slot.start for slot in slots if _is_of_the_row(slot.name)), default=-1)
    return [
        s
        for s in slots
        if not (s.behind_best and s.start > last and _is_step(s.name.removesuffix("/of")))
    ]


def _is_of_the_row(name: str) -> bool:
    return role(name).kind in _VALUES and _REACHED.isdisjoint(name_words(name))


def _is_step(name: str) -> bool:
    return name in _NAMELESS or role(name).kind == "step"
