"""What is wrong in a benchmark's command line is one line, before anything is measured."""

import importlib
import sys

import pytest

from benchmarks import command
from pipeline.base.cli import UserError


@pytest.mark.parametrize(
    ("name", "option", "value", "low"),
    [
        ("forms", "--rounds", "0", 1),
        ("learning_curves", "--workers", "0", 1),
        ("measuring", "--rounds", "0", 1),
        ("precision", "--seeds", "1", 2),
        ("processes", "--rounds", "x", 1),
        ("read_logs", "--rows", "0", 1),
        ("replay_search", "--replays", "0", 1),
        ("rollback", "--workers", "0", 1),
        ("validate_verdict", "--workers", "-1", 1),
        ("verdict", "--synthetic", "-3", 0),
    ],
)
def test_too_small_a_number_is_told(
    name: str, option: str, value: str, low: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module(f"benchmarks.{name}")
    monkeypatch.setattr(sys, "argv", [name, option, value])
    with pytest.raises(UserError) as ended:
        module.main()
    told = f"{value} must be a whole number of at least {low}; `python -m benchmarks.{name} --help`"
    assert f"{option}: {told}" in str(ended.value)
    assert "\n" not in str(ended.value)


def test_an_environment_without_tensorflow_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(SystemExit, match="make bench-keras"):
        command.need_tensorflow()
