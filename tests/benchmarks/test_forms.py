"""The forms compute the same function, and each contestant trains in its own; no seconds here."""

import pytest
import torch

from benchmarks import forms
from dcgan.row_products import RowProducts
from tests.small import digits, train_params


def test_all_forms_of_a_layer_have_the_same_values_and_gradients() -> None:
    for layer in forms.layers(train_params(width=4, batch_size=8)):
        first, *others = layer.forms.values()
        inputs = tuple(one.detach().double() for one in layer.inputs)
        for one, given in zip(inputs, layer.inputs, strict=True):
            one.requires_grad_(given.requires_grad)
        expected = outputs_and_gradients(first, inputs)
        assert others
        for other in others:
            actual = outputs_and_gradients(other, inputs)
            if not layer.name.startswith("shuffle"):  # whose form takes channels in another order
                torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)


def test_the_strided_copy_is_the_shuffle_of_channels_sorted_by_phase() -> None:
    x = torch.randn(2, 12, 5, 3).to(memory_format=torch.channels_last)
    by_phase = x.view(2, 3, 4, 5, 3).transpose(1, 2).reshape(2, 12, 5, 3)
    by_phase = by_phase.contiguous(memory_format=torch.channels_last)
    assert torch.equal(forms.copied(by_phase), forms.shuffled(x))


def test_each_contestant_trains_in_its_own_form(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: dict[str, int] = {}
    train = train_params(width=4, batch_size=8, r1_gamma=1.0)
    contestants = forms.iterations(train, digits(64, 10).train_images)
    rows, name = RowProducts.apply, ""

    def counted(*tensors: torch.Tensor) -> torch.Tensor:
        taken[name] += 1
        result: torch.Tensor = rows(*tensors)
        return result

    monkeypatch.setattr(RowProducts, "apply", counted)
    for name, (images, call) in contestants.items():
        taken[name] = 0
        call()
        halved = name == "half the batch"
        assert images == forms.ITERATIONS * (4 if halved else 8)
    # Two convolutions an iteration and one for the penalty; all are small at this size.
    assert taken.pop("it by rows in G's step too") >= 2 * forms.ITERATIONS
    assert set(taken.values()) == {0}


def outputs_and_gradients(form: forms.Form, inputs: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
    output = form(*inputs)
    wanted = [tensor for tensor in inputs if tensor.requires_grad]
    return [output, *torch.autograd.grad(output.square().sum(), wanted)]
