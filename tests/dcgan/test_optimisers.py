"""torch's optimisers without its compiler: the same bits, and the compiler stays away."""

import subprocess
import sys
from typing import Any

import pytest
import torch

from dcgan import optimisers

KINDS: list[tuple[str, dict[str, Any]]] = [
    ("Adam", {"betas": (0.5, 0.9), "fused": True}),
    ("Adam", {}),
    ("RMSprop", {"alpha": 0.9}),
]

WORK = """
import sys, torch
from dcgan import optimisers
weights = torch.nn.Parameter(torch.ones(3))
optimiser = getattr(optimisers, sys.argv[1])([weights])
(weights ** 2).sum().backward()
optimiser.step()
optimiser.zero_grad()
optimiser.load_state_dict(optimiser.state_dict())
assert weights[0] < 1
print("torch._dynamo" in sys.modules)
"""


@pytest.mark.parametrize(("name", "options"), KINDS)
def test_they_step_and_continue_as_torch_s_own_bit_for_bit(
    name: str, options: dict[str, Any]
) -> None:
    ends = []
    for module in (optimisers, torch.optim):
        weights = [torch.nn.Parameter(torch.linspace(-1, 2, 6).reshape(2, 3).clone())]
        optimiser = getattr(module, name)(weights, lr=0.1, **options)
        for step in range(6):
            if step == 3:
                state = optimiser.state_dict()
                optimiser = getattr(module, name)(weights, lr=0.5, **options)
                optimiser.load_state_dict(state)
            loss = (weights[0] ** 3).sum()
            torch.autograd.backward(loss)
            optimiser.step()
            assert weights[0].requires_grad
            optimiser.zero_grad()
            assert weights[0].grad is None
        ends.append(weights[0].detach())
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], torch.linspace(-1, 2, 6).reshape(2, 3))


@pytest.mark.parametrize("name", ["Adam", "RMSprop"])
def test_the_compiler_is_not_imported(name: str) -> None:
    command = [sys.executable, "-c", WORK, name]
    done = subprocess.run(command, cwd="src", capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
