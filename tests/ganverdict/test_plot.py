import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganverdict.assessment import Assessment, assess_log
from ganverdict.curves import marks, panels, span
from ganverdict.formats import read
from ganverdict.plot import draw
from tests.ganverdict.logs import Columns, Command, reference, write
from tests.project import REPOSITORY

RECORDED = REPOSITORY / "tests/recorded"
BEGINNINGS = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


def assessed(path: Path, loss: str | None = None) -> Assessment:
    (log,) = read([path])
    return assess_log(log, loss=loss)


def wrong(folder: Path) -> Assessment:
    steps, epochs = reference()
    count = len(steps["step"])
    steps |= {"d_grad_norm": np.full(count, 0.5), "d_real": np.full(count, 0.7)}
    write(folder / "steps.csv", steps)
    write(folder / "epochs.csv", epochs)
    return assessed(folder)


def height(assessment: Assessment) -> int:
    with Image.open(io.BytesIO(draw(assessment, "png"))) as image:
        assert image.format == "PNG"
        assert len(set(image.convert("RGB").resize((300, 270)).getdata())) > 50
        return image.size[1]


@pytest.mark.parametrize("kind", BEGINNINGS)
def test_a_picture_is_of_the_kind_of_its_name(tmp_path: Path, command: Command, kind: str) -> None:
    wrong(tmp_path)
    picture = tmp_path / "new" / f"stop.{kind.upper()}"
    assert command(tmp_path / "steps.csv", "--plot", picture)[0] == 0
    assert picture.read_bytes().startswith(BEGINNINGS[kind])


@pytest.mark.parametrize("kind", BEGINNINGS)
def test_the_same_verdict_gives_the_same_file(tmp_path: Path, kind: str) -> None:
    found = wrong(tmp_path)
    assert draw(found, kind) == draw(found, kind)


def test_there_is_a_panel_for_what_was_read(tmp_path: Path) -> None:
    found = wrong(tmp_path)
    assert [panel.name for panel in panels(found)] == ["metric", "losses", "answers", "norms"]
    losses, samples = assessed(tmp_path / "steps.csv"), assessed(tmp_path / "epochs.csv")
    assert [panel.name for panel in panels(samples)] == ["metric"]
    assert "metric" not in [panel.name for panel in panels(losses)]
    assert height(found) > height(losses) > height(samples)


def test_each_run_of_several_has_a_file(tmp_path: Path, command: Command) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        wrong(tmp_path / name)
    command(tmp_path / "a", tmp_path / "b", "--plot", tmp_path / "stop.png")
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["stop-1.png", "stop-2.png"]


def test_the_steps_of_the_verdict_are_marked(tmp_path: Path) -> None:
    found = wrong(tmp_path)
    verdict = found.verdict
    told = {verdict.best_step, verdict.alarm_step, verdict.onset_step, verdict.confirm_step}
    assert {mark.step for mark in marks(found)} == told - {None}
    assert any(mark.words.startswith("best: step 6,552") for mark in marks(found))
    assert span(found) == (1, 9_360)


def test_the_level_at_chance_is_that_of_the_family(tmp_path: Path) -> None:
    file = write(tmp_path / "log.csv", reference()[0])
    (losses,) = panels(assessed(file))
    assert losses.level is None
    (losses,) = panels(assessed(file, loss="hinge"))
    assert losses.level == (2.0, "D at chance: 2")
    (losses,) = panels(assessed(file, loss="wasserstein"))
    assert losses.level is None


def odd(columns: Columns) -> dict[str, Columns]:
    count = len(columns["step"])
    huge = np.where(np.arange(count) == count // 2, 1e200, columns["d_loss"])
    return {
        "negative": columns | {"d_loss": -columns["d_loss"], "g_loss": columns["g_loss"] - 1.3},
        "zero": columns | {"d_loss": np.zeros(count)},
        "huge": columns | {"d_loss": huge, "g_loss": 1e300 * columns["g_loss"]},
        "nan": columns | {"d_loss": np.full(count, np.nan)},
        "inf": columns | {"d_loss": np.where(np.arange(count) > 9, np.inf, 1)},
        "one row": {name: values[:1] for name, values in columns.items()},
        "two rows": {name: values[:2] for name, values in columns.items()},
    }


@pytest.mark.parametrize("kind", odd(reference()[0]))
def test_whatever_was_read_can_be_drawn(tmp_path: Path, kind: str) -> None:
    columns = odd(reference()[0])[kind]
    found = assessed(write(tmp_path / "log.csv", columns))
    assert draw(found, "png").startswith(BEGINNINGS["png"])


@pytest.mark.parametrize("value", ["1.2e57", "-3", "0"])
def test_a_metric_that_cannot_be_is_drawn(tmp_path: Path, value: str) -> None:
    _, epochs = reference()
    fd = [value if place in (5, 6) else v for place, v in enumerate(epochs["fd"].tolist())]
    found = assessed(write(tmp_path / "log.csv", epochs | {"fd": fd}))
    assert draw(found, "png").startswith(BEGINNINGS["png"])


def below_zero(found: Assessment) -> list[str]:
    """The words of the ticks that are below zero."""
    return re.findall(r"<!-- ([-\u2212]\d\S*) -->", draw(found, "svg").decode())


def test_an_axis_goes_below_zero_where_values_do_and_nowhere_else(tmp_path: Path) -> None:
    d_loss = np.where(np.arange(400) % 50 < 10, -900.0, 0.5)
    columns = {"step": np.arange(400), "d_loss": d_loss, "g_loss": np.full(400, 0.7)}
    assert below_zero(assessed(write(tmp_path / "steps.csv", columns)))
    (log,) = read([RECORDED / f"rate_{part}.csv" for part in ("steps", "epochs")])
    wild = assess_log(log)  # a loss of D between 0 and 1,000, with its level at chance
    assert {"symlog"} < {panel.scale for panel in panels(wild)}
    assert below_zero(wild) == []


def test_names_are_no_formulae(tmp_path: Path) -> None:
    steps, _ = reference()
    folder = tmp_path / r"$\frac{ 北京 $ \x"
    folder.mkdir()
    found = assessed(write(folder / "log$.csv", steps))
    for kind, beginning in BEGINNINGS.items():
        assert draw(found, kind).startswith(beginning)


def test_a_backend_that_is_not_installed_does_not_matter(tmp_path: Path) -> None:
    """As every command that a notebook starts inherits it."""
    wrong(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "ganverdict", ".", "--plot", "stop.png"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(REPOSITORY / "src"), "MPLBACKEND": "no_such_backend"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert (tmp_path / "stop.png").is_file()


def test_steps_are_whole_on_the_axis(tmp_path: Path) -> None:
    epochs = np.arange(1, 5)
    columns = {"epoch": epochs, "fid": 10 + 90 / epochs}
    drawn = draw(assessed(write(tmp_path / "epochs.csv", columns)), "svg").decode()
    assert "<!-- 3 -->" in drawn
    assert "<!-- 2.5 -->" not in drawn
