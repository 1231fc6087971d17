import dataclasses
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from ruamel.yaml import YAML

from pipeline.base.cli import UserError, load_params, read_yaml
from pipeline.base.params import Params
from pipeline.base.space import Recipe, Space
from pipeline.search.apply import apply, changed
from tests.pipeline.base.test_space import recipes
from tests.project import REPOSITORY

SHIPPED = REPOSITORY / "params.yaml"
LONG = "word " * 100 + "end"
VALUES = {"lr_g": 0.00213, "lr_d": 0.000987, "epochs": 9}


def test_three_values_change_and_not_a_byte_elsewhere() -> None:
    before = SHIPPED.read_text(encoding="utf-8")
    after = changed(before, "train", VALUES)
    pairs = zip(before.splitlines(), after.splitlines(), strict=True)
    different = [(old.split(), new.split()) for old, new in pairs if old != new]
    assert [(old[0], new[:2]) for old, new in different] == [
        ("epochs:", ["epochs:", "9"]),
        ("lr_d:", ["lr_d:", "0.000987"]),
        ("lr_g:", ["lr_g:", "0.00213"]),
    ]


def test_the_section_is_found_though_other_sections_have_the_same_keys(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(SHIPPED.read_text(encoding="utf-8"), encoding="utf-8")
    assert read_yaml(file)["judge"].keys() & read_yaml(file)["tune"].keys() & {"epochs", "seed"}
    difference = apply(file, "train", VALUES)
    expected = read_yaml(SHIPPED)
    expected["train"] |= VALUES
    assert read_yaml(file) == expected
    assert load_params(file).train.lr_g == 0.00213
    assert f"-  lr_g: {load_params(SHIPPED).train.lr_g:g}\n" in difference
    assert "+  lr_g: 0.00213\n" in difference


def test_a_comment_beside_a_value_stays_in_its_column() -> None:
    text = "train:\n  lr_g: 0.002    # slow\n  # lr_g: 7\n"
    wanted = "train:\n  lr_g: 0.00213  # slow\n  # lr_g: 7\n"
    assert changed(text, "train", {"lr_g": 0.00213}) == wanted


def test_the_same_values_again_are_no_difference(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(SHIPPED.read_text(encoding="utf-8"), encoding="utf-8")
    apply(file, "train", VALUES)
    content = file.read_bytes()
    assert apply(file, "train", VALUES) == ""
    assert file.read_bytes() == content


@pytest.mark.parametrize(
    "text", ["other:\n  lr_g: 0.1\n", "train:\n  lr_d: 1\nother:\n  lr_g: 1\n"]
)
def test_what_is_not_there_is_refused_and_left(tmp_path: Path, text: str) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=r"train\.lr_g is not there"):
        apply(file, "train", {"lr_g": 0.2})
    assert file.read_text() == text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("train: {lr_g: 0.1, path: null}  # short\n", "train: {lr_g: 0.2, path: null}  # short\n"),
        (
            "train:\n  # a 'quote'\n  name: \"x\"\n\n  lr_g: 1e-1\n",
            "train:\n  # a 'quote'\n  name: \"x\"\n\n  lr_g: 0.2\n",
        ),
        (
            f"train:\n  lr_g: 0.1\n  name: {'x ' * 200}y\n",
            f"train:\n  lr_g: 0.2\n  name: {'x ' * 200}y\n",
        ),
    ],
)
def test_the_way_in_which_a_file_is_written_stays(text: str, wanted: str) -> None:
    assert changed(text, "train", {"lr_g": 0.2}) == wanted


@settings(deadline=None, max_examples=25)
@given(recipes())
def test_whatever_a_search_may_find_is_written_and_no_comment_is_lost(
    drawn: tuple[Space, Recipe],
) -> None:
    _, recipe = drawn
    before = SHIPPED.read_text(encoding="utf-8")
    after = changed(before, "train", recipe)
    values = YAML(typ="safe", pure=True).load(after)
    train = load_params(SHIPPED).train
    found = Params.from_mapping(values).train
    assert found == dataclasses.replace(train, **cast("dict[str, Any]", recipe))
    assert [line.partition("#")[2] for line in after.splitlines()] == [
        line.partition("#")[2] for line in before.splitlines()
    ]


def test_a_value_is_written_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(SHIPPED.read_text(encoding="utf-8"), encoding="utf-8")
    values = {"lr_g": 0.0012345678912, "lr_d": 2e-7}
    apply(file, "train", values)
    train = load_params(file).train
    assert {"lr_g": train.lr_g, "lr_d": train.lr_d} == values
