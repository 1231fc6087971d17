"""What do several processes gain? Iterations of one batch shared out, against those of one process.

    python -m benchmarks.processes                    # two cores, about 4 minutes
    python -m benchmarks.processes --rounds 3 --widths 16
    python -m benchmarks.processes --device cuda      # 1, 2, 4 ... GPUs, strong and weak scaling

On a CPU the contestants are one process of one thread (`alone`), one of all threads (`whole`) and
one of one thread for each of them (`shared`). `share_of_ideal` is the speed over that of `alone`
times the threads. `times_whole` is how many times as fast as `whole`.

On GPUs each process has one: `strong` shares out the recipe's batch, `weak` gives every process a
batch of that size. `share_of_ideal` is the images in a second over those of one GPU times the GPUs.

Contestants take turns within this one run, while the others sleep. One JSON line a result, then a
table. Sizes: the recipe of params.yaml (as shipped width 16, batch 64) and the blog post's (width
64, batch 128), in the precision that `auto` means here.
"""

import dataclasses
import multiprocessing
import os
import socket
import statistics
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Literal

import torch

from benchmarks.command import Parser, at_least
from benchmarks.contestants import PRECISIONS, Engine, random_images
from benchmarks.recipes import default_params, recipe
from benchmarks.timing import Row, Times, machine, rounded, show, synchronise, tables, times_faster
from dcgan import processes
from dcgan.params import RuntimeParams, TrainParams
from dcgan.runtime import configure, precision_of
from pipeline.base.cli import UserError, run

SPAWN = multiprocessing.get_context("spawn")
WARM_UP = 3
GPU: Literal["cuda", "cpu"] = "cuda"  # a test takes the CPU for one
GPU_ITERATIONS = 100


class Group:
    """Processes that train together when they are told to, and sleep else."""

    def __init__(self, size: int, runtime: RuntimeParams, params: TrainParams) -> None:
        self.size, self.params, self.times = size, params, Times()
        os.environ["OMP_NUM_THREADS"] = str(runtime.threads)  # torch's pools keep what they had
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self._ends: list[Connection] = []
        for rank in range(size):
            ours, theirs = SPAWN.Pipe()
            told = (theirs, rank, size, port, runtime, params)
            SPAWN.Process(target=_member, args=told, daemon=True).start()
            theirs.close()
            self._ends.append(ours)

    def train(self, iterations: int) -> None:
        """Train so many, and keep the time of one: wall of the slowest, processor of all."""
        for end in self._ends:
            end.send(iterations)
        answers = [end.recv() for end in self._ends]
        self.times.wall.append(max(wall for wall, _ in answers) / iterations)
        self.times.processor.append(sum(processor for _, processor in answers) / iterations)

    def end(self) -> None:
        """Let them go."""
        for end in self._ends:
            end.send(0)


def _member(
    told: Connection, rank: int, size: int, port: int, runtime: RuntimeParams, params: TrainParams
) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size)}
    device = configure(runtime)
    if device.type == "cuda":
        torch.cuda.set_device(rank)
    (precision,) = (one for one in PRECISIONS if one == precision_of(runtime, device))
    with processes.joined(device):
        engine = Engine(params, precision, random_images(device.type))
        while iterations := told.recv():
            began = time.perf_counter(), time.process_time()
            for _ in range(iterations):
                engine()
            synchronise(device.type)
            told.send((time.perf_counter() - began[0], time.process_time() - began[1]))


def take_turns(groups: Mapping[str, Group], iterations: int, rounds: int) -> None:
    """Let each group train once a round; every round another one begins."""
    names = list(groups)
    for group in groups.values():
        group.train(WARM_UP)
        group.times = Times()
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            groups[name].train(iterations)
    for group in groups.values():
        group.end()


def cpu_rows(size: str, params: TrainParams, threads: int, rounds: int) -> list[Row]:
    """One thread, all threads of one process, and a process for each."""
    runtime = dataclasses.replace(default_params().runtime, device="cpu", threads=1)
    groups = {
        "alone": Group(1, runtime, params),
        "whole": Group(1, dataclasses.replace(runtime, threads=threads), params),
        "shared": Group(threads, runtime, params),
    }
    take_turns(groups, iterations=10 if params.width < 64 else 1, rounds=rounds)
    alone, whole = groups["alone"].times.wall, groups["whole"].times.wall
    rows = []
    for name, group in groups.items():
        row: Row = {"section": "cpu", "size": size, "width": params.width}
        row |= {"batch": params.batch_size, "contestant": name, "processes": group.size}
        row |= {"threads_each": threads if name == "whole" else 1, **group.times.row()}
        row["times_whole"] = rounded(times_faster(group.times.wall, whole))
        if name != "alone":
            row["share_of_ideal"] = rounded(times_faster(group.times.wall, alone) / threads)
        rows.append(row)
    return rows


def gpu_rows(size: str, params: TrainParams, gpus: int, rounds: int) -> list[Row]:
    """As many GPUs as there are, by doubling: the batch shared out, and a batch for each."""
    runtime = dataclasses.replace(default_params().runtime, device=GPU, threads=1)
    numbers = [2**power for power in range(gpus.bit_length())]
    rows = []
    for kind in ("strong", "weak"):
        batches = {n: params.batch_size * (n if kind == "weak" else 1) for n in numbers}
        groups = {
            str(n): Group(n, runtime, dataclasses.replace(params, batch_size=batch))
            for n, batch in batches.items()
        }
        take_turns(groups, iterations=GPU_ITERATIONS, rounds=rounds)
        one = groups["1"].times.wall
        for n in numbers:
            times = groups[str(n)].times
            gain = times_faster(times.wall, one) * batches[n] / params.batch_size
            rate = rounded(batches[n] / statistics.median(times.wall))
            rows.append(
                {
                    "section": "gpu",
                    "size": size,
                    "width": params.width,
                    "batch": batches[n],
                    "kind": kind,
                    "gpus": n,
                    **times.row(),
                    "images_per_s": rate,
                    "share_of_ideal": rounded(gain / n),
                }
            )
    return rows


def main() -> None:
    parser = Parser("processes", __doc__)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument(
        "--threads", type=at_least(1), default=2, help="on a CPU, in all (default 2)"
    )
    parser.add_argument("--rounds", type=at_least(1), default=9, help="of turns (default 9)")
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 64], choices=[16, 64])
    arguments = parser.parse_args()
    gpus = torch.cuda.device_count()
    if arguments.device == "cuda" and not gpus:
        raise UserError("torch sees no GPU here; --device cpu measures processes of one thread")
    sizes = {"laptop": default_params().train, "original": recipe("blog")}
    rows = [show(machine(gpus=gpus, rounds=arguments.rounds))]
    for size, params in sizes.items():
        if params.width not in arguments.widths:
            continue
        if arguments.device == "cuda":
            found = gpu_rows(size, params, gpus, arguments.rounds)
        else:
            found = cpu_rows(size, params, arguments.threads, arguments.rounds)
        rows += [show(row) for row in found]
    print("\n" + tables(rows))


if __name__ == "__main__":
    run(main)
