"""The golden file holds results of the real Keras; benchmarks/keras_parity.py writes it."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from dcgan.keras_weights import load_discriminator, load_generator
from dcgan.networks import Discriminator, Generator
from tests.project import REPOSITORY

GOLDEN = REPOSITORY / "tests/golden" / "keras_parity.npz"
Arrays = dict[str, NDArray[Any]]

# The golden results are float64 rounded to float32, so a float64 network must meet that rounding.
# In float32 no ReLU of these inputs is near enough to its kink to flip: the nearest is 2e-5 away,
# where rounding moves it by less than 1e-6.
PRECISIONS = pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 2e-7), (torch.float32, 1e-5)], ids=["64", "32"]
)


@pytest.fixture(scope="module")
def golden() -> Arrays:
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


def weights_of(golden: Arrays, network: str) -> list[NDArray[Any]]:
    """In the order of Keras's get_weights()."""
    return [
        golden[name] for name in sorted(golden) if name.startswith(network) and name[-1].isdigit()
    ]


def loaded_generator(golden: Arrays, dtype: torch.dtype) -> Generator:
    width, latent_dim = golden["discriminator_00"].shape[-1], golden["z"].shape[-1]
    generator = Generator(width, latent_dim, dropout=0.0).to(dtype)
    load_generator(generator, weights_of(golden, "generator"))
    return generator


def loaded_discriminator(golden: Arrays, dtype: torch.dtype) -> Discriminator:
    discriminator = Discriminator(golden["discriminator_00"].shape[-1], dropout=0.4).to(dtype)
    load_discriminator(discriminator, weights_of(golden, "discriminator"))
    return discriminator


def assert_close(actual: Tensor, expected: NDArray[Any], tolerance: float) -> None:
    """Largest error relative to the largest expected value."""
    assert actual.shape == expected.shape
    error = np.abs(actual.detach().numpy() - expected).max() / np.abs(expected).max()
    assert error <= tolerance, error


@PRECISIONS
@pytest.mark.parametrize("mode", ["inference", "training"])
def test_the_generator_gives_the_outputs_and_input_gradients_of_keras(
    golden: Arrays, mode: str, dtype: torch.dtype, tolerance: float
) -> None:
    generator = loaded_generator(golden, dtype).train(mode == "training")
    z = torch.from_numpy(golden["z"]).to(dtype).requires_grad_()
    images = generator(z).permute(0, 2, 3, 1)
    total = (images * torch.from_numpy(golden["of_images"]).to(dtype)).sum()
    (gradients,) = torch.autograd.grad(total, z)
    assert_close(images, golden[f"generator_{mode}_outputs"], tolerance)
    assert_close(gradients, golden[f"generator_{mode}_gradients"], tolerance)


@PRECISIONS
def test_the_discriminator_gives_the_outputs_and_input_gradients_of_keras(
    golden: Arrays, dtype: torch.dtype, tolerance: float
) -> None:
    discriminator = loaded_discriminator(golden, dtype).eval()
    images = torch.from_numpy(golden["images"]).to(dtype).requires_grad_()
    probabilities = torch.sigmoid(discriminator(images.permute(0, 3, 1, 2))).unsqueeze(1)
    total = (probabilities * torch.from_numpy(golden["of_probabilities"]).to(dtype)).sum()
    (gradients,) = torch.autograd.grad(total, images)
    assert_close(probabilities, golden["discriminator_inference_outputs"], tolerance)
    assert_close(gradients, golden["discriminator_inference_gradients"], tolerance)


def test_a_training_pass_moves_the_running_means_as_keras_does(golden: Arrays) -> None:
    generator = loaded_generator(golden, torch.float64).train()
    generator(torch.from_numpy(golden["z"]).double())
    means = [value for name, value in generator.state_dict().items() if "running_mean" in name]
    assert_close(torch.cat(means), golden["generator_moving_mean"], 2e-7)


def test_a_training_pass_moves_the_running_variances_as_keras_does(golden: Arrays) -> None:
    generator = loaded_generator(golden, torch.float64).train()
    before = [norm.clone() for norm in running_variances(generator)]
    generator(torch.from_numpy(golden["z"]).double())
    moved = []
    for old, new, pixels in zip(
        before, running_variances(generator), (1, 14**2, 28**2, 28**2), strict=True
    ):
        # Keras 3, which wrote the file, averages the biased variance; torch and Keras 2 do not.
        values = len(golden["z"]) * pixels
        moved.append(0.9 * old + (new - 0.9 * old) * (values - 1) / values)
    assert_close(torch.cat(moved), golden["generator_moving_variance"], 2e-7)


def running_variances(generator: Generator) -> list[Tensor]:
    return [value for name, value in generator.state_dict().items() if "running_var" in name]


def test_the_golden_file_is_small_and_holds_every_weight_of_both_networks(golden: Arrays) -> None:
    assert GOLDEN.stat().st_size < 1_000_000
    assert len(weights_of(golden, "generator")) == 26
    assert len(weights_of(golden, "discriminator")) == 10


def test_a_wrong_number_of_arrays_is_one_line_with_both_numbers(golden: Arrays) -> None:
    with pytest.raises(ValueError, match=r"^Generator: 26 Keras .* needed, not 25$"):
        load_generator(Generator(4, 8, dropout=0.4), weights_of(golden, "generator")[:-1])
    with pytest.raises(ValueError, match=r"^Discriminator: 10 Keras .* needed, not 11$"):
        load_discriminator(
            Discriminator(4, dropout=0.4), [*weights_of(golden, "discriminator"), np.zeros(1)]
        )


@pytest.mark.parametrize("index", range(10))
def test_a_wrong_shape_is_one_line_with_both_shapes_and_changes_nothing(
    golden: Arrays, index: int
) -> None:
    discriminator = Discriminator(4, dropout=0.4)
    before = {name: value.clone() for name, value in discriminator.state_dict().items()}
    arrays = weights_of(golden, "discriminator")
    arrays[index] = arrays[index][..., None]
    with pytest.raises(ValueError, match=rf"^Discriminator: .* array {index} .* is needed$"):
        load_discriminator(discriminator, arrays)
    for name, value in discriminator.state_dict().items():
        assert torch.equal(value, before[name])


def test_kernels_of_the_other_kind_of_convolution_are_refused(golden: Arrays) -> None:
    arrays = weights_of(golden, "generator")
    arrays[6] = arrays[6].swapaxes(2, 3)  # [5, 5, in, out], as an ordinary convolution has it
    with pytest.raises(
        ValueError, match=r"\(up1\.weight\) has shape \(5, 5, 16, 8\), but \(5, 5, 8"
    ):
        load_generator(Generator(4, 8, dropout=0.4), arrays)
