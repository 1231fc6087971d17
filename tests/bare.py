"""A Python that lacks all but torch, torchvision, NumPy, SciPy, PyYAML, matplotlib and theirs."""

import importlib.metadata
import re
from pathlib import Path

PACKAGES = ("torch", "torchvision", "numpy", "scipy", "pyyaml", "matplotlib")

_LACK = """
import re
import sys
from importlib.machinery import PathFinder

ALLOWED = {allowed!r}
INSTALLED = {installed!r}
KEPT = {kept!r}

class Bare(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        package = name.split(".")[0]
        if package in INSTALLED and package not in ALLOWED:
            return None
        return super().find_spec(name, path, target)

    @classmethod
    def find_distributions(cls, *context):  # torch asks for versions of what it would like to have
        for found in super().find_distributions(*context):
            if re.sub(r"[-_.]+", "-", found.name).lower() in KEPT:
                yield found

sys.meta_path[sys.meta_path.index(PathFinder)] = Bare
"""


def bare_path(folder: Path) -> str:
    """A PYTHONPATH by which a Python, and every one that it starts, finds nothing else."""
    installed = importlib.metadata.packages_distributions()
    kept = _required()
    allowed = {module for module, owners in installed.items() if kept & {_plain(o) for o in owners}}
    folder.mkdir(parents=True, exist_ok=True)
    text = _LACK.format(allowed=allowed, installed={*installed}, kept=kept)
    (folder / "sitecustomize.py").write_text(text, encoding="utf-8")
    return str(folder)


def _required() -> set[str]:
    """The packages and all that they require, extras apart."""
    waiting, found = [*PACKAGES], set()
    while waiting:
        name = _plain(waiting.pop())
        if name in found:
            continue
        try:
            required = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # of another system
        found.add(name)
        waiting += [re.split(r"[^\w.-]", text)[0] for text in required if "extra ==" not in text]
    return found


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
