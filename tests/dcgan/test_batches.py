from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dcgan.batches import RealBatches, draw_noise
from tests.small import train_params


def numbered_images(count: int) -> Tensor:
    """Images that tell their number: uint8 [count, 28, 28], count up to 256."""
    return torch.arange(count, dtype=torch.uint8).view(-1, 1, 1).expand(-1, 28, 28).contiguous()


def numbers(batch: Tensor) -> list[int]:
    return [round(255 * value) for value in batch[:, 0, 0, 0].tolist()]


def drawn(count: int, steps: list[int], **changes: Any) -> dict[int, list[int]]:
    """The images of each step, by one RealBatches asked in the given order."""
    batches = RealBatches(numbered_images(count), train_params(**changes))
    return {
        step: numbers(batches(step, torch.Generator().manual_seed(1000 + step)).images)
        for step in steps
    }


@pytest.mark.parametrize("sampling", ["epochs", "replacement"])
def test_a_batch_is_whole_images_as_floats_from_0_to_1(sampling: str) -> None:
    images = torch.randint(0, 256, (20, 28, 28), dtype=torch.uint8)
    images[0, 0, 0], images[0, 0, 1] = 0, 255
    params = train_params(batch_size=7, sampling=sampling)
    batch, told = RealBatches(images, params)(0, torch.Generator())
    assert told is None
    assert batch.shape == (7, 1, 28, 28)
    assert batch.dtype == torch.float32
    known = {tuple(image.flatten().tolist()) for image in images}
    for image in (batch * 255).round().to(torch.uint8):
        assert tuple(image.flatten().tolist()) in known
    assert images.dtype == torch.uint8


@given(st.integers(1, 40), st.integers(2, 90), st.integers(0, 2**63 - 1))
def test_by_epochs_every_image_is_shown_once_before_any_is_shown_again(
    count: int, batch_size: int, seed: int
) -> None:
    steps = -(-3 * count // batch_size)
    shown = drawn(count, [*range(steps)], batch_size=batch_size, sampling="epochs", seed=seed)
    stream = [number for step in range(steps) for number in shown[step]]
    assert len(stream) == steps * batch_size
    for number in range(3):
        assert sorted(stream[number * count : (number + 1) * count]) == [*range(count)]


def test_by_epochs_every_pass_has_its_own_order_and_every_seed_its_own() -> None:
    orders = [
        tuple(numbers)
        for seed in (0, 1)
        for numbers in drawn(50, [0, 1, 2], batch_size=50, sampling="epochs", seed=seed).values()
    ]
    assert len(set(orders)) == len(orders)
    assert tuple(range(50)) not in orders


@pytest.mark.parametrize("sampling", ["epochs", "replacement"])
def test_a_batch_depends_on_seed_and_step_alone_and_not_on_what_was_asked_before(
    sampling: str,
) -> None:
    there = [*range(12)]
    back = there[::-1]
    forwards = drawn(10, there, batch_size=4, sampling=sampling)
    assert drawn(10, back, batch_size=4, sampling=sampling) == forwards
    for step in there:
        assert drawn(10, [step], batch_size=4, sampling=sampling)[step] == forwards[step]


def test_with_replacement_images_return_within_a_batch_and_all_are_drawn_alike() -> None:
    shown = drawn(10, [*range(100)], batch_size=50, sampling="replacement")
    assert all(len(set(batch)) < 50 for batch in shown.values())
    counts = Counter(number for batch in shown.values() for number in batch)
    # 500 draws of each expected; five standard deviations.
    assert all(abs(counts[number] - 500) < 5 * (5000 * 0.1 * 0.9) ** 0.5 for number in range(10))


def test_with_replacement_the_given_source_decides() -> None:
    batches = RealBatches(numbered_images(200), train_params(batch_size=20))
    first, same, other = (
        numbers(batches(0, torch.Generator().manual_seed(seed)).images) for seed in (0, 0, 1)
    )
    assert first == same != other


@pytest.mark.parametrize("sampling", ["epochs", "replacement"])
def test_the_global_source_of_randomness_is_left_alone(sampling: str) -> None:
    before = torch.get_rng_state()
    drawn(10, [0, 1, 2, 3], batch_size=4, sampling=sampling)
    draw_noise(10, 3, torch.Generator())
    assert torch.equal(torch.get_rng_state(), before)


def test_noise_is_uniform_between_minus_1_and_1() -> None:
    noise = draw_noise(2000, 20, torch.Generator().manual_seed(0))
    assert noise.shape == (2000, 20)
    assert noise.dtype == torch.float32
    assert -1 <= noise.min() < -0.999
    assert 0.999 < noise.max() <= 1
    # The moments of U(-1, 1): 0, 1/3, 0, 1/5, within five standard errors.
    for power, moment in ((1, 0), (2, 1 / 3), (3, 0), (4, 1 / 5)):
        values = noise.double() ** power
        assert abs(values.mean() - moment) < 5 * values.std() / 200


@pytest.mark.parametrize("sampling", ["epochs", "replacement"])
def test_every_image_of_a_conditional_training_comes_with_its_own_label(sampling: str) -> None:
    labels = (torch.arange(50) * 7 % 10).to(torch.uint8)
    params = train_params(batch_size=20, sampling=sampling, conditional=True)
    batches = RealBatches(numbered_images(50), params, labels)
    for step in range(5):
        images, told = batches(step, torch.Generator().manual_seed(step))
        assert told is not None
        assert told.dtype == torch.int64
        assert told.tolist() == [number * 7 % 10 for number in numbers(images)]
        assert numbers(images) == drawn_again(step, sampling)


def drawn_again(step: int, sampling: str) -> list[int]:
    """What the same training without digits draws."""
    params = train_params(batch_size=20, sampling=sampling)
    rng = torch.Generator().manual_seed(step)
    return numbers(RealBatches(numbered_images(50), params)(step, rng).images)
