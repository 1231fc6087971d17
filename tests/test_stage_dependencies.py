"""No stage of dvc.yaml forgets code that it runs, or waits for code that it does not."""

import hashlib
import json
from pathlib import Path
from typing import Any

import grimp
import pathspec
import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent
STAGES: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"]


def place(module: str) -> str:
    """Where the code of a module lies, as a stage names it: a package of src, a room, a command."""
    package, *inside = module.split(".")
    if package != "pipeline":
        return f"src/{package}"
    room = Path("pipeline", inside[0])
    return str(room) if (ROOT / room).is_dir() else f"{room}.py"


def places(command: str) -> set[str]:
    """Where all that a command imports lies, however many imports away."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "src")
        graph = grimp.build_graph("pipeline", "dcgan", "ganverdict", cache_dir=None)
    # Every command reads the whole of params.yaml; a threshold changes the work of few.
    graph.remove_import(importer="pipeline.base.params", imported="ganverdict.thresholds")
    return {place(module) for module in graph.find_upstream_modules(command) | {command}}


@pytest.mark.parametrize("name", sorted(STAGES))
def test_a_stage_depends_on_the_code_that_it_runs(name: str) -> None:
    command = STAGES[name]["cmd"].removeprefix("python -m ")
    code = {wanted for wanted in STAGES[name]["deps"] if wanted.startswith(("pipeline/", "src/"))}
    assert code == places(command)


def test_the_verdict_s_words_make_only_those_look_again_that_tell_them() -> None:
    depends = [name for name, stage in STAGES.items() if "src/ganverdict" in stage["deps"]]
    assert depends == ["train", "evaluate", "export"]


def _code_of(lock: dict[str, Any]) -> dict[str, str]:
    """The hash by path of each dependency that is code."""
    return {
        dep["path"]: dep["md5"]
        for stage in lock["stages"].values()
        for dep in stage["deps"]
        if dep["path"].startswith(("src/", "pipeline/"))
    }


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _hash(path: str, ignored: "pathspec.PathSpec[Any]") -> str:
    """As DVC hashes a file, or the names and hashes of all files in a folder."""
    if (ROOT / path).is_file():
        return _md5((ROOT / path).read_bytes())
    files = sorted(
        file.relative_to(ROOT / path).as_posix()
        for file in (ROOT / path).rglob("*")
        if file.is_file() and not ignored.match_file(file.relative_to(ROOT))
    )
    listed = [{"md5": _md5((ROOT / path / file).read_bytes()), "relpath": file} for file in files]
    return _md5(json.dumps(listed, sort_keys=True).encode()) + ".dir"


def test_the_lock_names_the_code_that_is_here() -> None:
    """Else `dvc repro` would train anew in every clone, whatever has been pulled."""
    lines = (ROOT / ".dvcignore").read_text().splitlines()
    ignored = pathspec.PathSpec.from_lines("gitwildmatch", [*lines, "*.egg-info"])
    locked = _code_of(YAML(typ="safe", pure=True).load(ROOT / "dvc.lock"))
    assert locked == {path: _hash(path, ignored) for path in locked}
