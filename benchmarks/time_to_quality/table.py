"""The measurements made so far, of every setting, as a CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.base.cli import UserError, write_whole


class Setting(NamedTuple):
    """What measurements must share to be compared."""

    machine: str
    clock: str
    threads: int
    width: int
    judge: str  # a digest of the judge and of the recipes


class Measurement(NamedTuple):
    """One row of the table; fd is infinite where samples are not finite numbers."""

    setting: Setting
    contestant: str
    seed: int
    iterations: int
    seconds: float
    fd: float


COLUMNS = (*Setting._fields, *Measurement._fields[1:])


def read_table(path: Path) -> list[Measurement]:
    """The measurements made so far, of every setting."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [_measurement(row) for row in csv.DictReader(file)]
    except FileNotFoundError:
        return []
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{path}: not measurements of this benchmark; move it away") from None


def _measurement(row: Mapping[str, str]) -> Measurement:
    setting = Setting(
        row["machine"], row["clock"], int(row["threads"]), int(row["width"]), row["judge"]
    )
    seed, iterations = int(row["seed"]), int(row["iterations"])
    found = float(row["seconds"]), float(row["fd"])
    return Measurement(setting, row["contestant"], seed, iterations, *found)


def write_table(path: Path, measurements: Sequence[Measurement]) -> None:
    """Write all of them, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for setting, contestant, seed, iterations, seconds, fd in measurements:
        writer.writerow([*setting, contestant, seed, iterations, f"{seconds:.3f}", f"{fd:.5g}"])
    with write_whole(path) as file:
        file.write(text.getvalue().encode())


def curves_of(
    table: Sequence[Measurement], setting: Setting, names: Sequence[str], limit: float
) -> dict[tuple[str, int], list[tuple[float, float]]]:
    """Seconds and fd of one setting by contestant, in the order of `names`, and seed.

    A curve ends with its first measurement at or after the limit, where it has come so far.
    """
    curves: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for name in names:
        for row in table:
            if (row.setting, row.contestant) == (setting, name):
                curve = curves.setdefault((name, row.seed), [])
                if not curve or curve[-1][0] < limit:
                    curve.append((row.seconds, row.fd))
    return curves
