import pytest
import torch
from torch import Tensor, nn

from dcgan.averaging import average_into


def small_network(fill: float) -> nn.Module:
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    for value in network.state_dict().values():
        value.fill_(fill)
    return network


def values(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def test_every_float_moves_by_the_weight_running_statistics_included() -> None:
    averaged, model = small_network(1), small_network(5)
    average_into(averaged, model, 0.25)
    state = averaged.state_dict()
    assert {name for name, value in state.items() if torch.all(value == 2)} == {
        "0.weight",
        "0.bias",
        "1.weight",
        "1.bias",
        "1.running_mean",
        "1.running_var",
    }


def test_whole_numbers_stay() -> None:
    averaged, model = small_network(1), small_network(5)
    average_into(averaged, model, 0.25)
    assert averaged.state_dict()["1.num_batches_tracked"] == 1


def test_the_model_is_not_touched() -> None:
    averaged, model = small_network(1), small_network(5)
    before = values(model)
    average_into(averaged, model, 0.25)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(("weight", "index"), [(0.0, 0), (1.0, 1)])
def test_weight_0_keeps_the_average_and_weight_1_copies_the_model_exactly(
    weight: float, index: int
) -> None:
    networks = [nn.Linear(20, 20), nn.Linear(20, 20)]
    expected = values(networks[index])
    average_into(networks[0], networks[1], weight)
    assert all(torch.equal(v, expected[name]) for name, v in networks[0].state_dict().items())


def test_weights_1_over_n_give_the_plain_mean() -> None:
    averaged, seen = nn.Linear(3, 3), []
    for n in range(1, 8):
        model = nn.Linear(3, 3)
        seen.append(model.weight.detach())
        average_into(averaged, model, 1 / n)
    assert torch.allclose(averaged.weight, torch.stack(seen).mean(0), atol=1e-6)


def test_no_gradient_leads_through_the_average() -> None:
    averaged = nn.Linear(3, 3).requires_grad_(False)
    average_into(averaged, nn.Linear(3, 3), 0.5)
    assert averaged.weight.grad_fn is None
    assert not averaged.weight.requires_grad


def test_networks_of_different_layers_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        average_into(nn.Linear(2, 2), nn.Linear(2, 2, bias=False), 0.5)
