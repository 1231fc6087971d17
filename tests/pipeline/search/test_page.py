"""What the page of a search is given is what result.json says."""

import dataclasses
import re
from typing import Any, cast

import pytest

from pipeline.base.space import words
from pipeline.pages.origin import Origin
from pipeline.pages.sweep.page import page
from pipeline.search.confirmation import Candidate, Confirmed
from pipeline.search.page import sweep
from pipeline.search.result import Findings, result
from pipeline.search.study import DEFAULT_STORAGE
from pipeline.tune import seconds
from tests.ganverdict.test_report import Page
from tests.pipeline.search.test_result import (
    FOUND,
    OTHER,
    PRESENT,
    SPACES,
    TRIALS,
    WRONG,
    findings,
    tried,
)
from tests.searches import SHIPPED

HERE = DEFAULT_STORAGE


def text(found: Findings, storage: str = HERE, interrupted: bool = False) -> str:
    """The page as it is shown."""
    content = sweep(found, SHIPPED, storage, None, interrupted)
    return Page(page(content, Origin({}, "feedbeef", {}))).shown


def test_its_numbers_are_those_of_the_result() -> None:
    told, content = result(FOUND), sweep(FOUND, SHIPPED, HERE, None, False)
    assert content.best is not None
    chosen = told["chosen"]
    best = content.best
    assert {**best.recipe, "epochs": best.epochs, "fd": best.fd} == {
        name: chosen[name] for name in ("lr_g", "lr_d", "epochs", "fd")
    }
    assert len(content.confirmed) == len(told["confirmed"])
    for candidate, entry in zip(content.confirmed, told["confirmed"], strict=True):
        assert candidate.recipe == {name: entry[name] for name in ("lr_g", "lr_d")}
        assert (candidate.epoch, list(candidate.fds)) == (entry["epochs"], entry["fd_by_seed"])
        if entry["fd"] is not None:
            assert candidate.mean == entry["fd"]
            assert [candidate.low, candidate.high] == entry["fd_interval"]
    assert [candidate.fresh_noise for candidate in content.confirmed] == [
        None,
        pytest.approx(4.3),
        None,
    ]
    assert set(content.epochs.values()) == {
        told["cost"][name] for name in ("trained", "horizon", "singly")
    }
    assert content.present == {"lr_g": SHIPPED.train.lr_g, "lr_d": SHIPPED.train.lr_d}
    assert [trial.number for trial in content.trials] == [trial.number for trial in TRIALS]


def test_it_shows_them_and_names_the_present_recipe() -> None:
    shown = text(FOUND)
    for told in (
        "chosen: trial 1: lr_g 0.002, lr_d 0.003, 2 epochs; fd 4.05 over 2 fresh seeds",
        "interval 3.7 to 4.4",
        "fd 5.1 over 2 fresh seeds, 90 % interval 4.5 to 5.7",
        "4.3 on noise",
        "out of memory",
    ):
        assert told in shown
    assert "present recipe" in shown
    assert "current" not in shown


def test_the_choice_is_applied_without_a_search_before_it() -> None:
    begun = sum(trial.outcome != "waiting" for trial in TRIALS)
    apply = sweep(FOUND, SHIPPED, HERE, None, False).apply
    assert apply == f"python -m pipeline.tune --study sweep --trials {begun} --apply"


@pytest.mark.parametrize("timeout", [2400.0, 0.5, 1e7])
def test_the_command_has_the_timeout_that_was_given(timeout: float) -> None:
    command = sweep(FOUND, SHIPPED, HERE, timeout, True).command
    *_, option, limit = command.split()
    assert (option, seconds(limit)) == ("--timeout", timeout)
    assert "--timeout" not in sweep(FOUND, SHIPPED, HERE, None, True).command


@pytest.mark.parametrize(
    ("found", "interrupted"),
    [
        (FOUND, True),
        (findings(TRIALS, [WRONG]), False),
        (findings(TRIALS[2:], []), False),
        (findings([], []), False),
    ],
)
def test_nothing_is_offered_that_could_not_be_applied(found: Findings, interrupted: bool) -> None:
    assert "--apply" not in text(found, interrupted=interrupted)


@pytest.mark.parametrize("count", range(len(TRIALS) + 1))
@pytest.mark.parametrize("confirmed", [[], [PRESENT, OTHER, WRONG], [WRONG]])
def test_there_is_a_page_however_little_is_known(count: int, confirmed: list[Confirmed]) -> None:
    found = dataclasses.replace(
        findings(TRIALS[len(TRIALS) - count :], []),
        confirmed=confirmed,
        chosen=OTHER if OTHER in confirmed else None,
    )
    shown = text(found)
    assert not re.findall(r"\b(?:nan|inf|None|500)\b", shown)


@pytest.mark.parametrize("name", SPACES)
def test_any_space_has_a_page(name: str) -> None:
    space = SPACES[name]
    trials = tried(space)
    searched = dataclasses.replace(
        SHIPPED,
        train=dataclasses.replace(SHIPPED.train, **cast("dict[str, Any]", trials[0].recipe)),
        tune=dataclasses.replace(SHIPPED.tune, space=space),
    )
    best = trials[1]
    confirmed = [
        dataclasses.replace(PRESENT, candidate=Candidate("current", trials[0].recipe, 4)),
        dataclasses.replace(OTHER, candidate=Candidate("trial 1", best.recipe, 4)),
    ]
    found = dataclasses.replace(
        findings(trials, []), space=space, confirmed=confirmed, chosen=confirmed[1]
    )
    content = sweep(found, searched, HERE, None, False)
    shown = Page(page(content, Origin({}, "feedbeef", {}))).shown
    assert f"chosen: trial 1: {words(best.recipe)}, 2 epochs" in shown
    assert words(trials[0].recipe) in shown
    assert ("Map" in shown) == (len(space) > 1)
    assert "Along each dimension" in shown
    assert not re.findall(r"\b(?:nan|inf|None|500)\b", shown)


def test_the_address_of_a_database_and_its_password_are_not_shown() -> None:
    shown = text(FOUND, "postgresql+psycopg://me:secret@host/name")
    assert "--storage ADDRESS" in shown
    assert "secret" not in shown
    assert "--storage" not in text(FOUND)


def test_the_name_of_a_study_is_text_and_one_word_of_its_command() -> None:
    name = "<script>alert(1)</script> ; rm"
    shown = text(dataclasses.replace(FOUND, study=name))
    assert f"Sweep {name}" in shown
    assert f"--study '{name}'" in shown
