"""Search for the best rates and the best stopping point, for the price of one run each.

With no arguments: a sweep around the section `train` of params.yaml, as the section `tune` says,
then the best trials again with fresh seeds, a table, and reports/tune/. Interrupted by Ctrl-C,
SIGTERM or a kill, the same command continues it, and repeats no trial that has ended. A study is
named after what it searches; the same recipe continues its study, another one starts its own.

`optuna-dashboard sqlite:///tune.db` and `mlflow ui` show trials while they run. With --storage
postgresql+psycopg://... and --join, any number of machines work on one study: the same command on
each, with MLFLOW_TRACKING_URI set to a server that all of them reach.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from dcgan import mnist
from dcgan.measuring import Meter, measure_epoch
from dcgan.mnist import Mnist
from dcgan.training import GanState, fit
from pipeline.base.cli import PARAMS_FILE, Parser, UserError, load_params, progress_bar, run
from pipeline.base.device import set_up
from pipeline.base.folders import folder_whole
from pipeline.base.interrupt import Interrupt
from pipeline.base.params import Params, RateRange, TuneParams
from pipeline.base.paths import DATA, JUDGE, TUNE
from pipeline.plots.search import draw
from pipeline.search.apply import apply
from pipeline.search.confirmation import (
    Candidate,
    candidates,
    choose,
    confirmed,
    fresh_seeds,
    score_afresh,
)
from pipeline.search.crew import Crew
from pipeline.search.result import Findings, result, table, write
from pipeline.search.study import DEFAULT_STORAGE, FAILURES, Known, Study
from pipeline.search.worker import Job
from pipeline.store.data import load_data
from pipeline.store.weights import load_meter
from pipeline.tracking import provenance
from pipeline.tracking.run import TrackedRun
from pipeline.tracking.server import brief, close_dead_runs
from pipeline.training.run import flat

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_FIRST_SECONDS = 20.0  # that a command which joins waits for the first one's tracked run
_SEARCHED = ("lr_g", "lr_d", "epochs", "stop", "sample_every")


def main() -> None:
    arguments = _arguments()
    params = _with(load_params(), arguments)
    data = load_data()
    device = set_up(params.runtime)
    meter = load_meter(params.measure, device)
    recipe = recipe_hash(params)
    name = arguments.study or f"tune-{recipe[:8]}"
    storage = arguments.storage or DEFAULT_STORAGE
    _plan(params, name, arguments.timeout, storage)
    if arguments.dry_run:
        _estimate(params, data, meter, device)
        return
    try:
        with Interrupt() as interrupt:
            search = _Search(params, storage, name, recipe, meter, interrupt)
            search.open(arguments.join)
            search.go(arguments.timeout)
            found = search.finish()
    except FAILURES as error:
        raise UserError(
            f"the storage of the search does not answer: {brief(error)}; the same command continues"
        ) from None
    if arguments.apply:
        _apply(found)


def _arguments() -> argparse.Namespace:
    parser = Parser(
        "tune",
        __doc__,
    )
    parser.add_argument("--trials", type=int, help="trials in all (default: tune.trials)")
    parser.add_argument(
        "--timeout", type=seconds, help="start no step of the search after 45s, 30m, 2h"
    )
    parser.add_argument("--workers", type=int, help="processes here (default: tune.workers)")
    parser.add_argument("--study", help="its name; one that exists is continued")
    parser.add_argument("--storage", help="database of the studies (default: sqlite in tune.db)")
    parser.add_argument("--seed", type=int, help="of the search (default: tune.seed)")
    parser.add_argument("--join", action="store_true", help="work on it beside other commands")
    parser.add_argument("--apply", action="store_true", help="write the choice into params.yaml")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and its cost")
    parser.add_argument(
        "--resume", action="store_true", help="continue the study of that name: what is done anyway"
    )
    return parser.parse_args()


def seconds(text: str) -> float:
    """45, 45s, 30m, 2h or 1d as seconds; raises ArgumentTypeError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; 45s, 30m and 2h are")
    return float(match[1]) * _UNITS[match[2]]


def _with(params: Params, arguments: argparse.Namespace) -> Params:
    """The parameters with what the command line changes, checked beyond what one key can be."""
    given = {name: getattr(arguments, name) for name in ("trials", "workers", "seed")}
    given = {name: value for name, value in given.items() if value is not None}
    values = dataclasses.asdict(params)
    values["tune"] |= given
    try:
        params = Params.from_mapping(values)
    except ValueError as error:
        key = next((f"--{name}" for name in given if f"tune.{name}:" in str(error)), "params.yaml")
        raise UserError(f"{key}: {error}", 2) from None
    if arguments.study is not None and not re.fullmatch(r"[\w.-]{1,100}", arguments.study):
        raise UserError("--study: a name of at most 100 letters, digits, '.', '_' and '-'", 2)
    tune, train = params.tune, params.train
    for name in ("lr_g", "ratio", "epochs"):
        part = getattr(tune, name)
        if part.min > part.max:
            raise UserError(f"params.yaml: tune.{name}: min {part.min:g} is above max", 2)
    if not (train.lr_g > 0 and train.lr_d > 0):
        raise UserError("params.yaml: train.lr_g and train.lr_d must be above 0 for a search", 2)
    # The present rates are the first trial, so the space holds them.
    ratio = train.lr_d / train.lr_g
    tune = dataclasses.replace(
        tune, lr_g=_holding(tune.lr_g, train.lr_g), ratio=_holding(tune.ratio, ratio)
    )
    cores = params.runtime.threads or os.cpu_count() or 1
    threads = max(cores // tune.workers, 1)
    runtime = dataclasses.replace(params.runtime, threads=threads)
    return dataclasses.replace(params, tune=tune, runtime=runtime)


def _holding(rates: RateRange, value: float) -> RateRange:
    return RateRange(min(rates.min, value), max(rates.max, value))


def recipe_hash(params: Params) -> str:
    """16 hex digits of what makes trials comparable: all but the rates and lengths searched."""
    train = {k: v for k, v in dataclasses.asdict(params.train).items() if k not in _SEARCHED}
    parts = {
        "train": train,
        "measure": dataclasses.asdict(params.measure),
        "stability": dataclasses.asdict(params.stability),
        "mode": params.tune.epochs.mode,
        "data": mnist.data_hash(DATA),
        "judge": hashlib.sha256(JUDGE.read_bytes()).hexdigest(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _plan(params: Params, name: str, timeout: float | None, storage: str) -> None:
    tune, epochs = params.tune, params.tune.epochs
    modes = {"resource": "every epoch a stopping point", "sampled": "each trial of one length"}
    place = "tune.db" if storage == DEFAULT_STORAGE else "the storage given"
    print(f"study {name} in {place}")
    print(
        f"  {tune.trials} trials by {tune.sampler}: lr_g {tune.lr_g.min:g} to {tune.lr_g.max:g}, "
        f"lr_d / lr_g {tune.ratio.min:g} to {tune.ratio.max:g}"
    )
    print(f"  epochs {epochs.min} to {epochs.max}, {modes[epochs.mode]}; pruner: {tune.pruner}")
    print(
        f"  then the best {tune.confirm.top} and the present rates, over {tune.confirm.seeds} seeds"
    )
    limit = f"; no step after {timeout:g} s" if timeout is not None else ""
    print(f"  {tune.workers} workers of {params.runtime.threads} threads{limit}", flush=True)


def _estimate(params: Params, data: Mnist, meter: Meter, device: torch.device) -> None:
    """Time a few steps and one evaluation, and say what the plan costs at most."""
    train, tune, steps = params.train, params.tune, 6
    short = dataclasses.replace(train, epochs=1, steps_per_epoch=steps, sample_every=0)
    state, images = GanState(short, device), data.train_images.to(device)
    durations = []
    for _ in range(2):  # the first time, kernels are chosen
        state.step = 0
        started = time.monotonic()
        for _ in fit(state, images, short, params.runtime):
            pass
        durations.append((time.monotonic() - started) / steps)
    started = time.monotonic()
    measure_epoch(meter, state, data, params.runtime)
    epoch = min(durations) * train.steps_per_epoch + time.monotonic() - started
    search = tune.trials * tune.epochs.max
    again = tune.confirm.seeds * (tune.confirm.top * tune.epochs.max + train.epochs)
    again *= tune.confirm.top > 0
    for words, epochs in (("search", search), ("confirmation", again)):
        minutes = epochs * epoch / tune.workers / 60
        print(f"  {words}: at most {epochs:,} epochs of about {epoch:.1f} s: {minutes:,.0f} min")
    print("  pruned trials and confirmed onsets end early; half of it is usual")


@dataclass
class _Search:
    """A search with all that it writes to."""

    params: Params
    storage: str
    name: str
    recipe: str
    meter: Meter
    interrupt: Interrupt

    def open(self, join: bool) -> None:
        """Open the study and its tracked run, and have unfinished trials continued."""
        tune, train = self.params.tune, self.params.train
        self.study = Study(self.storage, self.name, tune, create=True)
        known = self.study.about.get("recipe")
        if known is None:
            self.study.say("recipe", self.recipe)
        elif known != self.recipe:
            raise UserError(
                f"study {self.name} was made for another recipe, digits or judge; choose another "
                "--study"
            )
        self.again = Study(self.storage, f"{self.name}-confirm", _without_pruner(tune), create=True)
        # Of commands that start at once, the one that made the study sees to what is there once.
        joins = join and not self.study.created
        for study in (self.study, self.again):
            study.reap()
            owner = study.others_at_work()
            if owner is not None and not join:
                raise UserError(f"study {study.name}: {owner} is at work on it; --join takes part")
            if owner is None:
                study.adopt()
        if not joins and not self.study.trials():
            present: dict[str, float] = {"lr_g": train.lr_g, "ratio": train.lr_d / train.lr_g}
            if tune.epochs.mode == "sampled":
                present["epochs"] = min(max(train.epochs, tune.epochs.min), tune.epochs.max)
            self.study.enqueue(present, {"current": True})
        close_dead_runs()
        self.tracked = TrackedRun(f"tune-{self.study.uid}")
        searched = {f"tune.{key}": value for key, value in _flat(dataclasses.asdict(tune)).items()}
        tags = {**provenance.tags(), "study": self.name, "config_hash": self.recipe}
        if joins:
            self.tracked.wait_until_known(_FIRST_SECONDS)
        self.tracked.begin(self.name, {**flat(self.params), **searched}, tags)
        self.tracked.flush(at_once=True)

    def go(self, timeout: float | None) -> None:
        """Search, then confirm; returns early after an interruption."""
        deadline = None if timeout is None else time.time() + timeout
        self._crew(self.study, self.params.tune.trials, deadline, "trials")
        if self.interrupt.received is None and self.params.tune.confirm.top:
            self._ask_again()
            wanted = len(self.again.trials())
            self._crew(self.again, wanted, None, "confirmation")

    def _crew(self, study: Study, trials: int, deadline: float | None, words: str) -> None:
        tune = self.params.tune
        job = Job(
            params=self.params,
            storage=self.storage,
            study=study.name,
            trials=trials,
            deadline=deadline,
            parent=f"tune-{self.study.uid}",
            data_hash=mnist.data_hash(DATA),
        )
        most, done = tune.epochs.max, trials_done(study.trials(), tune.epochs.max)
        # Trials end rarely and several at once: the mean rate alone tells the time left. And the
        # bar is drawn anew even when it has not moved.
        with progress_bar(
            total=trials, initial=done, desc=words, unit="trial", smoothing=0, miniters=0
        ) as bar:

            def show(known: list[Known]) -> None:
                bar.n = trials_done(known, most)
                values = [t.value for t in known if t.finished and t.value is not None]
                best = f"best fd {min(values):.2f}, " if values else ""
                running = [t for t in known if t.outcome == "running"]
                at = ", ".join(
                    f"trial {t.number} epoch {max(t.reports, default=0)}" for t in running
                )
                bar.set_postfix_str(best + at, refresh=False)
                bar.refresh() if bar.n == trials else bar.update(0)

            left = max(trials - sum(trial.finished for trial in study.trials()), 1)
            Crew(job, min(tune.workers, left), study, self.interrupt).work(show)

    def _ask_again(self) -> None:
        """Queue the candidates' runs that are not there yet."""
        known = {
            (t.facts.get("candidate"), t.lr_g, t.lr_d, t.facts.get("epochs"), t.facts["seed"])
            for t in self.again.trials()
        }
        for candidate in candidates(self.study.trials(), self.params):
            for seed in fresh_seeds(self.params):
                key = (candidate.name, candidate.lr_g, candidate.lr_d, candidate.epochs, seed)
                if key not in known:
                    self.again.enqueue({}, candidate.facts(seed))

    def _runs(self, candidate: Candidate) -> list[Known]:
        """The runs of a candidate, one for each seed."""
        wanted = [candidate.facts(seed) for seed in fresh_seeds(self.params)]
        return [
            trial
            for trial in self.again.trials()
            if {key: trial.facts.get(key) for key in wanted[0]} in wanted
        ]

    def findings(self) -> Findings:
        """What is known now."""
        trials = self.study.trials()
        confirmations, chosen = [], None
        afresh = {}
        if self.params.tune.confirm.top and self.interrupt.received is None:
            first = self.params.tune.epochs.min
            for candidate in candidates(trials, self.params):
                one = confirmed(candidate, self._runs(candidate), first)
                confirmations.append(one)
                if one.epoch is not None:
                    runs = self._runs(candidate)
                    afresh[candidate.name] = score_afresh(runs, one.epoch, self.meter)
            best = choose(confirmations)
            chosen = best if best.epoch is not None else None
        return Findings(
            study=self.name,
            trials=trials,
            max_epochs=self.params.tune.epochs.max,
            confirmed=confirmations,
            chosen=chosen,
            afresh=afresh,
            importances=self.study.importances(),
        )

    def finish(self) -> Findings:
        """Print the table, write the report, and close the tracked run."""
        found = self.findings()
        print(table(found), flush=True)
        with folder_whole(TUNE) as folder:
            write(folder, found)
            draw(folder, found)
        files = sorted(TUNE.iterdir())
        for file in files:
            self.tracked.artifact(file, "tune")
        told = result(found)
        done = len(found.trials)
        self.tracked.final_metrics("tune", done, told["cost"])
        best = told["chosen"] or told["best_trial"] or {}
        keys = [
            key for key in ("lr_g", "lr_d", "epochs", "epoch", "fd") if best.get(key) is not None
        ]
        self.tracked.final_metrics("best", done, {key: best[key] for key in keys})
        self.tracked.tags(
            {
                "outcome": found.outcomes,
                "chosen": (found.chosen and found.chosen.candidate.name) or "none",
            }
        )
        received = self.interrupt.received
        self.tracked.end("FINISHED" if received is None else "KILLED")
        self.tracked.flush(at_once=True)
        close_dead_runs()
        print("files: " + ", ".join(str(file) for file in files))
        if received is not None:
            raise UserError("interrupted; the same command continues the search", 128 + received)
        return found


def trials_done(trials: Sequence[Known], most_epochs: int) -> float:
    """How many trials are done, to a tenth; one that runs counts as far as it has come.

    `most_epochs` is the length of a trial that was not asked for another.
    """
    done = 0.0
    for trial in trials:
        if trial.finished:
            done += 1
        elif trial.outcome == "running":
            done += max(trial.reports, default=0) / int(trial.facts.get("epochs", most_epochs))
    return round(done, 1)


def _without_pruner(tune: TuneParams) -> TuneParams:
    return dataclasses.replace(tune, pruner="none")


def _flat(values: dict[str, object], prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def _apply(found: Findings) -> None:
    """Write the choice into params.yaml and show the difference."""
    chosen, best = found.chosen, found.best
    if chosen is not None:
        rates, epochs = (chosen.candidate.lr_g, chosen.candidate.lr_d), chosen.epoch
    elif best is not None and not found.confirmed:
        rates, epochs = (best.lr_g, best.lr_d), int(best.facts["best_epoch"])
    else:
        raise UserError("nothing to apply: no trial came to a result")
    values = {"lr_g": rates[0], "lr_d": rates[1], "epochs": epochs}
    difference = apply(PARAMS_FILE, "train", values)
    print(difference or "params.yaml holds these values already")
    print("`dvc repro` trains it")


if __name__ == "__main__":
    run(main)
