"""`--watch`: what is told of a log that grows, and when it ends."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from ganverdict import following
from tests.ganverdict.logs import LENGTH, Columns, Command, healthy, reference, write
from tests.project import REPOSITORY

FAST = ("--watch", "--every", "0.001")
Grow = Callable[[], None]


class Growing:
    """A run's log that has one more epoch at each look, until it is whole."""

    def __init__(self, folder: Path, run: tuple[Columns, Columns], first: int) -> None:
        folder.mkdir()
        self.folder, self.epoch, self._run = folder, first, run
        self.whole = len(run[1]["epoch"])
        self.write()

    def write(self) -> None:
        steps, epochs = self._run
        for name, columns, rows in (
            ("steps.csv", steps, self.epoch * LENGTH),
            ("epochs.csv", epochs, self.epoch),
        ):
            write(self.folder / name, {key: values[:rows] for key, values in columns.items()})

    def grow(self) -> None:
        if self.epoch == self.whole:
            raise KeyboardInterrupt
        self.epoch += 1
        self.write()


@pytest.fixture
def grows(monkeypatch: pytest.MonkeyPatch) -> list[Grow]:
    """What happens between two looks, in place of waiting; after them somebody ends it."""
    steps: list[Grow] = []

    def wait(_: float) -> None:
        for step in steps:
            step()

    monkeypatch.setattr(following, "sleep", wait)
    return steps


def test_each_change_is_told_and_a_run_that_went_wrong_ends_it(
    command: Command, tmp_path: Path, grows: list[Grow]
) -> None:
    log = Growing(tmp_path / "run", reference(), 11)
    grows.append(log.grow)
    status, out, err = command(log.folder, *FAST)
    assert (status, err) == (1, "")
    lines = out.splitlines()
    assert len(lines) >= 3
    assert all(line[2] == line[5] == ":" and f" {log.folder}: " in line for line in lines)
    assert " stable: " in lines[0]
    assert " onset: " in lines[-1]
    assert "go back to what to keep" in lines[-1]
    assert log.epoch < log.whole  # it did not wait for the end of the log


def test_a_verdict_that_says_to_go_on_does_not_end_it(
    command: Command, tmp_path: Path, grows: list[Grow]
) -> None:
    """FID stands at the level of noise: never learned, and too early to end."""
    path, values = tmp_path / "fid.csv", [300, 303, 299, 301, 302, 298, 300, 301, 303]
    seen: list[int] = []

    def grow() -> None:
        seen.append(len(values))
        path.write_text("step,fid\n" + "".join(f"{i},{v}\n" for i, v in enumerate(values)))
        values.append(301)

    grow()
    grows.append(grow)
    status, out, _ = command(path, *FAST)
    assert status == 1
    assert "never_learned" in out.splitlines()[0]
    assert "go on" in out.splitlines()[0]
    assert "end the training" in out.splitlines()[-1]
    assert len(seen) > 3


def test_ctrl_c_ends_it_with_the_verdict_so_far(
    command: Command, tmp_path: Path, grows: list[Grow]
) -> None:
    log = Growing(tmp_path / "run", healthy(12), 11)
    grows.append(log.grow)
    status, out, err = command(log.folder, *FAST)
    assert (status, err) == (0, "no longer followed\n")
    assert " stable: " in out


def test_of_several_runs_each_must_have_gone_wrong(
    command: Command, tmp_path: Path, grows: list[Grow]
) -> None:
    wrong = Growing(tmp_path / "wrong", reference(), 19)
    well = Growing(tmp_path / "well", healthy(), 19)
    grows += [wrong.grow, well.grow]
    status, out, err = command(wrong.folder, well.folder, *FAST)
    assert (status, err) == (1, "no longer followed\n")  # and not at the first look
    assert f" {wrong.folder}: onset: " in out
    assert f" {well.folder}: stable: " in out


def test_a_log_without_rows_is_waited_for(
    command: Command, tmp_path: Path, grows: list[Grow]
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()

    def begin() -> None:
        steps, epochs = reference()
        write(folder / "steps.csv", steps)
        write(folder / "epochs.csv", epochs)

    grows.append(begin)
    status, out, err = command(folder, *FAST)
    assert status == 1
    assert " waiting: " in err
    assert err.count("\n") == 1
    assert " onset: " in out


def test_what_is_printed_and_written_follows(
    command: Command, tmp_path: Path, grows: list[Grow]
) -> None:
    log = Growing(tmp_path / "run", reference(), 14)
    grows.append(log.grow)
    status, out, _ = command(log.folder, *FAST, "--json", "--out", tmp_path / "stop.json")
    told = [json.loads(line) for line in out.splitlines()]
    assert (status, told[-1]["status"]) == (1, "onset")
    assert json.loads((tmp_path / "stop.json").read_text()) == told[-1]


RECORD = """
import json, pathlib, sys
told = json.load(sys.stdin)
with pathlib.Path(sys.argv[1]).open("a") as file:
    file.write(json.dumps([sys.argv[2:], told]) + "\\n")
print("printed by the command")
"""


def test_a_command_is_told_each_change(command: Command, tmp_path: Path, grows: list[Grow]) -> None:
    """It gets the verdict as one argument whatever is in it, and no shell reads it."""
    log = Growing(tmp_path / "run; touch $(evil)", reference(), 14)
    grows.append(log.grow)
    script, record = tmp_path / "record.py", tmp_path / "told.jsonl"
    script.write_text(RECORD)
    call = f"'{sys.executable}' '{script}' '{record}' --option"
    status, out, _ = command(log.folder, *FAST, "--json", "--on-change", call)
    assert status == 1
    told = [json.loads(line) for line in record.read_text().splitlines()]
    assert [found for _, found in told] == [json.loads(line) for line in out.splitlines()]
    for arguments, found in told:
        assert arguments == ["--option", f"{found['status']}: {found['reason']}"]
    assert "printed by the command" not in out
    assert not (tmp_path / "evil").exists()


def test_a_command_that_fails_is_one_line_and_following_goes_on(
    command: Command, tmp_path: Path, grows: list[Grow]
) -> None:
    log = Growing(tmp_path / "run", reference(), 14)
    grows.append(log.grow)
    status, out, err = command(log.folder, *FAST, "--on-change", "false")
    assert (status, " onset: " in out) == (1, True)
    assert err.splitlines() == ["false: ended with status 1"] * len(out.splitlines())


def test_an_address_is_sent_each_change(
    command: Command, tmp_path: Path, grows: list[Grow]
) -> None:
    sent: list[Any] = []

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Listener)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    log = Growing(tmp_path / "run", reference(), 14)
    grows.append(log.grow)
    address = f"http://127.0.0.1:{server.server_port}/hook"
    try:
        status, out, err = command(log.folder, *FAST, "--json", "--webhook", address)
    finally:
        server.shutdown()
        server.server_close()
    assert (status, err) == (1, "")
    assert sent == [json.loads(line) for line in out.splitlines()]
    status, _, err = command(log.folder, *FAST, "--webhook", address)
    assert status == 1  # nobody listens any more
    assert err.startswith(f"{address}: ")


def test_an_interrupted_process_ends_without_a_traceback(tmp_path: Path) -> None:
    steps, epochs = healthy(12)
    write(tmp_path / "steps.csv", steps)
    write(tmp_path / "epochs.csv", epochs)
    process = subprocess.Popen(
        [sys.executable, "-m", "ganverdict", str(tmp_path), "--watch", "--every", "0.05"],
        env={"PYTHONPATH": str(REPOSITORY / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Also where these tests run in the background, whose shell lets Ctrl-C be ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None
    assert " stable: " in process.stdout.readline()
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "no longer followed\n")
