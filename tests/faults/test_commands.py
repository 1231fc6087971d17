"""Parameters and command lines that cannot be: status 2, one line naming what is wrong."""

import math
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from pipeline import evaluate, export, fetch, generate, judge, recipe, stop, sync, train, tune
from pipeline.base.cli import read_yaml
from tests.commands import enter, refusal, status_of
from tests.faults.length import times
from tests.project import REPOSITORY

FILE = Path("params.yaml")
TEXT = (REPOSITORY / FILE).read_text()
VALUES = read_yaml(REPOSITORY / FILE)
FOLDERS = (("data", "path"), ("runtime", "checkpoints"))  # may be called almost anything
KEYS = [
    (section, key)
    for section, values in VALUES.items()
    for key, value in values.items()
    if not isinstance(value, dict) and (section, key) not in FOLDERS
]
# As they may stand in the file. None is right for any key but a folder's name.
WRONG = [
    ".nan", "-.inf", "1e999", "-1", "99999999999999999999999", "0x" + "f" * 5000, "1e-400-", "''",
    "[1, 2]", "[]", "{a: 1}", "{}", "2026-01-01", "!!python/object/apply:os.system [id]",
    "!!binary aGk=", "!x 1", "&a [*a]", "*nowhere", "!!set {1}", "'\\0'", '"\\u2028"', "01:30",
    "~", "yes please", "- 1", "@", "%", "\t1", "'", "{", "|\n      text", "? 1",
]  # fmt: skip
STAGES = (judge, train, evaluate, export, tune)
QUIET = [HealthCheck.function_scoped_fixture]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project with nothing but parameters."""
    enter(tmp_path, monkeypatch)
    FILE.write_text(TEXT)


@settings(max_examples=times(60, 600), suppress_health_check=QUIET)
@given(st.sampled_from(KEYS), st.sampled_from(WRONG), st.sampled_from(STAGES))
def test_a_wrong_value_of_any_key_is_one_line_in_every_command(
    capsys: pytest.CaptureFixture[str], where: tuple[str, str], wrong: str, stage: Any
) -> None:
    refuses(capsys, where, wrong, stage)


@pytest.mark.parametrize("wrong", ["[1, 2]", "{a: 1}", "-1", ".nan", "~", "2026-01-01"])
def test_what_is_no_name_of_a_folder_for_checkpoints_is_one_line(
    capsys: pytest.CaptureFixture[str], wrong: str
) -> None:
    refuses(capsys, ("runtime", "checkpoints"), wrong, train)


def refuses(
    capsys: pytest.CaptureFixture[str], where: tuple[str, str], wrong: str, stage: Any
) -> None:
    section, key = where
    lines, inside = TEXT.splitlines(), False
    for number, line in enumerate(lines):
        inside = line.startswith(f"{section}:") or (inside and line[:1] in (" ", ""))
        if inside and line.startswith(f"  {key}:"):
            lines[number] = f"  {key}: {wrong}"
    FILE.write_text("\n".join(lines))
    said = refusal(capsys, stage.main, status=2)
    assert said.startswith("error: params.yaml: ")
    assert f"{section}.{key}" in said or "not YAML" in said


@settings(max_examples=times(30, 300), suppress_health_check=QUIET)
@given(st.text(max_size=60) | st.sampled_from(WRONG), st.integers(0, len(TEXT)))
def test_a_file_with_anything_written_into_it_is_never_a_traceback(
    capsys: pytest.CaptureFixture[str], text: str, position: int
) -> None:
    FILE.write_bytes((TEXT[:position] + text + TEXT[position:]).encode("utf-8", "surrogatepass"))
    status = status_of(export.main)  # with right parameters, it finds no generator
    errors = capsys.readouterr().err
    assert status in (1, 2)
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1


@settings(max_examples=times(20, 100), suppress_health_check=QUIET)
@given(st.sets(st.sampled_from(KEYS), min_size=1, max_size=5), st.booleans())
def test_missing_and_renamed_keys_are_named(
    capsys: pytest.CaptureFixture[str], gone: set[tuple[str, str]], renamed: bool
) -> None:
    values = read_yaml(REPOSITORY / FILE)
    for section, key in gone:
        value = values[section].pop(key)
        if renamed:
            values[section][f"{key}_"] = value
    with FILE.open("w") as file:
        YAML(typ="safe", pure=True).dump(values, file)
    said = refusal(capsys, train.main, status=2)
    assert any(f"{section}.{key}" in said for section, key in gone)


def at_least_one(text: str) -> bool:
    """Whether a text is a number from 1 on."""
    try:
        return 1 <= float(text) < math.inf
    except ValueError:
        return False


OPTIONS = {
    tune: ("--trials", "--timeout", "--workers", "--study", "--seed"),
    stop: ("--steps-per-epoch", "--map"),
    generate: ("--num", "--seed", "--grid", "--frames", "--format"),
}
NONSENSE = st.sampled_from(
    ["", "x", "-1", "1.5", "nan", "1e3", "9" * 40, "../../x", "a/b", "=", "\n"]
)


@settings(max_examples=times(60, 600), suppress_health_check=QUIET)
@example((tune, "--study"), "\n")  # an error that quotes it stays one line
@example((stop, "--map"), ";=")  # a name without a letter
@given(
    st.sampled_from([(command, name) for command, names in OPTIONS.items() for name in names]),
    NONSENSE | st.text("xyz;$'\"\\/ -=", min_size=1, max_size=20),
)
def test_a_wrong_option_is_one_line_that_names_it(
    capsys: pytest.CaptureFixture[str], option: tuple[Any, str], value: str
) -> None:
    command, name = option
    good = {
        "--seed": value.isdecimal() and len(value) < 19,
        "--study": bool(re.fullmatch(r"[\w.-]+", value)),
        "--timeout": bool(re.fullmatch(r"\d+(\.\d+)?", value)),
        "--steps-per-epoch": at_least_one(value),
    }
    # Python 3.11 drops a value of "--".
    if value == "--" or good.get(name):
        return
    steps = ["steps.csv"] if command is stop else []
    said = refusal(capsys, command.main, *steps, f"{name}={value}", status=2)
    assert name in said


@pytest.mark.parametrize("command", [*STAGES, fetch, generate, recipe, stop, sync])
@pytest.mark.parametrize("line", ["--nonsense", "one two three four", "-x", "--help=3"])
def test_a_wrong_command_line_is_one_line(
    capsys: pytest.CaptureFixture[str], command: Any, line: str
) -> None:
    assert "--help" in refusal(capsys, command.main, *shlex.split(line), status=2)


@pytest.mark.parametrize("out", [".", "", "/proc/x.json", "/proc/x/y.json", "a" * 300, "/dev/full"])
def test_a_file_that_cannot_be_written_is_one_line(
    capsys: pytest.CaptureFixture[str], out: str
) -> None:
    logs = str(REPOSITORY / "tests/recorded/rate_steps.csv")
    said = refusal(capsys, stop.main, logs, "--out", out)
    assert "/proc/" in said if out.startswith("/proc/") else (out or ".") in said


def test_a_device_is_written_to_and_not_replaced() -> None:
    logs = str(REPOSITORY / "tests/recorded/rate_steps.csv")
    assert status_of(stop.main, logs, "--out", "/dev/null") == 0
    assert Path("/dev/null").is_char_device()


def test_how_much_was_generated(attacked: Callable[[int, str], None]) -> None:
    attacked(times(60, 600) + times(30, 300) + times(20, 100), "spoiled params.yaml")
    attacked(times(60, 600), "wrong options")
