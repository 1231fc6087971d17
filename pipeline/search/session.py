"""One call of `tune`: opens or continues a study, works on it, and writes what is known then."""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dcgan import mnist
from dcgan.measuring import Meter
from pipeline.base.cli import PARAMS_FILE, UserError, progress_bar, write_whole
from pipeline.base.device import set_up
from pipeline.base.folders import folder_whole
from pipeline.base.interrupt import Interrupt
from pipeline.base.params import Params, TuneParams, flat
from pipeline.base.paths import DATA, PAGE, TUNE
from pipeline.base.pool import Pool
from pipeline.base.space import keys, present, words
from pipeline.pages.origin import Origin
from pipeline.pages.sweep.page import page
from pipeline.plots.search import draw
from pipeline.search.apply import apply
from pipeline.search.confirmation import (
    Candidate,
    candidates,
    choose,
    confirmed,
    fresh_seeds,
    score_on_fresh_noise,
)
from pipeline.search.page import sweep
from pipeline.search.plan import print_estimate, print_plan, recipe_hash, search_seconds
from pipeline.search.result import Findings, plotted, result, table, write
from pipeline.search.storage import FAILURES, does_not_answer
from pipeline.search.study import DEFAULT_STORAGE, Study, Trial
from pipeline.search.worker import Job, work
from pipeline.store.checkpoints import check_place
from pipeline.store.data import load_data
from pipeline.store.weights import load_meter
from pipeline.tracking import provenance
from pipeline.tracking.run import TrackedRun, now_ms
from pipeline.tracking.server import close_dead_runs

_FIRST_SECONDS = 20.0  # that a command which joins waits for the first one's tracked run


@dataclass(frozen=True)
class Options:
    """What the command line says beside the parameters."""

    study: str | None
    storage: str | None
    timeout: float | None
    join: bool
    apply: bool
    dry_run: bool


def tune(params: Params, options: Options) -> None:
    """The whole command."""
    data = load_data()
    device = set_up(params.runtime)
    meter = load_meter(params.measure, device)
    recipe = recipe_hash(params)
    name = options.study or f"tune-{recipe[:8]}"
    storage = options.storage or DEFAULT_STORAGE
    print_plan(params, name, options.timeout, storage)
    if options.dry_run:
        print_estimate(params, data, meter, device)
        return
    check_place(params.runtime.checkpoints)
    try:
        with Interrupt() as interrupt:
            session = Session(params, storage, name, recipe, meter, interrupt)
            session.open(options.join)
            session.go(options.timeout)
            findings = session.finish(options.timeout)
    except FAILURES as error:
        raise does_not_answer(error) from None
    if options.apply:
        _apply(findings)


@dataclass
class Session:
    """A search with all that it writes to."""

    params: Params
    storage: str
    name: str
    recipe: str
    meter: Meter
    interrupt: Interrupt

    def open(self, join: bool) -> None:
        """Open the study and its tracked run, and have unfinished trials continued."""
        tune = self.params.tune
        self.study = self._study(self.name, tune)
        made_for = self.study.notes.get("recipe")
        if made_for is None:
            self.study.note("recipe", self.recipe)
        elif made_for != self.recipe:
            raise UserError(
                f"study {self.name} was made for another recipe, space, digits or judge; choose "
                "another --study"
            )
        unpruned = dataclasses.replace(tune, pruner="none")
        self.confirmation = self._study(f"{self.name}-confirm", unpruned)
        # Of commands that start at once, the one that made the study sees to what is there once.
        joins = join and not self.study.created
        for study in (self.study, self.confirmation):
            study.reap()
            owner = study.owner_at_work()
            if owner is not None and not join:
                raise UserError(f"study {study.name}: {owner} is at work on it; --join takes part")
            if owner is None:
                study.adopt()
        if not joins and not self.study.trials():
            places, recipe = present(tune.space, self.params.train)
            if tune.epochs.mode == "sampled":
                epochs = self.params.train.epochs
                places["epochs"] = min(max(epochs, tune.epochs.min), tune.epochs.max)
            self.study.enqueue(places, {"current": True, "recipe": recipe})
        close_dead_runs()
        self.tracked = TrackedRun(f"tune-{self.study.uid}")
        searched = {f"tune.{key}": value for key, value in _flat(dataclasses.asdict(tune)).items()}
        self.made_with = {**flat(self.params), **searched}
        self.made_by = provenance.tags()
        tags = {**self.made_by, "study": self.name, "config_hash": self.recipe}
        if joins:
            self.tracked.wait_until_known(_FIRST_SECONDS)
        self.tracked.begin(self.name, self.made_with, tags)
        self.tracked.flush(at_once=True)

    def _study(self, name: str, tune: TuneParams) -> Study:
        return Study(
            self.storage,
            name,
            tune,
            create=True,
            may_wait=lambda: self.interrupt.received is None,
        )

    def go(self, timeout: float | None) -> None:
        """Search, then confirm; returns early after an interruption or the timeout."""
        search_end = end = None
        if timeout is not None:
            now = time.time()
            search_end, end = now + search_seconds(self.params, timeout), now + timeout
        self._train(self.study, self.params.tune.trials, search_end, "trials")
        if self.interrupt.received is None and self.params.tune.confirm.top:
            self._queue_confirmation()
            wanted = len(self.confirmation.trials())
            self._train(self.confirmation, wanted, end, "confirmation")

    def _train(self, study: Study, trials: int, deadline: float | None, label: str) -> None:
        tune = self.params.tune
        job = Job(
            params=self.params,
            storage=self.storage,
            study=study.name,
            trials=trials,
            parent=f"tune-{self.study.uid}",
            data_hash=mnist.data_hash(DATA),
        )
        left = max(trials - sum(trial.finished for trial in study.trials()), 1)
        workers = min(tune.workers, left)
        with _Trials(job, study, label) as tasks:
            Pool(work, workers, self.params.runtime, self.interrupt, deadline).run(tasks)

    def _queue_confirmation(self) -> None:
        """Queue the candidates' runs that are not there yet, a seed after the other: cut short, it
        has compared all candidates over fewer seeds."""
        known = [trial.facts for trial in self.confirmation.trials()]
        for seed in fresh_seeds(self.params):
            for candidate in candidates(self.study.trials(), self.params):
                wanted = candidate.facts(seed)
                if not any(facts.items() >= wanted.items() for facts in known):
                    self.confirmation.enqueue({}, wanted)

    def _runs(self, candidate: Candidate) -> list[Trial]:
        """The runs of a candidate, one for each seed."""
        wanted = [candidate.facts(seed) for seed in fresh_seeds(self.params)]
        return [
            trial
            for trial in self.confirmation.trials()
            if {key: trial.facts.get(key) for key in wanted[0]} in wanted
        ]

    def findings(self) -> Findings:
        """What is known now."""
        trials = self.study.trials()
        confirmations, chosen = [], None
        fresh_noise = {}
        if self.params.tune.confirm.top and self.interrupt.received is None:
            first = self.params.tune.epochs.min
            for candidate in candidates(trials, self.params):
                runs = self._runs(candidate)
                confirmation = confirmed(candidate, runs, first)
                confirmations.append(confirmation)
                if confirmation.epoch is not None:
                    place = self.params.runtime.checkpoints
                    scores = score_on_fresh_noise(runs, confirmation.epoch, self.meter, place)
                    fresh_noise[candidate.name] = scores
            best = choose(confirmations)
            chosen = best if best.epoch is not None else None
        return Findings(
            study=self.name,
            trials=trials,
            max_epochs=self.params.tune.epochs.max,
            confirmed=confirmations,
            chosen=chosen,
            fresh_noise=fresh_noise,
            importances=self.study.importances(),
            space=self.params.tune.space,
        )

    def finish(self, timeout: float | None) -> Findings:
        """Print the table, write reports/tune/, and close the tracked run."""
        findings, received = self.findings(), self.interrupt.received
        print(table(findings), flush=True)
        content = sweep(findings, self.params, self.storage, timeout, received is not None)
        origin = Origin(self.made_by, mnist.data_hash(DATA), self.made_with)
        with folder_whole(TUNE) as folder:
            write(folder, findings)
            draw(folder, plotted(findings))
            with write_whole(folder / PAGE.name) as file:
                file.write(page(content, origin))
        files = sorted(TUNE.iterdir())
        for path in files:
            self.tracked.artifact(path, "tune")
        told = result(findings)
        ended = len(findings.trials)
        self._tell("tune", ended, told["cost"])
        best = told["chosen"] or told["best_trial"] or {}
        named = (*keys(findings.space), "epochs", "epoch", "fd")
        numbers = {k: best[k] for k in named if isinstance(best.get(k), int | float)}
        self._tell("best", ended, numbers)
        self.tracked.tags(
            {
                "outcome": findings.outcomes,
                "best": words(findings.found.recipe) if findings.found else "none",
                "chosen": (findings.chosen and findings.chosen.candidate.name) or "none",
            }
        )
        self.tracked.end("FINISHED" if received is None else "KILLED")
        if self.tracked.flush(at_once=True):
            self._send_the_rest()
        close_dead_runs()
        print("files: " + ", ".join(str(file) for file in files))
        if received is not None:
            raise UserError("interrupted; the same command continues the search", 128 + received)
        return findings

    def _send_the_rest(self) -> None:
        """Send what the server did not take when trials of this machine ended."""
        for trial in [*self.study.trials(), *self.confirmation.trials()]:
            if trial.finished and "run_key" in trial.facts:
                run = TrackedRun(trial.facts["run_key"])
                if run.waiting() and not run.flush():
                    return

    def _tell(self, group: str, ended: int, values: Mapping[str, float]) -> None:
        """Metrics of the search as it is now; told by every command that took part, they count
        once, as all of them know one time: the last trial's end."""
        trials = [*self.study.trials(), *self.confirmation.trials()]
        time_ms = max((t.facts["ended_ms"] for t in trials if "ended_ms" in t.facts), default=0)
        names = [f"{group}/{name}" for name in values]
        self.tracked.metrics(names, [ended], [list(values.values())], time_ms or now_ms())


class _Trials:
    """The trials of a study as the pool's tasks, and their progress on the screen.

    A worker takes trials by itself, so that all tasks are the same job.
    """

    def __init__(self, job: Job, study: Study, label: str) -> None:
        self._job, self._study = job, study
        self._horizon = job.params.tune.epochs.max
        done = trials_done(study.trials(), self._horizon)
        # Trials end rarely and several at once: the mean rate alone tells the time left. And the
        # bar is drawn anew even when it has not moved.
        self._bar = progress_bar(
            total=job.trials, initial=done, desc=label, unit="trial", smoothing=0, miniters=0
        )

    def __enter__(self) -> "_Trials":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def next(self) -> Job | None:
        return self._job if self._study.wanted(self._job.trials) else None

    def awaited(self) -> bool:
        return self._study.running() or self._study.wanted(self._job.trials)

    def watch(self) -> None:
        self._study.reap()
        trials = self._study.trials()
        values = [t.value for t in trials if t.finished and t.value is not None]
        best = f"best fd {min(values):.2f}, " if values else ""
        running = [t for t in trials if t.outcome == "running"]
        at = ", ".join(f"trial {t.number} epoch {max(t.best_so_far, default=0)}" for t in running)
        self._bar.n = trials_done(trials, self._horizon)
        self._bar.set_postfix_str(best + at, refresh=False)
        self._bar.refresh() if self._bar.n == self._job.trials else self._bar.update(0)


def trials_done(trials: Sequence[Trial], most_epochs: int) -> float:
    """How many trials are done, to a tenth; one that runs counts as far as it has come.

    `most_epochs` is the length of a trial that was not requested for another.
    """
    done = 0.0
    for trial in trials:
        if trial.finished:
            done += 1
        elif trial.outcome == "running":
            done += max(trial.best_so_far, default=0) / int(trial.facts.get("epochs", most_epochs))
    return round(done, 1)


def _flat(values: dict[str, object], prefix: str = "") -> dict[str, object]:
    flattened: dict[str, object] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flattened |= _flat(value, f"{prefix}{key}.")
        else:
            flattened[prefix + key] = value
    return flattened


def _apply(findings: Findings) -> None:
    """Write the choice into params.yaml and show the difference."""
    choice = findings.choice
    if choice is None:
        raise UserError("nothing to apply: no trial came to a result that was confirmed")
    values = {**choice.recipe, "epochs": choice.epochs}
    difference = apply(PARAMS_FILE, "train", values)
    print(difference or "params.yaml holds these values already")
    print("`dvc repro` trains it")
