"""What does a search cost? Strategies replayed hundreds of times over recorded learning curves.

    make replay-search            (or: python -m benchmarks.replay_search --help)

Reads benchmarks/learning_curves.csv (`benchmarks.learning_curves` recorded it). A strategy proposes
rates, gets the recorded curve of the nearest ones, and pays for each epoch that it trains. All
trials of a search train with one seed, as those of pipeline.tune; every other replay is on the
other seed's map. Counted are the epochs trained until the stop that it would name, rates and epoch,
has a regret of at most 5 %: its fd is within 5 % of the best in that map.
Prints a JSON line for each recipe and strategy and draws docs/images/tuning.png.
"""

import dataclasses
import functools
import json
import math
import multiprocessing
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from benchmarks.command import Parser, at_least
from benchmarks.learning_curves import EPOCHS, RECIPES, STEPS_PER_EPOCH, TABLE, Training, read_table
from ganverdict import Monitor
from ganverdict.curves import BLUE, GREY, ORANGE
from ganverdict.evaluations import MEASURES
from ganverdict.plot import WIDTH
from pipeline.base.cli import UserError, load_params, progress_bar, run
from pipeline.base.params import TuneParams
from pipeline.base.space import RATIO, Interval, Space
from pipeline.plots.training import save
from pipeline.search.study import drawn, pruner_of

PICTURE = Path("docs/images/tuning.png")
REGRET = 0.05
MOST_EPOCHS = 6000  # a search that has not found it by then is given up, and counted as that
FAILED_FD = 500.0  # of a run without any stopping point, as in the pipeline

optuna.logging.set_verbosity(optuna.logging.ERROR)

Rates = tuple[float, float]  # lr_g and lr_d / lr_g


@dataclass(frozen=True)
class Curve:
    """One recorded training.

    Attributes:
        fds: by epoch; shorter than the horizon where training failed.
        best: after each epoch, the lowest fd so far and its epoch.
        known_at: the epoch after which the verdict, or a failure, ends it; None: never.
        failed_at: the epoch after which nothing can be measured; None: never.
    """

    fds: tuple[float, ...]
    best: tuple[tuple[float, int] | None, ...]
    known_at: int | None
    failed_at: int | None

    def fd(self, epoch: int) -> float:
        """fd at an epoch from 1 on, infinite after a failure."""
        return self.fds[epoch - 1] if epoch <= len(self.fds) else math.inf


@dataclass(frozen=True)
class Map:
    """All recorded trainings of a recipe."""

    curves: dict[Rates, list[Curve]]

    @functools.cached_property
    def truth(self) -> dict[tuple[Rates, int], float]:
        """fd of every stop, a mean over seeds."""
        return {
            (rates, epoch): float(np.mean([curve.fd(epoch) for curve in curves]))
            for rates, curves in self.curves.items()
            for epoch in range(1, EPOCHS + 1)
        }

    def of_seed(self, seed: int) -> "Map":
        """The map of one seed, which is what a search sees: all its trials train with the same."""
        return Map({rates: [curves[seed % len(curves)]] for rates, curves in self.curves.items()})

    def regret(self, rates: Rates, epoch: int) -> float:
        """How much worse a stop is than the best, as a share."""
        return self.truth[rates, epoch] / min(self.truth.values()) - 1

    def nearest(self, lr_g: float, ratio: float) -> Rates:
        """The recorded rates that are nearest on the logarithmic map."""
        return min(
            self.curves,
            key=lambda r: math.log(r[0] / lr_g) ** 2 + math.log(r[1] / ratio) ** 2,
        )

    @functools.cached_property
    def space(self) -> Space:
        """What is searched: all rates, and as much beyond as makes every cell equally large."""
        space = {}
        for key, axis in (("lr_g", 0), (RATIO, 1)):
            values = sorted({rates[axis] for rates in self.curves})
            step = (values[-1] / values[0]) ** (0.5 / max(len(values) - 1, 1))
            space[key] = Interval(values[0] / step, values[-1] * step, "log")
        return space


def read_maps(path: Path = TABLE) -> dict[str, Map]:
    """The recorded maps by recipe; of rates that not all seeds were recorded for, none."""
    rows: dict[Training, list[dict[str, str]]] = defaultdict(list)
    for row in read_table(path):
        rows[Training.of(row)].append(row)
    seeds = max(
        (len({t.seed for t in rows if t.recipe == recipe}) for recipe in RECIPES), default=0
    )
    cells: dict[str, dict[Rates, list[Curve]]] = {recipe: defaultdict(list) for recipe in RECIPES}
    for training, recorded in rows.items():
        cells[training.recipe][training.lr_g, training.ratio].append(_curve(recorded))
    maps = {
        recipe: Map({rates: curves for rates, curves in recorded.items() if len(curves) == seeds})
        for recipe, recorded in cells.items()
    }
    return {recipe: recorded for recipe, recorded in maps.items() if recorded.curves}


def _curve(rows: Sequence[dict[str, str]]) -> Curve:
    """A training as the verdict of today sees it, from its evaluations."""
    monitor, best = Monitor(steps_per_epoch=STEPS_PER_EPOCH), list[tuple[float, int] | None]()
    known_at: int | None = None
    failed_at: int | None = None
    for row in rows:
        epoch = int(row["epoch"])
        measures = {name: float(row[name]) for name in MEASURES if row[name]}
        verdict = monitor.add_evaluation(epoch * STEPS_PER_EPOCH, measures, epoch)
        has_best = verdict.best_value is not None and verdict.best_epoch is not None
        best.append((verdict.best_value or 0.0, int(verdict.best_epoch or 0)) if has_best else None)
        if failed_at is None and not row["fd"]:
            failed_at = epoch
        if known_at is None and (verdict.ends_training or failed_at is not None):
            known_at = epoch
    fds = tuple(float(row["fd"]) for row in rows if row["fd"])
    return Curve(fds, tuple(best), known_at, failed_at)


@dataclass(frozen=True)
class Strategy:
    """A way to search: `mode`, `sampler` and `pruner` are those of the section `tune`.

    `ends`: whether the verdict ends trials.
    """

    name: str
    mode: Literal["sampled", "resource"]
    sampler: Literal["tpe", "random"]
    pruner: str = "none"
    ends: bool = True

    def tune(self, shipped: TuneParams) -> TuneParams:
        """The search's parameters, with the horizon of the table."""
        epochs = dataclasses.replace(shipped.epochs, min=1, max=EPOCHS, mode=self.mode)
        changes: dict[str, Any] = {"sampler": self.sampler, "pruner": self.pruner}
        return dataclasses.replace(shipped, epochs=epochs, **changes)


PLAIN = "sampled epochs, TPE"
STRATEGIES = (
    Strategy(PLAIN, "sampled", "tpe"),
    Strategy("sampled epochs, random", "sampled", "random"),
    Strategy("every epoch, random", "resource", "random"),
    Strategy("every epoch, TPE", "resource", "tpe"),
    *(
        Strategy(f"every epoch, TPE, {pruner}", "resource", "tpe", pruner)
        for pruner in ("median", "quartile", "halving", "hyperband")
    ),
    Strategy("every epoch, TPE, nothing ended", "resource", "tpe", ends=False),
    Strategy("every epoch, TPE, halving, nothing ended", "resource", "tpe", "halving", ends=False),
)


@dataclass(frozen=True)
class Cost:
    """Epochs and trials until the named stop is good enough; infinite: not within the limit."""

    epochs: float
    trials: float


def replay(recorded: Map, strategy: Strategy, shipped: TuneParams, seed: int) -> Cost:
    """One search."""
    tune, recorded = strategy.tune(shipped), recorded.of_seed(seed)
    sampler: optuna.samplers.BaseSampler = optuna.samplers.RandomSampler(seed)
    if strategy.sampler == "tpe":
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=tune.startup_trials)
    study = optuna.create_study(study_name="replay", sampler=sampler, pruner=pruner_of(tune))
    spent, number, named = 0, 0, (math.inf, (0.0, 0.0), 0)
    while spent < MOST_EPOCHS:
        trial = study.ask()
        places = drawn(trial, recorded.space)
        rates = recorded.nearest(float(places["lr_g"]), float(places[RATIO]))
        (curve,) = recorded.curves[rates]
        if strategy.mode == "sampled":
            run = _plain_run(curve, trial.suggest_int("epochs", 1, EPOCHS))
        else:
            run = _whole_run(curve, trial, curve.known_at if strategy.ends else curve.failed_at)
        state = optuna.trial.TrialState.PRUNED if run.pruned else optuna.trial.TrialState.COMPLETE
        study.tell(trial, None if run.pruned else run.value, state=state)
        spent, number = spent + run.epochs, number + 1
        named = min([named, *((fd, rates, epoch) for epoch, fd in run.stops.items())])
        if named[2] and recorded.regret(*named[1:]) <= REGRET:
            return Cost(spent, number)
    return Cost(math.inf, math.inf)


@dataclass(frozen=True)
class Run:
    """What one trial leaves: epochs paid for, value, whether it was cut, fd by stop."""

    epochs: int
    value: float
    pruned: bool
    stops: dict[int, float]


def _plain_run(curve: Curve, length: int) -> Run:
    """A run of one length, worth its end; a stop is its end alone."""
    if length > len(curve.fds):
        return Run(len(curve.fds) + 1, FAILED_FD, pruned=False, stops={})
    value = curve.fds[length - 1]
    return Run(length, value, pruned=False, stops={length: value})


def _whole_run(curve: Curve, trial: optuna.Trial, ended_at: int | None) -> Run:
    """A run that reports its best after every epoch, and ends when cut, or after `ended_at`."""
    for epoch, best in enumerate(curve.best, start=1):
        if epoch == ended_at:
            value = best[0] if best else FAILED_FD
            for later in range(epoch, EPOCHS + 1):
                trial.report(value, later)
            return Run(epoch, value, pruned=False, stops=_stops(curve, epoch))
        if best is not None:
            trial.report(best[0], epoch)
            if trial.should_prune():
                return Run(epoch, best[0], pruned=True, stops=_stops(curve, epoch))
    value = curve.best[-1][0] if curve.best[-1] else FAILED_FD
    return Run(len(curve.best), value, pruned=False, stops=_stops(curve, len(curve.best)))


def _stops(curve: Curve, trained: int) -> dict[int, float]:
    """fd of each epoch that was trained."""
    return dict(enumerate(curve.fds[:trained], 1))


_Task = tuple[str, int, int]  # recipe, index of the strategy, seed


@functools.cache
def _prepared(path: Path) -> tuple[dict[str, Map], TuneParams]:
    return read_maps(path), load_params().tune


def _replay(path: Path, task: _Task) -> tuple[_Task, Cost]:
    maps, shipped = _prepared(path)
    recipe, strategy, seed = task
    return task, replay(maps[recipe], STRATEGIES[strategy], shipped, seed)


def replay_all(path: Path, replays: int, workers: int) -> dict[tuple[str, str], list[Cost]]:
    """The costs of each recipe and strategy."""
    tasks = [
        (recipe, number, seed)
        for seed in range(replays)
        for recipe in read_maps(path)
        for number in range(len(STRATEGIES))
    ]
    costs: dict[tuple[str, str], list[Cost]] = defaultdict(list)
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        finished: Iterator[tuple[_Task, Cost]] = pool.imap(
            functools.partial(_replay, path), tasks, chunksize=8
        )
        for (recipe, number, _), cost in progress_bar(
            iterable=finished, total=len(tasks), desc="replays"
        ):
            costs[recipe, STRATEGIES[number].name].append(cost)
    return costs


def quartiles(values: Sequence[float]) -> list[float]:
    """Lower quartile, median and upper quartile; infinite where too many are."""
    ordered = sorted(values)
    return [ordered[min(int(len(ordered) * q), len(ordered) - 1)] for q in (0.25, 0.5, 0.75)]


def summary(costs: dict[tuple[str, str], list[Cost]]) -> list[dict[str, Any]]:
    """A row for each recipe and strategy."""
    rows = []
    for (recipe, name), replayed in costs.items():
        low, middle, high = quartiles([cost.epochs for cost in replayed])
        plain = quartiles([cost.epochs for cost in costs[recipe, PLAIN]])[1]
        share = middle / plain if math.isfinite(middle) and plain else None
        rows.append(
            {
                "recipe": recipe,
                "strategy": name,
                "replays": len(replayed),
                "epochs_median": _finite(middle),
                "epochs_quartiles": [_finite(low), _finite(high)],
                "trials_median": _finite(quartiles([cost.trials for cost in replayed])[1]),
                "not_found": sum(math.isinf(cost.epochs) for cost in replayed),
                "share_of_plain": None if share is None else round(share, 3),
            }
        )
    return rows


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def draw(rows: Sequence[dict[str, Any]]) -> Figure:
    """Median and quartiles of every strategy, for each recipe."""
    recipes = list(dict.fromkeys(row["recipe"] for row in rows))
    figure = Figure(figsize=(WIDTH, 1.2 + 0.45 * len(rows) / len(recipes)), layout="constrained")
    axes = figure.subplots(1, len(recipes), sharex=True, sharey=True, squeeze=False)[0]
    titles = {"frozen": "D frozen in G's step", "joint": "joint update"}
    for axis, recipe in zip(axes, recipes, strict=True):
        mine = [row for row in rows if row["recipe"] == recipe]
        for place, row in enumerate(mine):
            middle = row["epochs_median"] or MOST_EPOCHS
            low, high = (value or MOST_EPOCHS for value in row["epochs_quartiles"])
            plain = row["strategy"].startswith("sampled")
            colour = ORANGE if plain else BLUE
            axis.plot([low, high], [place, place], color=colour, linewidth=5, alpha=0.35)
            axis.plot(middle, place, "o", color=colour, markersize=8)
            axis.annotate(
                f"{middle:,.0f}",
                (middle, place),
                (0, 8),
                textcoords="offset points",
                ha="center",
                fontsize=9,
                color=GREY,
            )
        names = [row["strategy"].replace(", nothing", ",\nnothing") for row in mine]
        axis.set_yticks(range(len(mine)), names)
        axis.set(xscale="log", title=titles[recipe])
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.grid(visible=False, axis="y")
    figure.supxlabel("epochs trained until regret <= 5 %")
    axes[0].set_ylim(len(rows) / len(recipes) - 0.5, -0.7)
    return figure


def main() -> None:
    parser = Parser("replay_search", __doc__)
    parser.add_argument(
        "--replays", type=at_least(1), default=200, help="of each strategy (default 200)"
    )
    parser.add_argument("--workers", type=at_least(1), default=2, help="processes")
    parser.add_argument("--table", type=Path, default=TABLE, help=f"default {TABLE}")
    parser.add_argument("--picture", type=Path, default=PICTURE, help=f"default {PICTURE}")
    arguments = parser.parse_args()
    if not read_maps(arguments.table):
        raise UserError(
            f"{arguments.table}: has no curves; `python -m benchmarks.learning_curves` records them"
        )
    rows = summary(replay_all(arguments.table, arguments.replays, arguments.workers))
    for row in rows:
        print(json.dumps(row), flush=True)
    arguments.picture.parent.mkdir(parents=True, exist_ok=True)
    save(draw(rows), arguments.picture)
    print(json.dumps({"picture": str(arguments.picture)}))


if __name__ == "__main__":
    run(main)
