import os
from pathlib import Path

import pytest

from pipeline.base.folders import folder_whole


def contents(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.iterdir()}


@pytest.mark.parametrize("older", [False, True])
def test_a_folder_appears_whole_and_replaces_what_was_there(tmp_path: Path, older: bool) -> None:
    path = tmp_path / "new" / "folder"
    if older:
        path.mkdir(parents=True)
        (path / "older").write_text("older")
    with folder_whole(path) as folder:
        (folder / "a").write_text("1")
        assert path.exists() == older
    assert contents(path) == {"a": "1"}
    assert path.stat().st_mode & 0o777 == 0o777 & ~umask()
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_a_failure_the_older_folder_stands_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    (path / "older").write_text("older")

    def fail() -> None:
        with folder_whole(path) as folder:
            (folder / "a").write_text("1")
            raise error

    with pytest.raises(error):
        fail()
    assert contents(path) == {"older": "older"}
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_to_a_folder_is_replaced_and_what_it_points_to_is_left(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "kept").write_text("kept")
    (tmp_path / "folder").symlink_to(tmp_path / "cache")
    with folder_whole(tmp_path / "folder") as folder:
        (folder / "a").write_text("1")
    assert contents(tmp_path / "folder") == {"a": "1"}
    assert contents(tmp_path / "cache") == {"kept": "kept"}


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
