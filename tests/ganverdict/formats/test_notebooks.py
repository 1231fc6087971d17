"""What the cells of a Jupyter notebook printed."""

import json
from pathlib import Path
from typing import Any

import pytest

from ganverdict.formats import ReadError, read

LOSSES = "".join(f"Epoch {e}/30: D loss: 0.6{e % 7}, G loss: 1.0{e % 5}\n" for e in range(1, 31))
FIDS = "".join(f"Epoch {e} FID {30 - e}.5\n" for e in range(5, 31, 5))


def printed(text: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": text.splitlines(keepends=True)}


def notebook(folder: Path, *outputs: list[dict[str, Any]]) -> Path:
    cells: list[dict[str, Any]] = [{"cell_type": "markdown", "source": ["# D loss: 0.5"]}]
    cells += [{"cell_type": "code", "source": ["train()"], "outputs": each} for each in outputs]
    path = folder / "dcgan.ipynb"
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4}, indent=1))
    return path


def test_a_cell_s_losses_and_the_measures_of_another_are_one_run(tmp_path: Path) -> None:
    picture = {"output_type": "display_data", "data": {"image/png": "iVB", "text/plain": "<Fig>"}}
    halves = [printed(LOSSES[:400]), picture, printed(LOSSES[400:])]
    path = notebook(tmp_path, [printed("cuda\n")], halves, [printed(FIDS)])
    (log,) = read([path])
    assert (log.name, log.unit, log.metric) == (f"{path}, cell 3", "epoch", "FID")
    assert log.pairs[""]["step"].tolist() == [*range(1, 31)]
    assert log.evaluations["step"].tolist() == [*range(5, 31, 5)]


def test_each_cell_that_trained_is_a_run(tmp_path: Path) -> None:
    path = notebook(tmp_path, [printed(LOSSES)], [printed(LOSSES), printed(FIDS)])
    first, second = read([path])
    assert (first.name, second.name) == (f"{path}, cell 2", f"{path}, cell 3")
    assert (first.metric, second.metric) == (None, "FID")


def test_a_table_that_is_shown_is_read_as_one(tmp_path: Path) -> None:
    header = "<tr><th>epoch</th><th>gen_loss</th><th>critic_loss</th><th>time</th></tr>"
    rows = [f"<tr><td>{e}</td><td>1.0{e}</td><td>0.{e}</td><td>00:12</td></tr>" for e in range(9)]
    page = {"text/html": ["<table border='1'>", header, *rows, "</table>"], "text/plain": "<HTML>"}
    (log,) = read([notebook(tmp_path, [{"output_type": "display_data", "data": page}])])
    assert log.pairs[""]["step"].tolist() == [*range(9)]
    assert log.pairs[""]["d_loss"].tolist() == [float(f"0.{e}") for e in range(9)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"cells": [', "not a readable notebook"),
        ('{"cells": [3]}', "not a readable notebook"),
        ('{"cells": [{"outputs": [{"output_type": "stream", "text": "hi"}]}]}', "no cell of this"),
        ('{"cells": []}', "no cell of this"),
    ],
)
def test_a_notebook_without_a_log_is_one_line(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "empty.ipynb"
    path.write_text(content)
    with pytest.raises(ReadError, match=said):
        read([path])
