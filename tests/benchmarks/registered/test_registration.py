"""The file that says what is trained, and the digests that keep it."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ganverdict
from benchmarks.registered import registration as module
from benchmarks.registered.endpoints import QUESTIONS
from benchmarks.registered.registration import (
    DECIDING,
    FILE,
    read_registration,
    register,
    verdict_digest,
)
from pipeline.base.cli import UserError, read_yaml
from tests.project import REPOSITORY
from tests.searches import SHIPPED

SHIPPED_FILE = REPOSITORY / FILE
SHIPPED_TEXT = SHIPPED_FILE.read_text(encoding="utf-8")
REGISTRATION = read_registration(SHIPPED_FILE)
GROUPS = {group.name: group for group in REGISTRATION.groups}
TRAINS = {name: vars(group.train) for name, group in GROUPS.items()}


def changed(tmp_path: Path, pattern: str, replacement: str) -> Path:
    text, count = re.subn(pattern, replacement, SHIPPED_TEXT, count=1, flags=re.M)
    assert count == 1
    (tmp_path / "registration.yaml").write_text(text)
    return tmp_path / "registration.yaml"


def differing(one: str, other: str) -> set[str]:
    return {key for key in TRAINS[one] if TRAINS[one][key] != TRAINS[other][key]}


def test_there_are_as_many_runs_of_each_kind_as_the_protocol_wants() -> None:
    counts = dict.fromkeys(module.KINDS, 0)
    for group in GROUPS.values():
        counts[group.kind] += len(group.seeds)
    assert counts == {"joint": 12, "healthy": 12, "few": 6}
    few = {group.digits: len(group.seeds) for group in GROUPS.values() if group.kind == "few"}
    assert few == {3000: 4, 500: 2}
    assert all(group.digits is None for group in GROUPS.values() if group.kind != "few")


def test_every_run_has_a_seed_of_its_own_that_no_other_record_of_the_repository_has() -> None:
    seeds = [seed for group in GROUPS.values() for seed in group.seeds]
    assert len({*seeds, REGISTRATION.fresh_seed}) == 30 + 1
    used = {int(folder.name.split("-")[-1]) for folder in (REPOSITORY / "reports").glob("r*/*-*/")}
    assert used
    assert min(seeds) > max(used | {SHIPPED.train.seed, 100})


def test_the_second_plan_trains_the_same_recipes_by_seeds_that_the_first_has_not() -> None:
    second = read_registration(REPOSITORY / "benchmarks/held_out_2.yaml")
    seeds = [seed for group in second.groups for seed in group.seeds]
    before = [seed for group in REGISTRATION.groups for seed in group.seeds]
    assert len({*seeds, *before}) == len(seeds) + len(before)
    for group in second.groups:
        first = GROUPS[group.name]
        train = dataclasses.replace(group.train, seed=first.train.seed)
        assert dataclasses.replace(group, seeds=first.seeds, train=train) == first
    assert second.endpoints == REGISTRATION.endpoints
    assert (second.measure, second.runtime) == (REGISTRATION.measure, REGISTRATION.runtime)


def test_the_runs_are_narrow_of_whole_epochs_and_trained_to_their_end() -> None:
    for train in TRAINS.values():
        assert (train["width"], train["steps_per_epoch"], train["stop"]) == (4, 468, "never")
        assert 30 <= train["epochs"] <= 45
        assert train["sample_every"] == 0  # each report is an epoch's


def test_what_is_called_joint_is_joint_and_differs_from_the_healthy_in_nothing_else() -> None:
    for group in GROUPS.values():
        assert group.train.freeze_discriminator == (group.kind != "joint")
    assert differing("joint-original", "frozen") == {"seed", "epochs", "freeze_discriminator"}
    own = {"lr_d", "lr_g"}  # the default's rates do not suit the joint update
    assert differing("joint-search", "default") == own | {"seed", "epochs", "freeze_discriminator"}
    assert differing("joint-low", "joint-search") == {"seed", "lr_d", "lr_g"}
    assert differing("digits-3000", "default") == {"seed", "epochs"}


@pytest.mark.parametrize(
    ("group", "recipe"), [("joint-original", "original"), ("stabilised", "stabilised")]
)
def test_a_recipe_is_the_one_of_that_name_but_for_its_size(group: str, recipe: str) -> None:
    values = read_yaml(REPOSITORY / f"pipeline/recipes/{recipe}.yaml")
    size = ("width", "epochs", "steps_per_epoch", "batch_size")
    for key, value in values.items():
        assert key in size or TRAINS[group][key] == value, key


def test_every_endpoint_is_one_that_is_asked() -> None:
    assert {endpoint.name for endpoint in REGISTRATION.endpoints} == QUESTIONS.keys()


@pytest.mark.parametrize(
    "change",
    [
        (r"\[7801, 7802\]", "[7801, 7803]"),
        (r"at_most: 10$", "at_most: 11"),
        (r"^fresh_seed: 7900", "fresh_seed: 7901"),
        (r"digits: 500$", "digits: 501"),
        (r"lr_g: 0.0003075", "lr_g: 0.0003076"),
    ],
)
def test_whatever_is_registered_otherwise_is_another_registration(
    tmp_path: Path, change: tuple[str, str]
) -> None:
    assert read_registration(changed(tmp_path, *change)).digest != REGISTRATION.digest


def test_a_comment_or_the_registered_verdict_changes_no_registration(tmp_path: Path) -> None:
    for change in ((r"^# Of thresholds", "# For thresholds"), (r"^verdict: .*$", "verdict: abc")):
        assert read_registration(changed(tmp_path, *change)).digest == REGISTRATION.digest


def test_registering_writes_the_verdict_and_nothing_else(tmp_path: Path) -> None:
    file = changed(tmp_path, r"^verdict: .*$", "verdict: none")
    before = file.read_text().splitlines()
    digest = register(file, SHIPPED.stability)
    assert read_registration(file).verdict == digest == verdict_digest(SHIPPED.stability)
    after = file.read_text().splitlines()
    assert [line for line in after if line not in before] == [f"verdict: {digest}"]


def test_another_threshold_or_another_word_of_code_is_another_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    present = verdict_digest(SHIPPED.stability)
    looser = dataclasses.replace(SHIPPED.stability, patience=SHIPPED.stability.patience + 1)
    assert verdict_digest(looser) != present
    source = Path(str(ganverdict.__file__)).parent
    for file in source.glob("*.py"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(ganverdict, "__file__", str(tmp_path / "__init__.py"))
    assert verdict_digest(SHIPPED.stability) == present
    states = tmp_path / "states.py"
    states.write_text(states.read_text() + "\n")
    assert verdict_digest(SHIPPED.stability) != present


def test_no_module_that_decides_is_left_out_of_the_digest() -> None:
    """Remedies are told with a verdict and decide nothing."""
    code = "import ganverdict, sys; print(*(m for m in sys.modules if 'ganverdict.' in m))"
    path = str(REPOSITORY / "src")
    output = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout
    loaded = {name.removeprefix("ganverdict.") for name in output.split()}
    assert loaded - {"remedies"} == {*DECIDING}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((r"kind: few$", "kind: odd"), "unknown kind odd"),
        ((r"    width: 4$", "    width: 5"), "width: 5 is not allowed"),
        ((r"statistic: median$", "statistic: mode"), "kind or statistic is unknown"),
        ((r"^measure: .*$", ""), "not a registration: .*measure"),
    ],
)
def test_a_file_that_is_none_is_one_line(
    tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        read_registration(changed(tmp_path, *change))
