import inspect
import math

import pytest
import torch
from torch import Tensor, nn

from dcgan import networks
from dcgan.networks import Discriminator, Generator, initialise, one_hot


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def count_parameters(network: nn.Module) -> int:
    """As Keras counts: running means and variances too, but not the number of batches."""
    return sum(value.numel() for value in network.state_dict().values() if value.dim() > 0)


def shapes_by_layer(network: nn.Module, x: Tensor) -> dict[str, tuple[int, ...]]:
    """Output shape of each layer without the batch, images as (height, width, channels)."""
    shapes: dict[str, tuple[int, ...]] = {}

    def watch(name: str, layer: nn.Module) -> None:
        def record(_layer: nn.Module, _inputs: object, output: Tensor) -> None:
            image = output.permute(0, 2, 3, 1) if output.dim() == 4 else output
            shapes[name] = tuple(image.shape[1:])

        layer.register_forward_hook(record)

    for name, layer in network.named_children():
        watch(name, layer)
    with torch.no_grad():
        network.eval()(x)
    return shapes


def test_the_discriminator_has_the_seed_s_parameter_count() -> None:
    assert count_parameters(Discriminator(width=64, dropout=0.4)) == 4_311_553


def test_the_generator_has_the_seed_s_parameter_count_running_statistics_included() -> None:
    generator = Generator(width=64, latent_dim=100, dropout=0.4)
    assert count_parameters(generator) == 2_394_241
    assert sum(parameter.numel() for parameter in generator.parameters()) == 2_394_241 - 25_536


def test_every_layer_of_the_discriminator_has_the_seed_s_shape() -> None:
    discriminator = Discriminator(width=64, dropout=0.4)
    assert shapes_by_layer(discriminator, torch.rand(2, 1, 28, 28)) == {
        "conv1": (14, 14, 64),
        "conv2": (7, 7, 128),
        "conv3": (4, 4, 256),
        "conv4": (4, 4, 512),
        "score": (1,),
    }
    assert discriminator.score.in_features == 8192


def test_every_layer_of_the_generator_has_the_seed_s_shape() -> None:
    generator = Generator(width=64, latent_dim=100, dropout=0.4)
    assert shapes_by_layer(generator, torch.rand(2, 100)) == {
        "project": (12544,),
        "project_norm": (12544,),
        "up1": (14, 14, 128),
        "norm1": (14, 14, 128),
        "up2": (28, 28, 64),
        "norm2": (28, 28, 64),
        "refine": (28, 28, 32),
        "norm3": (28, 28, 32),
        "to_image": (28, 28, 1),
    }
    assert generator.up1.in_channels == 256


def test_every_kernel_is_5x5_and_batch_norm_has_keras_s_constants() -> None:
    for network in (Generator(4, 100, dropout=0.4), Discriminator(4, dropout=0.4)):
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                assert layer.weight.shape[2:] == (5, 5)
            elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
                assert (layer.eps, layer.momentum) == (1e-3, 0.1)


def test_the_discriminator_has_no_batch_normalisation() -> None:
    assert not any("running" in name for name in Discriminator(4, dropout=0.4).state_dict())


@pytest.mark.parametrize("width", [2, 4, 10])
def test_other_widths_keep_the_interface(width: int) -> None:
    images = Generator(width, latent_dim=3, dropout=0.4)(torch.rand(5, 3))
    assert images.shape == (5, 1, 28, 28)
    assert 0 <= images.min() < images.max() <= 1
    assert Discriminator(width, dropout=0.4)(images).shape == (5,)


@pytest.mark.parametrize("width", [-2, 0, 1, 3])
def test_a_width_that_cannot_be_halved_is_refused(width: int) -> None:
    with pytest.raises(ValueError, match=f"even number of at least 2, not {width}"):
        Generator(width, 100, dropout=0.4)


@pytest.mark.parametrize(
    ("network", "shape", "probability", "dropped"),
    [
        (Generator(4, 8, dropout=0.4), (6, 8), 0.4, [(16, 7, 7)]),
        (
            Discriminator(4, dropout=0.3),
            (6, 1, 28, 28),
            0.3,
            [(4, 14, 14), (8, 7, 7), (16, 4, 4), (32, 4, 4)],
        ),
    ],
    ids=["generator", "discriminator"],
)
def test_dropout_stands_where_the_seed_has_it_and_only_in_training(
    monkeypatch: pytest.MonkeyPatch,
    network: nn.Module,
    shape: tuple[int, ...],
    probability: float,
    dropped: list[tuple[int, ...]],
) -> None:
    calls: list[tuple[tuple[int, ...], float, object]] = []

    def record(x: Tensor, probability: float, rng: torch.Generator | None, _: int = 1) -> Tensor:
        calls.append((tuple(x.shape[1:]), probability, rng))
        return x

    monkeypatch.setattr(networks, "dropout", record)
    rng = seeded(0)
    network.eval()(torch.rand(shape), rng=rng)
    assert calls == []
    network.train()(torch.rand(shape), rng=rng)
    assert calls == [(where, probability, rng) for where in dropped]


@pytest.mark.parametrize(
    ("network", "shape"),
    [(Generator(4, 8, dropout=0.4), (6, 8)), (Discriminator(4, dropout=0.4), (6, 1, 28, 28))],
    ids=["generator", "discriminator"],
)
def test_a_training_pass_depends_on_the_given_source_of_randomness_alone(
    network: nn.Module, shape: tuple[int, ...]
) -> None:
    x = torch.rand(shape, generator=seeded(5))
    before = torch.get_rng_state()
    first, same, other = (network.train()(x, rng=seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_conditional_discriminator_adds_the_product_of_its_features_and_the_digit_s_vector() -> (
    None
):
    network = Discriminator(2, dropout=0.0, conditional=True).eval()
    initialise(network, seeded(0))
    features: list[Tensor] = []
    network.score.register_forward_pre_hook(lambda _, given: features.append(given[0]))
    images, digits = torch.rand(6, 1, 28, 28, generator=seeded(1)), torch.tensor([0, 3, 3, 9, 1, 0])
    with torch.no_grad():
        logits = network(images, digits)
        (phi,) = features
        wanted = [
            network.score(phi[i : i + 1]).item() + (network.digits.weight[digit] @ phi[i]).item()
            for i, digit in enumerate(digits.tolist())
        ]
        others = network(images, (digits + 1) % 10)
    assert logits.tolist() == pytest.approx(wanted, abs=1e-5)
    assert not torch.isclose(logits, others).any()


def test_a_conditional_generator_draws_another_image_for_every_digit_of_the_same_noise() -> None:
    network = Generator(2, 4, dropout=0.0, conditional=True)
    initialise(network, seeded(0))
    noise = (torch.rand(1, 4, generator=seeded(1)) * 2 - 1).expand(10, 4)
    with torch.no_grad():
        images = network.train()(noise, one_hot(torch.arange(10))).flatten(1)
    assert (torch.cdist(images, images) + torch.eye(10) > 0.01).all()


def test_what_makes_a_network_conditional_is_all_that_it_has_more() -> None:
    for plain, asked, more in (
        (Generator(4, 8, 0.0), Generator(4, 8, 0.0, True), 10 * 7 * 7 * 4 * 4),
        (Discriminator(4, 0.0), Discriminator(4, 0.0, True), 10 * 4 * 4 * 8 * 4),
    ):
        assert count_parameters(asked) == count_parameters(plain) + more


def test_fresh_weights_are_glorot_uniform_and_biases_zero() -> None:
    for network in (Generator(8, 100, dropout=0.4), Discriminator(8, dropout=0.4)):
        initialise(network, seeded(0))
        for layer in network.modules():
            if not isinstance(layer, nn.Conv2d | nn.Linear):
                continue
            out_features, in_features, *taps = layer.weight.shape
            bound = math.sqrt(6 / (math.prod(taps) * (in_features + out_features)))
            size = layer.weight.numel()
            assert layer.weight.abs().max() <= bound
            # Of `size` uniform values the largest misses the bound by this with odds of e^-20.
            assert layer.weight.abs().max() > bound * (1 - 20 / size)
            assert abs(layer.weight.mean()) < 5 * bound / math.sqrt(3 * size)
            assert layer.bias is not None
            assert torch.equal(layer.bias, torch.zeros_like(layer.bias))


def test_initialise_resets_batch_norm() -> None:
    generator = Generator(2, 4, dropout=0.4)
    for value in generator.state_dict().values():
        value.fill_(7)
    initialise(generator, seeded(0))
    for name, value in generator.state_dict().items():
        if "norm" in name and value.dim() > 0:
            start = 1.0 if name.endswith(("weight", "running_var")) else 0.0
            assert torch.equal(value, torch.full_like(value, start)), name


def test_initial_weights_come_from_the_given_source_of_randomness_alone() -> None:
    before = torch.get_rng_state()
    states = []
    with torch.random.fork_rng():
        network = Discriminator(4, dropout=0.4)
    for seed in (0, 0, 1):
        initialise(network, seeded(seed))
        states.append(network.score.weight.detach().clone())
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("network", [Generator, Discriminator])
def test_no_size_has_a_value_of_its_own_beside_the_parameters(network: type) -> None:
    parameters = dict(inspect.signature(network).parameters)
    assert parameters.pop("conditional").default is False  # not a size: the original is not
    assert all(parameter.default is inspect.Parameter.empty for parameter in parameters.values())
