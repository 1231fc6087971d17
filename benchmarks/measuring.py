"""What of an epoch goes to measuring and tracking, and to which part of them?

    dvc repro judge
    python -m benchmarks.measuring                # 9 rounds, as many threads as there are cores
    python -m benchmarks.measuring --threads 1 --rounds 3

One JSON line a part, then a table. Parts take turns with a few iterations within one run; shares
are medians over the rounds of a part's time over that of the iterations of a default epoch, by the
clock (`share`) and in processor time, which neighbours on the machine lengthen less.

`an epoch's end` and `with fd_raw` are `measure_epoch` as a whole. `all` is what a default epoch
has: an end, fd_raw every `train.raw_every` epochs, and at every report a picture, a checkpoint and
tracking.
"""

import dataclasses
import os
import statistics
import tempfile
from collections.abc import Callable, Mapping

import torch

from benchmarks.command import Parser, at_least
from benchmarks.contestants import Engine, Precision
from benchmarks.recipes import default_params
from benchmarks.speed import isolated
from benchmarks.timing import Row, Times, alternate, machine, rounded, show, tables
from dcgan.judge import features_and_logits
from dcgan.measuring import Meter, measure_epoch
from dcgan.metrics import (
    class_metrics,
    frechet_distance,
    frechet_sigma,
    manifold_metrics,
    moments,
)
from dcgan.mnist import Mnist
from dcgan.params import TrainParams
from dcgan.probing import PROBE_IMAGES, probe
from dcgan.runtime import autocast, configure, precision_of
from dcgan.sampling import asked_digits, fixed_noise, generate
from dcgan.training import SIGNALS, GanState
from pipeline.base.cli import run
from pipeline.base.params import Params

ITERATIONS = 8  # a round; one of them has the penalty, where it comes every eighth time
ITERATING, WITHOUT_RAW, WITH_RAW = "iterations", "an epoch's end", "with fd_raw"
REPORTING = ("pictures", "checkpoints", "tracking")


def contestants(params: Params, data: Mnist, meter: Meter) -> dict[str, Callable[[], object]]:
    """The parts of an epoch, each a call that does what an epoch does of it; `ITERATIONS` of its
    iterations."""
    train = params.train
    device = data.train_images.device
    runtime = params.runtime
    precision: Precision = "fp32" if precision_of(runtime, device) == "fp32" else "bf16"
    engine = Engine(train, precision, data.train_images)
    engine()
    state: GanState = engine.state
    number, few = meter.params.num_training_samples, meter.params.num_neighbour_samples
    against, share = meter.against, meter.against.share

    def samples(first: int | None = None) -> torch.Tensor:
        with autocast(runtime, device):
            return meter.samples(state.sampler, number, first)

    images = samples()
    asked = asked_digits(state.sampler, number)
    features, logits = features_and_logits(meter.judge, images)
    noise, reports = fixed_noise(train.seed, train.latent_dim, device), reports_of(train)

    def iterations() -> None:
        for _ in range(ITERATIONS):
            engine()

    def figures() -> None:
        frechet_distance(*moments(features), against.mean, against.cov)
        frechet_sigma(features, against.mean, against.cov)
        class_metrics(logits, share)

    def epoch_end(raw: bool) -> dict[str, float]:
        return measure_epoch(meter, state, data, train.loss, runtime, raw)

    return {
        ITERATING: iterations,
        WITHOUT_RAW: lambda: epoch_end(False),
        WITH_RAW: lambda: epoch_end(True),
        "of it: samples": samples,
        "the judge": lambda: features_and_logits(meter.judge, images),
        "fd, its deviation, digits": figures,
        "manifolds": lambda: manifold_metrics(against.train[:few], against.radii, features[:few]),
        "samples for D": lambda: samples(PROBE_IMAGES),
        "D": lambda: probe(state.discriminator, images, data, train.loss, runtime, asked),
        "pictures": lambda: [generate(state.sampler, noise) for _ in range(reports)],
        **reporting(train, state, reports),
    }


def reports_of(train: TrainParams) -> int:
    """How many reports an epoch has, about."""
    return max(1, round(train.steps_per_epoch / train.sample_every)) if train.sample_every else 1


def reporting(train: TrainParams, state: GanState, reports: int) -> dict[str, Callable[[], object]]:
    """An epoch's checkpoints and what it tells the tracker, in numbers of no meaning."""
    # MLflow and its kin take seconds to import, and only here are they wanted.
    import numpy as np

    from pipeline.store.checkpoints import Checkpoints
    from pipeline.tracking.run import TrackedRun, now_ms, system_metrics

    checkpoints, tracked = Checkpoints("0" * 16), TrackedRun("measuring")
    tracked.begin("measuring", {}, {})
    tracked.flush(at_once=True)
    steps, told = train.steps_per_epoch // reports, [0]
    signals, picture = torch.rand(steps, len(SIGNALS)).tolist(), np.zeros((226, 226), np.uint8)

    def save() -> None:
        for _ in range(reports):
            checkpoints.save({"state": state.state_dict()})

    def track() -> None:
        for _ in range(reports):
            first, time_ms = told[0] + 1, now_ms()
            told[0] += steps
            names = [f"train/{name}" for name in SIGNALS]
            tracked.metrics(names, range(first, told[0] + 1), signals, time_ms)
            tracked.image("samples", told[0], picture, time_ms)
            used = system_metrics()
            tracked.metrics(used, [told[0]], [[*used.values()]], time_ms)
            tracked.flush()

    return {"checkpoints": save, "tracking": track}


def rows(times: Mapping[str, Times], train: TrainParams) -> list[Row]:
    """A row for each part and one for all, from the seconds of every round."""
    epochs = train.steps_per_epoch / ITERATIONS
    whole = {name: own for name, own in times.items() if name != ITERATING}
    whole["all"] = Times(
        *(
            [every(train.raw_every, parts) for parts in by_round]
            for by_round in (_rounds(times, "wall"), _rounds(times, "processor"))
        )
    )
    found = []
    for name, own in whole.items():
        row: Row = {"section": "measuring", "threads": torch.get_num_threads(), "part": name}
        row |= own.row()
        for word, kind in (("share", "wall"), ("processor_share", "processor")):
            pairs = zip(getattr(own, kind), getattr(times[ITERATING], kind), strict=True)
            row[word] = rounded(statistics.median(part / (unit * epochs) for part, unit in pairs))
        found.append(row)
    return found


def every(raw_every: int, parts: Mapping[str, float]) -> float:
    """Seconds beside the iterations of an epoch, with its share of what is not in every one."""
    share = 1 / raw_every if raw_every else 0.0
    end = share * parts[WITH_RAW] + (1 - share) * parts[WITHOUT_RAW]
    return end + sum(parts[name] for name in REPORTING)


def _rounds(times: Mapping[str, Times], kind: str) -> list[dict[str, float]]:
    number = len(times[ITERATING].wall)
    return [{name: getattr(own, kind)[i] for name, own in times.items()} for i in range(number)]


def measured(rounds: int) -> list[Row]:
    """The rows of a default run, in this process."""
    from pipeline.store.data import load_data
    from pipeline.store.weights import load_meter

    params = default_params()
    runtime = dataclasses.replace(params.runtime, threads=torch.get_num_threads())
    params = dataclasses.replace(params, runtime=runtime)
    device = configure(runtime)
    parts = contestants(params, load_data(), load_meter(params.measure, device))
    alternate(parts, 1)
    return rows(alternate(parts, rounds), params.train)


def main() -> None:
    parser = Parser("measuring", __doc__)
    parser.add_argument("--rounds", type=at_least(1), default=9, help="of turns (default 9)")
    parser.add_argument(
        "--threads", type=at_least(1), default=os.cpu_count(), help="(default: all)"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # As in benchmarks.speed: checkpoints and runs are thrown away.
        os.environ["DVC_ROOT"] = folder
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        found = [show(machine())]
        found += [show(row) for row in isolated(arguments.threads, measured, arguments.rounds)]
    print("\n" + tables(found))


if __name__ == "__main__":
    run(main)
