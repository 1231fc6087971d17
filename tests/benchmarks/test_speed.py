"""The benchmark's arithmetic and its tables; nothing here is about seconds."""

import dataclasses
import functools
import itertools
import json
from pathlib import Path

import pytest
import torch

from benchmarks import speed
from benchmarks.contestants import Engine, Plain, random_images
from benchmarks.operations import iteration_operations
from benchmarks.recipes import ROOT, default_params, recipe
from benchmarks.timing import (
    Times,
    alternate,
    machine,
    quartiles,
    show,
    table,
    tables,
    times_faster,
)
from dcgan.training import GanState, fit
from pipeline.base.cli import load_params
from tests.small import CPU, FP32, digits, train_params

TINY = train_params(batch_size=4, average_images=12, optimizer="adam")


def test_contestants_take_turns_and_every_round_another_begins() -> None:
    calls: list[str] = []
    times = alternate({name: functools.partial(calls.append, name) for name in "abc"}, 4)
    assert "".join(calls) == "abcbcacababc"
    assert {name: len(own.wall) for name, own in times.items()} == {"a": 4, "b": 4, "c": 4}
    assert all(len(own.processor) == 4 for own in times.values())


def test_a_ratio_is_the_median_of_ratios_within_rounds() -> None:
    # The machine slowed down threefold in the last two rounds; the contestants kept their ratio.
    assert times_faster([1.0, 1.0, 3.0, 3.0], [2.0, 2.0, 6.0, 6.0]) == 2.0
    assert times_faster([1.0, 1.0, 1.0], [4.0, 5.0, 600.0]) == 5.0


def test_quartiles_are_those_of_the_values() -> None:
    assert quartiles([5.0]) == (5.0, 5.0, 5.0)
    assert quartiles([1.0, 2.0, 3.0, 4.0, 5.0]) == (2.0, 3.0, 4.0)


def test_times_are_told_in_milliseconds_to_four_digits() -> None:
    row = Times(wall=[0.0123456] * 3, processor=[0.02, 0.03, 0.04]).row()
    assert row == {"ms": 12.35, "ms_q1": 12.35, "ms_q3": 12.35, "processor_ms": 30.0}


def test_the_table_has_every_column_and_aligns_numbers_to_the_right() -> None:
    rows: list[dict[str, object]] = [{"name": "a", "ms": 1.5}, {"name": "bc", "share": 0.25}]
    assert table(rows).splitlines() == [
        "| name |  ms | share |",
        "|------|----:|------:|",
        "| a    | 1.5 |       |",
        "| bc   |     |  0.25 |",
    ]


def test_every_section_has_a_table_of_its_own() -> None:
    rows: list[dict[str, object]] = [
        {"section": "one", "x": 1},
        {"section": "two", "y": 2},
        {"section": "one", "x": 3},
    ]
    parts = [line for line in tables(rows).splitlines() if line]
    assert parts == ["one", "| x |", "|--:|", "| 1 |", "| 3 |", "two", "| y |", "|--:|", "| 2 |"]


def test_a_row_is_one_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    row = show(machine(quick=True))
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == row
    assert row["torch"] == torch.__version__
    assert row["processor"]


def test_the_recipes_are_those_that_the_commands_train() -> None:
    shipped = load_params(ROOT / "params.yaml")
    assert default_params() == shipped
    blog = recipe("blog")
    assert (blog.width, blog.batch_size, blog.optimizer) == (64, 128, "rmsprop")
    assert blog.seed == shipped.train.seed
    assert blog.lr_d == 2e-4


def test_the_engine_that_is_timed_is_the_loop_that_trains() -> None:
    images = digits(30, 1).train_images
    state = GanState(TINY, CPU)
    (report, *_) = fit(state, images, TINY, FP32)
    engine = Engine(TINY, "fp32", images)
    signals = torch.stack([engine() for _ in report.signals])
    assert torch.equal(signals, report.signals)


def test_useful_operations_in_a_second_are_compared_with_a_product_s() -> None:
    operations, product = iteration_operations(TINY), 2 * speed.PRODUCT_SIZE**3
    # A product at 100 operations in a nanosecond, and an iteration at 25.
    own = Times([operations / 25e9] * 3, [0.0] * 3)
    row = speed.against_the_machine(own, Times([product / 100e9] * 3, [0.0] * 3), TINY)
    assert row == {"gflop_per_s": 25.0, "share_of_machine": 0.25}


def test_overhead_is_what_lies_between_iterations() -> None:
    # Iterations of 1 s, reports of 0.5 s every 3, evaluations of 4 s every 9 iterations.
    lengths = [1 + (step % 3 == 0) * 0.5 + (step % 9 == 0) * 4 for step in range(1, 19)]
    starts = [0.0, *itertools.accumulate(lengths)]
    default = dataclasses.replace(TINY, steps_per_epoch=100)
    rows = speed.shares_of_training(starts, every=3, steps_per_epoch=9, default=default)
    assert {row["what"]: row["share"] for row in rows} == {
        "evaluation": 0.04,
        "reports": 0.015,
        "both": 0.055,
    }


def test_every_contestant_has_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "PRODUCT_SIZE", 8)
    rows = speed.engine_rows("tiny", TINY, rounds=2)
    names = ["gemm fp32", "gemm bf16", "plain fp32", "engine fp32", "engine bf16"]
    assert [row["contestant"] for row in rows] == names
    assert [row["times_plain"] for row in rows if row["contestant"] == "plain fp32"] == [1.0]


def test_memory_and_first_iterations_are_of_one_contestant() -> None:
    for precision, name in ((None, "plain fp32"), ("fp32", "engine fp32")):
        (row,) = speed.process_rows("tiny", TINY, precision, 4)  # type: ignore[arg-type]
        assert row["contestant"] == name
        assert isinstance(row["peak_mib"], int)
        assert isinstance(row["of_it_libraries_mib"], int)
        assert row["peak_mib"] >= row["of_it_libraries_mib"] > 10


def test_the_plain_port_can_be_called_without_arguments() -> None:
    with torch.random.fork_rng():
        losses = Plain(TINY, random_images()[:100])()
    assert len(losses) == 2


def test_the_makefile_runs_what_the_documentation_names() -> None:
    makefile = Path(ROOT / "Makefile").read_text(encoding="utf-8")
    for target, module in (("bench", "speed"), ("bench-keras", "keras_speed")):
        assert f"\n{target}: " in makefile
        assert f"-m benchmarks.{module}" in makefile
