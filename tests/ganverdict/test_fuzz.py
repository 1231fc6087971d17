"""Whatever a log holds, the command ends with 0, 1 or 2, one line for what it cannot read, soon.

A few examples in `make test`; `FAULTS=long python -m pytest tests/ganverdict/test_fuzz.py` tries
10,000, minutes of them.
"""

import json
import os
import pickle
import random
import re
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ganverdict.cli import main
from tests.faults.length import times
from tests.ganverdict.formats.series import series
from tests.ganverdict.formats.test_formats_golden import KINDS

# What NumPy warns of would stand among the command's own lines.
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

BEFORE: dict[str, int] = {}


def most_memory() -> int:
    """The most that this process has needed so far, KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.fixture(scope="module", autouse=True)
def _memory_before() -> None:
    BEFORE["all"] = most_memory()


SECONDS_OF_COMPUTING = 20  # a hang, and not a slow machine
SECONDS_OF_WAITING = 600
MEBIBYTE = 2**20
# Together 10,000 in the long form.
SETTINGS = settings(
    max_examples=times(25, 2500),
    deadline=None,
    database=None,
    phases=[Phase.generate],  # to shrink what is found takes many times as long as to find it
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
HUGE = [b"1e308", b"-1e308", b"1e400", b"nan", b"-inf", b"9" * 400, b"1e-320", b"0" * 5000, b"-0"]
HUGE += [
    b"1" + b"0" * 30,
    b"1.7976931348623157e308",
    b"",
    b"True",
    b"null",
    b"18446744073709551616",
]


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """The files of a log of each kind."""
    found = {}
    for name, kind in KINDS.items():
        folder = tmp_path_factory.mktemp(name)
        kind.write(folder, series())
        found[name] = sorted(path for path in folder.rglob("*") if path.is_file())
    return found


@contextmanager
def time_limit() -> Iterator[None]:
    """Fails what computes or waits for long."""

    def hangs(number: int, _: FrameType | None) -> None:
        raise AssertionError(f"{signal.Signals(number).name}: it hangs")

    before = {number: signal.signal(number, hangs) for number in (signal.SIGPROF, signal.SIGALRM)}
    signal.setitimer(signal.ITIMER_PROF, SECONDS_OF_COMPUTING)
    signal.setitimer(signal.ITIMER_REAL, SECONDS_OF_WAITING)
    try:
        yield
    finally:
        for timer in (signal.ITIMER_PROF, signal.ITIMER_REAL):
            signal.setitimer(timer, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def check(paths: list[Path], capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    """What holds for every log, in the command's own words."""
    with time_limit():
        status = main([*map(str, paths), *(["--json"] if as_json else [])])
    said = capsys.readouterr()
    if status == 2:
        assert said.out == ""
        assert said.err.startswith("error: ")
        assert said.err.count("\n") == 1
        assert said.err.endswith("\n")
    else:
        assert status in (0, 1)
        assert said.err == ""
        assert said.out
    # Names are other people's: nothing of them may speak to a terminal.
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", said.out + said.err)
    if as_json and status != 2:
        for line in said.out.splitlines():
            json.loads(line, parse_constant=_refused)


def _refused(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def changed(data: st.DataObject, logs: dict[str, list[Path]], folder: Path) -> tuple[Path, bytes]:
    """A file of a log copied with the log's other files, and the file's content."""
    name = data.draw(st.sampled_from(sorted(logs)))
    target = data.draw(st.sampled_from(logs[name]))
    inner = folder / name
    inner.mkdir(exist_ok=True)
    for path in logs[name]:
        (inner / path.name).write_bytes(path.read_bytes())
    return inner / target.name, target.read_bytes()[:10_000]


@SETTINGS
@given(data=st.data(), as_json=st.booleans())
def test_flipped_bytes(
    data: st.DataObject,
    as_json: bool,
    logs: dict[str, list[Path]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, content = changed(data, logs, tmp_path)
    altered = bytearray(content)
    for _ in range(data.draw(st.integers(1, 50))):
        altered[data.draw(st.integers(0, len(altered) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(altered)
    check([path.parent], capsys, as_json)


@SETTINGS
@given(data=st.data(), as_json=st.booleans())
def test_lines_cut_repeated_and_moved(
    data: st.DataObject,
    as_json: bool,
    logs: dict[str, list[Path]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, content = changed(data, logs, tmp_path)
    lines = content.splitlines(keepends=True)
    for _ in range(data.draw(st.integers(1, 12))):
        first, last = sorted(data.draw(st.integers(0, len(lines))) for _ in range(2))
        what = data.draw(st.sampled_from(["cut", "repeat", "move", "half", "turn"]))
        some = lines[first:last]
        if what == "cut" and len(some) < len(lines):
            del lines[first:last]
        elif what == "repeat" and len(lines) < 3000:
            lines[first:first] = some
        elif what == "move":
            lines = some + lines[:first] + lines[last:]
        elif what == "half" and first < len(lines):
            lines[first] = lines[first][: len(lines[first]) // 2]
        elif what == "turn":
            lines[first:last] = some[::-1]
    path.write_bytes(b"".join(lines))
    check([path], capsys, as_json)


@SETTINGS
@given(data=st.data(), as_json=st.booleans())
def test_huge_and_odd_numbers(
    data: st.DataObject,
    as_json: bool,
    logs: dict[str, list[Path]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, content = changed(data, logs, tmp_path)
    share = data.draw(st.sampled_from([0.002, 0.02, 0.5, 1.0]))
    rng = random.Random(data.draw(st.integers(0, 2**32)))
    values = data.draw(st.lists(st.sampled_from(HUGE), min_size=1, max_size=3))

    def odd(found: "re.Match[bytes]") -> bytes:
        return rng.choice(values) if rng.random() < share else found[0]

    path.write_bytes(re.sub(rb"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?", odd, content))
    check([path.parent], capsys, as_json)


@SETTINGS
@given(data=st.data(), as_json=st.booleans())
def test_columns_shuffled_and_with_names_of_any_kind(
    data: st.DataObject, as_json: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = series()
    rows = run.rows[:100]
    odd = st.text(max_size=40) | st.sampled_from(
        ["=HYPERLINK(1)", "__import__('os').system('x')", "\x1b]0;owned\x07fid", "<script>fid",
         "D" * 999, "../../fid", "%s%n fid", "{0.__class__} d_loss", "'; DROP TABLE fid",
         "d_loss\u202e"]
    )  # fmt: skip
    columns = {
        data.draw(odd | st.just("step")): list(rows),
        data.draw(odd | st.just("d_loss")): run.d_loss.tolist(),
        data.draw(odd | st.just("loss_G")): run.g_loss.tolist(),
        data.draw(odd | st.just("fid")): run.score_real.tolist(),
    }
    names = data.draw(st.permutations(list(columns)))
    separator = data.draw(st.sampled_from([",", ";", "\t", " | "]))
    encoding = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
    lines = [separator.join(names)]
    lines += [separator.join(f"{columns[name][row]}" for name in names) for row in rows]
    if data.draw(st.booleans()):
        records = [{name: columns[name][row] for name in names} for row in rows]
        lines = [json.dumps(record) for record in records]
    path = tmp_path / "log.txt"
    path.write_bytes("\n".join(lines).encode(encoding, "surrogatepass"))
    check([path], capsys, as_json)


def test_no_log_took_a_gigabyte() -> None:
    """After all that is above; what this process had needed before is not theirs."""
    assert (most_memory() - BEFORE["all"]) / 1024 < 1024


class Trap:
    """Leaves a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_nothing_is_unpickled_or_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trap, folder = tmp_path / "sprung", tmp_path / "run"
    folder.mkdir()
    (folder / "log.csv").write_text("step,d_loss,g_loss\n1,0.5,1.0\n2,0.5,1.0\n")
    content = pickle.dumps({"d_loss": Trap(trap)})
    for name in ("log.pkl", "stats.pt", "metrics.bin", "history", "fid.npy", "log.json"):
        (folder / name).write_bytes(content)
    for name in ("log.py", "sitecustomize.py", "run.sh"):
        (folder / name).write_text(f"#!/bin/sh\nopen({str(trap)!r}, 'w')\n")
        (folder / name).chmod(0o755)
    for path in [folder, *sorted(folder.iterdir())]:
        check([path], capsys, as_json=False)
    assert not trap.exists()
    pickle.loads(content)  # noqa: S301  # the trap is one
    assert trap.exists()


def test_links_out_of_a_folder_are_not_followed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "run"
    outside.mkdir()
    folder.mkdir()
    secret = "step,d_loss,g_loss\n" + "".join(f"{n},0.77,1.0\n" for n in range(500))
    (outside / "secret.csv").write_text(secret)
    (folder / "log.csv").symlink_to(outside / "secret.csv")
    (folder / "more").symlink_to(outside)
    (folder / "loop").symlink_to(folder)
    (folder / "device.csv").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.csv")
    with time_limit():
        assert main([str(folder)]) == 2
    assert "secret" not in capsys.readouterr().err
    (folder / "own.csv").write_text(secret.replace("0.77", "0.66"))
    with time_limit():
        assert main([str(folder), "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["files"] == [str(folder / "own.csv")]
