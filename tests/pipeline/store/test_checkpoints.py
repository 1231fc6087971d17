import dataclasses
import shutil
from pathlib import Path
from typing import Any

import filelock
import pytest

import dcgan
from pipeline.base.cli import UserError
from pipeline.base.params import Params
from pipeline.store import checkpoints
from pipeline.store.checkpoints import Checkpoints, run_hash
from tests.searches import SHIPPED
from tests.small import CPU


@pytest.fixture
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The weights of a judge; checkpoints and a copy of the code beside them."""
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", tmp_path / "checkpoints")
    package = shutil.copytree(Path(dcgan.__file__).parent, tmp_path / "dcgan")
    monkeypatch.setattr(dcgan, "__file__", str(package / "__init__.py"))
    (tmp_path / "judge").write_bytes(b"judge")
    return tmp_path / "judge"


def changed(section: str, **values: Any) -> Params:
    part = dataclasses.replace(getattr(SHIPPED, section), **values)
    return dataclasses.replace(SHIPPED, **{section: part})


def test_what_changes_a_bit_of_a_run_changes_its_name(judge: Path) -> None:
    def name(params: Params = SHIPPED, data: str = "data") -> str:
        return run_hash(params, CPU, data, judge)

    package, names = judge.parent / "dcgan", [name()]
    assert name() == names[0]
    names.append(name(changed("train", lr_g=0.1)))
    names.append(name(changed("measure", num_training_samples=7)))
    names.append(name(data="other"))
    for file in sorted(package.rglob("*.py")):
        file.write_text(file.read_text() + "# another word\n")
        names.append(name())
    (package / "deeper").mkdir()
    (package / "deeper" / "new.py").touch()
    names.append(name())
    judge.write_bytes(b"another")
    names.append(name())
    assert len(set(names)) == len(names) > 10


def test_what_is_concluded_from_a_run_or_done_with_it_does_not_change_its_name(judge: Path) -> None:
    """A word of the verdict or one of its thresholds trains nothing anew."""
    before = run_hash(SHIPPED, CPU, "data", judge)
    for params in (
        changed("stability", window=20),
        changed("tune", trials=3),
        changed("judge", epochs=9),  # its weights count, not how they came about
        changed("data", path="elsewhere"),
    ):
        assert run_hash(params, CPU, "data", judge) == before
    assert "ganverdict" not in {folder.name for folder in judge.parent.rglob("*")}


def test_a_run_is_of_one_process_at_a_time_and_free_at_the_end_of_the_block(
    judge: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locks: list[filelock.FileLock] = []

    def lock(path: Path) -> filelock.FileLock:
        locks.append(filelock.FileLock(path))
        return locks[-1]

    monkeypatch.setattr(checkpoints, "FileLock", lock)
    with Checkpoints("a").alone():
        with pytest.raises(UserError, match="is training this very run"), Checkpoints("a").alone():
            pass
        with Checkpoints("b").alone():
            pass
    assert len(locks) == 3  # kept here, so that no destructor can have freed them
    assert not any(lock.is_locked for lock in locks)
