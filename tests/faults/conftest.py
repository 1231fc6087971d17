"""The table at the end of `make test-faults`."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import evaluate, fetch, judge, train
from tests.commands import DEAD, enter, status_of
from tests.project import Project


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which fetch, judge, train and evaluate have run, without a tracking server."""
    project = Project(tmp_path_factory.mktemp("finished") / "clone")
    with pytest.MonkeyPatch.context() as patch:
        enter(project.folder, patch)
        patch.setenv("MLFLOW_TRACKING_URI", DEAD)
        for stage in (fetch, judge, train, evaluate):
            assert status_of(stage.main) == 0
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
    rows = []
    for outcome in ("passed", "failed", "skipped"):
        for report in terminalreporter.getreports(outcome):
            if outcome == "passed" and report.when != "call":
                continue
            chapter, _, test = report.nodeid.removeprefix("tests/faults/").partition("::")
            name = test.removeprefix("test_").replace("_", " ")
            told = [value for key, value in report.user_properties if key == "attacks"]
            attacks = ", ".join(f"{number} {what}" for number, what in told) or "1"
            held = {"passed": "holds", "failed": "DOES NOT HOLD", "skipped": "not tried"}[outcome]
            rows.append((chapter.removeprefix("test_").removesuffix(".py"), held, attacks, name))
    terminalreporter.section("what was attacked")
    for chapter, held, attacks, name in sorted(rows):
        terminalreporter.write_line(f"{chapter:<11} {held:<13} {name}")
        terminalreporter.write_line(f"{'':<25} {attacks}")
