"""JSON: lists of records, dictionaries of columns, and a record a line."""

import json
import math
import re
from array import array
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from ganverdict.formats.delimited import count, long_columns
from ganverdict.formats.errors import ReadError
from ganverdict.formats.names import is_held_out, is_split, role
from ganverdict.formats.numbers import number
from ganverdict.formats.sources import LINE_LIMIT, Lines, Source, chunks, encoding, shown
from ganverdict.formats.table import Builder, Table

_MOST_BYTES = 1 << 28  # a document is read as a whole
_DEEPEST = 6
_MOST_OF_ONE = 12  # keys of a record that has one value and says of what
_STEPS_OF = re.compile(r"(?P<what>.+)_(?P<kind>(?:epoch|step|iter|iteration|kimg)s?)")
_STEP_KEY = re.compile(r"(?:(?P<name>(?i:epoch|step|iter|iteration))[ _-]?)?(?P<step>[0-9]{1,9})")
_STATISTICS = frozenset(("num", "mean", "std"))
# A list of numbers has nothing behind it: `[1,   100] loss: 0.5` is a print.
_JSON_START = re.compile(
    r"\{\s*(?:\"|\}|$)|\[\s*(?:[\[{\]\"]|$|-?\d[\d.eE+-]*\s*,[^\[\]]*(?:[\[{]|\]?\s*$))"
)


def is_json_lines(lines: list[str]) -> bool:
    """Whether most of these lines are JSON objects by themselves."""
    body = [line for line in lines if line.strip()][:20]
    found = [_loads(line) for line in body if line.lstrip()[:1] == "{"]
    objects = [record for record in found if isinstance(record, dict)]
    if len(body) == 1 and objects and any(_holds_many(value) for value in objects[0].values()):
        return False
    if len(body) == 1 and objects and all(_STEP_KEY.fullmatch(key) for key in objects[0]):
        return False  # `{"0": {...}, "1": {...}}`
    return len(body) > 0 and len(objects) >= 0.5 * len(body)


def _holds_many(value: Any, depth: int = 0) -> bool:
    """Whether a value holds a series."""
    if isinstance(value, dict) and depth < _DEEPEST:
        return any(_holds_many(inner, depth + 1) for inner in value.values())
    return isinstance(value, list) and len(value) > 1


def is_json(lines: list[str]) -> bool:
    """Whether a document starts here that may be JSON."""
    start = "".join(lines)[:4000].lstrip()
    return _JSON_START.match(start) is not None


def read_json_lines(source: Source) -> Table:
    """A JSON object a line; rows are lines."""
    name = shown(source.name)
    builder = Builder(name)
    wrong: list[int] = []
    lines = Lines(source)
    place = 0
    last, sample = 0, ""
    for block in lines.blocks():
        flat = _Flat(builder)
        for line in block:
            place += 1
            if not line or line.isspace():
                continue
            record = _loads(line)
            if isinstance(record, dict):
                sample = sample or line[:2000]
                flat.add(record, place)
            elif line.strip() not in "[],":
                wrong.append(place)
            last = place
        flat.flush()
    notes = []
    if wrong and wrong[-1] == last:
        notes.append(f"line {wrong.pop():,} is cut off: skipped")
    if wrong:
        notes.append(f"{count(len(wrong), 'line')} without JSON skipped (first: line {wrong[0]:,})")
    if lines.too_long:
        notes.append(f"{count(lines.too_long, 'line')} longer than a million characters skipped")
    return builder.table("JSON lines", source.stem, notes, sample)


def read_json(source: Source) -> list[Table]:
    """A JSON document: the records or columns in it, wherever they stand.

    Series that tell their own steps beside columns of numbers are tables by themselves.
    """
    name = shown(source.name)
    data, total = [], 0
    for chunk in chunks(source):
        total += len(chunk)
        if total > _MOST_BYTES:
            raise ReadError(
                f"{name}: a JSON document of more than {_MOST_BYTES >> 20} MiB;"
                " write a record a line"
            )
        data.append(chunk)
    raw = b"".join(data)
    text = raw.decode(encoding(raw[:2000]), errors="replace").replace("\0", "").lstrip("\ufeff")
    notes = []
    document = _loads(text)
    if document is None:
        told = "the document is cut off: the first {} counted"
        document = list(_whole_records(text))
        if not document:
            # A terminal breaks lines at its width, also within numbers.
            document = list(_whole_records(re.sub(r"\r?\n", "", text)))
            told = "lines that were broken in two joined: {} counted"
        if not document:
            raise ReadError(f"{name}: neither JSON nor a log that is known")
        notes.append(told.format(count(len(document), "record")))
    sample = "Wall time Step Value" if _is_chart(document) else text[:2000]
    own = _with_own_steps(document, 0)
    builder = Builder(name)
    _document(builder, document, 0)
    tables = [builder.table("JSON", source.stem, notes, sample)]
    for records in own:
        builder = Builder(name)
        _list(builder, records)
        tables.append(builder.table("JSON", source.stem))
    return tables


def _with_own_steps(value: Any, depth: int) -> list[list[dict[str, Any]]]:
    """Takes the series out of a document that tell their own steps; as records, one list each.

    `"fid": {"steps": [5, ...], "values": [80.1, ...]}`, and beside columns of numbers or by a name
    that is known `"fid": [[5, 80.1], ...]`, perhaps with the time before each step. Only beside
    columns `"fid": [{"epoch": 5, "value": 80.1}, ...]`, and `"fid_epochs": [5, ...]` with
    `"fid_scores": [80.1, ...]`.
    """
    if depth > _DEEPEST:
        return []
    if isinstance(value, list):  # lines of a chart: `[{"name": "D", "x": [...], "y": [...]}, ...]`
        named = [
            line for line in value if isinstance(line, dict) and isinstance(line.get("name"), str)
        ]
        return [own for line in named if (own := _steps_and_values(line["name"], line))]
    if not isinstance(value, dict):
        return []
    found = [one for v in value.values() for one in _with_own_steps(v, depth + 1)]
    columns = {name: column for name, column in value.items() if _is_column(column)}
    for name, series in list(value.items()):
        own = _steps_and_values(name, series)
        if columns or role(name).kind in ("signal", "half", "measure"):
            own = own or _points(name, series)
        if columns:
            own = own or _renamed_records(name, series)
        if own:
            found.append(own)
            del value[name]
    return found + _parallel(value, columns)


def _steps_and_values(name: str, series: Any) -> list[dict[str, Any]]:
    """The records of `{"steps": [...], "values": [...]}`, with other names for these."""
    if not isinstance(series, dict):
        return []
    columns = {key: column for key, column in series.items() if _is_column(column)}
    steps = [key for key in columns if key == "x" or role(key).kind == "step"]
    values = [key for key in columns if key in ("y", "value", "values")]
    if len(steps) != 1 or len(values) != 1:
        return []
    (at,), (of,) = steps, values
    if not isinstance(series[at], list) or len(series[at]) != len(series[of]):
        return []
    step = "#step" if at == "x" else at
    return [{step: s, name: v} for s, v in zip(series[at], series[of], strict=True)]


def _points(name: str, series: Any) -> list[dict[str, Any]]:
    """The records of pairs of step and value, or of triples with the time before."""
    if not isinstance(series, list) or not series:
        return []
    lengths = {len(p) if isinstance(p, list) and all(map(_is_cell, p)) else 0 for p in series}
    if lengths not in ({2}, {3}):
        return []
    return [{"#step": point[-2], name: point[-1]} for point in series]


def _renamed_records(name: str, series: Any) -> list[dict[str, Any]]:
    """Records whose value has no other name than theirs together."""
    if not isinstance(series, list) or not all(isinstance(record, dict) for record in series):
        return []
    keys = {"value": name, "score": name}
    return [{keys.get(k, k): v for k, v in record.items()} for record in series]


def _parallel(value: dict[str, Any], columns: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The records of a column of steps and of the one column that is called like it."""
    found = []
    for name, steps in columns.items():
        match = _STEPS_OF.fullmatch(name)
        if match is None or not _rise(steps):
            continue  # Lightning's `d_loss_epoch` is a loss
        of = [n for n in columns if n.startswith(match["what"]) and not _STEPS_OF.fullmatch(n)]
        if len(of) == 1 and len(columns[of[0]]) == len(steps) and of[0] in value:
            pairs = zip(steps, columns[of[0]], strict=True)
            found.append([{match["kind"].rstrip("s"): at, of[0]: cell} for at, cell in pairs])
            del value[name], value[of[0]]
    return found


def _rise(steps: Any) -> bool:
    """Whether a column is whole numbers, each higher than the one before."""
    whole = isinstance(steps, list) and all(isinstance(at, int) for at in steps)
    return whole and all(a < b for a, b in pairwise(steps))


class _Flat:
    """Gathers records of equal keys, whose values are numbers, to add them column by column."""

    def __init__(self, builder: Builder) -> None:
        self._builder = builder
        self._keys: tuple[str, ...] = ()
        self._rows = array("I")
        self._values: list[Any] = []

    def add(self, record: dict[str, Any], row: int) -> None:
        keys = tuple(record)
        if keys != self._keys:
            self.flush()
            self._keys = keys
        self._rows.append(row)
        self._values.append(record)

    def flush(self) -> None:
        """Add what was gathered."""
        try:
            if any(
                type(v) not in (int, float) for record in self._values[:1] for v in record.values()
            ):
                raise TypeError
            columns = [
                (name[:300], array("d", [record[name] for record in self._values]))
                for name in self._keys
            ]
        except (TypeError, OverflowError):
            for row, record in zip(self._rows, self._values, strict=True):
                _add(self._builder, record, row)
        else:
            for name, values in columns:
                self._builder.extend(name, self._rows, values)
        self._keys, self._rows, self._values = (), array("I"), []


def _is_chart(document: Any) -> bool:
    """Whether it is what TensorBoard gives for a chart: time, step and value of each point."""
    return isinstance(document, list) and all(
        isinstance(point, list) and len(point) == 3 for point in document[:5]
    )


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        return None
    except ValueError:
        stripped = text.rstrip()
        return _loads(stripped[:-1]) if stripped.endswith(",") and len(text) < LINE_LIMIT else None


def _whole_records(text: str) -> Iterator[Any]:
    """The records of a list that does not end."""
    decoder = json.JSONDecoder()
    start = text.find("{", text.find("[") + 1 if "[" in text[:2000] else 0)
    while start != -1:
        try:
            record, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            return
        if isinstance(record, dict):
            yield record
        following = re.compile(r"\s*,?\s*(?=\{)").match(text, end)
        start = following.end() if following else -1


def _document(builder: Builder, value: Any, depth: int) -> bool:
    """Add what a document holds; whether there was anything."""
    if depth > _DEEPEST:
        return False
    if isinstance(value, list):
        return _list(builder, value)
    if not isinstance(value, dict):
        return False
    if _split(builder, value) or _columns(builder, value) or _numbered(builder, value):
        return True
    # Lists within come first: `log_history` among a state's other entries.
    inside = list(value.values())
    dicts = [v for v in inside if isinstance(v, dict)]
    for inner in (
        [v for v in inside if isinstance(v, list)],
        list(filter(_holds_many, dicts)),
        dicts,
    ):
        if sum(_document(builder, v, depth + 1) for v in inner):
            return True
    _add(builder, value, 1)
    return True


def _split(builder: Builder, value: dict[str, Any]) -> bool:
    """`{"columns": [names], "data": [rows]}`, as pandas writes it."""
    if not (isinstance(value.get("columns"), list) and isinstance(value.get("data"), list)):
        return False
    names = [str(name) for name in value["columns"]]
    for row, record in enumerate(value["data"], 1):
        if isinstance(record, list):
            _add(builder, dict(zip(names, record, strict=False)), row)
    return True


def _columns(builder: Builder, value: dict[str, Any]) -> bool:
    """`{name: [numbers]}`, or `{name: {row: number}}`."""
    columns = {name: column for name, column in value.items() if _is_column(column)}
    for name, column in columns.items():
        for row, (at, cell) in enumerate(_cells(column), 1):
            _put(builder, str(name), row if at is None else at, cell)
    texts = {name: column for name, column in value.items() if columns and _are_texts(column)}
    for name, column in texts.items():
        for row, text in enumerate(column, 1):
            builder.tell(name, row, text)
    return bool(columns)


def _numbered(builder: Builder, value: dict[str, Any]) -> bool:
    """`{step: record}`, where the step may be `epoch_3`."""
    keys = [_STEP_KEY.fullmatch(key) for key in value]
    if not value or not all(keys) or not all(isinstance(record, dict) for record in value.values()):
        return False
    for row, (key, record) in enumerate(zip(keys, value.values(), strict=True), 1):
        assert key is not None
        builder.add(key["name"] or "#step", row, float(key["step"]))
        _add(builder, record, row)
    return True


def _is_column(value: Any) -> bool:
    """A list of numbers, or pandas' dictionary of row number to number."""
    if isinstance(value, list):
        return len(value) > 0 and all(_is_cell(v) for v in value)
    if isinstance(value, dict):
        return len(value) > 1 and all(
            _count(k) is not None and _is_cell(v) for k, v in value.items()
        )
    return False


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _is_cell(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _cells(column: Any) -> Iterator[tuple[int | None, Any]]:
    if isinstance(column, dict):
        yield from sorted((int(key) + 1, value) for key, value in column.items())
    else:
        yield from ((None, value) for value in column)


def _count(key: str) -> int | None:
    return int(key) if key.isascii() and key.isdigit() and len(key) < 10 else None


def _list(builder: Builder, records: list[Any]) -> bool:
    """A list of records, or of rows of numbers."""
    found = False
    for row, record in enumerate(records, 1):
        if isinstance(record, dict):
            _add(builder, record, row)
            found = True
        elif isinstance(record, list) and record and all(_is_cell(v) for v in record):
            names = ["Wall time", "Step", "Value"] if len(record) == 3 else ["#step", "#value"]
            _add(builder, dict(zip(names, record, strict=False)), row)
            found = True
    if not found and _is_column(records):
        for row, value in enumerate(records, 1):
            _put(builder, "#value", row, value)
        found = True
    return found


def _add(builder: Builder, record: dict[str, Any], row: int) -> None:
    """The numbers of one record; names within names are joined by a slash."""
    record = _named_by_itself(record)
    if any(isinstance(v, str) and is_split(k) and is_held_out(v) for k, v in record.items()):
        record = {k: v for k, v in record.items() if role(k).kind not in ("signal", "half")}
    pending: list[tuple[str, Any, int]] = [("", record, 0)]
    while pending:
        prefix, value, depth = pending.pop()
        if isinstance(value, dict):
            if value.keys() == _STATISTICS or ("mean" in value and "num" in value):
                _put(builder, prefix, row, value["mean"])
            elif depth < _DEEPEST:
                pending += [
                    (_path(prefix, str(key)), inner, depth + 1)
                    for key, inner in reversed(value.items())
                ]
        elif isinstance(value, list):
            if len(value) == 1:
                _put(builder, prefix, row, value[0])
        else:
            _put(builder, prefix, row, value)


def _named_by_itself(record: dict[str, Any]) -> dict[str, Any]:
    """A record that has a value and says of what: `{"name": "d_loss", "value": 0.7, "step": 3}`."""
    names = list(record)
    tag, value = long_columns(names) if len(names) < _MOST_OF_ONE else (None, None)
    if tag is None or value is None or not isinstance(record[names[tag]], str):
        return record
    rest = {name: record[name] for i, name in enumerate(names) if i not in (tag, value)}
    return {**rest, record[names[tag]]: record[names[value]]}


def _path(prefix: str, key: str) -> str:
    return key if prefix in ("", "results", "metrics") else f"{prefix}/{key}"


def _put(builder: Builder, name: str, row: int, value: Any) -> None:
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, str):
        text, value = value, number(value) if len(value) < 100 else None
        if value is None:
            builder.tell(name, row, text)
    if isinstance(value, int | float):
        try:
            builder.add(name[:300], row, float(value))
        except OverflowError:
            builder.add(name[:300], row, math.inf if value > 0 else -math.inf)
