"""The stages end to end, through real DVC and real MLflow, on synthetic digits."""

import csv
import json
import time
from collections import Counter
from pathlib import Path

import pytest
import torch

from dcgan.runtime import precision_of
from tests.project import Project
from tests.searches import SHIPPED

pytestmark = pytest.mark.slow

STEPS = 60


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("pipeline") / "clone")
    project.run("dvc", "repro")
    project.run("git", "add", "-A")
    project.run("git", "commit", "-qm", "reproduced")
    return project


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def metric_steps(project: Project, key: str, run: str = "%") -> list[int]:
    """Steps of a metric, of the runs whose name is like `run`, in order."""
    sql = """
        select m.step from metrics m join runs r on r.run_uuid = m.run_uuid
        where m.key = ? and r.name like ? order by m.step
    """
    return project.query(sql, key, run)


def test_repro_leaves_every_output_of_every_stage(reproduced: Project) -> None:
    for name in (
        "models/judge.safetensors",
        "models/generator_best.safetensors",
        "models/generator_last.safetensors",
        "reports/metrics.json",
        "reports/plots/losses.png",
        "reports/report.html",
        "export/generator.onnx",
        "export/generator.pt2",
        "export/generator.safetensors",
        "export/model_card.md",
    ):
        assert (reproduced.folder / name).stat().st_size > 0, name
    steps = rows(reproduced.folder / "reports/steps.csv")
    assert [int(row["step"]) for row in steps] == list(range(1, STEPS + 1))
    epochs = rows(reproduced.folder / "reports/epochs.csv")
    assert [int(row["epoch"]) for row in epochs] == [1, 2, 3]


def test_repro_again_runs_nothing_nor_does_another_number_of_processes(
    reproduced: Project,
) -> None:
    reproduced.set_params({"runtime": {"processes": 2}})
    output = reproduced.run("dvc", "repro")
    reproduced.set_params({"runtime": {"processes": 1}})
    assert "Running stage" not in output
    assert output.count("didn't change, skipping") == 5


def test_a_page_in_the_export_is_nothing_to_dvc_and_goes_with_the_export(
    reproduced: Project,
) -> None:
    page = reproduced.folder / "export/web/index.html"
    page.parent.mkdir()
    page.touch()
    half_written = reproduced.folder / "export/.web.host-1.0.partial/whole"
    half_written.mkdir(parents=True)
    (half_written / "index.html").touch()
    assert "up to date" in reproduced.run("dvc", "status", "export")
    assert "Running stage" not in reproduced.run("dvc", "repro", "export")
    reproduced.run("dvc", "checkout")
    assert page.exists()
    reproduced.run("dvc", "repro", "--force", "--single-item", "export")
    assert not page.exists()
    assert "up to date" in reproduced.run("dvc", "status", "export")


def test_the_tracker_has_every_step_once_and_every_picture(reproduced: Project) -> None:
    for signal_name in ("d_loss", "g_loss", "d_grad_norm", "g_update_ratio"):
        assert metric_steps(reproduced, f"train/{signal_name}") == list(range(1, STEPS + 1))
    assert metric_steps(reproduced, "eval/fd") == [20, 40, 60]
    assert metric_steps(reproduced, "final/fd")
    pictures = sorted((reproduced.folder / "mlartifacts").glob("*/artifacts/images/*.png"))
    steps = sorted(int(picture.name.split("+")[2]) for picture in pictures)
    assert steps == [8, 16, 20, 24, 32, 40, 48, 56, 60]
    assert reproduced.query("select status from runs") == ["FINISHED"]


def test_the_tracked_run_says_where_it_comes_from(reproduced: Project) -> None:
    tags = dict(reproduced.query("select key, value from tags"))
    commit = reproduced.run("git", "rev-parse", "HEAD~1").strip()
    assert tags["mlflow.source.git.commit"] == commit
    assert tags["git_dirty"] == "no"
    assert tags["precision"] == precision_of(SHIPPED.runtime, torch.device("cpu"))
    recorded = json.loads((reproduced.folder / "reports/data.json").read_text())
    assert tags["data_hash"] == recorded["hash"]
    params = dict(reproduced.query("select key, value from params"))
    assert params["train.lr_g"] == str(SHIPPED.train.lr_g)
    assert reproduced.query("select name from datasets") == ["mnist"]
    aliases = reproduced.query("select name, alias from registered_model_aliases")
    assert aliases == [("dcgan-generator", "champion")]


def test_dvc_s_table_of_metrics_has_no_column_for_lists(reproduced: Project) -> None:
    shown = json.loads(reproduced.run("dvc", "metrics", "show", "--json"))[""]["data"]
    tables = {file: table["data"] for file, table in shown.items()}
    assert set(tables) == {"reports/judge.json", "reports/metrics.json", "reports/stop.json"}
    assert set(tables["reports/judge.json"]) == {"accuracy"}
    assert set(tables["reports/metrics.json"]) == {"best", "last"}
    assert "fd" in tables["reports/metrics.json"]["best"]
    for name, lists in (("judge", ("confusion", "scale")), ("metrics", ("scale",))):
        report = json.loads((reproduced.folder / f"reports/{name}.json").read_text())
        assert all(report[key] for key in lists)


def test_an_experiment_is_a_run_of_its_own_under_its_name(reproduced: Project) -> None:
    # Small and without a point: a text by YAML 1.1, a number by DVC and by this project.
    change = "train.decay_g=6e-08"
    reproduced.run("dvc", "exp", "run", "--name", "decaying", "-S", change, "train")
    assert metric_steps(reproduced, "train/d_loss", "decaying") == list(range(1, STEPS + 1))
    decays = reproduced.query("select value from params where key = 'train.decay_g'")
    assert "6e-08" in decays
    assert "fd" in reproduced.run("dvc", "metrics", "diff", "HEAD", "--all")
    reproduced.run("git", "checkout", "-q", "--", ".")
    reproduced.run("dvc", "checkout")


def test_queued_experiments_run_their_own_code_in_parallel_into_the_same_store(
    reproduced: Project,
) -> None:
    code = reproduced.folder / "pipeline/tracking/provenance.py"
    before = code.read_text()
    for name, rate in (("left", "0.0015"), ("right", "0.0025")):
        code.write_text(before.replace('"machine": f"', f'"machine": "of {name}" f"'))
        reproduced.run("dvc", "exp", "run", "--queue", "--name", name, "-S", f"train.lr_g={rate}")
    code.write_text(before)
    reproduced.run("dvc", "queue", "start", "-j", "2")
    deadline, asked = time.monotonic() + 900, time.monotonic()
    registered = "select count(*) from model_versions"
    while time.monotonic() < deadline:
        time.sleep(1)
        # The last thing that an experiment does, cheaply asked for; asking dvc takes it seconds.
        if reproduced.query(registered) != [3] and time.monotonic() < asked + 60:
            continue
        asked = time.monotonic()
        states = Counter(
            line.split()[-1]
            for line in reproduced.run("dvc", "queue", "status").splitlines()
            if " left " in line or " right " in line
        )
        if states["Success"] + states["Failed"] == 2:
            break
    assert states["Success"] == 2, reproduced.run("dvc", "queue", "logs", "left")
    for name in ("left", "right"):
        assert metric_steps(reproduced, "train/d_loss", name) == list(range(1, STEPS + 1))
        assert metric_steps(reproduced, "final/fd", name)
        (machine,) = reproduced.query(
            "select value from tags t join runs r on r.run_uuid = t.run_uuid "
            "where t.key = 'machine' and r.name = ?",
            name,
        )
        assert machine.startswith(f"of {name}")
    assert len(reproduced.query("select version from model_versions")) == 3
    shown = reproduced.run("dvc", "exp", "show", "--csv", "--no-pager")
    assert {"left", "right"} <= {row["Experiment"] for row in csv.DictReader(shown.splitlines())}


def test_plots_are_drawn_from_the_reports(reproduced: Project) -> None:
    reproduced.run("dvc", "plots", "show", "--out", "plots")
    page = (reproduced.folder / "plots/index.html").read_text()
    assert "d_loss" in page
    assert "class_kl" in page
