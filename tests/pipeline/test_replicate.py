"""The original's experiment through the real command, on synthetic digits and at a tiny size."""

import csv
import dataclasses
import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from ruamel.yaml import YAML

from pipeline import fetch, judge, replicate
from pipeline.base.cli import UserError
from pipeline.base.params import Params
from pipeline.replication.records import is_whole, read_facts, write_facts
from pipeline.replication.runs import RECIPES, Run, refuse_other_records, runs
from tests.commands import enter, refusal, run_stages, status_of
from tests.project import REPOSITORY, Project
from tests.searches import SHIPPED

EPOCHS, STEPS = 3, 30


ROOT = Path("reports/replication")


def first_run(recipe: str = "joint") -> Run:
    return Run(recipe, 1, ROOT)


def test_the_recipes_differ_in_what_is_asked_and_in_nothing_else() -> None:
    frozen, joint = (first_run(recipe).params(SHIPPED).train for recipe in ("frozen", "joint"))
    assert frozen.freeze_discriminator
    assert not joint.freeze_discriminator
    changed = {name for name, value in vars(frozen).items() if getattr(joint, name) != value}
    assert changed == {"freeze_discriminator"}
    stabilised = first_run("stabilised").params(SHIPPED).train
    assert stabilised.r1_gamma > 0
    assert stabilised.average_images > 0
    sizes = ("width", "batch_size", "epochs", "steps_per_epoch", "stop")
    assert [getattr(stabilised, name) for name in sizes] == [getattr(joint, n) for n in sizes]


def test_a_replication_cut_short_is_one_of_fewer_seeds() -> None:
    first = runs(SHIPPED, ROOT)[: len(RECIPES)]
    assert {run.recipe for run in first} == set(RECIPES)
    assert {run.seed for run in first} == {1}


@pytest.fixture
def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project whose judge is the bytes b"judge"."""
    monkeypatch.chdir(tmp_path)
    Path("models").mkdir()
    Path("models/judge.safetensors").write_bytes(b"judge")
    return tmp_path


def changed(params: Params, section: str, **changes: Any) -> Params:
    part = dataclasses.replace(getattr(params, section), **changes)
    return dataclasses.replace(params, **{section: part})


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    ("recipe", "section", "changes", "difference"),
    [
        ("joint", "replicate", {}, None),
        ("joint", "replicate", {"width": 16}, "train.width 8 (now 16)"),
        ("joint", "replicate", {"epochs": 9}, "train.epochs 60 (now 9)"),
        # What the recipe makes no use of: it trains by RMSprop and without a penalty.
        ("joint", "train", {"beta1": 0.9, "beta2": 0.5, "r1_every": 3}, None),
        ("stabilised", "train", {"g_dropout": 0.1}, "train.g_dropout 0.0 (now 0.1)"),
        ("joint", "train", {"lr_g": 0.5}, None),  # the recipe has its own
        ("joint", "measure", {"num_training_samples": 100}, "measure.num_training_samples 5000"),
        ("joint", "measure", {"num_neighbour_samples": 100}, "measure.num_neighbour_samples 5000"),
        ("joint", "measure", {"num_samples": 100}, None),
    ],
)
def test_a_record_is_of_the_same_experiment_unless_what_counts_differs(
    judged: Path,
    whole: bool,
    recipe: str,
    section: str,
    changes: dict[str, Any],
    difference: str | None,
) -> None:
    run = first_run(recipe)
    write_facts(run.folder, run.facts(SHIPPED) | ({"verdict": {}} if whole else {}))
    params = changed(SHIPPED, section, **changes)
    found = run.differences(params)
    if difference is None:
        assert found == []
        refuse_other_records([run], params)
    else:
        assert [text[: len(difference)] for text in found] == [difference]
        with pytest.raises(UserError, match=r"stays as it is, .* --folder reports/replication-2"):
            refuse_other_records([run], params)
    assert run.is_done() == whole


def test_a_record_by_another_judge_is_refused_and_told_from_one_by_the_same(judged: Path) -> None:
    run = first_run()
    write_facts(run.folder, run.facts(SHIPPED))
    assert run.differences(SHIPPED) == []
    Path("models/judge.safetensors").write_bytes(b"another")
    assert run.differences(SHIPPED) == ["another judge, whose fd is of another scale"]


def test_metrics_without_their_facts_are_refused(judged: Path) -> None:
    run = first_run()
    run.folder.mkdir(parents=True)
    (run.folder / "epochs.csv").write_text("epoch\n1\n")
    with pytest.raises(UserError, match="made with what it does not tell; it stays as it is"):
        refuse_other_records([run], SHIPPED)


def test_the_shipped_records_are_of_the_shipped_experiment(
    judged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the judge, whose bits every machine makes anew, may tell them apart."""
    for run in runs(SHIPPED, REPOSITORY / "reports/replication"):
        facts = read_facts(run.folder)
        assert facts is not None
        assert is_whole(facts)
        assert len(run.differences(SHIPPED)) == 1
        assert "judge" in run.differences(SHIPPED)[0]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"train": 1}', "\0"])
def test_a_spoiled_record_is_named_with_what_to_do(judged: Path, text: str) -> None:
    run = first_run()
    run.folder.mkdir(parents=True)
    (run.folder / "run.json").write_text(text)
    with pytest.raises(UserError, match=rf"{run.folder}/run\.json: .* move .* away"):
        run.is_done()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A clone with data and judge, whose recipes are of a few steps."""
    clone = Project(tmp_path / "clone")
    clone.set_params({"replicate": {"width": 2, "epochs": EPOCHS, "seeds": 1, "workers": 2}})
    yaml = YAML()
    for file in (clone.folder / "pipeline/recipes").glob("*.yaml"):
        recipe = yaml.load(file)
        recipe.update(steps_per_epoch=STEPS, batch_size=16)
        yaml.dump(recipe, file)
    run_stages(clone.folder, fetch, judge)
    return clone


def column(path: Path, name: str) -> list[int]:
    with path.open(newline="") as file:
        return [int(row[name]) for row in csv.DictReader(file)]


@pytest.mark.slow
def test_a_replication_interrupted_and_continued_is_whole_and_nothing_is_done_twice(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    process = project.start("python", "-m", "pipeline.replicate")
    while not list((project.folder / "reports").glob("replication/*/epochs.csv")):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 128 + signal.SIGTERM, output
    assert "the same command continues" in output
    assert "Traceback" not in output
    project.python("pipeline.replicate")

    for recipe in RECIPES:
        folder = project.folder / f"reports/replication/{recipe}-1"
        assert column(folder / "epochs.csv", "epoch") == list(range(1, EPOCHS + 1))
        assert column(folder / "signals.csv", "step")[0] == SHIPPED.stability.window
        assert json.loads((folder / "run.json").read_text())["verdict"]["best_epoch"]
        with Image.open(folder / "grid-001.png") as grid:
            assert grid.height < grid.width
    tracked = project.query("select run_uuid from runs")
    assert len(tracked) == len(RECIPES)
    steps = "select step from metrics where key = 'train/d_loss' and run_uuid = ? order by step"
    for run in tracked:
        assert project.query(steps, run) == list(range(1, EPOCHS * STEPS + 1))

    enter(project.folder, monkeypatch)
    monkeypatch.setattr("pipeline.replication.runs._RECIPES", project.folder / "pipeline/recipes")
    assert status_of(replicate.main) == 0  # has nothing left to do
    output = capsys.readouterr().out
    assert output.count(f"{EPOCHS} of {EPOCHS} epochs") == len(RECIPES)
    assert len(project.query("select run_uuid from runs")) == len(RECIPES)

    # Of another size: nothing is touched, and nothing is trained.
    before = {file: file.read_bytes() for file in (project.folder / "reports").rglob("*.*")}
    project.set_params({"replicate": {"width": 4}})
    refused = "error: reports/replication/joint-1 (and 2 more): made with train.width 2 (now 4)"
    assert refusal(capsys, replicate.main).startswith(refused)
    assert {file: file.read_bytes() for file in before} == before
    assert len(project.query("select run_uuid from runs")) == len(RECIPES)
    assert status_of(replicate.main, "--folder", "reports/wider", "--dry-run") == 0
    assert not (project.folder / "reports/wider").exists()
