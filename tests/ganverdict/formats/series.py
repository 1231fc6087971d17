"""One training's numbers, and the plain files that every other kind of log is compared with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ganverdict.formats import read
from ganverdict.log import Log

Floats = NDArray[np.float64]

EPOCHS, BATCHES = 12, 40


@dataclass(frozen=True)
class Series:
    """A run: 480 iterations in 12 epochs, each evaluated at its end. Rounded as prints are."""

    d_loss: Floats
    g_loss: Floats
    d_real: Floats
    d_fake: Floats
    score_real: Floats
    score_fake: Floats
    fid: Floats

    @property
    def rows(self) -> range:
        return range(len(self.d_loss))

    def evaluated(self) -> list[int]:
        """The last iteration of each epoch."""
        return [BATCHES * (epoch + 1) - 1 for epoch in range(EPOCHS)]


def series(seed: int = 0) -> Series:
    rng = np.random.default_rng(seed)
    count = EPOCHS * BATCHES

    def positive(level: float) -> Floats:
        return np.round(level * np.exp(0.3 * rng.standard_normal(count)), 4)

    d_loss, g_loss = positive(1.1), positive(0.9)
    return Series(
        d_loss,
        g_loss,
        np.round(rng.uniform(0.4, 0.9, count), 4),
        # A mean of -log D(G(z)) is at least that of the mean answer.
        np.round(np.exp(-g_loss / rng.uniform(1, 1.2, count)), 4).astype(np.float64),
        np.round(rng.normal(1, 2, count), 4),
        np.round(rng.normal(-1, 2, count), 4),
        np.round(200 * np.exp(-0.2 * np.arange(EPOCHS)) + rng.uniform(0, 5, EPOCHS), 3),
    )


def by_epoch(values: Floats) -> Floats:
    """The last value of each epoch, for logs that have a row an epoch."""
    return values[BATCHES - 1 :: BATCHES]


def write_csv(path: Path, columns: Mapping[str, Sequence[float] | Floats]) -> Path:
    rows = zip(*columns.values(), strict=True)
    lines = [",".join(columns), *(",".join(f"{value:.10g}" for value in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def plain(
    folder: Path,
    signals: dict[str, Floats],
    steps: Sequence[float] | Floats | range,
    fid: Floats | None = None,
    evaluated: Sequence[float] | None = None,
    unit: str = "step",
) -> Log:
    """The log that the same numbers give as steps.csv and epochs.csv."""
    folder.mkdir()
    files = []
    if signals:
        files.append(write_csv(folder / "steps.csv", {unit: list(steps), **signals}))
    if fid is not None and evaluated is not None:
        files.append(write_csv(folder / "epochs.csv", {unit: evaluated, "fid": fid}))
    (log,) = read(files)
    return log


def check_same(log: Log, expected: Log) -> None:
    """The same signals, at the same steps, and the same measure at the same steps."""
    assert log.pairs.keys() == expected.pairs.keys()
    for label, columns in expected.pairs.items():
        assert log.pairs[label].keys() == columns.keys()
        for name, column in columns.items():
            mine = log.pairs[label][name]
            np.testing.assert_array_equal(np.ma.getmaskarray(mine), np.ma.getmaskarray(column))
            np.testing.assert_allclose(mine.compressed(), column.compressed(), rtol=1e-6)
    assert (log.metric is None) == (expected.metric is None)
    if log.metric is not None and expected.metric is not None:
        measured = ~np.ma.getmaskarray(log.evaluations[log.metric])
        steps = log.evaluations["step"][measured]
        np.testing.assert_allclose(steps, expected.evaluations["step"], rtol=1e-6)
        values = log.evaluations[log.metric][measured]
        np.testing.assert_allclose(values, expected.evaluations[expected.metric], rtol=1e-6)
