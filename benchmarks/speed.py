"""How fast is the engine, against a plain port and against the machine?

    make bench                                    # everything, about 15 minutes on two cores
    python -m benchmarks.speed --quick            # the same rows, roughly, in 3 minutes
    python -m benchmarks.speed --only engine growth

One JSON line a row, then tables. Contestants take turns within one run (benchmarks/timing.py), each
thread count in a process of its own. `share_of_machine` is useful operations in a second
(benchmarks/operations.py) over those of a large matrix product in the same precision and round.

Sections: engine (who is how much faster, at the original's size and at the default), process
(warm-up and peak memory, each contestant in a fresh process), overhead (evaluation, pictures,
checkpoints and tracking in a default run; needs `dvc repro judge`), growth (with batch, width and
threads), pair (two trainings of one thread against one of two).
"""

import argparse
import dataclasses
import itertools
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.contestants import PRECISIONS, Engine, Plain, Precision, random_images
from benchmarks.operations import iteration_operations
from benchmarks.recipes import default_params, recipe
from benchmarks.timing import (
    Row,
    Times,
    alternate,
    machine,
    products,
    rounded,
    show,
    tables,
    times_faster,
)
from dcgan.params import RuntimeParams, TrainParams
from dcgan.runtime import configure
from pipeline.base.cli import run

if TYPE_CHECKING:
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Barrier

PRODUCT_SIZE = 2048
SPAWN = multiprocessing.get_context("spawn")


def sizes() -> dict[str, TrainParams]:
    """The original's architecture at batch 128, and a quarter of it as the plain port can train."""
    return {"original": recipe("blog"), "laptop": recipe("classic")}


def isolated(threads: int, function: Callable[..., list[Row]], *arguments: object) -> list[Row]:
    """Call `function` in a fresh process: torch's pools keep the thread count they began with."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    with SPAWN.Pool(1) as pool:
        return pool.apply(_with_threads, (threads, function, *arguments))


def _with_threads(threads: int, function: Callable[..., list[Row]], *arguments: Any) -> list[Row]:
    configure(RuntimeParams("cpu", threads, "fp32"))  # it serves every contestant
    return function(*arguments)


# --- engine


def engine_rows(size: str, params: TrainParams, rounds: int) -> list[Row]:
    """Everybody in turn: the machine, the plain port, the engine in both precisions."""
    images = random_images()
    contestants: dict[str, Callable[[], object]] = {
        **products(PRODUCT_SIZE),
        "plain fp32": Plain(params, images),
        **{f"engine {precision}": Engine(params, precision, images) for precision in PRECISIONS},
    }
    alternate(contestants, 2)
    times = alternate(contestants, rounds)
    rows = []
    for name, own in times.items():
        row: Row = {"section": "engine", "size": size, "threads": torch.get_num_threads()}
        row |= {"contestant": name, **own.row()}
        if name.startswith("gemm"):
            row["gflop_per_s"] = rounded(2 * PRODUCT_SIZE**3 / statistics.median(own.wall) / 1e9)
        else:
            row |= against_the_machine(own, times[f"gemm {name[-4:]}"], params)
            row["times_plain"] = rounded(times_faster(own.wall, times["plain fp32"].wall))
        rows.append(row)
    return rows


def against_the_machine(own: Times, product: Times, params: TrainParams) -> Row:
    """Useful operations in a second, and their share of what a matrix product reaches."""
    operations = iteration_operations(params)
    same_work = [seconds * operations / (2 * PRODUCT_SIZE**3) for seconds in product.wall]
    return {
        "gflop_per_s": rounded(operations / statistics.median(own.wall) / 1e9),
        "share_of_machine": rounded(times_faster(own.wall, same_work)),
    }


# --- process


def process_rows(
    size: str, params: TrainParams, precision: Precision | None, iterations: int
) -> list[Row]:
    """First seconds and memory of the engine, or with no precision of the plain port.

    Nothing else has run in this process.
    """
    images = random_images()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    call: Callable[[], object] = (
        Plain(params, images) if precision is None else Engine(params, precision, images)
    )
    built = time.perf_counter() - started
    times = alternate({"": call}, iterations)[""].wall
    steady = statistics.median(times[len(times) // 2 :])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB on Linux
    return [
        {
            "section": "process",
            "size": size,
            "threads": torch.get_num_threads(),
            "contestant": f"engine {precision}" if precision else "plain fp32",
            "build_ms": rounded(1000 * built),
            "first_ms": rounded(1000 * times[0]),
            "steady_ms": rounded(1000 * steady),
            "warm_up_s": rounded(built + times[0] - steady),
            "peak_mib": round(peak / 1024),
            "of_it_libraries_mib": round(before / 1024),
        }
    ]


# --- overhead


def overhead_rows(steps_per_epoch: int, epochs: int) -> list[Row]:
    """What a run does beside its iterations, from the time between one and the next."""
    # MLflow and its kin take seconds to import, and only here are they wanted.
    from pipeline.store.checkpoints import Checkpoints
    from pipeline.store.data import load_data
    from pipeline.store.weights import load_meter
    from pipeline.training.run import TrainingRun

    params = default_params()
    train = params.train
    reports = max(2, round(train.steps_per_epoch / train.sample_every) if train.sample_every else 1)
    every, steps_per_epoch = steps_per_epoch // reports, steps_per_epoch // reports * reports
    train = dataclasses.replace(
        train, epochs=epochs, steps_per_epoch=steps_per_epoch, sample_every=every
    )
    params = dataclasses.replace(params, train=train)
    device = configure(dataclasses.replace(params.runtime, threads=torch.get_num_threads()))
    training = TrainingRun(
        params, load_data(), load_meter(params.measure, device), Checkpoints("0" * 16), device
    )
    training.begin("speed", "0", {})
    starts: list[float] = []

    def before_step(_: int) -> bool:
        starts.append(time.perf_counter())
        return True

    for _ in training.go_on(before_step):
        pass
    training.pause()
    return shares_of_training(
        [*starts, time.perf_counter()], every, steps_per_epoch, default_params().train
    )


def shares_of_training(
    starts: list[float], every: int, steps_per_epoch: int, default: TrainParams
) -> list[Row]:
    """Rows from the moments at which iterations began, the last moment being the run's end.

    Between a report's last iteration and the next one lies, beside the iteration, the report: a
    picture, a checkpoint and tracking; at an epoch's end an evaluation too. Shares are of the
    training time of a default epoch, also when the measured epochs were shorter.
    """
    lengths: dict[str, list[float]] = {"iteration": [], "report": [], "epoch": []}
    for step, (start, end) in enumerate(itertools.pairwise(starts), start=1):
        kind = "iteration" if step % every else "report" if step % steps_per_epoch else "epoch"
        lengths[kind].append(end - start)
    iteration, report, epoch = (statistics.median(values) for values in lengths.values())
    report, evaluation = max(0.0, report - iteration), max(0.0, epoch - report)
    seconds = {"evaluation": evaluation, "reports": report * steps_per_epoch / every}
    seconds["both"] = sum(seconds.values())
    training = iteration * default.steps_per_epoch
    return [
        {
            "section": "overhead",
            "threads": torch.get_num_threads(),
            "what": what,
            "seconds_an_epoch": rounded(value),
            "training_seconds_an_epoch": rounded(training),
            "share": rounded(value / training),
            "measured_steps_an_epoch": steps_per_epoch,
        }
        for what, value in seconds.items()
    ]


# --- growth


def growth_rows(rounds: int) -> list[Row]:
    """The engine at other widths and batches than the default."""
    default, images = recipe("classic"), random_images()
    variants = [dataclasses.replace(default, width=width) for width in (8, 16, 32, 64)]
    variants += [dataclasses.replace(default, batch_size=size) for size in (64, 128, 256)]
    rows = []
    for precision in PRECISIONS:
        contestants: dict[str, Callable[[], object]] = {
            f"{params.width} {params.batch_size}": Engine(params, precision, images)
            for params in variants
        }
        contestants["product"] = products(PRODUCT_SIZE)[f"gemm {precision}"]
        alternate(contestants, 1)
        times = alternate(contestants, rounds)
        for params in variants:
            own = times[f"{params.width} {params.batch_size}"]
            row: Row = {"section": "growth", "threads": torch.get_num_threads()}
            row |= {"precision": precision, "width": params.width, "batch": params.batch_size}
            row |= own.row() | against_the_machine(own, times["product"], params)
            row["images_per_s"] = rounded(params.batch_size / statistics.median(own.wall))
            rows.append(row)
    return rows


# --- pair


def pair_rows(seconds: float, rounds: int) -> Iterator[Row]:
    """Images in a second of two one-thread trainings at once, and of one with two threads."""
    for size, params in sizes().items():
        for precision in PRECISIONS:
            found: dict[int, list[float]] = {1: [], 2: []}
            for _ in range(rounds):
                for threads in found:
                    together = _together(2 // threads, threads, params, precision, seconds)
                    found[threads].append(together)
            yield {
                "section": "pair",
                "size": size,
                "precision": precision,
                "two_of_one_thread_images_per_s": rounded(statistics.median(found[1])),
                "one_of_two_threads_images_per_s": rounded(statistics.median(found[2])),
                "pair_over_one": rounded(times_faster(found[2], found[1])),
            }


def _together(
    processes: int, threads: int, params: TrainParams, precision: Precision, seconds: float
) -> float:
    """Images in a second of several trainings that begin at the same moment, summed."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    barrier = SPAWN.Barrier(processes)
    results: Queue[float] = SPAWN.Queue()
    arguments = (threads, params, precision, seconds, barrier, results)
    children = [SPAWN.Process(target=_train_for, args=arguments) for _ in range(processes)]
    for child in children:
        child.start()
    total = sum(results.get(timeout=60 + 20 * seconds) for _ in children)
    for child in children:
        child.join()
    return total


def _train_for(
    threads: int,
    params: TrainParams,
    precision: Precision,
    seconds: float,
    barrier: "Barrier",
    results: "Queue[float]",
) -> None:
    configure(RuntimeParams("cpu", threads, precision))
    engine = Engine(params, precision, random_images())
    engine()
    barrier.wait()
    started, iterations = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        engine()
        iterations += 1
    results.put(iterations * params.batch_size / (time.perf_counter() - started))


# --- all of it


def engine_section(quick: bool) -> Iterator[Row]:
    for threads in (1, 2):
        for size, params in sizes().items():
            rounds = {"original": 2 if quick else 7, "laptop": 8 if quick else 40}[size]
            yield from isolated(threads, engine_rows, size, params, rounds)


def process_section(quick: bool) -> Iterator[Row]:
    for size, params in sizes().items():
        iterations = {"original": 4 if quick else 6, "laptop": 20 if quick else 40}[size]
        for precision in (None, *PRECISIONS):
            yield from isolated(2, process_rows, size, params, precision, iterations)


def overhead_section(quick: bool) -> Iterator[Row]:
    steps = default_params().train.steps_per_epoch
    with tempfile.TemporaryDirectory() as folder:
        # Checkpoints and runs go where DVC says that the repository is, and are thrown away.
        os.environ["DVC_ROOT"] = folder
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        yield from isolated(2, overhead_rows, steps // 12 if quick else steps, 3)


def growth_section(quick: bool) -> Iterator[Row]:
    for threads in (1, 2):
        yield from isolated(threads, growth_rows, 2 if quick else 9)


def pair_section(quick: bool) -> Iterator[Row]:
    yield from pair_rows(2 if quick else 10, 1 if quick else 3)


SECTIONS: dict[str, Callable[[bool], Iterator[Row]]] = {
    "engine": engine_section,
    "process": process_section,
    "overhead": overhead_section,
    "growth": growth_section,
    "pair": pair_section,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=[*SECTIONS])
    parser.add_argument("--quick", action="store_true", help="few rounds: shows that it runs")
    arguments = parser.parse_args()
    rows = [show(machine(quick=arguments.quick))]
    for name in arguments.only:
        rows += [show(row) for row in SECTIONS[name](arguments.quick)]
    print("\n" + tables(rows))


if __name__ == "__main__":
    run(main)
