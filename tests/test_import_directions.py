"""Who may know whom: `pipeline.<command>` -> `pipeline._helper` -> `dcgan`, never backwards."""

import ast
import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = {
    **{f"dcgan.{file.stem}": file for file in (ROOT / "src/dcgan").glob("*.py")},
    **{f"pipeline.{file.stem}": file for file in (ROOT / "pipeline").glob("*.py")},
}
MODULES = sorted(name for name in FILES if not name.endswith(".__init__"))
OF_DCGAN = [name for name in MODULES if name.startswith("dcgan.")]
OF_PIPELINE = [name for name in MODULES if name.startswith("pipeline.")]
COMMANDS = [name for name in OF_PIPELINE if not name.startswith("pipeline._")]
HELPERS = [name for name in OF_PIPELINE if name not in COMMANDS]

# The layers of dcgan: a module may import those of its own line and of the lines above.
LAYERS = (
    {"params", "row_products"},
    {"mnist", "layers", "losses", "averaging", "runtime", "metrics", "cusum", "quality"},
    {"networks", "batches", "alarms", "keras_weights"},
    {"sampling", "judge", "stability"},
    {"training"},
    {"measuring"},
)
NUMPY_ALONE = {"cusum", "alarms", "quality", "stability"}  # for anybody's training loop


def parsed(name: str) -> ast.Module:
    return ast.parse(FILES[name].read_text(encoding="utf-8"), filename=str(FILES[name]))


@functools.cache
def imported(name: str) -> frozenset[str]:
    """Full names of all that a module imports, wherever in it: `from a import b` gives a, a.b."""
    found: set[str] = set()
    for node in ast.walk(parsed(name)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: imports are absolute, so that they can be read here"
            assert node.module is not None
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            assert called not in ("__import__", "import_module"), f"{name}: imports by a name"
    return frozenset(found)


def packages(name: str) -> set[str]:
    return {module.split(".")[0] for module in imported(name)}


def test_there_is_something_to_check() -> None:
    assert {"dcgan.training", "dcgan.params", "pipeline.train", "pipeline.base.cli"} <= {*MODULES}
    assert "dcgan.training" in imported("pipeline.training.run")
    assert packages("dcgan.losses") == {"torch"}
    assert len(COMMANDS) >= 4


@pytest.mark.parametrize("name", OF_DCGAN)
def test_dcgan_knows_no_pipeline_no_tracker_no_search_and_no_pictures(name: str) -> None:
    standard = set(sys.stdlib_module_names)
    assert packages(name) - standard <= {"dcgan", "torch", "numpy"}


@pytest.mark.parametrize("name", OF_DCGAN)
def test_dcgan_does_not_speak(name: str) -> None:
    assert not imported(name) & {"sys", "logging", "warnings", "argparse"}
    calls = [node.func for node in ast.walk(parsed(name)) if isinstance(node, ast.Call)]
    called = {func.id for func in calls if isinstance(func, ast.Name)}
    assert not called & {"print", "input", "open", "exit"}


def test_every_module_of_dcgan_has_its_layer_and_imports_none_of_a_later_one() -> None:
    assert {name.removeprefix("dcgan.") for name in OF_DCGAN} == set().union(*LAYERS)
    later = set().union(*LAYERS)
    for layer in LAYERS:
        later -= layer
        for module in layer:
            known = {name.removeprefix("dcgan.") for name in imported(f"dcgan.{module}")}
            assert not known & later, module


def test_no_modules_of_dcgan_import_each_other_in_a_circle() -> None:
    left = {name: imported(name) & {*OF_DCGAN} for name in OF_DCGAN}
    while left:
        free = [name for name, needs in left.items() if not needs & {*left}]
        assert free, f"a circle among {sorted(left)}"
        for name in free:
            del left[name]


@pytest.mark.parametrize("name", sorted(NUMPY_ALONE))
def test_the_verdict_needs_numpy_alone(name: str) -> None:
    known = imported(f"dcgan.{name}")
    assert not packages(f"dcgan.{name}") & {"torch"}
    modules = {module.split(".")[1] for module in known if module.startswith("dcgan.")}
    assert modules <= NUMPY_ALONE | {"params"}


@pytest.mark.parametrize("name", OF_PIPELINE)
def test_nobody_imports_a_command(name: str) -> None:
    assert not imported(name) & {*COMMANDS}


@pytest.mark.parametrize(
    ("package", "homes"),
    [
        ("mlflow", {"_tracking", "_registry"}),
        ("matplotlib", {"_metrics", "_verdict_figure", "_tune_figures", "_seed_study_figures"}),
        ("optuna", {"_study"}),
    ],
)
def test_only_its_home_imports_a_package(package: str, homes: set[str]) -> None:
    importers = {name for name in MODULES if package in packages(name)}
    assert importers <= {f"pipeline.{home}" for home in homes}
    assert importers


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


BLOCKED = """
import importlib, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ImportError(f"{{name}} is blocked")

sys.meta_path.insert(0, Blocker())
for name in {modules!r}:
    importlib.import_module(name)
"""


def test_dcgan_can_be_imported_where_nothing_of_the_pipeline_is_installed() -> None:
    blocked = ["pipeline", "mlflow", "dvc", "optuna", "pydantic", "matplotlib", "scipy", "tqdm"]
    blocked += ["yaml", "ruamel", "safetensors", "onnx", "onnxruntime", "PIL", "filelock", "psutil"]
    code = BLOCKED.format(blocked=set(blocked), modules=OF_DCGAN)
    finished = run_python(code)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == ""
    # The blocker blocks: what is blocked and installed cannot be imported.
    refused = run_python(BLOCKED.format(blocked={"tqdm"}, modules=["tqdm"]))
    assert "tqdm is blocked" in refused.stderr


def test_the_verdict_can_be_imported_where_torch_is_not_installed() -> None:
    modules = [f"dcgan.{name}" for name in sorted(NUMPY_ALONE)]
    finished = run_python(BLOCKED.format(blocked={"torch"}, modules=modules))
    assert finished.returncode == 0, finished.stderr
