"""What docs/ganverdict.md quotes is what the command says, and its loop runs."""

import csv
import re
from collections import Counter
from pathlib import Path

import pytest

from ganverdict.assessment import assess_log
from ganverdict.cli import main
from ganverdict.formats import read
from ganverdict.verdict import Verdict

ROOT = Path(__file__).resolve().parent.parent.parent
LOGS = ROOT / "benchmarks/public_logs"
TEXT = (ROOT / "docs/ganverdict.md").read_text(encoding="utf-8")
PUBLIC = re.findall(r"^\| [^|]+ \| `([\w-]+)` \| (`\w+`[^|]*) \|", TEXT, flags=re.MULTILINE)
RECORDED = re.findall(r"^\| [^|]+ \| `python -m ganverdict ([^`]+)` \| (`\w+`[^|]*) \|", TEXT, re.M)
ROWS = [([LOGS / name], said) for name, said in PUBLIC]
ROWS += [([ROOT / file for file in files.split()], said) for files, said in RECORDED]


def verdict_on(paths: list[Path]) -> Verdict:
    (log,) = read(paths)
    return assess_log(log).verdict


def test_there_are_rows() -> None:
    assert len(PUBLIC) == 9
    assert len(RECORDED) == 3


@pytest.mark.parametrize(("paths", "said"), ROWS, ids=lambda value: str(value)[-40:])
def test_every_row_says_what_the_command_says(paths: list[Path], said: str) -> None:
    verdict = verdict_on(paths)
    assert verdict.status == re.findall(r"^`(\w+)`", said)[0]
    places = {
        "since": verdict.onset_step,
        "told at": verdict.alarm_step,
        "certain at": verdict.confirm_step,
        "keep": verdict.best_step,
    }
    told = re.findall(rf"({'|'.join(places)}) step ([\d,]+)", said)
    assert {words: float(number.replace(",", "")) for words, number in told} == {
        words: step for words, step in places.items() if step is not None
    }
    (value,) = re.findall(r"(?:FID|fd) ([\d.]+)$", said)
    assert value == f"{verdict.best_value:.4g}"


def test_the_answer_that_is_shown_is_the_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    ((path, answer),) = re.findall(
        r"^    python -m ganverdict (\S+)\n\n```text\n(.*?)```", TEXT, re.DOTALL | re.MULTILINE
    )
    assert main([path]) == 1
    assert capsys.readouterr().out == answer


@pytest.mark.slow
def test_all_the_runs_come_out_as_the_page_counts_them() -> None:
    with (LOGS / "index.csv").open() as file:
        kinds = {row["name"]: row["kind"] for row in csv.DictReader(file)}
    wrong = Counter(kinds[name] for name in kinds if verdict_on([LOGS / name]).went_wrong)
    (counted,) = re.findall(r"^\| ganverdict: it went wrong \| (.*) \|$", TEXT, re.MULTILINE)
    numbers = [int(cell.split()[0]) for cell in counted.split(" | ")]
    assert numbers == [wrong[kind] for kind in ("collapsed", "declined", "fine")]


def test_the_loop_keeps_the_best_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    fids, saved = iter([90.0, 70, 50, 30, 20, *[300.0] * 12]), list[int]()
    names = {
        "batches": range(12_000),
        "train_step": lambda batch: (0.69 + 0.01 * (batch % 7), 0.7 + 0.01 * (batch % 5)),
        "measure_samples": fids.__next__,
        "save_weights": saved.append,
    }
    exec(code, names)  # noqa: S102
    assert saved == [1000, 2000, 3000, 4000, 5000]
    assert names["step"] in (7000, 8000)
    assert {path.name for path in (tmp_path / "runs/7").iterdir()} >= {"log.jsonl", "verdict.json"}
