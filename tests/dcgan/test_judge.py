import dataclasses
from itertools import pairwise
from typing import Literal

import pytest
import torch
from torch import Tensor

from dcgan import judge as judging
from dcgan.judge import Judge, confusion, features_and_logits, fit
from dcgan.mnist import Mnist, to_unit
from dcgan.params import JudgeParams
from tests.small import CPU, FP32, digits, same


def judge_params(
    seed: int = 0, epochs: int = 2, batch_size: int = 20, lr: float = 0.01
) -> JudgeParams:
    return JudgeParams(seed, epochs, batch_size, lr, min_accuracy=0.0)


def trained(data: Mnist, params: JudgeParams) -> Judge:
    *_, last = fit(data, params, FP32, CPU)
    return last.judge


@pytest.fixture(scope="module")
def untrained() -> Judge:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Judge().eval()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_judge_learns_the_digits_and_its_loss_falls(precision: Literal["fp32", "bf16"]) -> None:
    data, runtime = digits(500, 200), dataclasses.replace(FP32, precision=precision)
    reports = list(fit(data, judge_params(epochs=6, batch_size=50), runtime, CPU))
    assert [report.epoch for report in reports] == [1, 2, 3, 4, 5, 6]
    assert all(later.loss < earlier.loss for earlier, later in pairwise(reports))
    counts = confusion(reports[-1].judge, data.test_images, data.test_labels)
    assert counts.trace() > 0.95 * counts.sum()
    features, logits = features_and_logits(reports[-1].judge, data.test_images)
    assert features.dtype == logits.dtype == torch.float32


def test_equal_seeds_give_bitwise_equal_judges_whatever_the_global_source_says() -> None:
    data, states = digits(100, 10), []
    for global_seed, seed in ((0, 5), (1, 5), (0, 6)):
        torch.manual_seed(global_seed)
        states.append(trained(data, judge_params(seed=seed)).state_dict())
    assert same(states[0], states[1])
    assert not same(states[0], states[2])


def test_training_leaves_the_global_source_of_randomness_alone() -> None:
    before = torch.get_rng_state()
    trained(digits(60, 10), judge_params())
    assert torch.equal(torch.get_rng_state(), before)


def test_the_yielded_judge_is_the_mean_of_the_steps_so_far_ready_to_use() -> None:
    # Rates of 0 let the weights stay, so that their average must be the judge of the seed itself.
    judge = trained(digits(60, 10), judge_params(lr=0.0))
    assert not judge.training
    assert not any(weight.requires_grad for weight in judge.parameters())
    with torch.random.fork_rng():
        torch.manual_seed(0)
        fresh = Judge()
    for name, weight in judge.named_parameters():
        assert torch.allclose(weight, fresh.get_parameter(name), atol=1e-6), name
    assert not torch.equal(judge.get_buffer("body.2.running_mean"), torch.zeros(32))


@pytest.mark.parametrize(("images", "epochs"), [(100, 1), (20, 5), (20, 1), (10, 1)])
def test_even_the_shortest_trainings_come_to_an_end(images: int, epochs: int) -> None:
    reports = list(fit(digits(images, 10), judge_params(epochs=epochs), FP32, CPU))
    assert len(reports) == epochs


def test_features_are_64_and_answers_10_from_bytes_and_floats_alike(untrained: Judge) -> None:
    images = digits(30, 1).train_images
    features, logits = features_and_logits(untrained, images)
    assert features.shape == (30, judging.NUM_FEATURES) == (30, 64)
    assert logits.shape == (30, 10)
    assert features.min() >= 0
    assert not features.requires_grad
    assert same(features_and_logits(untrained, to_unit(images)), (features, logits))


def test_many_images_are_judged_as_few_at_a_time(untrained: Judge) -> None:
    images = digits(1130, 1).train_images
    whole = features_and_logits(untrained, images)
    halves = [features_and_logits(untrained, part) for part in torch.split(images, 600)]
    for together, *parts in zip(whole, *halves, strict=True):
        assert torch.allclose(together, torch.cat(parts), atol=1e-5)


def test_confusion_counts_each_digit_in_its_row_under_the_answer(untrained: Judge) -> None:
    data = digits(1, 500)
    counts = confusion(untrained, data.test_images, data.test_labels)
    assert counts.shape == (10, 10)
    assert counts.sum(1).tolist() == [50] * 10
    answers = features_and_logits(untrained, data.test_images)[1].argmax(1)
    for label in range(10):
        for answer in range(10):
            pair = (data.test_labels == label) & (answers == answer)
            assert counts[label, answer] == pair.sum()


# --- augmentation


def augmented(images: Tensor, seed: int = 0) -> Tensor:
    return judging._augment(images, torch.Generator().manual_seed(seed))


def test_moved_digits_stay_between_black_and_white() -> None:
    images = to_unit(digits(200, 1).train_images)
    moved = augmented(images)
    assert moved.shape == images.shape
    assert 0 <= moved.min() < moved.max() <= 1


def test_every_digit_is_moved_in_its_own_way_and_each_time_anew() -> None:
    images = to_unit(digits(1, 1).train_images).expand(20, 1, 28, 28)
    moved = augmented(images)
    assert len({tuple(image.flatten().tolist()) for image in moved}) == 20
    assert torch.equal(augmented(images), moved)
    assert not torch.equal(augmented(images, seed=1), moved)


def test_no_digit_is_moved_by_more_than_said() -> None:
    # A dot at the centre moves by up to 2 pixels along each axis, and these turn and shrink with
    # the rest: 2 (cos 10 + sin 10) / 0.9 is 2.6.
    dot = torch.zeros(500, 1, 28, 28)
    dot[:, :, 11:17, 11:17] = 1
    places = torch.arange(28.0) - 13.5
    moved = augmented(dot)
    for axis in (2, 3):
        shade = moved.sum(dim=(1, 5 - axis))
        centre = (shade * places).sum(1) / shade.sum(1)
        assert 1.7 < centre.max() < 2.6
        assert -1.7 > centre.min() > -2.6
    # A bar of 16 pixels grows and shrinks by up to a tenth, and turns by up to 10 degrees.
    bar = torch.zeros(500, 1, 28, 28)
    bar[:, :, 6:22, 13:15] = 1
    shade = augmented(bar).squeeze(1)
    rows, columns = places.view(1, 28, 1), places.view(1, 1, 28)
    total = shade.sum(dim=(1, 2), keepdim=True)
    rows = rows - (shade * rows).sum(dim=(1, 2), keepdim=True) / total
    columns = columns - (shade * columns).sum(dim=(1, 2), keepdim=True) / total
    row_spread = (shade * rows**2).sum(dim=(1, 2)) / total.flatten()
    together = (shade * rows * columns).sum(dim=(1, 2)) / total.flatten()
    turn = torch.rad2deg(torch.atan2(together, row_spread))
    assert 8 < turn.max() < 11
    assert -8 > turn.min() > -11
    length = (12 * row_spread).sqrt() / 16
    assert 1.05 < length.max() < 1.15
    assert 0.85 < length.min() < 0.95
