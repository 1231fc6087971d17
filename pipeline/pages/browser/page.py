"""Writes the page: its own files, and the look and the slider of the other pages."""

from importlib.resources import files
from pathlib import Path
from string import Template

from pipeline.pages.run.page import replay
from pipeline.store.outcome import Outcome

_FILES = {
    "ganverdict": ("report.css",),
    "pipeline.pages": ("images.css", "images.js"),
    "pipeline.pages.browser": ("browser.css", "browser.js", "model.js", "noise.js"),
}


def write_page(folder: Path, outcome: Outcome) -> None:
    """Fill `folder`; what the page computes with, it looks for beside itself.

    That is `generator.onnx`, and onnxruntime-web as `ort.js` with its `.wasm` file.
    """
    for package, names in _FILES.items():
        for name in names:
            (folder / name).write_bytes(files(package).joinpath(name).read_bytes())
    template = files("pipeline.pages.browser").joinpath("index.html").read_text(encoding="utf-8")
    _, best = outcome.best
    index = Template(template).substitute(
        epoch=f"{best['epoch']:,g}",
        epochs=f"{float(outcome.epochs['epoch'][-1]):,g}",
        replay=replay(outcome, best["step"]),
    )
    (folder / "index.html").write_text(index, encoding="utf-8")
