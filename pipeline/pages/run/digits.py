"""What a conditional generator draws when it is asked for a digit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganverdict.report import text_of
from pipeline.pages.images import picture


@dataclass(frozen=True, eq=False)
class Digits:
    """How well each digit is drawn.

    Attributes:
        rows: of each digit its metrics, see `dcgan.measuring.by_digit`.
        grid: uint8 [10, columns, 28, 28], a row for each digit, a column for each noise.
    """

    rows: Sequence[Mapping[str, float]]
    grid: NDArray[np.uint8]


def digits_asked_for(digits: Digits) -> str:
    """The ten rows, and how often and how well each digit came."""
    columns = digits.grid.shape[1]
    shown = picture(
        digits.grid.reshape(-1, *digits.grid.shape[2:]), columns, "a row of samples for each digit"
    )
    cells = "".join(
        f'<tr><td>{row["digit"]:g}</td><td class="number">{100 * row["as_asked"]:.1f} %</td>'
        f'<td>{text_of(_mixed_up(row))}</td><td class="number">{row["fd"]:.3g}</td>'
        f'<td class="number">{row["fd_test"]:.3g}</td></tr>'
        for row in digits.rows
    )
    return (
        f"<figure>{shown}<figcaption>A row for each digit, not selected; a column is one noise."
        '</figcaption></figure><div class="scroll" tabindex="0"><table><thead><tr><th>digit</th>'
        '<th class="number">read as asked</th><th>else mostly</th><th class="number">fd</th>'
        f'<th class="number">test digits</th></tr></thead><tbody>{cells}</tbody></table></div>'
        "<p>fd within the digit: its samples against the training digits of its kind, and the same "
        "of test digits.</p>"
    )


def _mixed_up(row: Mapping[str, float]) -> str:
    """The digit that it is most often taken for."""
    others = {other: row[f"read_{other}"] for other in range(10) if other != row["digit"]}
    most = max(others, key=lambda other: others[other])
    return f"{most} ({100 * others[most]:.1f} %)" if others[most] else ""
