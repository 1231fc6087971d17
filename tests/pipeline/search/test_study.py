"""The study in a real SQLite database; what is trained is made up."""

import multiprocessing
import os
import signal
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import optuna
import pytest

from pipeline.base.cli import UserError
from pipeline.base.space import Choices, Interval, Recipe
from pipeline.search import study as study_module
from pipeline.search.study import Request, Study, TrialResult, pruner_of
from tests.searches import tune_params

TRIALS = 100


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'tune.db'}"


def opened(url: str, **changes: Any) -> Study:
    return Study(url, "sweep", tune_params(**changes), create=True)


def complete(request: Request) -> TrialResult:
    return TrialResult("complete", float(request.recipe["lr_g"]), {"reason": "the end"})


def rates(recipe: Recipe) -> tuple[float, float]:
    return float(recipe["lr_g"]), float(recipe["lr_d"])


def drawn(study: Study) -> list[tuple[float, float]]:
    return [rates(trial.recipe) for trial in study.trials()]


def test_a_study_opened_again_draws_no_trial_twice(url: str) -> None:
    for _ in range(3):
        study = opened(url, startup_trials=TRIALS)
        for _ in range(2):
            study.run_next(TRIALS, complete)
    assert len(set(drawn(study))) == 6


def test_what_a_trial_draws_depends_on_the_seed_its_number_and_what_is_known(
    tmp_path: Path,
) -> None:
    found = []
    for name, restart in (("one", 1), ("two", 3)):
        url = f"sqlite:///{tmp_path / name}.db"
        study = opened(url, startup_trials=2)
        for number in range(5):
            if number % restart == 0:
                study = opened(url, startup_trials=2)
            study.run_next(TRIALS, complete)
        found.append(drawn(study))
    assert found[0] == found[1]
    other = opened(f"sqlite:///{tmp_path / 'three'}.db", seed=1)
    other.run_next(TRIALS, complete)
    assert drawn(other)[0] != found[0][0]


def test_two_rates_are_drawn_as_before_there_was_a_choice_of_spaces(url: str) -> None:
    space = {"lr_g": Interval(0.0003, 0.02, "log"), "lr_ratio": Interval(0.03, 4.0, "log")}
    study = opened(url, startup_trials=4, space=space)

    def train(request: Request) -> TrialResult:
        lr_g, lr_d = rates(request.recipe)
        return TrialResult("complete", (lr_g - 0.005) ** 2 * 1e4 + lr_d, {})

    for _ in range(8):
        study.run_next(TRIALS, train)
    # Printed by the search of two rates, commit 4bf78e4; the last four are TPE's.
    assert drawn(study) == [
        (0.004915, 0.001693),
        (0.0009225, 0.001044),
        (0.01997, 0.03545),
        (0.000311, 0.0003335),
        (0.01662, 0.0009563),
        (0.00352, 0.0004547),
        (0.009163, 0.003323),
        (0.001995, 6.948e-05),
    ]


MIXED = {
    "width": Interval(4, 64, "log"),
    "batch_size": Interval(16, 64, "linear"),
    "loss": Choices(("bce", "relativistic")),
    "freeze_discriminator": Choices((True, False)),
    "r1_gamma": Choices((0.0, 0.2, 1.0)),
    "beta1": Interval(0.0, 0.9, "linear"),
}


def test_a_search_with_choices_goes_on_as_if_it_had_never_been_interrupted(tmp_path: Path) -> None:
    def train(request: Request) -> TrialResult:
        gamma = float(request.recipe["r1_gamma"])
        better = request.recipe["loss"] == "bce"
        return TrialResult("complete", gamma + 3 - 2 * better + int(request.recipe["width"]), {})

    found = []
    for name, interrupted in (("whole", ()), ("in pieces", (2, 5))):
        url = f"sqlite:///{tmp_path / name}.db"
        for number in range(9):
            if number == 0 or interrupted:
                study = opened(url, space=MIXED, startup_trials=3)
            study.run_next(TRIALS, train)
        found.append([trial.recipe for trial in study.trials()])
    assert found[0] == found[1]
    assert len({str(recipe) for recipe in found[0]}) == 9
    for recipe in found[0]:
        assert [type(recipe[key]) for key in MIXED] == [int, int, str, bool, float, float]
        assert int(recipe["width"]) % 2 == 0
    assert study.importances().keys() == MIXED.keys()


def test_a_trial_with_choices_that_was_put_back_is_continued_with_them(url: str) -> None:
    study, asked = opened(url, space=MIXED), []

    def train(request: Request) -> TrialResult:
        asked.append(request.recipe)
        return TrialResult("complete" if request.number else "interrupted", 1.0)

    study.run_next(TRIALS, train)
    opened(url, space=MIXED).run_next(TRIALS, train)
    assert asked[0] == asked[1]
    assert [trial.recipe for trial in study.trials()] == asked[1:]


def test_of_all_that_open_a_new_study_at_once_one_has_made_it_and_all_know_its_uid(
    url: str,
) -> None:
    opened(f"{url}.other")  # what is imported late, is
    threads = 8
    barrier = threading.Barrier(threads)

    def open_at_once(_: int) -> tuple[bool, str]:
        barrier.wait()
        study = opened(url)
        return study.created, study.uid

    with ThreadPoolExecutor(threads) as pool:
        created, uids = zip(*pool.map(open_at_once, range(threads)), strict=True)
    assert sum(created) == 1
    assert len(set(uids)) == 1


def test_who_opens_a_study_waits_for_the_uid_that_its_maker_gives_it(url: str) -> None:
    made = optuna.create_study(storage=url, study_name="sweep")
    maker = threading.Timer(0.5, lambda: made.set_user_attr("uid", "of its maker"))
    maker.start()
    assert opened(url).uid == "of its maker"
    maker.join()


def test_a_study_whose_maker_was_killed_before_it_named_it_is_named_by_the_next(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    optuna.create_study(storage=url, study_name="sweep")
    monkeypatch.setattr(study_module, "_NAMING_SECONDS", 0.3)
    study = opened(url)
    assert not study.created
    assert opened(url).uid == study.uid


def test_rates_are_in_range_and_as_short_as_they_will_stand_in_the_file(url: str) -> None:
    study = opened(url)
    for _ in range(4):
        study.run_next(TRIALS, complete)
    for lr_g, lr_d in drawn(study):
        assert 0.001 <= lr_g <= 0.06
        assert 0.09 * lr_g <= lr_d <= 4.1 * lr_g
        assert (f"{lr_g:g}", f"{lr_d:g}") == (f"{lr_g:.4g}", f"{lr_d:.4g}")
        assert (float(f"{lr_g:g}"), float(f"{lr_d:g}")) == (lr_g, lr_d)


def test_what_was_queued_is_trained_first(url: str) -> None:
    study = opened(url)
    study.enqueue({"lr_g": 0.002, "lr_ratio": 0.5}, {"current": True})
    assert [trial.outcome for trial in study.trials()] == ["waiting"]
    study.run_next(TRIALS, complete)
    (trial,) = study.trials()
    assert (rates(trial.recipe), trial.outcome) == ((0.002, 0.001), "complete")


def test_requested_rates_are_not_rounded_however_often_the_trial_is_tried(url: str) -> None:
    study, (lr_g, lr_d) = opened(url), (0.00123456789, 0.0034567)
    facts = {"recipe": {"lr_g": lr_g, "lr_d": lr_d}}
    study.enqueue({"lr_g": lr_g, "lr_ratio": lr_d / lr_g}, facts)
    assert drawn(study) == [(lr_g, lr_d)]
    trained = []

    def train(request: Request) -> TrialResult:
        trained.append(rates(request.recipe))
        return TrialResult("complete" if request.number else "interrupted", None)

    for _ in range(2):
        study.run_next(TRIALS, train)
    assert trained == [(lr_g, lr_d)] * 2
    assert drawn(study) == [(lr_g, lr_d)]


def test_sampled_lengths_are_a_parameter_and_nothing_is_cut(url: str) -> None:
    study = opened(url, epochs={"mode": "sampled", "min": 3, "max": 9}, pruner_trials=1)
    lengths = []

    def train(request: Request) -> TrialResult:
        lengths.append(request.epochs)
        assert not any(
            request.should_prune(epoch, 100.0 * request.number) for epoch in range(1, 10)
        )
        return complete(request)

    for _ in range(6):
        study.run_next(TRIALS, train)
    assert len(set(lengths)) > 1
    assert all(3 <= length <= 9 for length in lengths)
    assert [trial.facts["epochs"] for trial in study.trials()] == lengths


@pytest.mark.parametrize("name", ["none", "median", "quartile", "halving", "hyperband"])
def test_pruners_cut_a_trial_that_is_worse_than_all_and_none_does_not(name: str) -> None:
    pruner = pruner_of(tune_params(pruner=name, pruner_trials=3, pruner_epochs=2))
    study, cut = optuna.create_study(study_name="in memory", pruner=pruner), []
    for number in range(12):
        trial = study.ask()
        for epoch in range(1, 15):
            trial.report(number, epoch)
            if trial.should_prune():
                cut.append((number, epoch))
                break
        study.tell(trial, number)
    assert bool(cut) == (name != "none")
    assert all(number > 0 and epoch >= 2 for number, epoch in cut)


def test_every_ending_can_be_told_from_the_others(url: str) -> None:
    study = opened(url)
    for outcome in ("complete", "pruned", "onset", "diverged"):
        study.run_next(TRIALS, lambda _: TrialResult(outcome, 5.0))  # noqa: B023

    def broken(_: Request) -> TrialResult:
        raise RuntimeError("out of memory at postgresql://me:secret@host/db")

    assert study.run_next(TRIALS, broken) == "failed"
    found = {trial.outcome: trial for trial in study.trials()}
    assert [*found] == ["complete", "pruned", "onset", "diverged", "failed"]
    assert found["onset"].value == 5.0
    assert found["failed"].value is None
    assert "out of memory" in found["failed"].facts["reason"]
    assert "secret" not in found["failed"].facts["reason"]


def test_no_trial_beyond_the_number_wanted_counts(url: str) -> None:
    study = opened(url)
    for number in range(3):
        assert study.wanted(3) == (number < 3)
        study.run_next(3, complete)
    assert not study.wanted(3)
    # Another worker that request at the same moment gets the fourth.
    assert study.run_next(3, pytest.fail) == "surplus"  # type: ignore[arg-type]
    assert len(study.trials()) == 3
    assert study.wanted(4)


def test_an_interrupted_trial_is_put_back_and_continued_as_it_was(url: str) -> None:
    study = opened(url)
    study.run_next(TRIALS, lambda _: TrialResult("interrupted", None, {"reason": "after 2 epochs"}))
    assert [trial.outcome for trial in study.trials()] == ["waiting"]
    (before,) = drawn(study)

    def train(request: Request) -> TrialResult:
        assert (request.origin, request.number) == (0, 1)
        assert rates(request.recipe) == before
        return complete(request)

    assert study.run_next(TRIALS, train) == "complete"
    assert [trial.outcome for trial in study.trials()] == ["complete"]


def die(url: str) -> None:
    study = Study(url, "sweep", tune_params())
    study.run_next(TRIALS, lambda _: os.kill(os.getpid(), signal.SIGKILL))  # type: ignore[arg-type,return-value]


def ask_and_die(url: str) -> None:
    study = Study(url, "sweep", tune_params(pruner="halving", pruner_epochs=2))

    def train(request: Request) -> TrialResult:
        assert not any(request.should_prune(epoch, 5.0) for epoch in (1, 2))
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    study.run_next(TRIALS, train)


def run_and_die(url: str, target: Callable[[str], None] = die) -> None:
    process = multiprocessing.get_context("fork").Process(target=target, args=(url,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def test_a_killed_workers_trial_is_tried_again_once_and_counted_once(url: str) -> None:
    study = opened(url)
    run_and_die(url)
    assert [trial.outcome for trial in study.trials()] == ["running"]
    for _ in range(2):
        study.reap()
        assert study.owner_at_work() is None
    (waiting,) = study.trials()
    assert waiting.outcome == "waiting"
    assert waiting.facts["origin"] == 0
    run_and_die(url)
    study.reap()
    study.adopt()
    (killed,) = study.trials()
    assert (killed.outcome, killed.number) == ("killed", 1)
    assert not study.wanted(1)


def test_a_trial_whose_worker_lives_is_nobodys_to_take(url: str) -> None:
    study = opened(url)
    seen: list[Any] = []

    def train(request: Request) -> TrialResult:
        other = opened(url)
        other.reap()
        seen.extend([other.owner_at_work(), other.running()])
        return complete(request)

    study.run_next(TRIALS, train)
    assert seen == [f"{os.uname().nodename}:{os.getpid()}", True]


def test_a_silent_worker_elsewhere_counts_as_dead(url: str) -> None:
    study = opened(url)
    elsewhere = optuna.load_study(study_name="sweep", storage=url)
    trial = elsewhere.ask()
    trial.set_user_attr("owner", "another:1")
    database = url.removeprefix("sqlite:///")
    for silence, owner in (("-30 seconds", "another:1"), ("-61 seconds", None)):
        with sqlite3.connect(database) as connection:
            connection.execute("delete from trial_heartbeats")
            connection.execute(
                "insert into trial_heartbeats (trial_id, heartbeat) "
                "select trial_id, datetime(current_timestamp, ?) from trials",
                (silence,),
            )
        study.reap()
        assert study.owner_at_work() == owner
    assert [(trial.outcome, trial.facts["origin"]) for trial in study.trials()] == [("waiting", 0)]


@pytest.mark.parametrize("killed", [False, True])
def test_of_a_second_try_the_pruner_says_anew_what_it_thinks(url: str, killed: bool) -> None:
    """Halving asks once at each of its epochs and keeps the answer with the trial."""
    study = opened(url, pruner="halving", pruner_epochs=2)
    answers = []

    def train(request: Request) -> TrialResult:
        answers.append([request.should_prune(epoch, 5.0) for epoch in (1, 2)])
        return TrialResult("complete" if request.number else "interrupted", 5.0)

    if killed:
        run_and_die(url, ask_and_die)
    else:
        study.run_next(TRIALS, train)
        assert answers.pop() == [False, False]
    optuna.load_study(study_name="sweep", storage=url).add_trial(
        optuna.create_trial(
            value=1.0,
            params={"lr_g": 0.001, "lr_ratio": 1.0},
            distributions={
                "lr_g": optuna.distributions.FloatDistribution(0.001, 0.06, log=True),
                "lr_ratio": optuna.distributions.FloatDistribution(0.03, 4.0, log=True),
            },
            intermediate_values={1: 1.0, 2: 1.0},
            system_attrs={"completed_rung_0": 1.0},
        )
    )
    study.reap()
    study.run_next(TRIALS, train)
    assert answers == [[False, True]]


def test_importances_add_up_and_are_none_before_anything_is_known(url: str) -> None:
    study = opened(url)
    assert study.importances() == {}
    for _ in range(6):
        study.run_next(TRIALS, complete)
    found = study.importances()
    assert found.keys() == {"lr_g", "lr_ratio"}
    assert sum(found.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    "address",
    ["nonsense", "postgresql+psycopg://me:secret@127.0.0.1:9/none", "mysql+none://me:secret@x/y"],
)
def test_a_storage_that_cannot_be_used_is_one_line_without_its_password(address: str) -> None:
    with pytest.raises(UserError) as caught:
        opened(address)
    assert "secret" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
