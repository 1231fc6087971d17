"""The original's experiment through the real command, on synthetic digits and at a tiny size."""

import csv
import dataclasses
import hashlib
import json
import signal
import time
from pathlib import Path

import pytest
from PIL import Image
from ruamel.yaml import YAML

from pipeline.base.cli import UserError
from pipeline.replicate import RECIPES, Run, runs
from tests.project import Project
from tests.searches import SHIPPED

EPOCHS, STEPS = 3, 30


def test_the_recipes_differ_in_what_the_study_asks_about_and_in_nothing_else() -> None:
    frozen, joint = (Run(recipe, 1).params(SHIPPED).train for recipe in ("frozen", "joint"))
    assert frozen.freeze_discriminator
    assert not joint.freeze_discriminator
    changed = {name for name, value in vars(frozen).items() if getattr(joint, name) != value}
    assert changed == {"freeze_discriminator"}
    stabilised = Run("stabilised", 1).params(SHIPPED).train
    assert stabilised.r1_gamma > 0
    assert stabilised.average_images > 0
    sizes = ("width", "batch_size", "epochs", "steps_per_epoch", "stop")
    assert [getattr(stabilised, name) for name in sizes] == [getattr(joint, n) for n in sizes]


def test_a_study_cut_short_is_one_of_fewer_seeds() -> None:
    first = runs(SHIPPED)[: len(RECIPES)]
    assert {one.recipe for one in first} == set(RECIPES)
    assert {one.seed for one in first} == {1}


def kept(folder: Path, **changes: object) -> None:
    """Keep the first run's record as if it were whole and judged by the bytes b"judge"."""
    Path("models").mkdir()
    Path("models/judge.safetensors").write_bytes(b"judge")
    train = dataclasses.asdict(runs(SHIPPED)[0].params(SHIPPED).train)
    judge = hashlib.sha256(b"judge").hexdigest()
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"train": train, "judge": judge} | changes))


@pytest.mark.parametrize(
    ("changes", "done"),
    [({}, True), ({"judge": "another"}, False), ({"train": {"width": 64}}, False)],
)
def test_a_record_counts_with_the_same_parameters_and_the_same_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], done: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    first = runs(SHIPPED)[0]
    kept(first.folder, **changes)
    assert first.is_done(SHIPPED) is done


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"train": 1}', "\0"])
def test_a_spoiled_record_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    first = runs(SHIPPED)[0]
    kept(first.folder)
    (first.folder / "run.json").write_text(text)
    with pytest.raises(UserError, match=rf"{first.folder}/run\.json: .* delete"):
        first.is_done(SHIPPED)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A clone with data and judge, whose recipes are of a few steps."""
    clone = Project(tmp_path / "clone")
    clone.set_params({"study": {"width": 2, "epochs": EPOCHS, "seeds": 1, "workers": 2}})
    yaml = YAML()
    for file in (clone.folder / "pipeline/recipes").glob("*.yaml"):
        recipe = yaml.load(file)
        recipe.update(steps_per_epoch=STEPS, batch_size=16)
        yaml.dump(recipe, file)
    for stage in ("fetch", "judge"):
        clone.python(f"pipeline.{stage}")
    return clone


def column(path: Path, name: str) -> list[int]:
    with path.open(newline="") as file:
        return [int(row[name]) for row in csv.DictReader(file)]


@pytest.mark.slow
def test_a_study_interrupted_and_continued_is_whole_and_nothing_is_done_twice(
    project: Project,
) -> None:
    process = project.start("python", "-m", "pipeline.replicate")
    while not list((project.folder / "reports").glob("study/*/epochs.csv")):
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

    output = project.python("pipeline.replicate")  # has nothing left to do
    assert output.count(f"{EPOCHS} of {EPOCHS} epochs") == len(RECIPES)
    assert len(project.query("select run_uuid from runs")) == len(RECIPES)
