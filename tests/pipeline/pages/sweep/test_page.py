"""The page of a sweep tells what was found, whatever is missing, and does nothing it is told."""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

import pytest

from pipeline.base.space import Interval
from pipeline.pages.sweep.page import MOST_TRIALS, page
from pipeline.pages.sweep.trials import Choice
from tests.ganverdict.test_report import Page
from tests.pipeline.pages.conftest import (
    HOSTILE,
    ORIGIN,
    RECIPE,
    SPACE,
    SWEEP,
    TRIALS,
    confirmation,
    curve,
)


def shown(**changes: Any) -> str:
    """The text of the page of the sweep with changes."""
    return Page(page(dataclasses.replace(SWEEP, **changes), ORIGIN)).shown


def one_seed(number: int) -> Choice:
    trial = TRIALS[number]
    return Choice(f"trial {number}", trial.recipe, 3, min(trial.fds), 1)


@pytest.fixture(scope="module")
def parsed(sweep_page: bytes) -> Page:
    return Page(sweep_page)


@pytest.mark.parametrize(
    "words",
    [
        "Sweep sweep-1",
        "chosen: trial 1: lr_g 0.002, lr_d 0.002, 3 epochs",
        "fd 3.75 over 3 fresh seeds, 90 % interval 3.25 to 4.25",
        "the upper end of its interval is the lowest of 3 candidates",
        "lr_g 0.004, lr_d 0.001, 3 epochs: fd 5.583 over 3 fresh seeds, 90 % interval 5.083 to",
        "fd 3.875 on noise that no choice has seen",
        "7, of which 2 trained to their end, 1 not ended yet",
        "1 cut by the pruner (halving); 1 ended by the verdict, after an onset; 1 broken down",
        "this search: 13 epochs; every trial to its horizon: 28 epochs; 1 h 2 min of training",
        "9 runs to confirm",
        "lr_g 75 %, lr_ratio 25 %",
        "python -m pipeline.tune --study sweep-1 --trials 6 --apply",
        "git checkout c0ffee",
        "feedbeef",
        "out of memory",
    ],
)
def test_it_tells(parsed: Page, words: str) -> None:
    assert words in parsed.shown


def test_it_is_one_small_file_that_loads_nothing(sweep_page: bytes, parsed: Page) -> None:
    assert len(sweep_page) < 3_000_000
    assert all(address.startswith(("data:", "#")) for address in parsed.loaded)


def test_what_a_stranger_wrote_is_text() -> None:
    content = page(
        dataclasses.replace(SWEEP, study=HOSTILE, command=HOSTILE, apply=HOSTILE), ORIGIN
    )
    parsed = Page(content)
    assert parsed.shown.count(HOSTILE) >= 5  # title, heading, commands, a trial's reason
    assert parsed.tags.count("title") == 1
    assert parsed.handlers == []
    assert HOSTILE.encode() not in content


def test_the_present_recipe_stays_where_nothing_is_surer() -> None:
    present = Choice("present recipe", RECIPE, 3, 5.583, 3)
    assert "of 3 candidates none is surer" in shown(best=present)


def test_without_a_confirmation_the_best_trial_is_no_choice() -> None:
    words = shown(confirmed=[], best=one_seed(1))
    assert "best: trial 1" in words
    assert "fd 3.25, one seed, not confirmed" in words
    assert "chosen" not in words
    assert "Confirmation" not in words


def test_a_confirmation_that_came_to_nothing_is_told_and_not_applied() -> None:
    words = shown(confirmed=[confirmation(TRIALS[3], ())], best=one_seed(1), apply=None)
    assert "nothing was chosen" in words
    assert "went wrong" in words
    assert "--apply" not in words


def test_an_interrupted_sweep_says_how_it_goes_on() -> None:
    words = shown(interrupted=True, confirmed=[], best=one_seed(1), apply=None)
    assert "Interrupted" in words
    assert words.count(SWEEP.command) == 2  # to continue, and to make it again
    assert "--apply" not in words


@pytest.mark.parametrize("trials", [TRIALS[4:], TRIALS[5:6], TRIALS[6:], []])
def test_a_sweep_without_a_result_has_a_page(trials: Sequence[Any]) -> None:
    words = shown(trials=trials, best=None, confirmed=[], apply=None, importances={})
    assert "no trial has come to a result" in words
    assert "Learning curves" not in words
    assert all(trial.reason in words for trial in trials)


@pytest.mark.parametrize("more", [0, 8])
def test_a_long_sweep_is_a_small_page_with_its_best_trials(more: int) -> None:
    others = ("g_dropout", "d_dropout", "beta1", "beta2", "decay_g", "decay_d", "r1_gamma", "width")
    recipe = dict.fromkeys(others[:more], 0.1234)
    space = {**SPACE, **dict.fromkeys(recipe, Interval(0.1, 0.2, "log"))}
    trials = [curve(n, [5.0 + n + 1 / epoch for epoch in range(1, 501)]) for n in range(1000)]
    trials = [dataclasses.replace(one, recipe={**one.recipe, **recipe}) for one in trials]
    present = {**RECIPE, **recipe}
    sweep = dataclasses.replace(SWEEP, trials=trials[::-1], space=space, present=present)
    content = page(dataclasses.replace(sweep, best=None, confirmed=[], apply=None), ORIGIN)
    assert len(content) < 3_000_000
    parsed = Page(content)
    assert f"The {MOST_TRIALS} best of 1,000 trials" in parsed.shown
    (body,) = re.findall(r'<table class="sortable">.*?<tbody>(.*?)</tbody>', content.decode())
    numbers = [int(number) for number in re.findall(r'<tr><td class="number">(\d+)<', body)]
    assert numbers == list(range(MOST_TRIALS))
