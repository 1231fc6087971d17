"""Fair timing on a machine that is not quiet, and tables of the results.

Contestants take turns within one run, so that what slows the machine slows all of them; compared
are ratios within a round, and reported are medians. Wall time counts; processor time is given
beside it, because others on the machine do not lengthen it by as much.
"""

import functools
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

Row = dict[str, object]

CLOCKS: dict[str, Callable[[], float]] = {
    "wall": time.perf_counter,
    "processor": time.process_time,  # of all threads together; neighbours do not lengthen it
}


@dataclass
class Times:
    """Seconds by round."""

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)  # of all threads together

    def row(self) -> Row:
        """Milliseconds: median, quartiles, and the median of processor time."""
        low, middle, high = quartiles(self.wall)
        values = {"ms": middle, "ms_q1": low, "ms_q3": high}
        values["processor_ms"] = statistics.median(self.processor)
        return {name: rounded(1000 * value) for name, value in values.items()}


def alternate(contestants: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Times]:
    """Run each contestant once a round; every round another one begins."""
    names, times = list(contestants), {name: Times() for name in contestants}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            wall, processor = time.perf_counter(), time.process_time()
            contestants[name]()
            times[name].wall.append(time.perf_counter() - wall)
            times[name].processor.append(time.process_time() - processor)
    return times


def times_faster(one: Sequence[float], other: Sequence[float]) -> float:
    """How many times as fast `one` is as `other`: the median over rounds of other / one."""
    return statistics.median(b / a for a, b in zip(one, other, strict=True))


def call_for(
    seconds: float, call: Callable[[], object], clock: Callable[[], float]
) -> tuple[int, float]:
    """Call until so many seconds have passed by `clock`: how often, and how long it took."""
    started, calls, passed = clock(), 0, 0.0
    while passed < seconds:
        call()
        calls += 1
        passed = clock() - started
    return calls, passed


def per_second(call: Callable[[], object], device: str, seconds: float, warm_up: int) -> float:
    """Calls in a second, measured for at least `seconds`."""
    for _ in range(warm_up):
        call()
    synchronise(device)
    started, calls = time.perf_counter(), 0
    while True:
        for _ in range(10):
            call()
        synchronise(device)
        calls += 10
        passed = time.perf_counter() - started
        if passed >= seconds:
            return calls / passed


def synchronise(device: str) -> None:
    """Wait until the device has done what it was told."""
    if device == "cuda":
        torch.cuda.synchronize()


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile; of a single value, that value."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def rounded(value: float) -> float:
    """Four significant digits: more is noise."""
    return float(f"{value:.4g}")


def products(size: int, device: str = "cpu") -> dict[str, Callable[[], object]]:
    """The machine's own speed: a matrix product [size, size] in each precision."""
    found: dict[str, Callable[[], object]] = {}
    for name, kind in (("gemm fp32", torch.float32), ("gemm bf16", torch.bfloat16)):
        matrix = torch.rand(size, size, device=device).to(kind)
        found[name] = functools.partial(torch.mm, matrix, matrix)
    return found


def machine(**more: object) -> Row:
    """What was measured on, and how busy it was."""
    return {
        "section": "machine",
        "processor": _processor_name(),
        "cores": os.cpu_count(),
        "load_1_minute": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
        **more,
    }


def _processor_name() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def show(row: Row) -> Row:
    """Print one JSON line, at once."""
    print(json.dumps(row), flush=True)
    return row


def tables(rows: Sequence[Row]) -> str:
    """A Markdown table for each section, in the order in which the sections came."""
    sections: dict[object, list[Row]] = {}
    for row in rows:
        rest = {name: value for name, value in row.items() if name != "section"}
        sections.setdefault(row["section"], []).append(rest)
    return "\n\n".join(f"{name}\n\n{table(own)}" for name, own in sections.items())


def table(rows: Sequence[Row]) -> str:
    """A Markdown table whose columns are all keys in the order in which they first come."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [columns, *([_cell(row.get(column)) for column in columns] for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    to_the_right = [
        all(isinstance(row.get(column), int | float | None) for row in rows) for column in columns
    ]
    lines = [_line(line, widths, to_the_right) for line in cells]
    rules = [
        "-" * (width + 1) + (":" if right else "-")
        for width, right in zip(widths, to_the_right, strict=True)
    ]
    return "\n".join([lines[0], f"|{'|'.join(rules)}|", *lines[1:]])


def _line(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    padded = [
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(cells, widths, numeric, strict=True)
    ]
    return "| " + " | ".join(padded) + " |"


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)
