"""The command; what its page does is asked in tests/pipeline/pages/browser."""

import errno
import re
from pathlib import Path

import onnx
import pytest
import torch

from dcgan.networks import Generator
from dcgan.training import SIGNALS
from ganverdict.verdict import Verdict
from pipeline import web
from pipeline.base.cli import UserError, write_json
from pipeline.base.paths import GENERATOR_BEST, GENERATOR_LAST, RUN, SAMPLES, STOP, WEB
from pipeline.store.history import History
from pipeline.store.weights import save_generator
from tests.commands import refusal, status_of
from tests.onnx_models import conditional, plain

METRICS = {"fd": 2.0, "fd_sigma": 0.1, "class_kl": 0.1}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with what `train` and `export` leave, and the page of an older export."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for file, epoch in ((GENERATOR_BEST, 1), (GENERATOR_LAST, 2)):
        save_generator(file, Generator(2, 8, 0.0), {"epoch": epoch, "step": 10 * epoch})
    History(
        signals=torch.ones(20, len(SIGNALS)),
        epochs=[{"epoch": n, "step": 10 * n, **METRICS} for n in (1, 2)],
        grid_steps=[10, 20],
        grids=torch.zeros(2, 64, 28, 28, dtype=torch.uint8),
    ).write()
    write_json(RUN, {"key": "k"})
    write_json(STOP, Verdict(status="stable", reason="", best_epoch=1, best_step=10).to_json())
    WEB.mkdir(parents=True)
    (WEB / "older").touch()
    web.MODEL.write_bytes(plain())
    return folder


def fake_npm(folder: Path, script: str) -> str:
    """A PATH on which an npm of one's own comes first."""
    folder.mkdir()
    (folder / "npm").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "npm").chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


def assert_nothing_changed(project: Path) -> None:
    assert [file.name for file in WEB.iterdir()] == ["older"]
    assert not [*project.rglob("*.partial")]


@pytest.mark.slow
def test_the_folder_holds_all_that_its_page_names(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    try:
        web.add_library(tmp_path)
    except UserError as error:
        pytest.skip(str(error))
    assert status_of(web.main) == 0
    said = capsys.readouterr().out
    assert f"python -m http.server --directory {WEB} --bind 127.0.0.1 8000" in said
    names = {file.name for file in WEB.iterdir()}
    assert "older" not in names
    assert (WEB / "generator.onnx").read_bytes() == web.MODEL.read_bytes()
    assert (WEB / "ort.js").read_bytes() == (tmp_path / "ort.js").read_bytes()
    page = (WEB / "index.html").read_text()
    assert "epoch 1 of 2" in page
    scripts = [(WEB / name).read_text() for name in names if name in page or name == "model.js"]
    wanted = {*re.findall(r'(?:src|href)="([\w.]+)"', page)}
    wanted |= {name for text in scripts for name in re.findall(r'"\./([\w.]+)"', text)}
    assert {"browser.js", "model.js", "ort.js", "report.css"} <= wanted <= names
    # A page made anew takes the place of the one that is there.
    web.MODEL.write_bytes(conditional())
    assert status_of(web.main) == 0
    assert {file.name for file in WEB.iterdir()} == names
    assert (WEB / "generator.onnx").read_bytes() == web.MODEL.read_bytes()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (None, "onnxruntime-web@1.30.0: npm is not installed; "),
        (
            "echo npm error code ENOTFOUND >&2; echo npm error network >&2; exit 1",
            "onnxruntime-web@1.30.0: npm error code ENOTFOUND; ",
        ),
        ("echo other > onnxruntime-web-1.30.0.tgz", "wrong checksum"),
        ("true", "the download left 0 files"),
    ],
)
def test_where_npm_does_not_help_one_line_says_so(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    project: Path,
    tmp_path: Path,
    script: str | None,
    words: str,
) -> None:
    path = str(tmp_path / "none") if script is None else fake_npm(tmp_path / "bin", script)
    monkeypatch.setenv("PATH", path)
    assert words in refusal(capsys, web.main)
    assert_nothing_changed(project)


def test_a_missing_export_is_named_with_the_stage_that_makes_it(
    capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    web.MODEL.unlink()
    line = "error: export/generator.onnx: missing; `dvc repro export` makes it"
    assert refusal(capsys, web.main) == line
    web.MODEL.write_bytes(plain())
    SAMPLES.unlink()
    line = "error: models/samples.npz: missing; `dvc repro train` makes it"
    assert refusal(capsys, web.main) == line
    assert_nothing_changed(project)


def _renamed(**names: str) -> bytes:
    """A model whose inputs and outputs are called otherwise."""
    model = onnx.load_from_string(plain())
    for node in model.graph.node:
        for puts in (node.input, node.output):
            puts[:] = [names.get(name, name) for name in puts]
    for value in (*model.graph.input, *model.graph.output):
        value.name = names.get(value.name, value.name)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("model", [b"no model", _renamed(z="noise"), _renamed(image="picture")])
def test_what_is_no_generator_is_refused(
    capsys: pytest.CaptureFixture[str], project: Path, model: bytes
) -> None:
    web.MODEL.write_bytes(model)
    line = "error: export/generator.onnx: corrupt; delete it, then `dvc repro export` makes it"
    assert refusal(capsys, web.main) == line
    assert_nothing_changed(project)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
def test_what_ends_half_way_leaves_the_page_that_was_there(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    project: Path,
    error: BaseException,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(web, "add_library", lambda folder: (folder / "ort.js").touch())
    monkeypatch.setattr(web, "write_page", fail)
    refusal(capsys, web.main, status=130 if isinstance(error, KeyboardInterrupt) else 1)
    assert_nothing_changed(project)
