import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dcgan import row_products
from dcgan.layers import DownsampleConv2d, SmallMapConv2d, UpsampleConv2d, dropout
from dcgan.networks import Discriminator
from dcgan.row_products import RowProducts, _unbanded


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def outputs_and_gradients(
    layer: torch.nn.Conv2d, x: Tensor, outputs: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Outputs, and the gradients of a random weighted sum of them: input, weight, bias."""
    assert layer.bias is not None
    weights_of_sum = torch.randn(outputs.shape, dtype=outputs.dtype, generator=seeded(1))
    total = (outputs * weights_of_sum).sum()
    gradients = torch.autograd.grad(total, (x, layer.weight, layer.bias))
    return outputs, gradients[0], gradients[1], gradients[2]


def assert_same_function(layer: torch.nn.Conv2d, x: Tensor, reference: Tensor) -> None:
    actual = outputs_and_gradients(layer, x, layer(x))
    expected = outputs_and_gradients(layer, x, reference)
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def random_images(channels: int, height: int, width: int) -> Tensor:
    shape = (2, channels, height, width)
    return torch.randn(shape, dtype=torch.float64, generator=seeded(0)).requires_grad_()


@pytest.mark.parametrize(
    ("in_channels", "out_channels", "height", "width"),
    [(3, 5, 7, 7), (2, 1, 4, 6), (1, 2, 3, 5), (2, 3, 1, 1)],
)
def test_upsample_conv_is_nearest_upsampling_and_a_5x5_convolution(
    in_channels: int, out_channels: int, height: int, width: int
) -> None:
    layer = UpsampleConv2d(in_channels, out_channels).double()
    x = random_images(in_channels, height, width)
    upsampled = F.interpolate(x, scale_factor=2, mode="nearest")
    assert_same_function(layer, x, F.conv2d(upsampled, layer.weight, layer.bias, padding=2))


def test_upsample_conv_stores_the_seed_s_parameters_and_nothing_else() -> None:
    shapes = {name: tuple(value.shape) for name, value in UpsampleConv2d(3, 7).state_dict().items()}
    assert shapes == {"weight": (7, 3, 5, 5), "bias": (7,)}


def keras_padding(size: int) -> tuple[int, int]:
    """Before and after, of a 5-wide kernel with stride 2 and `same` padding."""
    total = max((math.ceil(size / 2) - 1) * 2 + 5 - size, 0)
    return total // 2, total - total // 2


def test_keras_padding_is_that_of_the_seed_s_traps() -> None:
    assert keras_padding(28) == keras_padding(14) == (1, 2)
    assert keras_padding(7) == (2, 2)


@pytest.mark.parametrize("in_channels", [1, 3])
@pytest.mark.parametrize(
    ("height", "width"), [(28, 28), (14, 14), (7, 7), (6, 10), (8, 7), (7, 8), (2, 2), (1, 1)]
)
def test_downsample_conv_is_keras_padding_and_a_strided_convolution(
    in_channels: int, height: int, width: int
) -> None:
    layer = DownsampleConv2d(in_channels, 4).double()
    x = random_images(in_channels, height, width)
    padded = F.pad(x, (*keras_padding(width), *keras_padding(height)))
    assert_same_function(layer, x, F.conv2d(padded, layer.weight, layer.bias, stride=2))


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_products_of_rows_are_a_padded_convolution_and_have_its_gradients(
    layout: torch.memory_format,
) -> None:
    layer = torch.nn.Conv2d(3, 2, 5, padding=2).double().to(memory_format=layout)
    assert layer.bias is not None
    x = random_images(3, 4, 4).to(memory_format=layout).detach().requires_grad_()
    products: Tensor = RowProducts.apply(x, layer.weight)
    expected = outputs_and_gradients(layer, x, layer(x))
    actual = outputs_and_gradients(layer, x, products + layer.bias[:, None, None])
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_products_of_rows_have_second_gradients_for_the_penalty() -> None:
    weight = torch.randn(2, 3, 5, 5, dtype=torch.float64, generator=seeded(2)).requires_grad_()
    torch.autograd.gradcheck(RowProducts.apply, (random_images(3, 4, 4), weight))
    torch.autograd.gradgradcheck(RowProducts.apply, (random_images(3, 4, 4), weight))


@pytest.mark.parametrize("frozen", [False, True])
def test_products_of_rows_spend_nothing_on_the_gradient_of_a_frozen_weight(
    frozen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[Tensor] = []  # autograd would drop such a gradient unseen

    def unbanded(banded: Tensor) -> Tensor:
        computed.append(banded)
        return _unbanded(banded)

    monkeypatch.setattr(row_products, "_unbanded", unbanded)
    weight = torch.randn(2, 3, 5, 5, dtype=torch.float64, generator=seeded(2))
    x = random_images(3, 4, 4)
    RowProducts.apply(x, weight.requires_grad_(not frozen)).sum().backward()
    assert x.grad is not None
    assert len(computed) == (0 if frozen else 5)


@pytest.mark.parametrize("images", [2, 32])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_convolution_of_small_maps_is_itself_at_any_size_and_precision(
    images: int, dtype: torch.dtype
) -> None:
    layer = SmallMapConv2d(256, 3).to(memory_format=torch.channels_last).to(dtype)
    x = torch.randn(images, 256, 4, 4, generator=seeded(0)).to(dtype)
    x = x.to(memory_format=torch.channels_last).requires_grad_()
    reference = F.conv2d(x, layer.weight, layer.bias, padding=2)
    by_rows = dtype == torch.float32 and images * 256 >= 64 * 128
    assert ("RowProducts" in names_of_graph(layer(x))) == by_rows
    expected = outputs_and_gradients(layer, x, reference)
    actual = outputs_and_gradients(layer, x, layer(x))
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bf16", [False, True])
def test_a_discriminator_under_autocast_takes_no_products_of_rows(bf16: bool) -> None:
    images = torch.rand(64, 1, 28, 28, generator=seeded(0))
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16, cache_enabled=False):
        logits = Discriminator(width=64, dropout=0.4)(images, seeded(1))
    assert ("RowProducts" in names_of_graph(logits)) == (not bf16)


def names_of_graph(outputs: Tensor) -> str:
    """The names of the functions that made `outputs`."""
    names, left = [], [outputs.grad_fn]
    while left:
        if (node := left.pop()) is not None:
            names.append(node.name())
            left += [before for before, _ in node.next_functions]
    return " ".join(names)


@pytest.mark.parametrize("probability", [0.1, 0.4, 0.9])
def test_dropout_zeroes_the_share_asked_for_and_scales_the_rest(probability: float) -> None:
    values = dropout(torch.ones(1_000_000), probability, seeded(0))
    zeros = (values == 0).double().mean().item()
    deviation = math.sqrt(probability * (1 - probability) / 1_000_000)
    assert abs(zeros - probability) < 5 * deviation
    kept = values[values != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - probability)))


def test_dropout_preserves_the_mean() -> None:
    x = torch.rand(1_000_000, generator=seeded(1))
    # One value of x * mask / 0.6 has variance E[x^2] / 0.6 - E[x]^2 = 0.31.
    assert abs(dropout(x, 0.4, seeded(0)).mean() - x.mean()) < 5 * math.sqrt(0.31 / 1_000_000)


def test_the_four_draws_from_one_random_number_are_independent() -> None:
    kept = dropout(torch.ones(1_000_000), 0.4, seeded(0)).view(-1, 4) != 0
    correlations = torch.corrcoef(kept.T.float())
    assert (kept.float().mean(0) - 0.6).abs().max() < 5 * math.sqrt(0.24 / 250_000)
    assert (correlations - torch.eye(4)).abs().max() < 5 / math.sqrt(250_000)


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5, 2, 3)])
def test_dropout_keeps_shape_layout_and_dtype_at_any_size(shape: tuple[int, ...]) -> None:
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        x = torch.ones(shape, dtype=dtype)
        if x.dim() == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        dropped = dropout(x, 0.4, seeded(0))
        assert (dropped.shape, dropped.stride(), dropped.dtype) == (x.shape, x.stride(), dtype)


def test_the_same_seed_drops_the_same_values_and_another_seed_others() -> None:
    x = torch.ones(1000)
    first, same, other = (dropout(x, 0.4, seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_two_draws_from_one_source_differ() -> None:
    rng = seeded(0)
    assert not torch.equal(dropout(torch.ones(1000), 0.4, rng), dropout(torch.ones(1000), 0.4, rng))


def test_gradients_pass_where_values_pass() -> None:
    x = torch.ones(1000, requires_grad=True)
    dropped = dropout(x, 0.4, seeded(0))
    (gradient,) = torch.autograd.grad(dropped.sum(), x)
    assert torch.equal(gradient, dropped)


def test_probability_zero_is_the_identity_and_draws_nothing() -> None:
    x, rng = torch.randn(10), seeded(0)
    before = rng.get_state()
    assert torch.equal(dropout(x, 0.0, rng), x)
    assert torch.equal(rng.get_state(), before)


def test_a_probability_just_below_one_drops_nearly_everything() -> None:
    assert (dropout(torch.ones(10_000), 1 - 1e-9, seeded(0)) == 0).double().mean() > 0.99


def test_dropout_touches_the_global_randomness_only_when_given_none() -> None:
    before = torch.get_rng_state()
    dropout(torch.ones(100), 0.4, seeded(0))
    assert torch.equal(torch.get_rng_state(), before)
    with torch.random.fork_rng():
        dropout(torch.ones(100), 0.4, None)
        assert not torch.equal(torch.get_rng_state(), before)
