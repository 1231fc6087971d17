"""The GPU script in the tiny form that a CPU can run."""

import json
import sys

import pytest
import torch

from benchmarks import gpu_speed
from benchmarks.contestants import random_images
from benchmarks.gpu_speed import VARIANTS, Variant, measure, share_of_limit
from benchmarks.operations import iteration_bytes, iteration_operations
from tests.small import train_params

TINY = train_params(g_dropout=0.4, d_dropout=0.4)
LIMIT = ({"fp32": 1e12, "bf16": 2e12}, 1e11)


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu_speed", *arguments])
    gpu_speed.main()


def test_a_machine_without_a_gpu_is_told_so_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="error: torch sees no GPU here"):
        call(monkeypatch)


def test_the_whole_script_runs_on_a_cpu_in_a_tiny_form(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(monkeypatch, "--device=cpu", "--width=2", "--batches", "4", "8", "--seconds=0.01")
    lines, text = capsys.readouterr().out.split("\n\n", 1)
    rows = [json.loads(line) for line in lines.splitlines()]
    variants = [(row["batch"], row["variant"]) for row in rows if row["section"] == "gpu"]
    assert variants == [(batch, variant.name) for batch in (4, 8) for variant in VARIANTS]
    ran = {row["variant"] for row in rows if row.get("iterations_per_s")}
    assert ran == {"eager fp32", "eager bf16"}
    assert rows[-1]["section"] == "long run"
    assert rows[-1]["seconds"] > 0
    assert "| eager bf16" in text


def test_a_variant_that_fails_is_told_and_does_not_end_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no kernel\nfor this device")

    monkeypatch.setattr(gpu_speed, "prepared", fail)
    row = measure(Variant("eager fp32", "fp32"), TINY, random_images()[:9], 0.01, LIMIT)
    assert row["note"] == "failed: no kernel for this device"


def test_the_limit_is_the_longer_of_arithmetic_and_traffic() -> None:
    operations, moved = iteration_operations(TINY), iteration_bytes(TINY, 2)
    found = share_of_limit(TINY, "bf16", 0.5, rate=operations, bandwidth=10.0 * moved)
    assert found == {"share_of_limit": 0.5, "limited_by": "operations"}
    found = share_of_limit(TINY, "bf16", 0.5, rate=10.0 * operations, bandwidth=moved)
    assert found == {"share_of_limit": 0.5, "limited_by": "bytes"}


def test_time_left_is_kept_for_the_long_run() -> None:
    best: dict[str, object] = {"variant": "eager fp32", "iterations_per_s": 2.0}
    images = random_images()[:9]
    row = gpu_speed.long_run(best, TINY, images, iterations=100, seconds_left=49)
    assert row["note"] == "not run: 50 s expected, 49 s left"
    row = gpu_speed.long_run(best, TINY, images, iterations=2, seconds_left=49)
    assert "seconds" in row
