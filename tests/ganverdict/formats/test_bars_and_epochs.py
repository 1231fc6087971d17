"""Which epoch a printed row belongs to: bars, lines behind them, and epochs that are none."""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from ganverdict.formats import read
from ganverdict.log import Log

EPOCHS, BATCHES = 12, 40


def log(folder: Path, lines: Iterable[str], name: str = "train.log") -> Log:
    (folder / name).write_text("\n".join(lines) + "\n")
    (found,) = read([folder / name])
    return found


def bar(epoch: int, batch: int, of: int = BATCHES, losses: bool = True) -> str:
    end = f", d_loss=0.{50 + epoch}, g_loss=0.{60 + batch % 9}" if losses else ""
    return f" {100 * batch // of}%|███  | {batch}/{of} [00:01<00:09, {20 + batch}.1it/s{end}]"


def test_the_line_of_an_epoch_behind_its_bar_is_at_the_end_of_that_epoch(tmp_path: Path) -> None:
    lines = []
    for epoch in range(1, EPOCHS + 1):
        lines += [bar(epoch, batch) for batch in range(10, BATCHES + 1, 10)]
        lines += [f"Epoch {epoch}/{EPOCHS} | FID: {50 - epoch}.5"]
    found = log(tmp_path, lines)
    assert found.unit == "iteration"
    assert found.pairs[""]["step"].tolist() == [*range(10, EPOCHS * BATCHES + 1, 10)]
    assert found.evaluations["step"].tolist() == [epoch * BATCHES for epoch in range(1, EPOCHS + 1)]
    assert found.evaluations["epoch"].tolist() == [*range(1, EPOCHS + 1)]


def test_the_line_of_an_epoch_before_its_bar_is_of_that_epoch(tmp_path: Path) -> None:
    lines = []
    for epoch in range(1, EPOCHS + 1):
        lines += [f"Epoch {epoch}/{EPOCHS}"]
        lines += [bar(epoch, batch) for batch in range(10, BATCHES + 1, 10)]
    found = log(tmp_path, lines)
    assert found.pairs[""]["step"].tolist() == [*range(10, EPOCHS * BATCHES + 1, 10)]


def test_bars_of_validation_are_no_batches_of_training(tmp_path: Path) -> None:
    lines = []
    for epoch in range(1, EPOCHS + 1):
        lines += [f"Epoch {epoch}/{EPOCHS}"]
        lines += [bar(epoch, batch) for batch in range(10, BATCHES + 1, 10)]
        lines += [bar(epoch, batch, of=7, losses=False) for batch in range(8)]
        lines += [f"FID: {50 - epoch}.5"]
    found = log(tmp_path, lines)
    assert found.pairs[""]["step"].tolist() == [*range(10, EPOCHS * BATCHES + 1, 10)]
    assert found.evaluations["step"].tolist() == [epoch * BATCHES for epoch in range(1, EPOCHS + 1)]


def test_bars_beside_which_no_loss_stands_are_no_clock(tmp_path: Path) -> None:
    lines = []
    for epoch in range(1, EPOCHS + 1):
        lines += [f"Epoch {epoch}: D loss: 0.{40 + epoch}, G loss: 0.{60 + epoch}"]
        lines += [bar(epoch, batch, of=7, losses=False) for batch in range(8)]
        lines += [f"FID: {50 - epoch}.5"]
    found = log(tmp_path, lines)
    assert found.unit == "epoch"
    assert found.pairs[""]["step"].tolist() == [*range(1, EPOCHS + 1)]
    assert found.evaluations["step"].tolist() == [*range(1, EPOCHS + 1)]


@pytest.mark.parametrize(
    "setting", ["epochs: 100", "Namespace(epochs=100, lr=0.0002)", "# iteration per epoch :  9000"]
)
def test_epochs_among_the_settings_are_no_clock(tmp_path: Path, setting: str) -> None:
    lines = [setting, "device: cuda"]
    lines += [f"[{step:5d}/39100] D: 0.{400 + step}, G: 0.{600 + step}" for step in range(1, 200)]
    found = log(tmp_path, lines)
    assert found.pairs[""]["step"].tolist() == [*range(1, 200)]


def test_a_step_behind_its_values_is_theirs(tmp_path: Path) -> None:
    lines = []
    for epoch in range(1, EPOCHS + 1):
        lines += [f"d_loss: 0.{40 + epoch}, g_loss: 0.{60 + epoch}"]
        lines += [f"Time for epoch {epoch} is 11.22 sec"]
        lines += [f"FID: {50 - epoch}.5"] * (epoch % 4 == 0)
    found = log(tmp_path, lines)
    assert found.pairs[""]["step"].tolist() == [*range(1, EPOCHS + 1)]
    assert found.pairs[""]["d_loss"][0] == 0.41
    assert found.evaluations["step"].tolist() == [4, 8, 12]


@pytest.mark.parametrize("word", ["epoch", "Epoch_", "step"])
def test_a_number_may_be_glued_to_the_word_of_its_step(tmp_path: Path, word: str) -> None:
    lines = [f"{word}{n} d_loss: 0.{40 + n} g_loss: 0.{60 + n}" for n in range(1, 31)]
    found = log(tmp_path, lines)
    assert list(found.pairs) == [""]
    assert found.pairs[""]["step"].tolist() == [*range(1, 31)]


def test_what_is_printed_below_zero_glued_to_a_word_is_not(tmp_path: Path) -> None:
    lines = [f"epoch-{n} d_loss: 0.{40 + n} g_loss: 0.{60 + n}" for n in range(1, 31)]
    found = log(tmp_path, lines)
    assert found.pairs[""]["step"].min() >= 1


def test_a_critic_that_is_never_below_zero_is_none_whatever_the_log_is_called(
    tmp_path: Path,
) -> None:
    def found(level: float) -> str | None:
        rows = [f"Epoch {n}, Loss G: 1.2,Loss D: {level + n / 100:.3f}" for n in range(1, 31)]
        return log(tmp_path, rows).loss

    assert found(-0.9) == "wasserstein"
    assert found(0.2) is None


@pytest.mark.parametrize("kind", ["kaggle", "docker"])
def test_what_was_printed_may_be_kept_as_json(tmp_path: Path, kind: str) -> None:
    printed = [f"[{n // 10}/3][{n % 10}/10]\tLoss_D: 0.{40 + n}\tLoss_G: 0.6\n" for n in range(30)]
    if kind == "kaggle":
        pieces = [{"stream_name": "stdout", "time": 1.5, "data": text} for text in printed]
        lines = [("[" if n == 0 else ",") + json.dumps(p) for n, p in enumerate(pieces)] + ["]"]
    else:
        lines = [json.dumps({"log": t, "stream": "stdout", "time": "2026-01-02"}) for t in printed]
    found = log(tmp_path, lines)
    assert found.pairs[""]["step"].tolist() == [*range(30)]
