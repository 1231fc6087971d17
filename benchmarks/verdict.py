"""Is the verdict right on trainings of other people, and does it end them well? No training here.

    make benchmark-verdict        (or: python -m benchmarks.verdict)

Feeds every log evaluation by evaluation, as in training. Where the verdict says that training as it
is should end, it ends, and the checkpoint that the verdict keeps is what is left. Two numbers:
regret (the metric kept over the lowest of the whole run, less one) and the share of the evaluations
that were trained. Beside it the rules that people use. Prints a JSON line for each collection and
rule, with 90 % bootstrap intervals over runs.

Collections: `public` are 31 trainings published by PyTorch-StudioGAN (benchmarks/public_logs, with
source and licence), told apart in `calibration` (every second one of index.csv, from the first on;
the thresholds of patience were chosen on these) and `report`, the others. `further` are 48 more
without losses (benchmarks/further_logs), of which the first 33 are `calibration`. `replication` is
reports/replication, `recorded` is tests/recorded, `curves` is benchmarks/learning_curves.csv, whose
runs have evaluations alone. With `--synthetic N` also N made-up healthy series of 150 epochs, which
no decline is in (minutes of one core for 500): how many are ended as wrong, how many warn.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.command import Parser, at_least
from benchmarks.intervals import share_interval
from benchmarks.learning_curves import STEPS_PER_EPOCH, Training, read_table
from dcgan.training import SIGNALS
from ganverdict import Monitor, Verdict
from ganverdict.evaluations import MEASURES
from ganverdict.metrics import judged_name
from ganverdict.signals import HELD_OUT
from pipeline.base.cli import progress_bar, run
from pipeline.base.paths import REPLICATION
from tests.synthetic_runs import EPOCH, synthetic_run

Array = NDArray[np.float64]

PUBLIC = Path("benchmarks/public_logs")
FURTHER = Path("benchmarks/further_logs")
RECORDED = Path("tests/recorded")
CALIBRATING = 33  # of the further logs, the first
PATIENCES = (5, 10, 20)
RESAMPLES = 2000
SYNTHETIC_EPOCHS = 150
MOST_ENDED, MOST_WARNED = 0.01, 0.05  # of healthy synthetic series


@dataclass(frozen=True)
class Log:
    """One run.

    Attributes:
        kind: what hindsight says of it: collapsed, declined, fine.
        signals: "step" [n] and signals [n].
        evaluations: "step" [m] and measures [m].
        options: of the monitor.
    """

    name: str
    kind: str
    signals: dict[str, Array]
    evaluations: dict[str, Array]
    options: dict[str, Any]

    @property
    def metric(self) -> Array:
        """The measure that counts, [m]."""
        return self.evaluations[self.options["metric"]]


@dataclass(frozen=True)
class Ended:
    """How a run came out of a rule: evaluations trained, the metric that is kept, the verdict."""

    trained: int
    kept: float
    verdict: Verdict | None = None


def main() -> None:
    parser = Parser("verdict", __doc__)
    parser.add_argument(
        "--synthetic",
        type=at_least(0),
        metavar="N",
        default=0,
        help="how many synthetic healthy series",
    )
    arguments = parser.parse_args()
    for collection, logs in collections().items():
        ends = [by_verdict(log) for log in logs]
        print(json.dumps({"collection": collection, **found(logs, ends)}), flush=True)
        rules: dict[str, list[Ended]] = {"verdict": [end for end, _ in ends]}
        for name, rule in RULES.items():
            # Without losses, the rule that goes by them has nothing to say.
            if rule is not lowest_loss or all("g_loss" in log.signals for log in logs):
                rules[name] = [rule(log) for log in logs]
        for name, outcomes in rules.items():
            row = {"collection": collection, "rule": name, **scored(logs, outcomes)}
            print(json.dumps(row), flush=True)
    if arguments.synthetic:
        series = map(synthetic_log, range(arguments.synthetic))
        bar = progress_bar(iterable=series, total=arguments.synthetic, desc="synthetic")
        print(json.dumps({"collection": "synthetic, healthy", **false_alarms(bar)}))


def synthetic_log(seed: int, epochs: int = SYNTHETIC_EPOCHS) -> Log:
    """A made-up healthy run, as tests/synthetic_runs.py makes them."""
    signals, evaluations = (
        {name: np.asarray(values, dtype=np.float64) for name, values in columns.items()}
        for columns in synthetic_run(seed, epochs=epochs)
    )
    options = {"metric": "fd", "steps_per_epoch": float(EPOCH), "loss": "bce_mean"}
    return Log(f"synthetic {seed}", "fine", signals, evaluations, options)


def false_alarms(logs: Iterable[Log]) -> dict[str, object]:
    """How many healthy runs the verdict would have ended as wrong, and in how many one warned.

    A state of the first epochs that is over by the end of the burn-in is no warning.
    """
    ended, on_plateau, warned, count = 0, 0, 0, 0
    for log in logs:
        end, monitor = fed(log)
        count += 1
        ended += end.verdict is not None and end.verdict.went_wrong
        on_plateau += end.verdict is not None and not end.verdict.went_wrong
        warned += any(
            alarm.state is None or alarm.state.until is None or not alarm.state.early
            for alarm in monitor.alarms
        )
    return {
        "runs": count,
        "ended_as_wrong": ended,
        "ended_as_wrong_percent": _percent(ended, count),
        "warned": warned,
        "warned_percent": _percent(warned, count),
        "wanted": f"ended at most {MOST_ENDED:.0%}, warned at most {MOST_WARNED:.0%}",
        "met": ended <= MOST_ENDED * count and warned <= MOST_WARNED * count,
        "ended_on_a_plateau": on_plateau,
    }


def _percent(hits: int, count: int) -> list[float]:
    """The 90 % interval of a share."""
    return [round(100 * bound, 2) for bound in share_interval(hits, count)]


def collections() -> dict[str, list[Log]]:
    """All logs, by collection."""
    public, further = list(public_logs()), list(further_logs())
    return {
        "public, calibration": public[::2],
        "public, report": public[1::2],
        "public": public,
        "further, calibration": further[:CALIBRATING],
        "further, report": further[CALIBRATING:],
        "further": further,
        "replication": list(replication_logs()),
        "recorded": list(recorded_logs()),
        "curves": list(curve_logs()),
    }


def by_verdict(log: Log) -> tuple[Ended, Verdict]:
    """The run as the verdict ends it, and the verdict on all of it."""
    end, monitor = fed(log)
    return end, monitor.verdict()


def fed(log: Log) -> tuple[Ended, Monitor]:
    """The run as the verdict ends it, and the monitor that has seen all of it."""
    monitor, start = Monitor(**log.options), 0
    ended: Ended | None = None
    steps = log.signals.get("step", np.empty(0))
    for row, step in enumerate(log.evaluations["step"].tolist()):
        end = int(np.searchsorted(steps, step, side="right"))
        _feed(monitor, log, start, end)
        start = end
        measures = {n: float(v[row]) for n, v in log.evaluations.items() if n not in _PLACES}
        epoch = log.evaluations.get("epoch")
        number = None if epoch is None else float(epoch[row])
        verdict = monitor.add_evaluation(step, measures, number)
        if ended is None and verdict.end != "go_on":
            ended = Ended(row + 1, _kept(log, verdict), verdict)
    _feed(monitor, log, start, len(steps))
    return ended or Ended(len(log.metric), _kept(log, monitor.verdict())), monitor


_PLACES = ("step", "epoch")


def _feed(monitor: Monitor, log: Log, start: int, end: int) -> None:
    values = {name: v[start:end] for name, v in log.signals.items() if name != "step"}
    if end > start:
        monitor.add_steps(log.signals["step"][start:end], values)


def _kept(log: Log, verdict: Verdict) -> float:
    (place,) = np.flatnonzero(log.evaluations["step"] == verdict.best_step)[:1]
    return float(log.metric[place])


def patience(length: int) -> Callable[[Log], Ended]:
    """The rule that ends after `length` evaluations without a new lowest."""

    def rule(log: Log) -> Ended:
        lowest, since = np.inf, 0
        for row, value in enumerate(log.metric.tolist()):
            lowest, since = (value, 0) if value < lowest else (lowest, since + 1)
            if since >= length:
                return Ended(row + 1, lowest)
        return Ended(len(log.metric), lowest)

    return rule


def last_epoch(log: Log) -> Ended:
    """The rule that trains to the end and keeps the last."""
    return Ended(len(log.metric), float(log.metric[-1]))


def lowest_loss(log: Log) -> Ended:
    """The rule that trains to the end and keeps where the loss of G was lowest."""
    row = np.searchsorted(log.evaluations["step"], log.signals["step"])
    losses = [log.signals["g_loss"][row == i] for i in range(len(log.metric))]
    medians = [np.nanmedian(values) if len(values) else np.inf for values in losses]
    place = int(np.argmin(medians))
    return Ended(len(log.metric), float(log.metric[place]))


RULES: dict[str, Callable[[Log], Ended]] = {
    **{f"patience {length}": patience(length) for length in PATIENCES},
    "lowest loss of G": lowest_loss,
    "last": last_epoch,
}


def scored(logs: list[Log], ends: list[Ended]) -> dict[str, object]:
    """Regret and share trained, with their intervals, in percent."""
    regret = np.array([e.kept / log.metric.min() - 1 for log, e in zip(logs, ends, strict=True)])
    share = np.array([e.trained / len(log.metric) for log, e in zip(logs, ends, strict=True)])
    return {
        "regret_percent": round(100 * regret.mean(), 2),
        "regret_interval": _interval(regret),
        "regret_worst": round(100 * regret.max(), 1),
        "share_percent": round(100 * share.mean(), 1),
        "share_interval": _interval(share),
        "runs": len(logs),
    }


def _interval(values: Array) -> list[float]:
    """90 % bootstrap interval of the mean, in percent."""
    rng = np.random.default_rng(0)
    means = rng.choice(values, (RESAMPLES, len(values))).mean(axis=1)
    return [round(float(v), 2) for v in 100 * np.quantile(means, (0.05, 0.95))]


def found(logs: list[Log], outcomes: list[tuple[Ended, Verdict]]) -> dict[str, object]:
    """What the verdict said of the whole runs, and of the bad ones before the end of all."""
    pairs = list(zip(logs, outcomes, strict=True))
    bad = [(log, end, last) for log, (end, last) in pairs if log.kind == "collapsed"]
    fine = [end for log, (end, _) in pairs if log.kind == "fine"]
    announced = [last for *_, last in bad if last.status in ("onset", "stall")]
    leads = [v.lead for v in announced if v.lead is not None]
    signals = [v.signal or "" for v in announced]
    return {
        "collapses": len(bad),
        "found": sum(last.went_wrong for *_, last in bad),
        "announced": len(announced),
        "announced_by": {name: signals.count(name) for name in sorted(set(signals))},
        "median_lead_evaluations": float(np.median(leads)) if leads else None,
        "fine": len(fine),
        "fine_ended_as_wrong": sum(e.verdict is not None and e.verdict.went_wrong for e in fine),
        "fine_ended_on_a_plateau": sum(
            e.verdict is not None and not e.verdict.went_wrong for e in fine
        ),
    }


def public_logs() -> Iterator[Log]:
    """The public trainings, in the order of index.csv."""
    for row in _rows(PUBLIC / "index.csv"):
        folder = PUBLIC / row["name"]
        signals, evaluations = _table(folder / "losses.csv"), _table(folder / "evaluations.csv")
        yield Log(row["name"], row["kind"], signals, evaluations, {"metric": "fid"})


def further_logs() -> Iterator[Log]:
    """Evaluations of further trainings, without signals, in the order of index.csv."""
    table = _rows(FURTHER / "evaluations.csv")
    for row in _rows(FURTHER / "index.csv"):
        run = [line for line in table if line["run"] == row["name"]]
        steps, values = (np.array([float(line[key]) for line in run]) for key in ("step", "value"))
        judged = judged_name(row["metric"])
        values = values if judged == row["metric"] else 1 / values
        evaluations = {"step": steps, judged: values}
        yield Log(row["name"], row["kind"], {"step": np.empty(0)}, evaluations, {"metric": judged})


def replication_logs() -> Iterator[Log]:
    """The runs of `make replicate`; the joint ones are those that declined."""
    for folder in sorted(REPLICATION.glob("*-*/")):
        kind = "collapsed" if folder.name.startswith("joint") else "fine"
        signals, epochs = _table(folder / "signals.csv"), _table(folder / "epochs.csv")
        yield _own(folder.name, kind, signals, epochs)


def recorded_logs() -> Iterator[Log]:
    """Recorded trainings with injected failures; those without are fine."""
    for file in sorted(RECORDED.glob("*_epochs.csv")):
        name = file.name.removesuffix("_epochs.csv")
        kind = "fine" if name in ("healthy", "frozen") else "collapsed"
        yield _own(name, kind, _table(RECORDED / f"{name}_steps.csv"), _table(file))


def curve_logs() -> Iterator[Log]:
    """The learning curves of `benchmarks.learning_curves`, without signals."""
    rows: dict[Training, list[dict[str, str]]] = {}
    for row in read_table():
        rows.setdefault(Training.of(row), []).append(row)
    for training, recorded in rows.items():
        measured = [row for row in recorded if row["fd"]]
        if not measured:
            continue
        epochs = {n: np.array([float(r[n]) for r in measured]) for n in ("epoch", *MEASURES)}
        epochs["step"] = epochs["epoch"] * STEPS_PER_EPOCH
        over = epochs["fd"][-3:].mean() / epochs["fd"].min()
        kind = "collapsed" if over > 1.5 else "declined" if over > 1.15 else "fine"
        name = f"{training.recipe} {training.lr_g:g} {training.ratio:g} {training.seed}"
        yield _own(name, kind, {}, epochs)


def _own(name: str, kind: str, signals: dict[str, Array], epochs: dict[str, Array]) -> Log:
    length = float(epochs["step"][0] / epochs["epoch"][0])
    options = {"metric": "fd", "steps_per_epoch": length, "loss": "bce_mean"}
    kept = {name: v for name, v in signals.items() if name in ("step", *SIGNALS)}
    measured = ("step", "epoch", *MEASURES, *HELD_OUT)
    measures = {name: v for name, v in epochs.items() if name in measured}
    return Log(name, kind, kept, measures, options)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _table(path: Path) -> dict[str, Array]:
    rows = _rows(path)
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in rows[0]}


if __name__ == "__main__":
    run(main)
