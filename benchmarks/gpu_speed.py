"""How fast is the engine on a GPU? One script, under 8 minutes, one table.

    python benchmarks/gpu_speed.py
    python benchmarks/gpu_speed.py --device cpu --width 2 --batches 4 --seconds 0.1   # a trial

Needs this repository, torch, NumPy and PyYAML; nothing else of the project's packages, no data. The
recipe is `blog` (width 64), whose 15,000 iterations are about a fifth of its training. Variants:
eager in fp32, tf32 and bf16; the networks compiled; the whole iteration, optimisers included, as
one CUDA graph, whose rates stay what they were when it was recorded. A variant that fails is told
and left out.

`share_of_limit` is the time that the iteration would take at the speed of a large matrix product
or of a large copy, whichever is longer, over the time that it takes; both speeds are measured here
in the same precision.
"""

import argparse
import dataclasses
import functools
import itertools
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.contestants import Engine, Precision, random_images
from benchmarks.operations import iteration_bytes, iteration_operations
from benchmarks.recipes import recipe
from benchmarks.timing import Row, machine, per_second, rounded, show, synchronise, tables
from dcgan.params import TrainParams
from dcgan.runtime import autocast
from dcgan.training import iteration

LONG_RUN = 15_000  # iterations
BYTES = {"fp32": 4, "tf32": 4, "bf16": 2}


@dataclasses.dataclass(frozen=True)
class Variant:
    """A way to compute the same iteration."""

    name: str
    precision: str  # fp32, tf32, bf16
    compiled: bool = False
    graph: bool = False

    @property
    def needs_gpu(self) -> bool:
        """Whether a CPU cannot show it."""
        return self.compiled or self.graph or self.precision == "tf32"


VARIANTS = (
    Variant("eager fp32", "fp32"),
    Variant("eager tf32", "tf32"),
    Variant("eager bf16", "bf16"),
    Variant("compiled bf16", "bf16", compiled=True),
    Variant("graph tf32", "tf32", graph=True),
    Variant("graph bf16", "bf16", graph=True),
    Variant("graph compiled bf16", "bf16", compiled=True, graph=True),
)


def prepared(variant: Variant, params: TrainParams, images: Tensor) -> Callable[[], object]:
    """One iteration of `variant`, to be called."""
    allow_tf32(variant.precision == "tf32")
    precision: Precision = "bf16" if variant.precision == "bf16" else "fp32"
    engine = Engine(params, precision, images)
    if variant.compiled:
        engine.state.generator.compile()
        engine.state.discriminator.compile()
    return graphed(engine) if variant.graph else engine


def graphed(engine: Engine) -> Callable[[], object]:
    """The whole iteration as one CUDA graph: a single launch instead of hundreds."""
    state = engine.state

    def once() -> Tensor:
        with autocast(engine.runtime, engine.rng.device):
            return iteration(state, engine.batches, engine.params, engine.rng)

    for optimizer in (state.d_optimizer, state.g_optimizer):
        for group in optimizer.param_groups:
            group["capturable"] = True
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # what is allocated or compiled once must not be recorded
        for _ in range(5):
            once()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(engine.rng)
    with torch.cuda.graph(graph):
        once()
    return graph.replay


def allow_tf32(allowed: bool) -> None:
    """Whether float32 products and convolutions may round their factors to 10 bits."""
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


def limits(device: str, size: int, seconds: float) -> tuple[dict[str, float], float]:
    """Operations in a second by precision, and bytes read and written in a second."""
    rates = {}
    for precision in BYTES:
        if precision == "tf32" and device == "cpu":
            continue
        allow_tf32(precision == "tf32")
        kind = torch.bfloat16 if precision == "bf16" else torch.float32
        matrix = torch.rand(size, size, device=device).to(kind)
        product = per_second(functools.partial(torch.mm, matrix, matrix), device, seconds, 3)
        rates[precision] = 2 * size**3 * product
    block = torch.empty(8 * size * size, device=device)
    copies = per_second(block.clone, device, seconds, 3)
    return rates, 2 * block.numel() * block.element_size() * copies


def share_of_limit(
    params: TrainParams, precision: str, iterations_per_s: float, rate: float, bandwidth: float
) -> Row:
    """How near an iteration comes to what arithmetic and memory allow, and which of them rules."""
    seconds = {
        "operations": iteration_operations(params) / rate,
        "bytes": iteration_bytes(params, BYTES[precision]) / bandwidth,
    }
    ruling = max(seconds, key=lambda name: seconds[name])
    return {"share_of_limit": rounded(seconds[ruling] * iterations_per_s), "limited_by": ruling}


def measure(
    variant: Variant,
    params: TrainParams,
    images: Tensor,
    seconds: float,
    limit: tuple[dict[str, float], float],
) -> Row:
    """A variant's row; where it fails, the row says why."""
    device = images.device.type
    row: Row = {"section": "gpu", "width": params.width, "batch": params.batch_size}
    row["variant"] = variant.name
    if device == "cpu" and variant.needs_gpu:
        return row | {"note": "needs a GPU"}
    try:
        began = time.perf_counter()
        call = prepared(variant, params, images)
        call()
        synchronise(device)
        ready = time.perf_counter() - began
        found = per_second(call, device, seconds, warm_up=10)
    except Exception as error:  # whatever a compiler or driver says: the other variants count too
        return row | {"note": f"failed: {' '.join(str(error).split())[:100]}"}
    rates, bandwidth = limit
    return {
        **row,
        "iterations_per_s": rounded(found),
        "images_per_s": rounded(found * params.batch_size),
        **share_of_limit(params, variant.precision, found, rates[variant.precision], bandwidth),
        f"s_for_{LONG_RUN}": rounded(LONG_RUN / found),
        "ready_s": rounded(ready),
    }


def long_run(
    best: Row, params: TrainParams, images: Tensor, iterations: int, seconds_left: float
) -> Row:
    """The fastest variant's iterations for real, where there is time for them."""
    row: Row = {"section": "long run", "variant": best["variant"], "batch": params.batch_size}
    row["iterations"] = iterations
    expected = iterations / float(str(best["iterations_per_s"]))
    if expected > seconds_left:
        return row | {"note": f"not run: {expected:.0f} s expected, {seconds_left:.0f} s left"}
    (variant,) = (one for one in VARIANTS if one.name == best["variant"])
    call = prepared(variant, params, images)
    started = time.perf_counter()
    for _ in range(iterations):
        call()
    synchronise(images.device.type)
    return row | {"seconds": rounded(time.perf_counter() - started)}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python benchmarks/gpu_speed.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batches", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--seconds", type=float, default=5.0, help="measured time of each variant")
    parser.add_argument("--minutes", type=float, default=7.0, help="no variant begins after this")
    arguments = parser.parse_args()
    began, device = time.monotonic(), arguments.device
    if device == "cuda" and not torch.cuda.is_available():
        sys.exit("error: torch sees no GPU here; with --device cpu the script only shows its rows")
    torch.backends.cudnn.benchmark = True
    name = torch.cuda.get_device_name() if device == "cuda" else "none"
    rows = [show(machine(gpu=name, cuda=torch.version.cuda))]
    images = random_images(device)
    seconds = arguments.seconds
    limit = limits(device, 8192 if device == "cuda" else 256, min(seconds, 1.0))
    for precision, rate in limit[0].items():
        rows.append(show({"section": "limits", "what": precision, "per_s": rounded(rate)}))
    rows.append(show({"section": "limits", "what": "bytes", "per_s": rounded(limit[1])}))

    minutes: float = arguments.minutes

    def seconds_left() -> float:
        return 60 * minutes - (time.monotonic() - began)

    for batch, variant in itertools.product(arguments.batches, VARIANTS):
        params = recipe("blog", width=arguments.width, batch_size=batch)
        if seconds_left() < 0:
            print(f"out of time before {variant.name} at batch {batch}", file=sys.stderr)
            continue
        rows.append(show(measure(variant, params, images, seconds, limit)))
    smallest = arguments.batches[0]
    ran = [row for row in rows if "iterations_per_s" in row and row["batch"] == smallest]
    if ran:
        best = max(ran, key=lambda row: float(str(row["iterations_per_s"])))
        params = recipe("blog", width=arguments.width, batch_size=smallest)
        iterations = LONG_RUN if device == "cuda" else 20
        rows.append(show(long_run(best, params, images, iterations, seconds_left() + 30)))
    print("\n" + tables(rows))


if __name__ == "__main__":
    main()
