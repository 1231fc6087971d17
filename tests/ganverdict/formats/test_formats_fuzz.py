"""Whatever is done to a log, reading it gives logs or ReadError, and soon."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ganverdict.formats import ReadError, describe, read
from ganverdict.log import Log
from ganverdict.signals import SIGNALS
from tests.ganverdict.formats.series import series
from tests.ganverdict.formats.test_formats_golden import KINDS

SETTINGS = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One file of each kind."""
    found = []
    for name, kind in KINDS.items():
        folder = tmp_path_factory.mktemp(name)
        kind.write(folder, series())
        found.append(max((p for p in folder.rglob("*") if p.is_file()), key=_size))
    return found


def _size(path: Path) -> int:
    return path.stat().st_size


def check_whole(log: Log) -> None:
    """What every log holds, whatever it was read from."""
    for columns in log.pairs.values():
        steps = columns["step"]
        assert not np.ma.is_masked(steps)
        assert np.all(np.diff(steps.data) > 0)
        assert set(columns) <= {"step", *SIGNALS}
        assert {len(column) for column in columns.values()} == {len(steps)}
    if log.evaluations:
        assert np.all(np.diff(log.evaluations["step"].data) > 0)
        assert len({len(column) for column in log.evaluations.values()}) == 1
    assert log.metric is None or log.metric in log.evaluations
    assert "\n" not in "".join(log.notes)
    describe(log)


def read_anything(path: Path) -> None:
    try:
        logs = read([path])
    except ReadError as error:
        logs, message = [], str(error)
    else:
        assert logs
        message = ""
    assert "\n" not in message
    for log in logs:
        check_whole(log)


@SETTINGS
@given(data=st.data())
def test_flipped_bytes(data: st.DataObject, files: list[Path], tmp_path: Path) -> None:
    path = data.draw(st.sampled_from(files))
    content = bytearray(path.read_bytes()[:20_000])
    for _ in range(data.draw(st.integers(1, 30))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    changed = tmp_path / path.name
    changed.write_bytes(content)
    read_anything(changed)


@SETTINGS
@given(data=st.data())
def test_lines_cut_repeated_and_shuffled(
    data: st.DataObject, files: list[Path], tmp_path: Path
) -> None:
    path = data.draw(st.sampled_from(files))
    lines = path.read_bytes()[:20_000].splitlines(keepends=True)
    rng = random.Random(data.draw(st.integers(0, 2**32)))
    for _ in range(data.draw(st.integers(1, 20))):
        at = rng.randrange(len(lines))
        what = rng.randrange(5)
        if what == 0:
            lines[at] = lines[at][: rng.randrange(len(lines[at]) + 1)]
        elif what == 1:
            lines.insert(at, lines[rng.randrange(len(lines))])
        elif what == 2:
            lines[at] = b"".join(
                rng.sample([lines[at][i : i + 1] for i in range(len(lines[at]))], len(lines[at]))
            )
        elif what == 3:
            rest = lines[at:]
            rng.shuffle(rest)
            lines[at:] = rest
        else:
            lines = lines[:at] + lines[at // 2 :]
            lines = lines[:2000]
    changed = tmp_path / path.name
    changed.write_bytes(b"".join(lines))
    read_anything(changed)


@SETTINGS
@given(data=st.data())
def test_columns_shuffled_give_the_same(data: st.DataObject, tmp_path: Path) -> None:
    run = series()
    columns = {
        "step": np.asarray(run.rows),
        "d_loss": run.d_loss,
        "g_loss": run.g_loss,
        "fid": run.score_real,
        "lr": run.d_fake,
    }
    names = data.draw(st.permutations(list(columns)))
    rows = [",".join(f"{columns[name][row]}" for name in names) for row in run.rows]
    path = tmp_path / "a.csv"
    path.write_text("\n".join([",".join(names), *rows]))
    (log,) = read([path])
    np.testing.assert_array_equal(log.pairs[""]["d_loss"].data, run.d_loss)
    np.testing.assert_array_equal(log.evaluations["fid"].data, run.score_real)


TOKENS = st.sampled_from(
    [
        "step", "epoch", "d_loss", "g_loss", "D(x)", "fid", "Loss", "D", "G", "[", "]", "/", ":",
        "=", ",", ";", "|", " ", "  ", "\t", "\n", "\r", "\x1b[0m", "1", "2.5", "-3", "1e400",
        "nan", "inf", "{", "}", '"', "'", "(", ")", "%", "value", "tag", "#", "0", "12:00:01",
        "\0", "\ufeff", "é", "1,000", "true", "null", "Wall time", "__MIN", " - ", "iter", "kimg",
    ]
)  # fmt: skip


@settings(SETTINGS, max_examples=300)
@given(tokens=st.lists(TOKENS, max_size=120))
def test_any_text(tokens: list[str], tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("".join(tokens))
    read_anything(path)


@SETTINGS
@given(data=st.binary(max_size=3000))
def test_any_bytes(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(data)
    read_anything(path)
