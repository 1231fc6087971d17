"""Several processes train as one does.

In float64, where a sum in another order moves nothing that could be seen: any draw, mean, batch
statistic or gradient that were otherwise would. (In float32 these optimisers turn rounding into
whole steps wherever a gradient is next to nothing.)
"""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import dcgan.batches
import dcgan.mnist
from dcgan import processes
from dcgan.batch_norms import BatchNorm2d
from dcgan.judge import Judge
from dcgan.measuring import Meter, measure_epoch, reference
from dcgan.training import GanState, fit
from tests.ranks import in_ranks
from tests.small import CPU, FP32, MEASURE, digits, train_params

STEPS = 20
SIZES = (2, 4)
GAMES: dict[str, dict[str, Any]] = {
    "the default's": {
        "optimizer": "adam",
        "fakes": "shared",
        "r1_gamma": 1.0,
        "r1_every": 4,
        "average_images": 40,
        "sampling": "epochs",
        "loss": "bce",
    },
    "the original's, joint": {"freeze_discriminator": False, "g_dropout": 0.3, "d_dropout": 0.4},
    "conditional and relativistic": {
        "conditional": True,
        "loss": "relativistic",
        "fakes": "training",
        "r1_gamma": 1.0,
        "d_dropout": 0.4,
        "sampling": "epochs",
    },
}

Arrays = dict[str, NDArray[Any]]


def trained(changes: dict[str, Any]) -> Arrays:
    """Signals and all weights after 20 steps in float64."""
    params = train_params(
        **{"epochs": 1, "steps_per_epoch": STEPS, "batch_size": 8, "lr_d": 1e-3, **changes}
    )
    data = digits(50, 20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tensor, "float", Tensor.double)
        to_unit = dcgan.mnist.to_unit
        patch.setattr(dcgan.batches, "to_unit", lambda images: to_unit(images).double())
        torch.set_default_dtype(torch.float64)
        try:
            state = GanState(params, CPU)
            networks: dict[str, nn.Module] = {"g": state.generator, "d": state.discriminator}
            networks |= {"average": state.averaged} if state.averaged is not None else {}
            for network in networks.values():
                network.double()
            (report,) = fit(state, data.train_images, params, FP32, train_labels=data.train_labels)
        finally:
            torch.set_default_dtype(torch.float32)
    weights = {
        f"{name} {key}": value.numpy()
        for name, network in networks.items()
        for key, value in network.state_dict().items()
    }
    return {"signals": report.signals.numpy(), **weights}


def all_trained() -> dict[str, Arrays]:
    return {name: trained(changes) for name, changes in GAMES.items()}


@pytest.fixture(scope="module")
def alone() -> dict[str, Arrays]:
    return all_trained()


@pytest.fixture(scope="module", params=SIZES)
def together(request: pytest.FixtureRequest) -> list[dict[str, Arrays]]:
    return in_ranks(request.param, all_trained)


@pytest.mark.parametrize("game", GAMES)
def test_after_20_steps_losses_and_weights_are_those_of_one_process(
    game: str, alone: dict[str, Arrays], together: list[dict[str, Arrays]]
) -> None:
    assert np.isfinite(alone[game]["signals"]).all()
    assert {value.dtype.name for value in alone[game].values()} == {"float64", "int64"}
    for name, expected in alone[game].items():
        found = together[0][game][name]
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("game", GAMES)
def test_every_process_has_the_same_signals_and_weights_bit_for_bit(
    game: str, together: list[dict[str, Arrays]]
) -> None:
    for other in together[1:]:
        for name, value in together[0][game].items():
            assert np.array_equal(other[game][name], value), name


def measured(raw: bool) -> tuple[dict[str, float], bool]:
    """The metrics of an epoch's end, and whether measuring left torch's random state alone."""
    data = digits(300, 120)
    torch.manual_seed(0)
    judge = Judge().eval()
    meter = Meter(judge, reference(judge, data, MEASURE), MEASURE)
    state = GanState(train_params(average_images=100, conditional=True), CPU)
    before = torch.get_rng_state()
    metrics = measure_epoch(meter, state, data, "bce", FP32, raw)
    return metrics, torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("raw", [True, False])
def test_metrics_are_those_of_one_process_and_every_process_is_told_them(raw: bool) -> None:
    expected, _ = measured(raw)
    assert ("fd_raw" in expected) == raw
    for metrics, undisturbed in in_ranks(3, measured, raw):  # of 100 images a process has 33 or 34
        assert metrics == pytest.approx(expected, rel=1e-4, abs=1e-6)
        assert undisturbed


def normalised(dtype: torch.dtype) -> list[Tensor]:
    """This process's rows of a batch, normalised; gradients of x and of weight; the statistics."""
    rng = torch.Generator().manual_seed(0)
    whole = torch.randn(8, 3, 5, 5, generator=rng) * torch.tensor([1.0, 9.0, 0.1])[:, None, None]
    goal = processes.own(torch.randn(8, 3, 5, 5, generator=rng))
    norm = BatchNorm2d(3)
    x = processes.own(whole + 30).to(dtype).requires_grad_()
    y = norm(x)
    (y.float() * goal).sum().backward()
    assert x.grad is not None
    assert norm.weight.grad is not None
    assert norm.running_mean is not None
    assert norm.running_var is not None
    results = [y, x.grad, norm.weight.grad, norm.running_mean, norm.running_var]
    return [result.detach().float() for result in results]


@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 1e-4), (torch.bfloat16, 0.03)])
def test_a_batch_norm_over_processes_is_torch_s_over_the_whole_batch(
    dtype: torch.dtype, within: float
) -> None:
    y, for_x, for_weight, *statistics = normalised(dtype)
    both = in_ranks(2, normalised, dtype)
    torch.testing.assert_close(torch.cat([rank[0] for rank in both]), y, rtol=0, atol=within)
    found = torch.cat([rank[1] for rank in both])
    torch.testing.assert_close(found, for_x, rtol=0, atol=within * float(for_x.abs().max()))
    # That of the weight is of the process's own rows until the optimiser's step.
    torch.testing.assert_close(sum(rank[2] for rank in both), for_weight, rtol=within, atol=within)
    for rank in both:
        for one, expected in zip(rank[3:], statistics, strict=True):
            torch.testing.assert_close(one, expected, rtol=1e-4, atol=1e-4)


def shared_out() -> tuple[Tensor, Tensor, Tensor, int, object]:
    whole = torch.arange(14).view(7, 2)
    own = processes.own(whole)
    pairs = processes.own(torch.arange(12), parts=2)
    told = processes.from_first(processes.rank() or "first")
    return own, processes.gathered(own), pairs, processes.highest(processes.rank()), told


def test_rows_are_shared_out_in_order_and_gathered_by_the_first() -> None:
    whole = torch.arange(14).view(7, 2)
    ranks = in_ranks(3, shared_out)
    assert torch.equal(torch.cat([rank[0] for rank in ranks]), whole)
    assert torch.equal(ranks[0][1], whole)
    assert [rank[2].tolist() for rank in ranks] == [[0, 1, 6, 7], [2, 3, 8, 9], [4, 5, 10, 11]]
    assert [rank[3:] for rank in ranks] == [(2, "first")] * 3


def test_alone_every_function_gives_back_what_it_gets() -> None:
    rows = torch.rand(4, 2)
    assert processes.own(rows, parts=2) is rows
    assert processes.gathered(rows) is rows
    assert processes.from_first(rows) is rows
    assert processes.highest(7) == 7
    before = rows.clone()
    processes.average_([rows])
    assert torch.equal(rows, before)
    assert not torch.distributed.is_initialized()


def left() -> str:
    """What a process hears when another one ends in the middle."""
    if processes.rank() == 1:
        return "ended"
    try:
        processes.average_([torch.ones(3)])
    except processes.LostError:
        return "lost"
    return "nothing"


def test_who_is_left_by_another_process_is_told_so() -> None:
    assert in_ranks(2, left) == ["lost", "ended"]


AFTERWARDS = """
import sys, torch
from pathlib import Path
from dcgan import processes

def threads():
    return {path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")}

try:
    with processes.joined(torch.device("cpu")):
        processes.from_first(1)
        import torch._dynamo  # as an optimiser of torch does when it first works
        assert any("gloo" in name for name in threads()), threads()
        if "fail" in sys.argv:
            raise ValueError
except ValueError:
    pass
print(*(name for name in threads() if "gloo" in name or "store" in name))
"""


@pytest.mark.parametrize("end", ["well", "fail"])
def test_no_thread_of_the_group_is_left_to_abort_the_process_as_it_ends(end: str) -> None:
    if not Path("/proc/self/task").exists():
        pytest.skip("this system does not tell the names of threads")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    alone = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": "0", "WORLD_SIZE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", AFTERWARDS, end],
        env={**os.environ, **alone},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
