import dataclasses
import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides
from ruamel.yaml import YAML

from pipeline import recipe
from pipeline.base.cli import load_params, read_yaml, run
from pipeline.base.params import Params
from tests.project import REPOSITORY


def command(*arguments: str, patch: pytest.MonkeyPatch) -> list[str]:
    """What is run instead of this process."""
    replaced: list[list[str]] = []
    patch.setattr(sys, "argv", ["recipe", *arguments])
    patch.setattr(os, "execv", lambda program, words: replaced.append([program, *words[1:]]))
    run(recipe.main)
    (words,) = replaced or [[]]
    return words


def params_after(settings: list[str], folder: Path) -> Params:
    """The parameters after DVC has applied its `--set-param`s."""
    file = Path(shutil.copy(REPOSITORY / "params.yaml", folder))
    apply_overrides(file, settings)
    return load_params(file)


def test_the_help_says_what_every_recipe_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        command("--help", patch=monkeypatch)
    told = re.findall(r"^    (\w+)  +\w", capsys.readouterr().out, flags=re.MULTILINE)
    assert sorted(told) == sorted(recipe.RECIPES)


@pytest.mark.parametrize("name", recipe.RECIPES)
def test_dvc_sets_every_value_of_a_recipe_and_no_other(name: str, tmp_path: Path) -> None:
    words = recipe.exp_run(name, [])
    given = [word.removeprefix("--set-param=") for word in words if word.startswith("--set-param=")]
    before, after = load_params(REPOSITORY / "params.yaml"), params_after(given, tmp_path)
    values = read_yaml(recipe.RECIPES[name])
    assert len(values) > 5
    assert after == dataclasses.replace(before, train=dataclasses.replace(before.train, **values))


def test_every_kind_of_value_is_the_same_after_dvc_has_set_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"loss": "bce", "lr_d": 6e-8, "epochs": 3, "freeze_discriminator": True, "stop": None}
    file = tmp_path / "own.yaml"
    YAML().dump(values, file)
    monkeypatch.setitem(recipe.RECIPES, "own", file)
    words = recipe.exp_run("own", [])
    target = Path(shutil.copy(REPOSITORY / "params.yaml", tmp_path))
    apply_overrides(target, [word.removeprefix("--set-param=") for word in words[4:]])
    after = read_yaml(target)["train"]
    assert {name: after[name] for name in values} == values


def test_another_folder_than_the_projects_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        command("blog", patch=monkeypatch)
    assert end.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "error: params.yaml: missing; run this in the project's root folder\n"


@pytest.mark.parametrize("written", ["6e-08", "6e-8", "6.0e-8", "0.00000006", "6E-08"])
def test_small_numbers_stay_numbers_on_their_way_through_dvc(written: str, tmp_path: Path) -> None:
    # By YAML 1.1, of which parts live on in many readers, 6e-08 is a text.
    assert params_after([f"train.decay_d={written}"], tmp_path).train.decay_d == 6e-8


def test_dvc_takes_the_place_of_the_command_with_every_further_argument(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command("blog", "--dry", "-n", "mine", "-S", "train.epochs=2", patch=monkeypatch)
    assert words[:5] == [sys.executable, "-m", "dvc", "exp", "run"]
    assert words[-5:] == ["--dry", "-n", "mine", "-S", "train.epochs=2"]
    assert shlex.split(capsys.readouterr().out) == words[2:]


def test_a_dry_run_prints_the_command_and_runs_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("original", "--dry-run", patch=monkeypatch) == []
    said = capsys.readouterr().out
    assert said.startswith("dvc exp run --name original --set-param=train.width=64 ")
    assert said.count("\n") == 1


def test_the_last_name_and_the_last_value_win(tmp_path: Path) -> None:
    from dvc.cli import parse_args

    words = recipe.exp_run("blog", ["-n", "mine", "-S", "train.epochs=2"])
    parsed = parse_args(words)
    assert parsed.name == "mine"
    assert params_after(parsed.set_param, tmp_path).train.epochs == 2


def test_an_unknown_recipe_is_refused_with_those_there_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        command("orignal", patch=monkeypatch)
    assert end.value.code == 2
    assert "blog" in capsys.readouterr().err
