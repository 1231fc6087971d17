import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dcgan.losses import discriminator_loss
from dcgan.mnist import Mnist, to_unit
from dcgan.networks import Discriminator, initialise
from dcgan.probing import PROBE_IMAGES, PROBED, best_loss, largest_singular_value, probe
from tests.small import FP32, digits, same

LOGITS = st.lists(st.floats(-40, 40), min_size=1, max_size=8)


def discriminator(dropout: float = 0.0) -> Discriminator:
    network = Discriminator(2, dropout)
    initialise(network, torch.Generator().manual_seed(0))
    return network


def noise(count: int) -> Tensor:
    return torch.rand(count, 1, 28, 28, generator=torch.Generator().manual_seed(1))


@given(real=LOGITS, fake=LOGITS, shift=st.floats(-50, 50))
@settings(max_examples=60, deadline=None)
def test_no_other_constant_gives_less_and_none_is_paid_for(
    real: list[float], fake: list[float], shift: float
) -> None:
    ours, theirs = torch.tensor(real, dtype=torch.float64), torch.tensor(fake, dtype=torch.float64)
    least = best_loss("bce", ours, theirs)
    assert least <= float(discriminator_loss("bce", ours + shift, theirs + shift)) + 1e-9
    assert least == pytest.approx(best_loss("bce", ours + shift, theirs + shift), abs=1e-9)
    assert least >= 0


def test_a_discriminator_that_answers_the_same_to_everything_pays_ln_2() -> None:
    same_answer = torch.full((5,), 7.0)
    assert best_loss("bce", same_answer, same_answer) == pytest.approx(math.log(2))
    assert best_loss("relativistic", same_answer, same_answer) == pytest.approx(math.log(2))


def test_one_that_is_sure_and_wrong_pays_more_whatever_constant_is_granted() -> None:
    real, fake = torch.tensor([-3.0, 3.0]), torch.tensor([-3.0, 3.0])
    assert best_loss("bce", real, fake) > 1.5


def test_a_relativistic_loss_is_of_pairs_as_many_as_there_are() -> None:
    real, fake = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.5, 0.5])
    wanted = discriminator_loss("relativistic", real[:2], fake)
    assert best_loss("relativistic", real, fake) == pytest.approx(float(wanted))


def test_logits_that_are_not_finite_give_no_number() -> None:
    assert math.isnan(best_loss("bce", torch.tensor([math.inf]), torch.tensor([0.0])))
    assert math.isnan(largest_singular_value(torch.tensor([[math.nan, 1.0]])))


@pytest.mark.parametrize("shape", [(6, 3, 5, 5), (40, 2), (1, 30)])
def test_the_largest_singular_value_is_how_much_the_matrix_can_stretch(
    shape: tuple[int, ...],
) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    wanted = torch.linalg.svdvals(weight.flatten(1).double())[0]
    assert largest_singular_value(weight) == pytest.approx(float(wanted), rel=1e-12)
    assert largest_singular_value(-4 * weight) == pytest.approx(4 * float(wanted), rel=1e-12)


def test_the_norm_is_of_all_weights_and_each_layer_has_its_singular_value() -> None:
    network = discriminator()
    found = probe(network, noise(20), digits(30, 20), "bce", FP32)
    squares = sum(float(weight.detach().square().sum()) for weight in network.parameters())
    assert found["d_weight_norm"] == pytest.approx(math.sqrt(squares))
    for name in ("conv1", "conv2", "conv3", "conv4", "score"):
        layer = getattr(network, name)
        assert found[f"d_singular_{name}"] == largest_singular_value(layer.weight)
    assert len(found) == 2 + 1 + 5


def test_both_losses_are_without_dropout_of_digits_from_the_whole_set_and_the_same_samples() -> (
    None
):
    network, fake = discriminator(dropout=0.5), noise(PROBE_IMAGES + 500)
    # 1,500 black images before 1,500 white ones: a probe of the first would see no white.
    shades = torch.zeros(3000, 28, 28, dtype=torch.uint8)
    shades[1500:] = 255
    few = digits(3, 3)
    data = Mnist(few.train_images, few.train_labels, shades, torch.arange(3000) % 10)
    found = probe(network, fake, data, "bce", FP32)
    with torch.no_grad():
        answers = network.eval()
        ends = answers(to_unit(shades[[0, -1]]))
        samples = answers(fake[:PROBE_IMAGES])
        known = answers(to_unit(few.train_images))
    assert ends[0] != ends[1]
    assert found["d_loss_test"] == pytest.approx(best_loss("bce", ends, samples), rel=1e-5)
    assert found["d_loss_train"] == pytest.approx(best_loss("bce", known, samples), rel=1e-5)


def test_the_losses_part_where_d_has_learned_its_digits_by_heart() -> None:
    # Samples are like real digits, so that all there is to know is which ten are the known ones.
    network, data = discriminator(), digits(10, 300)
    samples = to_unit(digits(1300, 1, seed=5).train_images)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    real = to_unit(data.train_images)
    for batch in torch.split(samples[300:], 10):
        loss = discriminator_loss("bce", network(real), network(batch))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    found = probe(network, samples[:300], data, "bce", FP32)
    assert found["d_loss_train"] < math.log(2) < found["d_loss_test"]


def test_a_conditional_d_is_told_the_labels_and_what_samples_were_asked_to_be() -> None:
    network = Discriminator(2, 0.0, conditional=True)
    initialise(network, torch.Generator().manual_seed(0))
    data, fake = digits(30, 20), noise(25)
    asked = torch.arange(25) % 10
    found = probe(network, fake, data, "bce", FP32, asked)
    with torch.no_grad():
        answers = network.eval()
        samples = answers(fake, asked)
        for kind in ("train", "test"):
            images, labels = getattr(data, f"{kind}_images"), getattr(data, f"{kind}_labels")
            wanted = best_loss("bce", answers(to_unit(images), labels.long()), samples)
            assert found[f"d_loss_{kind}"] == pytest.approx(wanted, rel=1e-5)
    otherwise = probe(network, fake, data, "bce", FP32, asked.flip(0))
    assert otherwise["d_loss_test"] != found["d_loss_test"]


def test_probing_changes_nothing_and_gives_the_same_again() -> None:
    network, data = discriminator(dropout=0.5), digits(30, 20)
    before, randomness = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    first = probe(network, noise(20), data, "bce", FP32)
    assert same(network.state_dict(), before)
    assert torch.equal(torch.get_rng_state(), randomness)
    assert probe(network, noise(20), data, "bce", FP32) == first


def test_every_layer_of_d_that_has_a_kernel_is_watched() -> None:
    named = discriminator().named_children()
    kernels = {f"d_singular_{n}" for n, m in named if isinstance(m, nn.Conv2d | nn.Linear)}
    assert kernels == {name for name in PROBED if name.startswith("d_singular_")}
