"""How long does reading a log of a million rows take, and how much memory?

    python -m benchmarks.read_logs                 # a minute or two
    python -m benchmarks.read_logs --rows 10000

Writes made-up logs of several kinds into a temporary folder, reads each in a process of its own,
and prints a line of JSON for each: its size, seconds, and the peak of memory.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.command import Parser, at_least
from pipeline.base.cli import run

Row = tuple[float, float, float, float]


def _csv(rows: list[Row]) -> Iterator[str]:
    yield "step,d_loss,g_loss,d_real,d_fake\n"
    for step, (d, g, x, z) in enumerate(rows):
        yield f"{step},{d},{g},{x},{z}\n"


def _sparse(rows: list[Row]) -> Iterator[str]:
    yield "step,d_loss,g_loss,fid\n"
    for step, (d, g, x, _) in enumerate(rows):
        yield f"{step},{d},{g if step % 5 == 0 else ''},{x if step % 1000 == 0 else ''}\n"


def _dcgan(rows: list[Row]) -> Iterator[str]:
    for step, (d, g, x, z) in enumerate(rows):
        yield (
            f"[{step // 1000}/1000][{step % 1000}/1000]\tLoss_D: {d:.4f}\tLoss_G: {g:.4f}\tD(x):"
            f" {x:.4f}\tD(G(z)): {z:.4f} / {z:.4f}\n"
        )


def _interrupted(rows: list[Row]) -> Iterator[str]:
    for step, line in enumerate(_dcgan(rows)):
        yield line
        if step % 3 == 0:
            yield f"saved picture {step} to samples/{step}.png\n"


def _json_lines(rows: list[Row]) -> Iterator[str]:
    for step, (d, g, x, _) in enumerate(rows):
        yield json.dumps({"step": step, "d_loss": d, "g_loss": g, "d_real": x}) + "\n"


WRITERS: dict[str, Callable[[list[Row]], Iterator[str]]] = {
    "csv": _csv,
    "sparse csv": _sparse,
    "pytorch/examples prints": _dcgan,
    "prints with other lines": _interrupted,
    "json lines": _json_lines,
}
# In a process of its own, since the memory's peak is that of a whole process.
_READ = """
import json, re, sys, time
from pathlib import Path
from ganverdict.formats import read
def peak():
    status = Path("/proc/self/status").read_text()
    return round(int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) / 1024)
before, start, cpu = peak(), time.perf_counter(), time.process_time()
(log,) = read([sys.argv[1]])
print(json.dumps({
    "rows": len(log.pairs[""]["step"]),
    "seconds": round(time.perf_counter() - start, 2),
    "cpu_seconds": round(time.process_time() - cpu, 2),
    "peak_mib": peak(),
    "before_mib": before,
}))
"""


def main() -> None:
    parser = Parser("read_logs", __doc__)
    parser.add_argument(
        "--rows", type=at_least(1), default=1_000_000, help="of each log (default 1000000)"
    )
    count = parser.parse_args().rows
    numbers = np.round(np.random.default_rng(0).lognormal(size=(count, 4)), 4)
    rows: list[Row] = [tuple(row) for row in numbers.tolist()]
    with tempfile.TemporaryDirectory() as folder:
        for kind, write in WRITERS.items():
            path = Path(folder) / "log"
            with path.open("w") as file:
                file.writelines(write(rows))
            command = [sys.executable, "-c", _READ, str(path)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            size = round(path.stat().st_size / 2**20)
            print(json.dumps({"kind": kind, "file_mib": size, **json.loads(done.stdout)}))


if __name__ == "__main__":
    run(main)
