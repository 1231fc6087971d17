import dataclasses
from typing import Any

import pytest
import torch

from dcgan.params import RuntimeParams
from dcgan.runtime import (
    autocast,
    configure,
    derive_seed,
    device_of,
    precision_of,
    random_generator,
)
from tests.small import CPU, FP32


def with_gpu(monkeypatch: pytest.MonkeyPatch, present: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: present)


def runtime(**changes: Any) -> RuntimeParams:
    return dataclasses.replace(FP32, **changes)


def test_auto_takes_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for present, expected in ((True, "cuda"), (False, "cpu")):
        with_gpu(monkeypatch, present)
        assert device_of(runtime(device="auto")).type == expected
        assert device_of(runtime(device="cpu")).type == "cpu"


def test_asking_for_a_gpu_that_is_not_there_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_gpu(monkeypatch, True)
    assert device_of(runtime(device="cuda")).type == "cuda"
    with_gpu(monkeypatch, False)
    with pytest.raises(ValueError, match=r"^runtime\.device: cuda .*auto$"):
        device_of(runtime(device="cuda"))


def test_configure_sets_threads_and_0_leaves_them() -> None:
    torch.set_num_threads(2)
    assert configure(runtime(threads=0)) == CPU
    assert torch.get_num_threads() == 2
    configure(runtime(threads=1))
    assert torch.get_num_threads() == 1


def test_configure_makes_kernels_deterministic_and_subnormal_numbers_zero() -> None:
    tiny = torch.full((8,), 1e-38)
    torch.set_flush_denormal(False)
    torch.backends.cudnn.deterministic = False
    assert (tiny * 1e-3 > 0).all()
    configure(FP32)
    assert (tiny * 1e-3 == 0).all()
    assert torch.backends.cudnn.deterministic


def test_fp32_computes_in_float32_and_bf16_in_bfloat16_with_weights_in_float32() -> None:
    layer, x = torch.nn.Linear(3, 3), torch.rand(2, 3)
    for precision, expected in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with autocast(runtime(precision=precision), CPU):
            y = layer(x)
        assert y.dtype == expected
        y.float().sum().backward()
        assert layer.weight.dtype == torch.float32
        assert layer.weight.grad is not None
        assert layer.weight.grad.dtype == torch.float32


def test_weights_that_move_under_bf16_count_at_once() -> None:
    layer, x = torch.nn.Linear(1, 1, bias=False), torch.ones(1, 1)
    with autocast(runtime(precision="bf16"), CPU):
        before = layer(x).item()
        with torch.no_grad():
            layer.weight.add_(1)
        assert layer(x).item() == pytest.approx(before + 1, rel=0.01)


@pytest.mark.parametrize(
    ("able", "expected"),
    [
        ({}, "fp32"),
        ({"cpu_name": "AMD EPYC"}, "fp32"),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": True}, "bf16"),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True}, "fp32"),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": True}, "bf16"),
    ],
)
def test_auto_precision_is_bf16_only_where_the_processor_is_faster_at_it(
    able: dict[str, object], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    assert precision_of(runtime(precision="auto"), CPU) == expected
    assert precision_of(runtime(precision="fp32"), CPU) == "fp32"
    assert precision_of(runtime(precision="bf16"), CPU) == "bf16"


def test_derived_seeds_are_63_bit_numbers_and_differ() -> None:
    seeds = [derive_seed(seed, "step", step) for seed in range(50) for step in range(200)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) > 2**62  # they use their range


def test_names_are_kept_apart() -> None:
    calls: list[tuple[object, ...]] = [
        ("step", 1),
        ("step1",),
        ("step", "1"),
        (1, "step"),
        ("order", 1),
        ("step",),
        (),
    ]
    assert len({derive_seed(0, *names) for names in calls}) == len(calls)


def test_a_run_of_yesterday_can_be_repeated_today() -> None:
    # Other numbers here mean that every run of every user comes out otherwise than before.
    assert derive_seed(0, "weights") == 5_087_778_715_007_104_936
    assert derive_seed(2**63 - 1, "step", 467) == 4_501_172_722_040_953_751


def test_generators_of_one_purpose_agree_and_of_two_do_not() -> None:
    before = torch.get_rng_state()
    one, same, other = (
        torch.rand(5, generator=random_generator(CPU, 3, name)) for name in ("a", "a", "b")
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)
