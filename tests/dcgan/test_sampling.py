import pytest
import torch

from dcgan.mnist import to_unit
from dcgan.networks import Generator, one_hot
from dcgan.sampling import (
    GRID_IMAGES,
    asked_digits,
    fixed_noise,
    generate,
    noise_bank,
    to_bytes,
)
from tests.small import CPU, same


@pytest.fixture
def generator() -> Generator:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator = Generator(width=2, latent_dim=3, dropout=0.4)
    generator(torch.rand(50, 3) * 2 - 1)  # running statistics of its own
    return generator


def test_the_fixed_noise_is_64_vectors_that_the_seed_alone_decides() -> None:
    before = torch.get_rng_state()
    noise = fixed_noise(0, 5, CPU)
    assert noise.shape == (GRID_IMAGES, 5) == (64, 5)
    torch.rand(3)
    assert torch.equal(fixed_noise(0, 5, CPU), noise)
    assert not torch.equal(fixed_noise(1, 5, CPU), noise)
    torch.set_rng_state(before)
    fixed_noise(0, 5, CPU)
    noise_bank(0, 10, 5, CPU)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_noise_bank_is_another_noise_than_the_pictures() -> None:
    bank = noise_bank(0, 64, 5, CPU)
    assert bank.shape == (64, 5)
    assert torch.equal(noise_bank(0, 64, 5, CPU), bank)
    assert not torch.isin(bank, fixed_noise(0, 5, CPU)).any()


def test_images_are_those_of_the_inference_mode(generator: Generator) -> None:
    noise = fixed_noise(0, 3, CPU)
    images = generate(generator.train(), noise)
    assert not images.requires_grad
    assert images.shape == (64, 1, 28, 28)
    assert images.dtype == torch.float32
    assert 0 <= images.min() < images.max() <= 1
    with torch.no_grad():
        assert torch.equal(images, generator.eval()(noise))
        assert not torch.equal(images, generator.train()(noise))


def test_generating_leaves_weights_and_running_statistics_as_they_are(generator: Generator) -> None:
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    generate(generator.train(), fixed_noise(0, 3, CPU))
    assert same(generator.state_dict(), before)


def test_many_images_are_the_same_as_few_at_a_time(generator: Generator) -> None:
    noise = noise_bank(0, 1100, 3, CPU)
    images = generate(generator, noise)
    assert len(images) == 1100
    for part, few in zip(torch.split(images, 77), torch.split(noise, 77), strict=True):
        assert torch.allclose(part, generate(generator, few), atol=1e-6)


def test_a_conditional_generator_is_asked_evenly_unless_told_otherwise() -> None:
    generator = Generator(width=2, latent_dim=3, dropout=0.0, conditional=True)
    noise = noise_bank(0, 300, 3, CPU)
    asked = asked_digits(generator, 300)
    assert asked is not None
    assert asked.bincount().tolist() == [30] * 10
    assert asked[:10].tolist() == [*range(10)]
    for first in range(10):
        assert len({*asked[10 * first : 10 * first + 10].tolist()}) == 10
        # A group that the deviation of fd leaves out is a sample of all, not of one digit.
        assert asked[first::10].bincount().tolist() == [3] * 10
    evenly = generate(generator, noise)
    assert torch.equal(evenly, generate(generator, noise, asked))
    sevens = generate(generator, noise, torch.full((300,), 7))
    with torch.no_grad():
        assert torch.equal(sevens[:125], generator(noise[:125], one_hot(torch.full((125,), 7))))
    same_images = (sevens == evenly).flatten(1).all(1)
    assert torch.equal(same_images, asked == 7)


def test_a_generator_that_cannot_be_asked_is_asked_nothing(generator: Generator) -> None:
    assert asked_digits(generator, 10) is None


def test_bytes_are_rounded_to_the_nearest() -> None:
    shades = torch.tensor([0.0, 0.4999 / 255, 0.5001 / 255, 1 - 0.5001 / 255, 1 - 0.4999 / 255, 1])
    assert to_bytes(shades).tolist() == [0, 0, 1, 254, 255, 255]
    assert to_bytes(shades).dtype == torch.uint8


def test_bytes_to_floats_and_back_are_the_same_bytes() -> None:
    every = torch.arange(256, dtype=torch.uint8).repeat(49).view(16, 28, 28)
    assert torch.equal(to_bytes(to_unit(every)).squeeze(1), every)
