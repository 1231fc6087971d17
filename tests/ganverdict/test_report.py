"""The page: one file that holds everything, and in which strangers' names are text."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from bokeh.models.annotations import Label, LegendItem
from bokeh.resources import Resources

from ganverdict import report
from ganverdict.assessment import Assessment, assess_log
from ganverdict.formats import read
from ganverdict.report import chart, document, page, slot, text_of
from tests.ganverdict.logs import Columns, Command, healthy, reference, write
from tests.project import REPOSITORY

RECORDED = REPOSITORY / "tests/recorded"
VOID = {"meta", "link", "br", "img", "input", "hr"}
LIBRARY = Resources(mode="inline", components=["bokeh"]).render_js()
LOADS = {"src", "href", "action", "data", "poster", "srcset"}


class Page(HTMLParser):
    """Elements, their attributes, and the text that is shown."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loaded: list[str] = []
        self.targets: list[str] = []
        self.handlers: list[str] = []
        self.shown = ""
        self.scripts: list[str] = []
        self._open: list[str] = []
        # What it says is Bokeh's, and Python's parser takes minutes to find where it ends.
        text, parts = content.decode(), LIBRARY.count("<script")
        assert text.count(LIBRARY) <= 1
        self.feed(text.replace(LIBRARY, "<script></script>" * parts))
        assert self._open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loaded += [value or "" for name, value in attributes if name in LOADS]
        self.targets += [value or "" for name, value in attributes if tag == "a"]
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


@pytest.mark.parametrize("lowest", [60.0, 5.0, 1.0, 1e-3, 1e-12, 1e-200])
def test_a_logarithmic_axis_has_numbers_all_along_it(tmp_path: Path, lowest: float) -> None:
    fids = np.geomspace(100, lowest, 30)
    content = page([assessed(write(tmp_path / "fid.csv", {"step": range(30), "fid": fids}))])
    (ticks,) = re.findall(
        r'"FixedTicker","id":"\w+","attributes":\{"ticks":(\[[^]]*\])', content.decode()
    )
    logs = np.log(json.loads(ticks))
    whole = np.log(100 / lowest)
    assert 3 <= len(logs) <= 10
    assert np.diff([np.log(lowest), *logs, np.log(100)]).max() <= 0.6 * whole


def test_the_level_at_chance_is_named_in_the_legend_and_not_on_the_curves() -> None:
    (log,) = read([RECORDED / f"rate_{part}.csv" for part in ("steps", "epochs")])
    drawn = chart(assess_log(log))
    assert drawn is not None
    items = [item for item in drawn.references() if isinstance(item, LegendItem)]
    words = [getattr(item.label, "value", None) for item in items]
    assert "D at chance: 0.693" in words
    on_curves = [label.text for label in drawn.references() if isinstance(label, Label)]
    assert not [text for text in on_curves if "chance: " in str(text)]


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
    for value in reference()[1]["fd"].tolist():
        assert f"{value:.7g}" in parsed.shown


HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(2)>&amp;{{ 7*7 }}$$x$$ --> <!--"
)


def test_what_strangers_wrote_is_text(tmp_path: Path) -> None:
    found = wrong(tmp_path)
    benign = Page(page([found, found]))
    log = found.log
    evaluations = {**log.evaluations, HOSTILE: log.evaluations["fd"]}
    hostile = assess_log(
        type(log)(
            name=HOSTILE,
            kind=HOSTILE,
            unit="iteration",
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


def test_a_slot_cannot_be_made_of_text() -> None:
    body = f"<p>{text_of(slot('run-1'))}</p>"
    assert slot("run-1") not in body


def test_several_runs_share_a_page_and_the_worst_have_curves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "_MOST_FIGURES", 2)
    for name, run in {"well": healthy(), "wrong": reference()}.items():
        folder = tmp_path / name
        folder.mkdir()
        write(folder / "steps.csv", run[0])
        write(folder / "epochs.csv", run[1])
    well, wrong = assessed(tmp_path / "well"), assessed(tmp_path / "wrong")
    parsed = Page(page([well, wrong, well, wrong]))
    assert parsed.tags.count("h2") == 4
    assert parsed.targets == [f"#run-{number}" for number in (1, 2, 3, 4)]
    assert [part.count("confirmed") for part in parsed.shown.split("loss family")[1:]] == [
        0,
        1,
        0,
        1,
    ]


def test_a_long_log_is_a_small_page(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    columns: Columns = {"step": np.arange(20_000)}
    names = ("d_loss", "g_loss", "d_real", "d_fake", "d_grad_norm", "g_grad_norm")
    columns |= {name: rng.random(20_000).round(3) for name in names}
    columns["fid"] = [9.0 if row % 30 == 0 else None for row in range(20_000)]
    content = page([assessed(write(tmp_path / "log.csv", columns))])
    assert len(content) < 3_000_000
    assert Page(content).tags.count("tr") <= 501


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
