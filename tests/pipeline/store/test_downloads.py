import sys
from pathlib import Path

import pytest

from pipeline.store import downloads


def test_npm_that_is_not_installed_is_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="npm is not installed"):
        downloads.npm_tarball("package@1", tmp_path)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("npm warn old\nnpm error code E404\nnpm error A log is in X\n", "npm error code E404"),
        ("WARNING: slow\nERROR: No match\nERROR: Bye\n", "ERROR: No match"),
        ("Traceback:\n  File x\nOSError: no route\n\n", "OSError: no route"),
        ("", "exit status 3"),
    ],
)
def test_a_failed_commands_reason_is_the_line_that_tells(
    tmp_path: Path, said: str, reason: str
) -> None:
    code = f"import sys; sys.stderr.write({said!r}); sys.exit(3)"
    with pytest.raises(ValueError, match=f"^{reason}$"):
        downloads.call([sys.executable, "-c", code], tmp_path)


def test_a_command_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "DOWNLOAD_SECONDS", 0.2)
    with pytest.raises(ValueError, match="not done after"):
        downloads.call([sys.executable, "-c", "import time; time.sleep(600)"], tmp_path)


def test_a_download_of_no_or_two_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="left 0 files"):
        downloads.only_file(tmp_path, "*.whl")
    for name in ("a.whl", "b.whl"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match="left 2 files"):
        downloads.only_file(tmp_path, "*.whl")
