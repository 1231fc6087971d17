import shutil
import subprocess
from pathlib import Path

from tests.project import REPOSITORY


def test_a_clone_that_wants_other_line_ends_has_the_same_bytes(tmp_path: Path) -> None:
    """DVC would take every file for changed, and train anew."""
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    origin.mkdir()
    picture = next(REPOSITORY.glob("docs/**/*.png"))
    for file in (".gitattributes", "dvc.yaml", "pipeline/train.py", picture):
        shutil.copy(REPOSITORY / file, origin)
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    for command in (
        ["init", "--quiet"],
        ["add", "--all"],
        [*identity, "commit", "--quiet", "--message", "start"],
        ["clone", "--quiet", "--config", "core.autocrlf=true", str(origin), str(clone)],
    ):
        subprocess.run(["git", *command], cwd=origin, check=True)
    files = [file for file in origin.iterdir() if file.is_file()]
    assert len(files) == 4
    for file in files:
        assert (clone / file.name).read_bytes() == file.read_bytes(), file.name
