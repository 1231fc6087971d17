"""Does the verdict tell what happened? Real short trainings with failures injected at known steps.

    make validate-verdict            (or: python -m benchmarks.validate_verdict --help)

Needs the judge (`dvc repro judge`). Every training is recorded in .validation/ as it ends, so an
interrupted command goes on where it was; assessing the records takes seconds and is done anew each
time. Seeds below `--calibration` are for choosing thresholds and are left out of the table. Runs
that nothing was done to are those of `make replicate`, as far as reports/replication/ has them.

All trainings of a seed share a healthy part of eight epochs. Then, in the rows that have a failure:
`rate`, both rates times 30; `rate_g`, G's rate times 10 for good; `joint`, G's step moves D too;
`digits_3000` and `digits_500`, so few training digits are left; `g_frozen`, G is not trained;
`one_digit`, G draws one digit; `nan`, a weight is not a number. `spike` and `drift` are healthy
runs whose signals were changed afterwards. Prints one JSON line per row.
"""

import dataclasses
import functools
import json
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.command import Parser, at_least
from benchmarks.digits import few_digits
from benchmarks.recipes import recipe
from dcgan.measuring import measure_epoch
from dcgan.mnist import Mnist
from dcgan.params import TrainParams
from dcgan.runtime import configure
from dcgan.training import SIGNALS, GanState, fit
from ganverdict import Monitor, Verdict
from ganverdict.evaluations import MEASURES
from ganverdict.monitor import fed_monitor
from ganverdict.signals import HELD_OUT
from pipeline.base.cli import load_params, progress_bar, run, write_whole
from pipeline.base.params import Params
from pipeline.base.paths import REPLICATION
from pipeline.replication.assessment import read_record
from pipeline.store.data import load_data
from pipeline.store.weights import load_meter

RECORDS = Path(".validation")
INJECTED_EPOCH = 8  # the end of the healthy part that all failures of a seed share
HEALTHY_EPOCHS = 20
SLOW_EPOCHS = 32  # after the injection of what samples show slowly
CSV_STRIDE = 13  # four iterations a window: small files, the same medians but for noise
BLOCKS = 300  # series resampled from healthy runs

Array = NDArray[np.float64]

_NAMES = ("epoch", "step", *MEASURES)


@dataclass(frozen=True)
class Record:
    """Signals [steps, 8] and evaluations of one training."""

    signals: Array
    epochs: list[dict[str, float]]

    def save(self, path: Path) -> None:
        """Write the record, whole or not at all."""
        with write_whole(path) as file:
            np.savez_compressed(file, signals=self.signals, epochs=json.dumps(self.epochs))

    @classmethod
    def load(cls, path: Path) -> "Record":
        """Read what `save` wrote."""
        with np.load(path) as saved:
            return cls(saved["signals"].astype(np.float64), json.loads(str(saved["epochs"])))

    def monitor(self, params: Params) -> Monitor:
        """The monitor that has seen all of it."""
        steps = {"step": np.arange(1, len(self.signals) + 1)}
        signals = dict(zip(SIGNALS, self.signals.T, strict=True))
        names = [name for name in (*_NAMES, *HELD_OUT) if name in self.epochs[0]]
        epochs = {name: np.array([row[name] for row in self.epochs]) for name in names}
        length = len(self.signals) // max(len(self.epochs), 1)
        return fed_monitor(
            {**steps, **signals}, epochs, params.stability, steps_per_epoch=length, loss="bce_mean"
        )

    def fds(self) -> Array:
        """The fd that counts, by epoch."""
        return np.array([row["fd"] for row in self.epochs])


def narrow(train: TrainParams, seed: int) -> TrainParams:
    """The recipe classic, small enough for minutes."""
    return dataclasses.replace(
        train, seed=seed, width=4, epochs=HEALTHY_EPOCHS, sample_every=0, stop="never"
    )


class _Trainer:
    """Trains on the real digits and keeps what the verdict needs."""

    def __init__(self) -> None:
        params = load_params()
        configure(dataclasses.replace(params.runtime, device="cpu", threads=1))
        self.params = params
        self.data = load_data()
        self.meter = load_meter(params.measure, torch.device("cpu")).smaller(2000)

    def train(
        self,
        state: GanState,
        train: TrainParams,
        data: Mnist,
        before_step: Callable[[int], bool] = lambda _: True,
    ) -> Record:
        signals, epochs = [], []
        labels = data.train_labels
        reports = fit(state, data.train_images, train, self.params.runtime, before_step, labels)
        for report in reports:
            last = report.step if report.failed_step is None else report.failed_step
            signals.append(report.signals[: last - report.first_step + 1].double().numpy())
            if report.failed_step is None and report.epoch is not None:
                metrics = measure_epoch(self.meter, state, data, train.loss, self.params.runtime)
                epochs.append({"epoch": report.epoch, "step": report.step, **metrics})
        return Record(np.concatenate(signals), epochs)

    def record(self, kind: str, seed: int) -> None:
        """Train and keep one run."""
        device = torch.device("cpu")
        base = narrow(recipe("classic"), seed)
        if kind == "start":
            state = GanState(base, device)
            healthy = dataclasses.replace(base, epochs=INJECTED_EPOCH)
            record = self.train(state, healthy, self.data)
            with write_whole(_start(seed)) as file:
                torch.save(state.state_dict(), file)
            record.save(_path(kind, seed))
        else:
            before = Record.load(_path("start", seed))
            injected = injections(base)[kind]
            state = continued(torch.load(_start(seed), weights_only=True), injected.train, device)
            data = self.data
            if injected.digits is not None:
                data = few_digits(data, injected.digits, seed)
            prepare = functools.partial(injected.before_step, state)
            after = self.train(state, injected.train, data, prepare)
            signals = np.concatenate([before.signals, after.signals])
            Record(signals, [*before.epochs, *after.epochs]).save(_path(kind, seed))


def continued(saved: dict[str, Any], train: TrainParams, device: torch.device) -> GanState:
    """The state that was saved, under other parameters.

    Where G's step comes to move D too, its optimiser gets D's weights, of which it knows nothing
    yet, after its own, whose moments it keeps.
    """
    state = GanState(train, device)
    (group,), (wanted,) = (
        optimizer["param_groups"]
        for optimizer in (saved["g_optimizer"], state.g_optimizer.state_dict())
    )
    state.load_state_dict(
        {
            **saved,
            "g_optimizer": {
                **saved["g_optimizer"],
                "param_groups": [{**group, "params": wanted["params"]}],
            },
        }
    )
    return state


def _path(kind: str, seed: int) -> Path:
    return RECORDS / f"{kind}-{seed}.npz"


def _start(seed: int) -> Path:
    """The state at the end of the healthy part."""
    return RECORDS / f"start-{seed}.pt"


def failing_step(seed: int, steps_per_epoch: int) -> int:
    """Where a failure that has an exact step is injected."""
    return INJECTED_EPOCH * steps_per_epoch + 1 + (137 * seed) % steps_per_epoch


def _nothing(_: GanState, __: int) -> bool:
    return True


@dataclass(frozen=True)
class Injection:
    """What is other after the healthy part.

    Attributes:
        train: the parameters.
        before_step: called before each step with the state and the number of steps done.
        digits: how many training digits are left; None: all.
    """

    train: TrainParams
    before_step: Callable[[GanState, int], bool] = _nothing
    digits: int | None = None


def injections(base: TrainParams) -> dict[str, Injection]:
    """For each kind of run what is injected."""

    def nan_weight(state: GanState, step: int) -> bool:
        if step + 1 == failing_step(base.seed, base.steps_per_epoch):
            with torch.no_grad():
                state.discriminator.conv2.weight[0, 0, 0, 0] = torch.nan
        return True

    def one_digit(state: GanState, step: int) -> bool:
        if step == INJECTED_EPOCH * base.steps_per_epoch:
            for generator in (state.generator, state.sampler):
                torch.nn.init.zeros_(generator.project.weight)
        return True

    def until(epochs: int, **changes: Any) -> TrainParams:
        return dataclasses.replace(base, epochs=INJECTED_EPOCH + epochs, **changes)

    return {
        "healthy": Injection(base),
        "rate": Injection(until(7, lr_d=30 * base.lr_d, lr_g=30 * base.lr_g)),
        "rate_g": Injection(until(12, lr_g=10 * base.lr_g)),
        "joint": Injection(until(SLOW_EPOCHS, freeze_discriminator=False)),
        "digits_3000": Injection(until(SLOW_EPOCHS), digits=3000),
        "digits_500": Injection(until(12), digits=500),
        "g_frozen": Injection(until(7, lr_g=0.0)),
        "one_digit": Injection(until(2, lr_g=0.0), one_digit),
        "nan": Injection(until(1), nan_weight),
    }


def spiked(healthy: Record, seed: int, steps_per_epoch: int) -> Record:
    """A healthy run with both losses ten times as high at one step."""
    signals = healthy.signals.copy()
    signals[failing_step(seed, steps_per_epoch) - 1, :2] *= 10
    return Record(signals, healthy.epochs)


def drifted(healthy: Record, steps_per_epoch: int) -> Record:
    """A healthy run whose gradient norms and losses also drift, by 2 % an epoch."""
    epochs = np.arange(len(healthy.signals))[:, None] / steps_per_epoch
    directions = np.array([-1, 1, 0, 0, 1, 1, 1, 1])
    return Record(healthy.signals * 1.02 ** (directions * epochs), healthy.epochs)


def resampled(healthy: list[Record], steps_per_epoch: int) -> Iterator[Record]:
    """Healthy series with new orders of events: the deviations from each run's own slow course,
    in blocks of one epoch, put back in random order (a block bootstrap, Kuensch 1989)."""
    rng = np.random.default_rng(0)
    for _ in range(BLOCKS):
        record = healthy[rng.integers(len(healthy))]
        logs = np.log(np.maximum(record.signals, 1e-12))
        count = len(logs) // steps_per_epoch
        blocks = logs[: count * steps_per_epoch].reshape(count, steps_per_epoch, -1)
        medians = np.median(blocks, axis=1)
        course = np.stack([_smooth(column) for column in medians.T], axis=1)
        deviations = blocks - course[:, None]
        burnt = 5  # the first epochs are of another kind and stay where they are
        order = np.concatenate([np.arange(burnt), rng.integers(burnt, count, count - burnt)])
        signals = np.exp(course[:, None] + deviations[order]).reshape(-1, logs.shape[1])
        yield Record(signals, record.epochs)


def _smooth(values: Array) -> Array:
    """Mean of five neighbours, fewer at the ends."""
    return np.array([values[max(i - 2, 0) : i + 3].mean() for i in range(len(values))])


def chosen_by_rules(record: Record, verdict: Verdict) -> dict[str, int]:
    """The index of the epoch that each rule stops at."""
    length = len(record.signals) // len(record.epochs)
    means = [
        record.signals[i * length : (i + 1) * length].mean(0) for i in range(len(record.epochs))
    ]
    d_loss, g_loss = np.array(means)[:, 0], np.array(means)[:, 1]
    fds = record.fds()
    best = 0
    for index, fd in enumerate(fds):
        if fd < fds[best]:
            best = index
        elif index - best >= 5:
            break
    epochs = [int(row["epoch"]) for row in record.epochs]
    return {
        "verdict": epochs.index(int(verdict.best_epoch or epochs[0])),
        "lowest g_loss": int(g_loss.argmin()),
        "highest d_loss": int(d_loss.argmax()),
        "epoch 32": min(31, len(fds) - 1),
        "last epoch": len(fds) - 1,
        "patience 5 on fd": best,
    }


EXPECTED: dict[str, tuple[str, ...]] = {
    "healthy": ("stable", "transient"),
    "spike": ("stable", "transient"),
    "drift": ("stable", "transient"),
    "rate": ("onset", "diverged"),
    "rate_g": ("onset", "diverged"),
    "joint": ("onset",),
    "digits_3000": ("onset",),
    "digits_500": ("onset",),
    "g_frozen": ("stall",),
    "one_digit": ("onset", "silent"),
    "nan": ("diverged",),
}
GRADUAL = ("rate", "rate_g", "joint", "digits_3000", "digits_500")
"""The kinds whose signals may warn before samples are bad."""
INJECTED = tuple(kind for kind in EXPECTED if kind not in ("spike", "drift"))


def assess_all(seeds: list[int], params: Params) -> None:
    """Print the table over the records of `seeds`."""
    length = params.train.steps_per_epoch
    records = {
        kind: {seed: Record.load(_path(kind, seed)) for seed in seeds if _path(kind, seed).exists()}
        for kind in INJECTED
    }
    healthy = records["healthy"]
    records["spike"] = {seed: spiked(record, seed, length) for seed, record in healthy.items()}
    records["drift"] = {seed: drifted(record, length) for seed, record in healthy.items()}
    injected = INJECTED_EPOCH * length
    for kind, expected in EXPECTED.items():
        verdicts = {seed: r.monitor(params).verdict() for seed, r in records[kind].items()}
        right = [verdict.status in expected for verdict in verdicts.values()]
        exact = {seed: failing_step(seed, length) if kind == "nan" else injected for seed in seeds}
        delays = [
            (verdict.onset_step - exact[seed]) / length
            for seed, verdict in verdicts.items()
            if verdict.onset_step is not None
        ]
        statuses = [verdict.status for verdict in verdicts.values()]
        row = {
            "row": kind,
            "expected": "/".join(expected),
            "right": sum(right),
            "of": len(right),
            "statuses": {status: statuses.count(status) for status in sorted(set(statuses))},
            "states": _holding(verdicts.values()),
            "median_delay_epochs": round(float(np.median(delays)), 3) if delays else None,
        }
        print(json.dumps(row), flush=True)
    for kind in GRADUAL:
        _print_lead_times(kind, records[kind], params, injected)
    again = [r.monitor(params).verdict() for r in resampled([*healthy.values()], length)]
    statuses = [verdict.status for verdict in again]
    row = {"row": "resampled healthy", "false_onsets": sum(v.went_wrong for v in again)}
    print(json.dumps(row | {"transient": statuses.count("transient"), "of": len(again)}))
    runs = [
        (record, record.monitor(params).verdict())
        for kind in ("healthy", "one_digit", *GRADUAL)
        for record in records[kind].values()
    ]
    for name, (record, verdict) in uninjected(params).items():
        runs.append((record, verdict))
        fds = record.fds()
        row = {"row": f"uninjected, {name}", "status": verdict.status, "reason": verdict.reason}
        row |= {"best_epoch": verdict.best_epoch, "of": len(fds)}
        print(json.dumps(row | {"fd_best": round(fds.min(), 2), "fd_last": round(fds[-1], 2)}))
    _print_regrets(runs)


def _holding(verdicts: Iterable[Verdict]) -> dict[str, int]:
    """In how many runs each state still held at the end."""
    names = [{s.name for s in verdict.states if s.until is None} for verdict in verdicts]
    return {name: sum(name in held for held in names) for name in sorted(set().union(*names))}


def uninjected(params: Params) -> dict[str, tuple[Record, Verdict]]:
    """The runs of `make replicate`, to which nothing was done, as far as they are."""
    found = {}
    for folder in sorted(REPLICATION.glob("*-*")):
        kept = read_record(folder, params.stability)
        if kept is not None:
            signals = np.stack([np.ma.filled(kept.signals[name], np.nan) for name in SIGNALS], 1)
            rows = zip(kept.epochs["epoch"].tolist(), kept.epochs["fd"].tolist(), strict=True)
            epochs = [{"epoch": epoch, "fd": fd} for epoch, fd in rows]
            found[folder.name] = Record(signals, epochs), kept.verdict
    return found


def _print_lead_times(kind: str, records: dict[int, Record], params: Params, injected: int) -> None:
    """How long before the samples each signal alarms, in epochs; positive is earlier."""
    length = params.train.steps_per_epoch
    leads: dict[str, list[float]] = {}
    for record in records.values():
        monitor = record.monitor(params)
        confirm = monitor.verdict().confirm_epoch
        if confirm is None:
            continue
        first = {a.signal: a.step for a in reversed(monitor.alarms) if a.step > injected}
        for signal, step in first.items():
            leads.setdefault(signal, []).append(confirm - step / length)
    for signal, values in sorted(leads.items()):
        row = {"row": f"lead over fd, {kind}", "signal": signal, "runs": len(values)}
        print(json.dumps(row | {"median_epochs": round(float(np.median(values)), 2)}))


def _print_regrets(runs: list[tuple[Record, Verdict]]) -> None:
    """fd at the chosen epoch minus the smallest fd of the run, for each rule."""
    regrets: dict[str, list[float]] = {}
    for record, verdict in runs:
        fds = record.fds()
        for rule, index in chosen_by_rules(record, verdict).items():
            regrets.setdefault(rule, []).append(float(fds[index] - fds.min()))
    for rule, values in sorted(regrets.items(), key=lambda item: np.mean(item[1])):
        row = {"row": "regret in fd", "rule": rule, "runs": len(values)}
        row |= {"mean": round(float(np.mean(values)), 3)}
        print(json.dumps(row | {"worst": round(float(np.max(values)), 3)}))


def record_all(seeds: list[int], workers: int) -> None:
    """Train what is not recorded yet; each run is kept as it ends."""
    starts = [("start", seed) for seed in seeds]
    rest = [(kind, seed) for seed in seeds for kind in INJECTED]
    done = [task for task in starts + rest if _path(*task).exists()]
    context = multiprocessing.get_context("spawn")
    with (
        progress_bar(total=len(starts + rest), initial=len(done), desc="trainings") as bar,
        context.Pool(workers) as pool,
    ):
        for tasks in (starts, rest):
            left = [task for task in tasks if task not in done]
            for _ in pool.imap_unordered(_record, left, chunksize=1):
                bar.update()


@functools.cache
def _trainer() -> _Trainer:
    return _Trainer()


def _record(task: tuple[str, int]) -> None:
    _trainer().record(*task)


def write_csvs(folder: Path, seed: int) -> None:
    """The logs of one seed as `pipeline.stop` reads them, every `CSV_STRIDE`th iteration."""
    for kind in INJECTED:
        record = Record.load(_path(kind, seed))
        steps = np.arange(CSV_STRIDE - 1, len(record.signals), CSV_STRIDE)
        rows = [[f"{step + 1}", *(f"{x:.5g}" for x in record.signals[step])] for step in steps]
        if not np.isfinite(record.signals[-1]).all():  # the failure, wherever it fell
            last = record.signals[-1]
            rows.append([f"{len(record.signals)}", *(f"{value:.5g}" for value in last)])
        _write_csv(folder / f"{kind}_steps.csv", ["step", *SIGNALS], rows)
        names = [*_NAMES, *HELD_OUT]
        rows = [[f"{row[name]:.5g}" for name in names] for row in record.epochs]
        _write_csv(folder / f"{kind}_epochs.csv", names, rows)


def _write_csv(path: Path, header: list[str], rows: list[list[str]]) -> None:
    with write_whole(path) as file:
        file.write("".join(",".join(row) + "\n" for row in [header, *rows]).encode())


def main() -> None:
    parser = Parser("validate_verdict", __doc__)
    parser.add_argument("--seeds", type=at_least(1), default=10, help="seeds of a row (default 10)")
    parser.add_argument(
        "--calibration", type=at_least(0), default=2, help="seeds kept out (default 2)"
    )
    parser.add_argument(
        "--workers", type=at_least(1), default=2, help="processes of one thread each"
    )
    parser.add_argument("--assess-calibration", action="store_true", help="assess those kept out")
    parser.add_argument("--csv", type=Path, metavar="FOLDER", help="write one test seed's logs")
    arguments = parser.parse_args()
    kept_out = list(range(arguments.calibration))
    seeds = list(range(arguments.calibration, arguments.calibration + arguments.seeds))
    record_all([*kept_out, *seeds], arguments.workers)
    if arguments.csv:
        write_csvs(arguments.csv, seeds[0])
    assess_all(kept_out if arguments.assess_calibration else seeds, load_params())


if __name__ == "__main__":
    run(main)
