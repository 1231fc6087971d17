"""What docs/ganverdict.md quotes is what the command says, and its loop runs."""

import csv
import re
from collections import Counter
from pathlib import Path

import pytest

from ganverdict.assessment import assess_log
from ganverdict.cli import main
from ganverdict.formats import read
from ganverdict.formats.names import role
from ganverdict.monitor import Monitor
from ganverdict.verdict import STATUSES, WENT_WRONG, Verdict

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


def section(title: str) -> str:
    return re.split(r"^#+ ", TEXT.partition(f"# {title}\n")[2], flags=re.MULTILINE)[0]


def monitor_after(rows: int = 0, evaluated: int = 0) -> Monitor:
    monitor = Monitor(metric="fid")
    for step in range(1, rows + 1):
        monitor.log(step, d_loss=1 + 0.01 * (step % 7), g_loss=1 + 0.01 * (step % 5))
    for step in range(1, evaluated + 1):
        monitor.evaluate(step, fid=90.0 / step)
    return monitor


def status_after(rows: int = 0, evaluated: int = 0) -> str:
    return monitor_after(rows, evaluated).verdict().status


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


def test_the_table_of_statuses_has_all_of_them_and_their_exit_statuses() -> None:
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \| ([01]) \|$", TEXT, re.MULTILINE)
    assert rows == [(status, str(int(status in WENT_WRONG))) for status in STATUSES]


def test_every_name_of_a_column_is_known() -> None:
    rows = re.findall(r"^\| [^|`]+ \| (`[^|]+) \| [^|]* \|$", section("Names of columns"), re.M)
    names = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert len(names) > 40
    kinds = {name: role(name).kind for name in names}
    known = {"signal", "half", "measure", "step"}
    assert [name for name, kind in kinds.items() if kind not in known] == []


def test_the_small_log_says_what_the_page_tells(tmp_path: Path) -> None:
    (content,) = re.findall(r"```csv\n(.*?)```", TEXT, flags=re.DOTALL)
    (tmp_path / "run.csv").write_text(content)
    verdict = verdict_on([tmp_path / "run.csv"])
    (told,) = re.findall(
        r"`python -m ganverdict run.csv` says `(\w+)` since epoch (\d+), certain at epoch (\d+): "
        r"keep epoch (\d+), and go back",
        TEXT,
    )
    places = (verdict.onset_step, verdict.confirm_step, verdict.best_step)
    assert told == (verdict.status, *(f"{place:g}" for place in places if place is not None))
    assert verdict.end == "roll_back"


def test_so_much_is_enough_as_the_page_says() -> None:
    said = section("How much is enough")
    (windows, iterations, evaluations) = re.findall(
        r"\| (\d+) windows of a loss \((\d+) iterations\), or (\d+) evaluations", said
    )[0]
    ((charted, before),) = re.findall(r"(\d+) windows before it \(([\d,]+) iterations", said)
    assert int(iterations) == 52 * int(windows)
    assert status_after(rows=int(iterations) - 1) == "unwatched"
    assert status_after(rows=int(iterations)) == "stable"
    assert status_after(evaluated=int(evaluations) - 1) == "unwatched"
    assert status_after(evaluated=int(evaluations)) == "stable"
    rows = int(before.replace(",", ""))
    assert rows == 52 * int(charted)
    assert not monitor_after(rows=rows).verdict().watched.charted
    assert monitor_after(rows=rows + 52).verdict().watched.charted


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
