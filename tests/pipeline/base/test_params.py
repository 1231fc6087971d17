import copy
import dataclasses
import datetime
import itertools
import math
import tracemalloc
import typing
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dcgan.params import Range
from ganverdict.thresholds import Between, Thresholds
from pipeline.base.cli import UserError, load_params, read_yaml
from pipeline.base.params import Params
from pipeline.base.space import read_space
from tests.project import REPOSITORY

SHIPPED = REPOSITORY / "params.yaml"
VALUES: dict[str, dict[str, Any]] = read_yaml(SHIPPED)


def hints(of: type) -> dict[str, Any]:
    return typing.get_type_hints(of, include_extras=True)


def sections(of: type, prefix: str = "") -> dict[str, type]:
    """Each section's class by its name; a section within a section is named "outer.inner"."""
    found: dict[str, type] = {}
    for name, hint in hints(of).items():
        if dataclasses.is_dataclass(hint):
            assert isinstance(hint, type)
            found[prefix + name] = hint
            found |= sections(hint, f"{prefix}{name}.")
    return found


SECTIONS = sections(Params)
# (section, key, what the dataclass says of it)
KEYS = [
    (section, key, hint)
    for section, section_class in SECTIONS.items()
    for key, hint in hints(section_class).items()
    if f"{section}.{key}" not in {*SECTIONS, "tune.space"}  # which test_space.py is about
]
NUMBERS = [(s, k, typing.get_args(h)) for s, k, h in KEYS if typing.get_origin(h) is Annotated]
WORDS = [(s, k, typing.get_args(h)) for s, k, h in KEYS if typing.get_origin(h) is Literal]
SWITCHES = [(s, k) for s, k, h in KEYS if h is bool]


def inside(values: Any, section: str) -> Any:
    """The values of a section."""
    for name in section.split("."):
        values = values[name]
    return values


def with_value(section: str, key: str, value: object) -> dict[str, dict[str, Any]]:
    values = copy.deepcopy(VALUES)
    inside(values, section)[key] = value
    return values


def refusal(values: object) -> str:
    """The message of the ValueError that the values cause; one short line."""
    with pytest.raises(ValueError, match=r"^\S") as caught:
        Params.from_mapping(values)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.isprintable()
    assert len(message) < 1000
    return message


def refused(section: str, key: str, value: object) -> str:
    message = refusal(with_value(section, key, value))
    assert message.startswith(f"{section}.{key}: ")
    return message


def accepted(section: str, key: str, value: object) -> object:
    part: Any = Params.from_mapping(with_value(section, key, value))
    for name in (*section.split("."), key):
        part = getattr(part, name)
    return part


def allowed(hint: Any) -> st.SearchStrategy[Any]:
    """Every value that the annotation allows."""
    if dataclasses.is_dataclass(hint):
        parts = typing.get_type_hints(hint, include_extras=True)
        return st.fixed_dictionaries({name: allowed(part) for name, part in parts.items()})
    if typing.get_origin(hint) is Literal:
        return st.sampled_from(typing.get_args(hint))
    if typing.get_origin(hint) is Annotated:
        kind, bounds = typing.get_args(hint)
        if bounds is read_space:
            return st.just(VALUES["tune"]["space"])
        if kind is int:
            step = 2 if is_even(bounds) else 1
            return st.integers(bounds.low // step, bounds.high // step).map(lambda n: n * step)
        return st.floats(bounds.low, bounds.high, exclude_max=is_open(bounds))
    kinds: dict[Any, st.SearchStrategy[Any]] = {
        bool: st.booleans(),
        str: st.text(),
        str | None: st.none() | st.text(),
    }
    return kinds[hint]


def is_even(bounds: Range | Between) -> bool:
    return isinstance(bounds, Range) and bounds.even


def is_open(bounds: Range | Between) -> bool:
    """Whether the upper end itself is refused."""
    return isinstance(bounds, Range) and bounds.open


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
    max_leaves=5,
)


# --- what is right


def test_the_shipped_file_is_right_and_its_values_arrive() -> None:
    params = load_params(SHIPPED)
    assert dataclasses.asdict(params) == VALUES
    assert (
        len(NUMBERS) + len(WORDS) + len(SWITCHES) == len(KEYS) - 2
    )  # data.path and runtime.checkpoints


def test_no_value_has_a_default_beside_the_file() -> None:
    """Those of the verdict apart, a package of its own: tests/ganverdict compares them."""
    for section_class in {Params, *SECTIONS.values()} - {Thresholds}:
        for field in dataclasses.fields(section_class):
            assert field.default is dataclasses.MISSING, field.name
            assert field.default_factory is dataclasses.MISSING, field.name


def test_params_cannot_be_changed_afterwards() -> None:
    params = load_params(SHIPPED)
    for section in SECTIONS:
        part: Any = params
        for name in section.split("."):
            part = getattr(part, name)
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(part, dataclasses.fields(part)[0].name, 1)


@given(st.data())
def test_every_value_that_the_annotations_allow_is_accepted(data: st.DataObject) -> None:
    values = data.draw(allowed(Params))
    params = dataclasses.asdict(Params.from_mapping(values))
    assert params == values


@pytest.mark.parametrize(("section", "key", "parts"), NUMBERS)
def test_numbers_are_accepted_up_to_their_bounds_and_refused_beyond(
    section: str, key: str, parts: tuple[type, Range | Between]
) -> None:
    kind, bounds = parts
    step = (2 if is_even(bounds) else 1) if kind is int else 1e-6
    for value, right in (
        (bounds.low, True),
        (bounds.low - step, False),
        (bounds.high, not is_open(bounds)),
        (bounds.high + step, False),
    ):
        value = kind(value)
        if right:
            got = accepted(section, key, value)
            assert got == value
            assert type(got) is kind
        else:
            refused(section, key, value)


def test_a_whole_number_does_for_any_number_and_becomes_a_float() -> None:
    for section, key, (kind, bounds) in NUMBERS:
        if kind is float:
            got = accepted(section, key, math.ceil(bounds.low))
            assert got == math.ceil(bounds.low)
            assert type(got) is float


# --- what is wrong


@given(st.sampled_from(KEYS), ANYTHING)
@example(("train", "width", None), 10**400)
@example(("train", "lr_d", None), 10**400)
@example(("train", "lr_d", None), -(10**5000))
@example(("train", "seed", None), 10**5000)
@example(("data", "path", None), 10**5000)
@example(("train", "loss", None), "bce\nrelativistic")
@example(("train", "loss", None), ["bce"])
@example(("train", "loss", None), {"bce": 1})
@example(("train", "lr_g", None), "\x1b[2J")
def test_any_value_is_either_taken_as_it_is_or_refused_in_one_line_naming_section_and_key(
    where: tuple[str, str, Any], value: object
) -> None:
    section, key, _ = where
    hint = hints(SECTIONS[section])[key]
    try:
        got = accepted(section, key, value)
    except ValueError:
        assert refused(section, key, value).split("it must be ")[1]
        return
    assert got == value
    kind = typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint
    if kind in (int, float, bool):
        assert type(got) is kind
    else:
        assert got is None or type(got) is str


@pytest.mark.parametrize(("section", "key", "parts"), NUMBERS)
def test_what_is_no_number_is_refused_for_one(section: str, key: str, parts: Any) -> None:
    wrong: tuple[object, ...] = (
        math.nan,
        math.inf,
        -math.inf,
        10**400,
        -(10**400),
        10**5000,
        True,
        False,
        None,
        "1",
        "2e-4",
        "",
        [1],
        [[1]],
        {"a": 1},
        (1,),
        1j,
        datetime.date(2020, 1, 1),
        b"1",
    )
    for value in wrong:
        refused(section, key, value)


def test_a_number_with_a_fraction_is_refused_for_a_whole_one_even_when_it_has_none() -> None:
    for section, key, (kind, bounds) in NUMBERS:
        if kind is int:
            assert "whole number" in refused(section, key, 2.5) or is_even(bounds)
            refused(section, key, float(bounds.low))
            refused(section, key, 8.0)


def test_an_odd_width_is_refused_and_an_even_number_asked_for() -> None:
    assert "even" in refused("train", "width", 17)
    assert accepted("train", "width", 18) == 18


@pytest.mark.parametrize("section", ["judge", "train"])
def test_a_batch_of_one_is_refused_since_batch_norm_cannot_train_on_it(section: str) -> None:
    refused(section, "batch_size", 1)


def test_a_refused_number_is_shown_with_what_is_allowed() -> None:
    assert refused("train", "g_dropout", 1.0) == (
        "train.g_dropout: 1.0 is not allowed; it must be a number from 0 to 1 (exclusive)"
    )
    assert refused("runtime", "threads", -1) == (
        "runtime.threads: -1 is not allowed; it must be a whole number from 0 to 1024"
    )


@pytest.mark.parametrize(("section", "key", "words"), WORDS)
def test_words_are_these_and_no_others(section: str, key: str, words: tuple[str, ...]) -> None:
    for word in words:
        assert accepted(section, key, word) == word
    for wrong in ("", "other", words[0].upper(), f" {words[0]}", None, True, 0, [words[0]]):
        message = refused(section, key, wrong)
        assert message.endswith("it must be one of " + ", ".join(words))


@pytest.mark.parametrize(("section", "key"), SWITCHES)
def test_switches_are_true_or_false_and_nothing_like_it(section: str, key: str) -> None:
    for value in (0, 1, 1.0, "true", "yes", None, [True]):
        assert refused(section, key, value).endswith("it must be true or false")


def test_a_path_is_a_text_or_null() -> None:
    assert accepted("data", "path", "/some/folder") == "/some/folder"
    assert accepted("data", "path", None) is None
    for value in (0, True, ["a"], 1.5):
        assert refused("data", "path", value).endswith("it must be a text or null")


@pytest.mark.parametrize(("section", "key"), [(s, k) for s, k, _ in KEYS])
def test_every_missing_key_is_named_with_what_it_must_be(section: str, key: str) -> None:
    values = copy.deepcopy(VALUES)
    del inside(values, section)[key]
    assert refusal(values).startswith(f"{section}.{key}: missing; it must be ")


@given(
    st.dictionaries(st.sampled_from(["lr_g", "lr_ratio", "loss", "width"]) | st.text(), ANYTHING)
    | ANYTHING
)
@example({"x" * 10_000: 1})
@example({"a\nb": 1})
@example({10**5000: 1})
@example({"lr_g": {"choices": [10**5000, math.nan]}})
@example({"lr_ratio": {"min": 10**5000, "max": [1], "scale": {}}})
@example({"loss": {"min": {}, "max": [1], "scale": {}}})
def test_whatever_is_no_space_is_refused_in_one_line(value: object) -> None:
    assert refusal(with_value("tune", "space", value)).startswith("tune.space")


def test_a_missing_space_is_named() -> None:
    values = copy.deepcopy(VALUES)
    del values["tune"]["space"]
    assert refusal(values).startswith("tune.space: missing; it must be a section")


@pytest.mark.parametrize("section", SECTIONS)
def test_every_missing_or_wrong_section_is_named(section: str) -> None:
    values: dict[str, object] = copy.deepcopy(dict(VALUES))
    outer, _, name = section.rpartition(".")
    place = inside(values, outer) if outer else values
    del place[name]
    assert refusal(values).startswith(f"{section}: missing; it must be a section")
    for wrong in (None, 3, "text", [], [1]):
        place[name] = wrong
        assert refusal(values).startswith(f"{section}: must be a section")


@pytest.mark.parametrize("section", SECTIONS)
def test_every_unknown_key_is_named_beside_the_known_ones(section: str) -> None:
    message = refusal(with_value(section, "learning_rate", 1))
    assert message.startswith(f"{section}.learning_rate: unknown key")
    assert all(key in message for key in hints(SECTIONS[section]))


def test_an_unknown_section_is_named_beside_the_known_ones() -> None:
    message = refusal({**VALUES, "tuning": {}})
    assert message.startswith("tuning: unknown key")
    assert all(section in message for section in hints(Params))


@given(ANYTHING.filter(lambda key: key.__hash__ is not None and not isinstance(key, tuple)))
@example("a\nb")
@example("x" * 10_000)
@example(10**5000)
@example(math.nan)
@example(None)
def test_whatever_an_unknown_key_is_the_message_stays_one_short_line(key: Any) -> None:
    assert "unknown key" in refusal({**VALUES, "train": {**VALUES["train"], key: 1}})


@given(ANYTHING)
@example({" ": None})
@example({"": None})
def test_whatever_the_file_holds_instead_of_sections_is_refused(value: object) -> None:
    refusal(value)


# --- YAML


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "params.yaml"


def changed(line: str) -> str:
    """The shipped file with the line of the same key in `train` replaced."""
    key = line.split(":")[0]
    before, after = SHIPPED.read_text(encoding="utf-8").split("\ntrain:\n")
    train, after = after.split("\nstability:")
    lines = [
        f"  {line}" if old.strip().startswith(f"{key}:") else old for old in train.splitlines()
    ]
    text = before + "\ntrain:\n" + "\n".join(lines) + "\nstability:" + after
    assert text.count(f"  {line}") == 1
    return text


def user_error(file: Path, content: str | bytes) -> str:
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UserError) as caught:
        load_params(file)
    assert caught.value.exit_status == 2
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    assert len(message.splitlines()) == 1
    return message.removeprefix(f"{file}: ")


@pytest.mark.parametrize(
    ("written", "meant"), [("2e-4", 2e-4), ("2.0e-4", 2e-4), ("1E-3", 1e-3), ("0", 0.0)]
)
def test_numbers_in_scientific_notation_are_numbers(file: Path, written: str, meant: float) -> None:
    file.write_text(changed(f"lr_d: {written}"), encoding="utf-8")
    assert load_params(file).train.lr_d == meant


@pytest.mark.parametrize("written", ["yes", "on", "no"])
def test_words_that_old_yaml_took_for_switches_are_none(file: Path, written: str) -> None:
    message = user_error(file, changed(f"freeze_discriminator: {written}"))
    assert message.startswith(f"train.freeze_discriminator: '{written}' is not allowed")


@pytest.mark.parametrize("written", [".nan", ".inf", "-.inf", "1e999", "'0.1'", "~", "", "0x"])
def test_numbers_that_are_none_are_refused_by_name(file: Path, written: str) -> None:
    assert user_error(file, changed(f"lr_d: {written}")).startswith("train.lr_d: ")


def test_a_hexadecimal_number_of_thousands_of_digits_is_refused_by_name(file: Path) -> None:
    assert user_error(file, changed(f"width: 0x{'f' * 5000}")).startswith("train.width: ")


@pytest.mark.parametrize(
    "content",
    [
        "a: [",
        "a: b: c",
        "a:\n\t- b",
        "{",
        "'",
        "a: 1\na: 2",
        "a: 1\n---\nb: 2",
        "a: *nobody",
        "%YAML 9.9\n---\na: 1",
        "a: \0",
        b"a: \xff\xfe",
        "train: 2020-13-45",
        f"train: {'9' * 5000}",
        "[" * 1200,
        "!!python/object/apply:os.system ['true']",
        "train: !!python/name:os.system",
        "train: !unknown {}",
        "train: !!bool maybe",
        "train: !!int ''",
        "train: !!float x",
        "train: !!binary x",
        "train: !!timestamp x",
    ],
)
def test_what_is_not_yaml_or_more_than_yaml_is_refused_as_such(
    file: Path, content: str | bytes
) -> None:
    assert user_error(file, content).startswith("not YAML: ")


@pytest.mark.parametrize("content", ["", "# nothing", "hello", "3", "- a", "~"])
def test_yaml_without_sections_is_refused(file: Path, content: str) -> None:
    assert user_error(file, content).startswith("the file: must be a section")


def test_a_missing_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"params\.yaml: missing; run this in") as caught:
        load_params(tmp_path / "params.yaml")
    assert caught.value.exit_status == 2


def test_aliases_that_stand_for_millions_of_values_cost_nothing(file: Path) -> None:
    names = "abcdef"
    text = "[&a [x, x, x, x, x, x, x, x, x, x]"
    for inner, outer in itertools.pairwise(names):
        text += f", &{outer} [{', '.join([f'*{inner}'] * 10)}]"
    content = changed(f"width: {text}]")
    file.write_text(content, encoding="utf-8")
    value = read_yaml(file)["train"]["width"]
    tracemalloc.start()
    try:
        message = refused("train", "width", value)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(message) < 200
    assert peak < 2**20
    assert user_error(file, content).startswith("train.width: ")


def test_an_alias_of_itself_is_refused_by_name(file: Path) -> None:
    assert user_error(file, changed("width: &a [*a]")).startswith("train.width: ")
