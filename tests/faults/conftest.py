"""The table at the end of `make test-faults`."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import evaluate, fetch, judge, train
from tests.commands import DEAD, enter, run_stages
from tests.project import Project

OUTCOMES = {
    "passed": "holds",
    "failed": "DOES NOT HOLD",
    "error": "DOES NOT HOLD",
    "skipped": "not tried",
}


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which fetch, judge, train and evaluate have run, without a tracking server."""
    project = Project(tmp_path_factory.mktemp("finished") / "clone")
    run_stages(project.folder, fetch, judge, train, evaluate)
    return project.folder


@pytest.fixture
def clone(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that clone to spoil, as the working directory; its tracking server is away."""
    shutil.copytree(finished, tmp_path / "clone")
    enter(tmp_path / "clone", monkeypatch)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DEAD)
    return tmp_path / "clone"


@pytest.fixture
def attacked(record_property: Callable[[str, object], None]) -> Callable[[int, str], None]:
    """Tell the table how many attacks a test made, and of what."""

    def tell(number: int, what: str) -> None:
        record_property("attacks", (number, what))

    return tell


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A line for each kind of attack: what held, over how many cases, and what was counted."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for outcome, held in OUTCOMES.items():
        for report in terminalreporter.getreports(outcome):
            file, _, test = report.nodeid.partition("::")
            if not file.startswith("tests/faults/") or (
                outcome == "passed" and report.when != "call"
            ):
                continue
            name = test.partition("[")[0].removeprefix("test_").replace("_", " ")
            told = [value for key, value in report.user_properties if key == "attacks"]
            case = ", ".join(f"{number:,} {what}" for number, what in told)
            rows.setdefault((Path(file).stem.removeprefix("test_"), held, name), []).append(case)
    if not rows:
        return
    terminalreporter.section("what was attacked")
    for (chapter, held, name), cases in sorted(rows.items()):
        many = f" ({len(cases)} cases)" if len(cases) > 1 else ""
        terminalreporter.write_line(f"{chapter:<13} {held:<13} {name}{many}")
        for case in filter(None, cases):
            terminalreporter.write_line(f"{'':<27} {case}")
