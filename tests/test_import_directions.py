"""What import-linter's contracts in pyproject.toml cannot say: what dcgan and ganverdict need."""

import ast
import functools
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parent.parent
STANDARD = frozenset(sys.stdlib_module_names)


def names(root: Path, package: str) -> dict[str, Path]:
    """All modules of a package, and their files."""
    files = sorted((root / package).rglob("*.py"))
    parts = [file.relative_to(root).with_suffix("").parts for file in files]
    return {
        ".".join(part for part in path if part != "__init__"): file
        for path, file in zip(parts, files, strict=True)
    }


OF_DCGAN = names(ROOT / "src", "dcgan")
OF_GANVERDICT = names(ROOT / "src", "ganverdict")
OF_PIPELINE = names(ROOT, "pipeline")
FILES = OF_DCGAN | OF_GANVERDICT | OF_PIPELINE
DISTRIBUTION = tomllib.loads((ROOT / "src/ganverdict/pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = DISTRIBUTION["project"]["optional-dependencies"]
OPTIONAL = {re.split(r"[^\w.-]", wanted)[0] for extra in EXTRAS.values() for wanted in extra}


@functools.cache
def graph() -> grimp.ImportGraph:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "src")
        return grimp.build_graph(
            "dcgan", "ganverdict", include_external_packages=True, cache_dir=None
        )


def packages(name: str) -> set[str]:
    """What a module imports, wherever in it, by the name of the package; no standard library."""
    imported = graph().find_modules_directly_imported_by(name) | by_name(name)
    return {module.split(".")[0] for module in imported} - STANDARD


def parsed(name: str) -> ast.Module:
    return ast.parse(FILES[name].read_text(encoding="utf-8"), filename=str(FILES[name]))


def by_name(name: str) -> set[str]:
    """What a module imports by `importlib.import_module("...")`, which the graph does not see."""
    found = set()
    for node in ast.walk(parsed(name)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            assert called != "__import__", name
            if called == "import_module":
                (module,) = node.args
                assert isinstance(module, ast.Constant), f"{name}: nobody can read what it imports"
                found.add(str(module.value))
    return found


def test_there_is_something_to_check() -> None:
    assert {"dcgan.training", "dcgan.params", "dcgan"} <= {*OF_DCGAN}
    assert {"ganverdict.monitor", "ganverdict.thresholds", "ganverdict"} <= {*OF_GANVERDICT}
    assert packages("dcgan.losses") == {"torch"}
    assert "matplotlib" in OPTIONAL


@pytest.mark.parametrize("name", OF_DCGAN)
def test_dcgan_needs_torch_and_numpy_alone(name: str) -> None:
    assert packages(name) <= {"dcgan", "torch", "numpy"}


@pytest.mark.parametrize("name", OF_DCGAN)
def test_dcgan_does_not_speak(name: str) -> None:
    imported = graph().find_modules_directly_imported_by(name)
    assert not imported & {"sys", "logging", "warnings", "argparse"}
    calls = [node.func for node in ast.walk(parsed(name)) if isinstance(node, ast.Call)]
    called = {func.id for func in calls if isinstance(func, ast.Name)}
    assert not called & {"print", "input", "open", "exit"}


@pytest.mark.parametrize("name", [*OF_DCGAN, *OF_PIPELINE])
def test_nothing_is_imported_by_a_name_which_the_contracts_do_not_see(name: str) -> None:
    assert not by_name(name)


@pytest.mark.parametrize("name", OF_GANVERDICT)
def test_ganverdict_needs_numpy_and_what_its_extras_bring(name: str) -> None:
    assert packages(name) <= {"ganverdict", "numpy"} | OPTIONAL


@pytest.mark.parametrize("package", sorted(OPTIONAL))
def test_a_package_of_an_extra_is_imported_by_one_module_of_ganverdict(package: str) -> None:
    assert len([name for name in OF_GANVERDICT if package in packages(name)]) <= 1


def run_python(code: str) -> "subprocess.CompletedProcess[str]":
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


IMPORTS = """
import importlib, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        package = name.split(".")[0]
        if {condition}:
            raise ImportError(f"{{name}} is blocked")

sys.meta_path.insert(0, Blocker())
for name in {modules!r}:
    importlib.import_module(name)
"""


def test_dcgan_can_be_imported_where_nothing_of_the_pipeline_is_installed() -> None:
    blocked = {"pipeline", "ganverdict", "mlflow", "dvc", "optuna", "pydantic", "matplotlib"}
    blocked |= {"scipy", "tqdm", "yaml", "ruamel", "safetensors", "onnx", "onnxruntime", "PIL"}
    blocked |= {"filelock", "psutil"}
    code = IMPORTS.format(condition=f"package in {blocked!r}", modules=[*OF_DCGAN])
    finished = run_python(code)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == ""
    # The blocker blocks: what is blocked and installed cannot be imported.
    refused = run_python(IMPORTS.format(condition="package == 'tqdm'", modules=["tqdm"]))
    assert "tqdm is blocked" in refused.stderr


def test_ganverdict_can_be_imported_where_nothing_but_numpy_is_installed() -> None:
    modules = [name for name in OF_GANVERDICT if not packages(name) & OPTIONAL]
    allowed = "package not in {'numpy', 'ganverdict', *sys.stdlib_module_names}"
    finished = run_python(IMPORTS.format(condition=allowed, modules=modules))
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == ""
