import shutil
import time
from pathlib import Path

import pytest

from pipeline.base.cli import UserError
from pipeline.tracking.outbox import Outbox


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run"


def test_entries_come_in_the_order_in_which_they_were_put(folder: Path) -> None:
    for n in range(20):
        Outbox(folder).put("x", n=n)  # as if each came from a process of its own
    assert [entry["n"] for entry, _ in Outbox(folder).entries()] == list(range(20))
    assert len(Outbox(folder)) == 0


def test_a_clock_that_is_set_back_changes_no_order(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([5000, 4000, 4000, 6000, 10])
    monkeypatch.setattr(time, "time_ns", lambda: next(times))
    for n in range(5):
        Outbox(folder).put("x", n=n)
    assert [entry["n"] for entry, _ in Outbox(folder).entries()] == list(range(5))


def test_kind_values_and_files_arrive_as_they_were_put(folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"before")
    Outbox(folder).put("picture", {"a.png": source}, step=3, names=["x", "y"])
    source.write_bytes(b"after")
    ((entry, files),) = (
        (entry, {file.name: file.read_bytes() for file in place.iterdir()})
        for entry, place in Outbox(folder).entries()
    )
    assert entry == {"kind": "picture", "step": 3, "names": ["x", "y"]}
    assert files["a.png"] == b"before"


def test_an_entry_that_cannot_be_written_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    outbox = Outbox(folder)
    with pytest.raises(FileNotFoundError):
        outbox.put("x", {"there": Path(__file__), "missing": tmp_path / "missing"})
    with pytest.raises(TypeError):
        outbox.put("x", value=object())
    assert list(folder.iterdir()) == []


def test_an_entry_that_was_not_dealt_with_comes_first_again(folder: Path) -> None:
    outbox = Outbox(folder)
    for n in range(3):
        outbox.put("x", n=n)
    for entry, _ in outbox.entries():
        if entry["n"] == 1:
            break
    assert len(outbox) == 2
    assert [entry["n"] for entry, _ in outbox.entries()] == [1, 2]


def test_a_kill_while_an_entry_is_removed_leaves_no_half_entry(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = Outbox(folder)
    for n in range(2):
        outbox.put("x", {"file": Path(__file__)}, n=n)

    def killed(place: Path) -> None:
        (place / "entry.json").unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        list(outbox.entries())
    monkeypatch.undo()
    assert [entry["n"] for entry, _ in outbox.entries()] == [1]
    assert list(folder.iterdir()) == []


def test_what_is_put_while_others_are_sent_waits_for_the_next_time(folder: Path) -> None:
    outbox = Outbox(folder)
    outbox.put("x", n=0)
    for _ in outbox.entries():
        outbox.put("x", n=1)
    assert [entry["n"] for entry, _ in outbox.entries()] == [1]


@pytest.mark.parametrize("content", [None, b"", b'{"kind": "x"', b"\xff", b"[]"])
def test_a_damaged_entry_is_named_in_one_line_and_nothing_after_it_is_lost(
    folder: Path, content: bytes | None
) -> None:
    outbox = Outbox(folder)
    for n in range(3):
        outbox.put("x", n=n)
    damaged = sorted(folder.glob("[0-9]*"))[1]
    (damaged / "entry.json").unlink()
    if content is not None:
        (damaged / "entry.json").write_bytes(content)
    with pytest.raises(UserError) as caught:
        list(outbox.entries())
    assert str(caught.value).startswith(f"{damaged}: damaged; delete it")
    assert "\n" not in str(caught.value)
    assert len(outbox) == 2
    shutil.rmtree(damaged)
    assert [entry["n"] for entry, _ in outbox.entries()] == [2]
