"""Checkpoints at a place that two machines reach: a folder, and a real S3 server."""

import dataclasses
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dcgan.judge import Judge
from dcgan.measuring import Meter, reference
from pipeline.base.cli import UserError
from pipeline.base.params import flat
from pipeline.store import checkpoints
from pipeline.store.checkpoints import Checkpoints, check_place, run_hash
from pipeline.store.place import AwayError
from pipeline.store.shared import TakenOverError
from pipeline.training import run as training_run
from pipeline.training.run import TrainingRun
from tests.s3 import BUCKET, S3, s3
from tests.searches import SHIPPED
from tests.small import CPU, FP32, MEASURE, digits, same, train_params

DATA = digits(train=200, test=120)
JUDGE = Judge().eval()
METER = Meter(JUDGE, reference(JUDGE, DATA, MEASURE), MEASURE)
EPOCHS, LENGTH = 4, train_params().steps_per_epoch
SECRET = "geheim"  # noqa: S105


class Tracked:
    """Takes the tracker's place; keeps what would be sent, when it is."""

    def __init__(self, _: str, term: int) -> None:
        self.term = term
        self.waiting: list[tuple[int, int]] = []  # step and time
        self.sent: list[tuple[int, int]] = []

    def metrics(self, names: list[str], steps: Any, _: object, time_ms: int) -> None:
        if "train/d_loss" in names:
            self.waiting += [(step, time_ms) for step in steps]

    def flush(self, _at_once: bool = False) -> None:
        self.sent, self.waiting = self.sent + self.waiting, []

    def drop(self) -> None:
        self.waiting = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


@pytest.fixture(autouse=True)
def tracked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_run, "TrackedRun", Tracked)
    monkeypatch.setattr(training_run, "system_metrics", dict)


@pytest.fixture(scope="module")
def bucket() -> Iterator[S3]:
    with s3() as server:
        yield server


@pytest.fixture
def reached(bucket: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """The server as a user's environment names it, with all its room."""
    for name, value in {**bucket.environment, "AWS_ENDPOINT_URL": bucket.address}.items():
        monkeypatch.setenv(name, value)
    yield bucket
    bucket.full = False


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "shared")
    request.getfixturevalue("reached")
    return f"s3://{BUCKET}/{tmp_path.name}"


@contextmanager
def machine(folder: Path, place: str, name: str = "run") -> Iterator[TrainingRun]:
    """A run, as the machine with this folder begins with it or goes on."""
    train = train_params(epochs=EPOCHS, stop="at_onset", d_dropout=0.4, average_images=20)
    params = dataclasses.replace(SHIPPED, runtime=FP32, measure=MEASURE, train=train)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "CHECKPOINTS", folder / "checkpoints")
        kept = Checkpoints(name, place)
        with kept.alone():
            run = TrainingRun(params, DATA, METER, kept, CPU)
            run.begin("a title", "hash", {})
            yield run


def trains(run: TrainingRun, until: int = EPOCHS * LENGTH) -> Tracked:
    for _ in run.go_on(lambda step: step < until):
        pass
    assert isinstance(run.tracked, Tracked)
    return run.tracked


def test_a_run_goes_on_at_another_machine_bit_for_bit_and_is_told_once(
    tmp_path: Path, place: str
) -> None:
    with machine(tmp_path / "whole", str(tmp_path / "elsewhere")) as whole:
        trains(whole)
    with machine(tmp_path / "one", place) as one:
        first = trains(one, until=2 * LENGTH + 3)
    with machine(tmp_path / "two", place) as two:
        assert two.state.step == 2 * LENGTH
        second = trains(two)
        assert same(two.state.state_dict(), whole.state.state_dict())
        assert same(two.history.signals, whole.history.signals)
        assert all(two.checkpoints.generator(epoch).exists() for epoch in range(1, EPOCHS + 1))
        assert two.checkpoints.key == one.checkpoints.key
        assert (one.checkpoints.term, two.checkpoints.term) == (1, 2)
    # What the first one told is told again with the same times, which MLflow counts once.
    assert [step for step, _ in second.sent] == [*range(1, EPOCHS * LENGTH + 1)]
    assert second.sent[: len(first.sent)] == first.sent
    assert len(first.sent) == 2 * LENGTH


def test_who_is_thought_dead_learns_it_before_he_copies_or_sends_anything(
    tmp_path: Path, place: str
) -> None:
    with machine(tmp_path / "one", place) as one:
        reports = one.go_on()
        next(reports)
        with machine(tmp_path / "two", place) as two:
            trains(two, until=3 * LENGTH)
            assert isinstance(one.tracked, Tracked)
            sent = len(one.tracked.sent)
            with pytest.raises(TakenOverError, match="has taken this run over"):
                next(reports)
            assert len(one.tracked.sent) == sent
            assert not one.tracked.waiting
            trains(two)
            assert two.ended == "complete"
    with machine(tmp_path / "one", place) as again:
        assert again.ended == "complete"


def test_the_same_machine_goes_on_with_its_own_and_fetches_nothing(
    tmp_path: Path, place: str
) -> None:
    with machine(tmp_path / "one", place) as run:
        trains(run, until=LENGTH)
        # The largest is the state; what is fetched is another file.
        state = max(run.checkpoints.folder.iterdir(), key=lambda file: file.stat().st_size)
        inode = state.stat().st_ino
    with machine(tmp_path / "one", place) as run:
        assert (run.state.step, state.stat().st_ino) == (LENGTH, inode)


def test_what_was_dropped_is_told_again_where_no_other_machine_took_the_run(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a cut link, whoever had the run may be the first to begin with it again."""
    with machine(tmp_path / "one", place) as run:
        with monkeypatch.context() as patch:
            patch.setattr(Tracked, "flush", lambda *_: None)  # the server is away
            trains(run, until=3 * LENGTH)
        run.hand_over()
    with machine(tmp_path / "one", place) as run:
        told = trains(run)
    assert [step for step, _ in told.sent] == [*range(1, EPOCHS * LENGTH + 1)]


def test_killed_before_it_tells_what_it_took_from_another_machine_it_tells_it_later(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with machine(tmp_path / "one", place) as one, monkeypatch.context() as patch:
        patch.setattr(Tracked, "flush", lambda *_: None)  # the server is away
        trains(one, until=3 * LENGTH)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "CHECKPOINTS", tmp_path / "two/checkpoints")
        with Checkpoints("run", place).alone():
            pass
    with machine(tmp_path / "two", place) as two:
        told = trains(two)
    assert [step for step, _ in told.sent] == [*range(1, EPOCHS * LENGTH + 1)]


def test_a_bucket_that_is_full_costs_a_line_and_the_work_goes_on(
    tmp_path: Path, reached: S3, capfd: pytest.CaptureFixture[str]
) -> None:
    place = f"s3://{BUCKET}/{tmp_path.name}"
    with machine(tmp_path / "one", place) as one:
        reports = one.go_on()
        next(reports)
        reached.full = True
        for _ in range(2):
            next(reports)
        assert one.history.saved_step == 3 * LENGTH
        (line,) = capfd.readouterr().err.splitlines()
        assert line.startswith(f"checkpoints are behind: runtime.checkpoints: {place}: cannot be")
        assert "bucket full" in line
        assert reached.secret not in line
        # Another machine would train these two epochs again, so they are not sent yet.
        assert isinstance(one.tracked, Tracked)
        assert len(one.tracked.sent) == LENGTH
        state = f"{tmp_path.name}/run/state.pt"
        before = reached.client.get_object(Bucket=BUCKET, Key=state)["Body"].read()
        reached.full = False
        assert not one.checkpoints.kept
        one.pause()
        assert len(one.tracked.sent) == 3 * LENGTH
        after = reached.client.get_object(Bucket=BUCKET, Key=state)["Body"].read()
        assert before != after == (one.checkpoints.folder / "state.pt").read_bytes()
    with machine(tmp_path / "two", place) as two:
        assert two.state.step == 3 * LENGTH


def test_a_run_that_is_removed_is_removed_at_the_place(tmp_path: Path, reached: S3) -> None:
    place = f"s3://{BUCKET}/{tmp_path.name}"
    with machine(tmp_path / "one", place) as run:
        trains(run, until=LENGTH)
    assert f"{tmp_path.name}/run/state.pt" in reached.names(tmp_path.name)
    run.checkpoints.remove()
    assert reached.names(tmp_path.name) == []
    assert not run.checkpoints.folder.exists()


def test_a_generator_that_another_machine_has_is_found(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with machine(tmp_path / "one", place) as run:
        trains(run, until=LENGTH)
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", tmp_path / "two/checkpoints")
    found = Checkpoints("run", place).find_generator(1)
    assert found is not None
    assert found.read_bytes() == run.checkpoints.generator(1).read_bytes()
    assert Checkpoints("run", place).find_generator(2) is None


def test_what_others_did_is_not_begun_anew_where_it_cannot_be_taken(
    tmp_path: Path, reached: S3
) -> None:
    place = f"s3://{BUCKET}/{tmp_path.name}"
    with machine(tmp_path / "one", place) as one:
        trains(one, until=LENGTH)
    reached.full = True
    with pytest.raises(AwayError, match="bucket full"), machine(tmp_path / "two", place):
        pass
    with machine(tmp_path / "two", f"{place}-new") as two:  # nobody can have held it
        assert trains(two).sent == []


def test_a_place_that_can_be_used_is_left_as_it_was(tmp_path: Path, place: str) -> None:
    check_place(place)
    left = [file for file in (tmp_path / "shared").rglob("*") if file.is_file()]
    assert left == []


@pytest.mark.parametrize(
    ("place", "environment", "said"),
    [
        (f"s3://{BUCKET}/x", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "cannot be written"),
        (f"s3://{BUCKET}/x", {"AWS_SECRET_ACCESS_KEY": SECRET}, "PermissionError"),
        (f"s3://{BUCKET}/x", {"AWS_ACCESS_KEY_ID": "nobody"}, "PermissionError"),
        ("s3://no-such-bucket/x", {}, "bucket does not exist"),
        (f"s3://key:{SECRET}@{BUCKET}/x", {}, "holds a password"),
        (f"s3://{BUCKET}/x?secret={SECRET}", {}, "holds a password"),
        (f"nonsense://{BUCKET}/x", {}, "no address of fsspec's"),
        (f"gs://{BUCKET}/x", {}, "needs a package"),
        ("/dev/null/x", {}, "cannot be written"),
        (" ", {}, "is empty"),
    ],
)
def test_a_place_that_cannot_be_used_is_one_line_without_a_secret(
    reached: S3,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    environment: dict[str, str],
    said: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError) as caught:
        check_place(place)
    line = str(caught.value)
    assert "runtime.checkpoints: " in line
    assert said in line
    assert "\n" not in line
    assert SECRET not in line
    assert reached.secret not in line
    assert reached.names("x") == []
    assert {bucket["Name"] for bucket in reached.client.list_buckets()["Buckets"]} == {BUCKET}


def test_a_bucket_needs_the_extra_s3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    known = vars(importlib.import_module("fsspec.registry"))["_registry"]
    for scheme in ("s3", "s3a"):  # from other tests
        monkeypatch.delitem(known, scheme, raising=False)
    with pytest.raises(UserError, match=r"needs a package .* `pip install \"\.\[s3\]\"` brings it"):
        check_place(f"s3://{BUCKET}/x")


def test_where_checkpoints_are_kept_is_no_part_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "judge").write_bytes(b"judge")
    runtime = dataclasses.replace(SHIPPED.runtime, checkpoints="s3://elsewhere/x")
    moved = dataclasses.replace(SHIPPED, runtime=runtime)
    assert flat(moved) == flat(SHIPPED)
    hashes = {run_hash(params, CPU, "data", tmp_path / "judge") for params in (moved, SHIPPED)}
    assert len(hashes) == 1
    assert "elsewhere" not in json.dumps(flat(moved))
