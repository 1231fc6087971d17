"""The page: one file that holds everything, and in which strangers' names are text."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from ganverdict.assessment import Assessment, assess_log
from ganverdict.formats import read
from ganverdict.report import MAX_POINTS, chart, document, page, slot, text_of
from tests.ganverdict.logs import Command, healthy, reference, write

VOID = {"meta", "link", "br", "img", "input", "hr"}
LOADS = {"src", "href", "action", "data", "poster", "srcset"}


class Page(HTMLParser):
    """Elements, their attributes, and the text that is shown."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loaded: list[str] = []
        self.handlers: list[str] = []
        self.shown = ""
        self.scripts: list[str] = []
        self._open: list[str] = []
        self.feed(content.decode())
        assert self._open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loaded += [value or "" for name, value in attributes if name in LOADS]
        self.handlers += [name for name, _ in attributes if name.startswith("on")]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, text: str) -> None:
        if self._open and self._open[-1] == "script":
            self.scripts.append(text)
        elif not self._open or self._open[-1] != "style":
            self.shown += text


def assessed(path: Path) -> Assessment:
    (log,) = read([path])
    return assess_log(log)


def wrong(folder: Path) -> Assessment:
    steps, epochs = reference()
    write(folder / "steps.csv", steps)
    write(folder / "epochs.csv", epochs | {"coverage": np.full(20, 0.5)})
    return assessed(folder)


def test_the_page_tells_the_verdict_and_loads_nothing(tmp_path: Path, command: Command) -> None:
    found = wrong(tmp_path)
    out = tmp_path / "new" / "out.html"
    assert command(tmp_path, "--report", out)[0] == 1
    content = out.read_bytes()
    assert len(content) < 3_000_000
    parsed = Page(content)
    assert all(target.startswith(("#", "data:")) for target in parsed.loaded), parsed.loaded
    assert parsed.handlers == []
    shown = " ".join(parsed.shown.split())
    verdict = found.verdict
    for words in (verdict.status, verdict.reason, verdict.end_reason, "step 6,552", "20 eval"):
        assert words in shown
    for remedy in verdict.remedies:
        assert remedy.words in shown
        assert remedy.source in shown
    assert "prefers-color-scheme: dark" in content.decode()
    assert 'name="viewport"' in content.decode()


def test_every_evaluation_can_be_read_without_eyes_for_curves(tmp_path: Path) -> None:
    parsed = Page(page([wrong(tmp_path)]))
    assert parsed.tags.count("tr") == 21
    assert "190.3" in parsed.shown or "fd" in parsed.shown


HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(2)>&amp;{{ 7*7 }}$$x$$ --> <!--"
)


def test_what_strangers_wrote_is_text(tmp_path: Path) -> None:
    steps, epochs = healthy()
    found = wrong(tmp_path)
    benign = Page(page([found, found]))
    log = found.log
    evaluations = {**log.evaluations, HOSTILE: log.evaluations["fd"]}
    hostile = assess_log(
        type(log)(
            name=HOSTILE,
            kind=HOSTILE,
            unit=HOSTILE,
            pairs={HOSTILE: log.pairs[""], "other": log.pairs[""]},
            evaluations=evaluations,
            metric=HOSTILE,
            steps_per_epoch=None,
            loss=None,
            notes=(HOSTILE,),
            files=(HOSTILE,),
        )
    )
    assert HOSTILE in hostile.verdict.reason
    parsed = Page(page([hostile, hostile]))
    assert set(parsed.tags) == set(benign.tags)
    assert parsed.tags.count("script") == benign.tags.count("script")
    assert parsed.handlers == []
    assert parsed.loaded == benign.loaded
    assert parsed.shown.count(HOSTILE) >= 6
    assert steps.keys() | epochs.keys()


def test_a_slot_cannot_be_made_of_text() -> None:
    body = f"<p>{text_of(slot('run-1'))}</p>"
    assert slot("run-1") not in body


def test_several_runs_share_a_page(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    found = wrong(tmp_path / "a")
    one, many = page([found]), page([found] * 30)
    assert len(many) < 3_000_000
    parsed = Page(many)
    assert parsed.tags.count("h2") == 30
    assert [f"#run-{number}" in parsed.loaded for number in range(1, 31)] == [True] * 30
    assert len(one) < len(many)


def test_a_long_log_is_a_small_page(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    columns = {"step": np.arange(60_000)}
    names = ("d_loss", "g_loss", "d_real", "d_fake", "d_grad_norm", "g_grad_norm", "fid")
    columns |= {name: rng.random(60_000).round(3) for name in names}
    content = page([assessed(write(tmp_path / "log.csv", columns))])
    assert len(content) < 3_000_000
    assert Page(content).tags.count("tr") <= 501


def test_the_curves_are_few_points_with_their_extremes(tmp_path: Path) -> None:
    found = wrong(tmp_path)
    content = page([found]).decode()
    (data,) = re.findall(r"const docs_json = '(.*?)';\n", content) or [""]
    assert chart(found, MAX_POINTS) is not None
    assert data == "" or json.loads(data)


@pytest.mark.parametrize("rows", [1, 2])
def test_a_log_of_few_rows_has_a_page(tmp_path: Path, rows: int) -> None:
    steps, _ = reference()
    columns = {name: values[:rows] for name, values in steps.items()}
    shown = Page(page([assessed(write(tmp_path / "log.csv", columns))])).shown
    assert "unwatched" in shown


def test_a_page_without_figures_has_no_script() -> None:
    parsed = Page(document("a < b", ["<p>words</p>"], {}))
    assert "script" not in parsed.tags
    assert "a < b" in parsed.shown
