"""A full disk at every stage: one line, nothing half-written, and with room the stage goes on."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import evaluate, export, fetch, generate, judge, train
from tests.commands import enter, status_of
from tests.faults.disks import filled, small_disk
from tests.faults.length import times
from tests.project import Project

pytestmark = pytest.mark.slow

OUTPUTS = {
    "fetch": (fetch.main, "data"),
    "judge": (judge.main, "models/judge.safetensors"),
    "train": (train.main, "models/generator_best.safetensors"),
    "evaluate": (evaluate.main, "reports/plots"),
    "export": (export.main, "export"),
    "generate": (generate.main, "digits.png"),
}
# Bytes left: for nothing at all, for a folder, and so on until most of the files fit.
LEFT = [0, 60_000, 500_000, 4_000, 12_000, 150_000, 250_000, 800_000, 1_200_000, 2_000_000]


def test_every_stage_ends_in_one_line_leaves_nothing_and_goes_on_with_room(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    attacked: Callable[[int, str], None],
) -> None:
    with small_disk(tmp_path / "disk", 64) as disk:
        folder = Project(disk / "clone").folder
        enter(folder, monkeypatch)
        for name, (command, output) in OUTPUTS.items():
            failures = 0
            for left in LEFT[: times(3, len(LEFT))]:
                with filled(disk, left):
                    before = everything(folder)
                    status = status_of(command)
                    said = capsys.readouterr()
                    error = said.err.splitlines()[-1:]
                    if status:
                        failures += 1
                        assert status == 1, name
                        assert error[0].startswith("error: "), name
                        assert "No space left on device" in error[0], name
                        assert said.err.count("error: ") == 1, name
                        assert "Traceback" not in said.err, name
                    assert half_written(before, everything(folder)) == set(), name
                if not status:
                    remove(folder / output)
            assert failures, name
            assert status_of(command) == 0, capsys.readouterr().err
            assert (folder / output).exists(), name
            attacked(failures, f"full disks under {name}")
            capsys.readouterr()
        monkeypatch.chdir(tmp_path)


def everything(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if ".git" not in path.parts}


def half_written(before: set[Path], after: set[Path]) -> set[Path]:
    new = after - before
    empty = {path for path in new if path.is_file() and not path.stat().st_size}
    locks = {path for path in new if "lock" in path.name}
    return {path for path in new if ".partial" in path.name} | (empty - locks)


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def test_the_line_names_what_was_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with small_disk(tmp_path / "disk", 16) as disk:
        folder = Project(disk / "clone").folder
        enter(folder, monkeypatch)
        with filled(disk):
            assert status_of(fetch.main) == 1
            assert capsys.readouterr().err.startswith("error: data")
        monkeypatch.chdir(tmp_path)
