"""ganverdict as a distribution of its own: a wheel that needs NumPy and nothing else."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src/ganverdict"
# What the package reads at run time: its code, the page's style and script, the answer's schema.
KINDS = ("*.py", "*.css", "*.js", "*.schema.json", "py.typed")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built as `pip install ./src/ganverdict` builds it, by the installed tools, offline."""
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    command = [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(folder)]
    subprocess.run([*command, str(SOURCE)], check=True, timeout=300)
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built)


def text(wheel: zipfile.ZipFile, ending: str) -> str:
    (name,) = (name for name in wheel.namelist() if name.endswith(ending))
    return wheel.read(name).decode()


def metadata(wheel: zipfile.ZipFile) -> Message:
    return Parser().parsestr(text(wheel, ".dist-info/METADATA"))


def test_it_holds_what_the_package_reads_and_no_other_file(wheel: zipfile.ZipFile) -> None:
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    sources = {file for kind in KINDS for file in SOURCE.rglob(kind)}
    assert packed == {f"ganverdict/{file.relative_to(SOURCE)}" for file in sources}
    assert text(wheel, "/LICENSE") == (ROOT / "LICENSE").read_text()


def test_it_needs_numpy_alone_unless_an_extra_is_asked_for(wheel: zipfile.ZipFile) -> None:
    wanted = metadata(wheel).get_all("Requires-Dist") or []
    assert [line for line in wanted if "extra ==" not in line] == ["numpy>=2"]
    extras = {"plot", "report", "parquet", "mlflow", "lightning", "keras"}
    assert set(metadata(wheel).get_all("Provides-Extra") or []) == extras


def test_its_command_runs_where_numpy_alone_is_installed(
    wheel: zipfile.ZipFile, tmp_path: Path
) -> None:
    site, log = tmp_path / "site", tmp_path / "log.csv"
    wheel.extractall(site)
    (site / "numpy").symlink_to(Path(np.__file__).parent)
    libraries = Path(sysconfig.get_path("purelib")) / "numpy.libs"  # beside NumPy in its wheels
    if libraries.exists():
        (site / libraries.name).symlink_to(libraries)
    log.write_text("step,d_loss,g_loss\n" + "".join(f"{i},0.69,0.69\n" for i in range(1, 201)))
    # What the console script does, without the environment's site-packages (-S).
    module, function = text(wheel, "entry_points.txt").split("=")[1].strip().split(":")
    code = f"import sys; from {module} import {function}; sys.exit({function}())"
    environment = {**os.environ, "PYTHONPATH": str(site)}
    for start in (["-m", "ganverdict"], ["-c", code]):
        command = [sys.executable, "-S", *start, str(log)]
        finished = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )
        assert finished.returncode in (0, 1), finished.stderr  # 1: it went wrong
        assert finished.stdout
        assert "Traceback" not in finished.stderr
