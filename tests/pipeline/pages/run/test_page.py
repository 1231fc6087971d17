"""The page of a run tells what it should, holds all it needs, and does nothing it is told."""

import dataclasses
import html

import pytest

from pipeline.base.cli import UserError
from pipeline.pages.origin import Origin
from pipeline.pages.run.page import page as page_of
from pipeline.store.outcome import Outcome
from tests.ganverdict.test_report import Page
from tests.pipeline.pages.conftest import HOSTILE, METRICS, REAL, SCALE


@pytest.fixture(scope="module")
def parsed(page: bytes) -> Page:
    return Page(page)


def test_it_is_one_small_file_that_loads_nothing(page: bytes, parsed: Page) -> None:
    assert len(page) < 3_000_000
    assert all(address.startswith(("data:", "#")) for address in parsed.loaded)


def test_what_a_stranger_wrote_is_text(page: bytes, parsed: Page) -> None:
    assert HOSTILE in parsed.shown
    assert parsed.shown.count(HOSTILE) >= 4  # title, heading, reason, parameter
    assert parsed.handlers == []
    assert HOSTILE.encode() not in page
    assert html.escape(HOSTILE).encode() in page


@pytest.mark.parametrize(
    "words",
    [
        "onset: samples declined",
        "epoch 6, step 300: fd 3",
        "a lower rate (somebody)",
        "the last epoch",
        "+467 %",
        "lowest mean loss of G",
        "patience of 10 epochs",
        "real digits (test set)",
        "git checkout c0ffee",
        "make repro",
        "feedbeef",
        "lr_g",
        "0.25",
    ],
)
def test_it_tells(parsed: Page, words: str) -> None:
    assert words in parsed.shown


def test_a_verdict_that_is_none_is_one_line(outcome: Outcome) -> None:
    spoilings: list[dict[str, object]] = [
        {"status": "fine"},
        {"status": []},
        {"end": "fly"},
        {"best_interval": [1]},
        {"remedies": [1]},
        {"excursions": 3},
    ]
    for spoiled in spoilings:
        broken = dataclasses.replace(outcome, verdict={**outcome.verdict, **spoiled})
        with pytest.raises(UserError, match=r"stop\.json: corrupt"):
            page_of(broken, Origin({}, "", {}), METRICS, SCALE, REAL)
