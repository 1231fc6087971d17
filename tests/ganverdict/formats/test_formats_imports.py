"""Reading needs NumPy and the standard library; what is missing is named where it is needed."""

import subprocess
import sys
from pathlib import Path

import pytest

import ganverdict
from ganverdict.formats import ReadError, read

FOREIGN = ("torch", "pandas", "scipy", "mlflow", "pyarrow", "tensorboard", "matplotlib", "dcgan")


def test_only_numpy_is_imported() -> None:
    source = Path(ganverdict.__file__).parents[1]
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import ganverdict.formats;"
        f"print([name for name in {FOREIGN} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(source)], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["pyarrow.parquet", "mlflow"])
def test_a_missing_library_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1" + bytes(50) + b"PAR1")
    log = "mlflow:abc" if name == "mlflow" else str(path)
    with pytest.raises(ReadError, match=r"pip install (mlflow|pyarrow)"):
        read([log])
