"""The columns of tables under the names by which they are then known."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from ganverdict.formats.errors import ReadError
from ganverdict.formats.names import Role, critic_name, role
from ganverdict.formats.table import Series, Table
from ganverdict.formats.tracks import shown_name
from ganverdict.naming import name_words

CHART = re.compile(r"^(?P<run>.+?) - (?P<name>.+)$")
_NUMBERED = re.compile(r"[dD]_?(\d)$")
_TAG = re.compile(r"(?:^|.*[-_])tag[-_](?P<name>.+)$")


def named(table: Table) -> Table:
    """The table with names for columns that have their name from the file."""
    columns: dict[str, Series] = {}
    names = list(table.columns)
    anonymous = _has_anonymous_value(names)
    stem = table.stem
    if match := _TAG.match(stem):
        stem = match["name"]
    for name, series in table.columns.items():
        new = name
        if name == "#value" or (anonymous and name.lower() == "value"):
            new = stem if role(stem).kind != "unknown" else "value"
        elif name.endswith(("__MIN", "__MAX")) and name[:-5] in table.columns:
            continue
        elif (match := CHART.match(name)) and role(match["name"]).kind in ("signal", "measure"):
            new = match["name"] if _one_run(names) else name
        columns.setdefault(new, series)
    return replace(table, columns=columns)


def _has_anonymous_value(names: Iterable[str]) -> bool:
    """Whether `Step, Value` is all there is, so that the file's name says of what."""
    known = [n for n in names if role(n).kind in ("signal", "measure", "half")]
    return not known and any(n.lower() == "value" for n in names)


def _one_run(names: Iterable[str]) -> bool:
    """Whether a chart shows one run."""
    runs = {match["run"] for n in names if (match := CHART.match(n))}
    return len(runs) == 1


def renamed(tables: list[Table], rename: Mapping[str, str]) -> list[Table]:
    """The tables under the names that the user gave: ours -> theirs."""
    for ours, theirs in rename.items():
        if not any(theirs in table.columns for table in tables):
            there = dict.fromkeys(
                shown_name(n) for table in tables for n in table.columns if not n.startswith("#")
            )
            listed = f"there are {', '.join(list(there)[:30])}" if there else "there is none at all"
            raise ReadError(
                f"{tables[0].file if tables else 'the log'}: no column {shown_name(theirs)!r} for"
                f" {ours}; {listed}"
            )
    result = []
    for table in tables:
        taken = {o: t for o, t in rename.items() if t in table.columns}
        used = {*taken.values()}
        columns = {
            name: series
            for name, series in table.columns.items()
            if name.removesuffix("/of") not in used
            and not any(means_the_same(role(name), role(ours), name, ours) for ours in taken)
        }
        for ours, theirs in taken.items():
            columns[ours] = table.columns[theirs]
            if f"{theirs}/of" in table.columns:
                columns[f"{ours}/of"] = table.columns[f"{theirs}/of"]
        result.append(replace(table, columns=columns))
    return result


def means_the_same(one: Role, other: Role, name: str, ours: str) -> bool:
    """Whether `name`, of the role `one`, means what is called `ours`, of the role `other`."""
    if other.kind == "step":
        return one.kind == "step" and one.name == other.name
    if other.kind == "signal":
        half = one.kind == "half" and other.name == "d_loss"
        return half or (one.kind == "signal" and one.name == other.name)
    return name == ours


def named_by_others(tables: list[Table]) -> list[Table]:
    """The tables, with names by which D is known where these mean it only by what is beside them.

    `C loss` beside G's is a critic's where D has no loss else; beside D's it is of classes or of
    content. `D1`, `D2` and `D3` are three discriminators, the first two alone are halves of one.
    """
    names = {name for table in tables for name in table.columns}
    roles = {name: role(name) for name in names}
    known = {meaning.name for meaning in roles.values() if meaning.kind in ("signal", "half")}
    new: dict[str, str] = {}
    if "g_loss" in known and known.isdisjoint(("d_loss", "d_real", "d_fake")):
        new = {name: as_critic for name in names if (as_critic := critic_name(name))}
    if any(name_words(name) == ("d3",) for name in names):
        new |= {name: f"D_{match[1]} loss" for name in names if (match := _NUMBERED.match(name))}
    if not new:
        return tables
    result = []
    for table in tables:
        told = [f"{shown_name(n)} is taken for {new[n]}" for n in table.columns if n in new]
        columns = {new.get(n, n): s for n, s in table.columns.items()}
        result.append(replace(table, columns=columns, notes=[*table.notes, *told]))
    return result


def main_column(table: Table) -> Series | None:
    """The column by which rows are counted: the first loss, else the first measure."""
    for kind in ("signal", "half", "measure"):
        found = [
            (name, s) for name, s in table.columns.items() if role(name).kind == kind and len(s)
        ]
        losses = [s for name, s in found if role(name).name.endswith("_loss")]
        if found:
            candidates = losses or [s for _, s in found]
            # A number within a name makes a column of one value.
            longest = max(map(len, candidates))
            candidates = [s for s in candidates if 10 * len(s) >= longest]
            return min(candidates, key=lambda s: int(s.rows[0]))
    return max(table.columns.values(), key=len, default=None)
