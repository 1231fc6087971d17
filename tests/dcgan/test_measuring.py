import copy
import dataclasses
import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from dcgan import measuring
from dcgan.judge import Judge, features_and_logits, fit
from dcgan.measuring import Meter, by_digit, measure_epoch, reference, scale
from dcgan.metrics import frechet_distance, moments, neighbour_radii
from dcgan.mnist import Mnist, to_unit
from dcgan.networks import Generator
from dcgan.params import JudgeParams, MeasureParams
from dcgan.probing import PROBE_IMAGES, probe
from dcgan.sampling import asked_digits, generate, noise_bank
from dcgan.training import GanState
from dcgan.training import fit as train
from pipeline.base.cli import load_params
from tests.project import REPOSITORY
from tests.small import CPU, FP32, MEASURE, digits, same, train_params


@pytest.fixture(scope="module")
def data() -> Mnist:
    return digits(400, 200)


@pytest.fixture(scope="module")
def judge(data: Mnist) -> Judge:
    *_, last = fit(data, JudgeParams(0, 1, 50, 0.01, 0.0), FP32, CPU)
    return last.judge


@pytest.fixture(scope="module")
def meter(judge: Judge, data: Mnist) -> Meter:
    return Meter(judge, reference(judge, data, MEASURE), MEASURE)


def scale_of(
    judge: Judge, data: Mnist, params: MeasureParams = MEASURE
) -> dict[str, dict[str, float]]:
    return scale(Meter(judge, reference(judge, data, params), params), data)


def rows(features: Tensor) -> set[tuple[float, ...]]:
    return {tuple(row) for row in features.tolist()}


# --- the reference


def test_the_reference_holds_all_training_digits_moments_and_shares(
    judge: Judge, data: Mnist
) -> None:
    labels = data.train_labels.clone()
    labels[labels == 3] = 7
    against = reference(judge, dataclasses.replace(data, train_labels=labels), MEASURE)
    features, _ = features_and_logits(judge, data.train_images)
    mean, cov = moments(features)
    assert torch.allclose(against.mean, mean)
    assert torch.allclose(against.cov, cov)
    assert against.share.tolist() == [0.1, 0.1, 0.1, 0, 0.1, 0.1, 0.1, 0.2, 0.1, 0.1]


@pytest.mark.parametrize(("num_train", "num_test"), [(90, 40), (40, 90), (50, 50)])
def test_the_reference_holds_as_many_training_as_test_digits_drawn_at_random(
    judge: Judge, num_train: int, num_test: int
) -> None:
    data = digits(num_train, num_test, seed=1)
    against = reference(judge, data, MEASURE)
    train_features, _ = features_and_logits(judge, data.train_images)
    test_features, _ = features_and_logits(judge, data.test_images)
    count = min(num_train, num_test)
    assert len(rows(against.train)) == len(rows(against.test)) == count
    assert rows(against.train) <= rows(train_features)
    assert rows(against.test) <= rows(test_features)
    assert not torch.equal(against.train, train_features[:count])
    assert not torch.equal(against.test, test_features[:count])
    assert torch.allclose(against.radii, neighbour_radii(against.train[:100]))


def test_the_reference_depends_on_its_seed_alone(judge: Judge, data: Mnist) -> None:
    before = torch.get_rng_state()
    first = reference(judge, data, MEASURE)
    torch.manual_seed(77)
    assert same(vars(reference(judge, data, MEASURE)), vars(first))
    other = reference(judge, data, dataclasses.replace(MEASURE, seed=1))
    assert not torch.equal(other.train, first.train)
    torch.set_rng_state(before)
    reference(judge, data, MEASURE)
    assert torch.equal(torch.get_rng_state(), before)


# --- the meter


def test_a_smaller_meter_is_the_one_made_for_fewer_images(
    meter: Meter, judge: Judge, data: Mnist
) -> None:
    few = dataclasses.replace(MEASURE, num_training_samples=60, num_neighbour_samples=60)
    made = Meter(judge, reference(judge, data, few), few)
    smaller = meter.smaller(60)
    images = to_unit(digits(60, 1, seed=5).train_images)
    assert smaller.params == few
    assert smaller.quick(images) == made.quick(images)
    assert smaller.quick(images)["coverage"] != meter.quick(images)["coverage"]


def test_the_quick_figures_are_part_of_the_full_ones_and_all_are_numbers(
    meter: Meter, data: Mnist
) -> None:
    images = to_unit(data.test_images)
    quick, full = meter.quick(images), meter.full(images)
    assert quick["fd"] == meter.fd(images)
    assert quick == {name: full[name] for name in quick}
    assert set(full) - set(quick) == {"kid", "kid_error", "nn_ratio"}
    assert all(math.isfinite(value) for value in full.values())
    assert meter.full(images) == full


def test_fd_is_of_the_judge_s_features_against_all_training_digits(
    meter: Meter, judge: Judge, data: Mnist
) -> None:
    test_moments = moments(features_and_logits(judge, data.test_images)[0])
    train_moments = moments(features_and_logits(judge, data.train_images)[0])
    expected = frechet_distance(*test_moments, *train_moments)
    assert meter.fd(to_unit(data.test_images)) == pytest.approx(expected, rel=1e-9)


def test_images_that_are_not_finite_have_no_fd(meter: Meter, data: Mnist) -> None:
    images = to_unit(data.test_images)
    images[3, 0, 5, 5] = math.nan
    assert math.isnan(meter.fd(images))
    assert math.isnan(meter.full(images)["fd"])


def test_a_generator_is_measured_by_the_same_noise_each_time(meter: Meter) -> None:
    state = GanState(train_params(), CPU)
    images = meter.samples(state.generator, 150)
    assert images.shape == (150, 1, 28, 28)
    torch.manual_seed(1)
    assert torch.equal(meter.samples(state.generator, 150), images)
    noise = noise_bank(MEASURE.seed, 150, state.generator.latent_dim, CPU)
    assert torch.equal(images, generate(state.generator, noise))


# --- the scale


def test_the_scale_s_figures_are_numbers_and_always_the_same(judge: Judge, data: Mnist) -> None:
    before = torch.get_rng_state()
    known = scale_of(judge, data)
    assert list(known) == ["floor", "test", "blurred", "nines_removed", "one_class", "noise"]
    assert all(math.isfinite(value) for metrics in known.values() for value in metrics.values())
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(5)
    assert scale_of(judge, data) == known


def test_the_scale_exists_for_data_with_more_test_than_training_digits(judge: Judge) -> None:
    assert scale_of(judge, digits(100, 150)).keys()


def test_the_nn_ratio_of_test_digits_compares_two_halves_that_share_no_digit(
    judge: Judge, data: Mnist, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[Tensor, ...]] = []

    def nearest_ratio(features: Tensor, *others: Tensor) -> float:
        compared.append((features, *others))
        return 5.0

    monkeypatch.setattr(measuring, "nearest_ratio", nearest_ratio)
    metrics = scale_of(judge, data)
    assert metrics["test"]["nn_ratio"] == 5
    held_out, train, test = compared[-1]
    assert len(held_out) > 10
    assert len(train) == len(test) == len(data.test_images) // 2
    assert rows(held_out).isdisjoint(rows(test))
    assert rows(held_out) | rows(test) <= rows(features_and_logits(judge, data.test_images)[0])
    assert rows(train) <= rows(features_and_logits(judge, data.train_images)[0])


def test_a_test_digit_is_not_its_own_nearest_neighbour(judge: Judge, data: Mnist) -> None:
    # The synthetic digits of both sets are drawn alike: as near to the one as to the other.
    assert scale_of(judge, data)["test"]["nn_ratio"] == pytest.approx(1, abs=0.1)


def test_the_order_of_the_test_digits_does_not_matter_to_their_figures(judge: Judge) -> None:
    # As in MNIST, whose first half of test digits is not like its second: here all zeros come
    # first. Manifolds are of fewer samples than there are test digits.
    data = digits(400, 400)
    order = data.test_labels.argsort(stable=True)
    sorted_data = Mnist(
        data.train_images, data.train_labels, data.test_images[order], data.test_labels[order]
    )
    metrics = scale_of(judge, sorted_data, dataclasses.replace(MEASURE, num_samples=400))["test"]
    assert metrics["coverage"] > 0.8


# --- the scale on real digits


@pytest.fixture(scope="module")
def real_scale(real_mnist: Mnist) -> dict[str, dict[str, float]]:
    """With the project's own judge and number of samples, except for epochs and neighbours."""
    shipped = load_params(REPOSITORY / "params.yaml")
    judge_params = dataclasses.replace(shipped.judge, epochs=1)
    *_, last = fit(real_mnist, judge_params, FP32, CPU)
    measure = dataclasses.replace(shipped.measure, num_neighbour_samples=1000)
    return scale_of(last.judge, real_mnist, measure)


@pytest.mark.slow
def test_fd_orders_sets_of_real_digits_from_as_good_as_new_to_noise(
    real_scale: dict[str, dict[str, float]],
) -> None:
    fd = {name: metrics["fd"] for name, metrics in real_scale.items()}
    sigma = {name: metrics["fd_sigma"] for name, metrics in real_scale.items()}
    # Half against half may not be told from test against train by as many samples ...
    assert fd["floor"] < fd["test"] + 4 * math.hypot(sigma["floor"], sigma["test"])
    # ... but every other step of the scale is far beyond chance.
    steps = ["test", "blurred", "nines_removed", "one_class", "noise"]
    for better, worse in pairwise(steps):
        assert fd[better] < fd[worse] - 10 * math.hypot(sigma[better], sigma[worse]), (better, fd)


@pytest.mark.slow
def test_every_figure_tells_what_it_is_for_on_real_digits(
    real_scale: dict[str, dict[str, float]],
) -> None:
    for name in ("floor", "test"):
        metrics = real_scale[name]
        assert metrics["class_kl"] < 0.003  # 0.0014 of honest draws, and the judge's own errors
        assert metrics["coverage"] > 0.93  # 0.97 by theory
        assert metrics["nn_ratio"] == pytest.approx(1, abs=0.1)
        assert metrics["kid"] < 0.01
    assert real_scale["nines_removed"]["class_kl"] == pytest.approx(0.105, abs=0.02)
    assert real_scale["nines_removed"]["min_share"] < 0.1
    assert real_scale["one_class"]["class_kl"] == pytest.approx(2.3, abs=0.2)
    assert real_scale["one_class"]["coverage"] < 0.3
    assert real_scale["noise"]["coverage"] < 0.01
    others = [
        metrics["kid"] for name, metrics in real_scale.items() if name not in ("floor", "test")
    ]
    assert min(others) > 0.01


# --- measuring a run


def trained_state(average_images: int) -> GanState:
    params = train_params(average_images=average_images, g_dropout=0.4, d_dropout=0.4)
    state = GanState(params, CPU)
    for _ in train(state, digits(40, 1).train_images, params, FP32):
        pass
    return state


@pytest.mark.parametrize("average_images", [0, 20])
def test_measuring_touches_neither_weights_nor_statistics_nor_the_source_of_randomness(
    meter: Meter, data: Mnist, average_images: int
) -> None:
    state = trained_state(average_images)
    before, rng_before = copy.deepcopy(state.state_dict()), torch.get_rng_state()
    judge_before = copy.deepcopy(meter.judge.state_dict())
    metrics = measure_epoch(meter, state, data, "bce", FP32)
    assert same(state.state_dict(), before)
    assert same(meter.judge.state_dict(), judge_before)
    assert torch.equal(torch.get_rng_state(), rng_before)
    assert measure_epoch(meter, state, data, "bce", FP32) == metrics


def test_a_measured_run_ends_bit_for_bit_like_one_that_nobody_measured(
    meter: Meter, data: Mnist
) -> None:
    params = train_params(
        average_images=20, sample_every=2, g_dropout=0.4, d_dropout=0.4, fakes="training"
    )
    states = []
    for measured in (True, False):
        state = GanState(params, CPU)
        for _ in train(state, data.train_images, params, FP32):
            if measured:
                measure_epoch(meter, state, data, "bce", FP32)
        states.append(state.state_dict())
    assert same(*states)


def test_with_an_average_all_is_of_it_but_fd_raw_and_what_d_knows(
    meter: Meter, data: Mnist
) -> None:
    state = trained_state(average_images=1000)
    assert state.averaged is not None
    metrics = measure_epoch(meter, state, data, "bce", FP32)
    number = MEASURE.num_training_samples
    samples = meter.samples(state.generator, number)
    raw = meter.quick(samples)
    average = meter.quick(meter.samples(state.averaged, number))
    assert raw["fd"] != average["fd"]
    probed = probe(state.discriminator, samples, data, "bce", FP32)
    assert metrics == {**average, "fd_raw": raw["fd"], **probed}


@pytest.mark.parametrize("average_images", [0, 20])
def test_what_is_measured_beside_fd_raw_is_the_same_to_the_last_bit_without_it(
    judge: Judge, meter: Meter, data: Mnist, monkeypatch: pytest.MonkeyPatch, average_images: int
) -> None:
    drawn: list[int] = []

    def counted(generator: Generator, noise: Tensor, digits: Tensor | None) -> Tensor:
        drawn.append(len(noise))
        return generate(generator, noise, digits)

    monkeypatch.setattr(measuring, "generate", counted)
    number = PROBE_IMAGES + 130
    many = Meter(judge, meter.against, dataclasses.replace(MEASURE, num_training_samples=number))
    state = trained_state(average_images)
    every = measure_epoch(many, state, data, "bce", FP32)
    assert drawn == [number] * (2 if average_images else 1)
    drawn.clear()
    without = measure_epoch(many, state, data, "bce", FP32, raw=False)
    assert drawn == ([number, PROBE_IMAGES] if average_images else [number])
    assert set(every) - set(without) == ({"fd_raw"} if average_images else set())
    assert without == {name: every[name] for name in without}


def test_without_an_average_all_is_of_the_generator(meter: Meter, data: Mnist) -> None:
    state = trained_state(average_images=0)
    metrics = measure_epoch(meter, state, data, "bce", FP32)
    samples = meter.samples(state.generator, MEASURE.num_training_samples)
    raw = meter.quick(samples)
    probed = probe(state.discriminator, samples, data, "bce", FP32)
    assert {**raw, **probed} == metrics


def test_networks_are_measured_in_the_precision_of_training_and_the_judge_in_its_own(
    meter: Meter, data: Mnist
) -> None:
    state = trained_state(average_images=0)
    bf16 = dataclasses.replace(FP32, precision="bf16")
    with torch.autocast("cpu", torch.bfloat16):
        images = meter.samples(state.generator, MEASURE.num_training_samples)
    assert images.dtype == torch.float32
    metrics = measure_epoch(meter, state, data, "bce", bf16)
    assert metrics["fd"] == meter.fd(images)
    assert metrics["fd"] != measure_epoch(meter, state, data, "bce", FP32)["fd"]


# --- digits that are asked for


@pytest.fixture(scope="module")
def able(data: Mnist) -> Meter:
    """A meter whose judge tells most digits apart."""
    *_, last = fit(data, JudgeParams(0, 3, 20, 0.01, 0.0), FP32, CPU)
    return Meter(last.judge, reference(last.judge, data, MEASURE), MEASURE)


def test_as_asked_is_the_judge_s_accuracy_where_samples_are_real_digits(
    able: Meter, data: Mnist
) -> None:
    images, labels = to_unit(data.test_images), data.test_labels.long()
    answers = features_and_logits(able.judge, images)[1].argmax(1)
    metrics = able.quick(images, labels)
    assert metrics["as_asked"] == pytest.approx((answers == labels).double().mean().item())
    assert metrics["as_asked"] > 0.5
    wrong = able.quick(images, (labels + 1) % 10)
    assert wrong["as_asked"] < metrics["as_asked"]
    assert "as_asked" not in able.quick(images)
    assert able.full(images, labels)["as_asked"] == metrics["as_asked"]


def test_shares_are_compared_with_those_asked_for(able: Meter, data: Mnist) -> None:
    answers = features_and_logits(able.judge, to_unit(data.test_images))[1].argmax(1)
    images, asked = to_unit(data.test_images[answers == 4]), answers[answers == 4]
    assert able.quick(images, asked)["class_kl"] == pytest.approx(0, abs=1e-12)
    assert able.quick(images)["class_kl"] > 1


def test_a_conditional_run_is_measured_by_what_it_was_asked_for(meter: Meter, data: Mnist) -> None:
    params = train_params(conditional=True, average_images=20)
    state = GanState(params, CPU)
    for _ in train(state, data.train_images, params, FP32, train_labels=data.train_labels):
        pass
    assert state.averaged is not None
    metrics = measure_epoch(meter, state, data, "bce", FP32)
    number = MEASURE.num_training_samples
    asked = asked_digits(state.averaged, number)
    assert asked is not None
    images = meter.samples(state.averaged, number)
    assert metrics.items() >= meter.quick(images, asked).items()
    raw = meter.samples(state.generator, number)
    assert metrics.items() >= probe(state.discriminator, raw, data, "bce", FP32, asked).items()


def test_the_deviation_of_fd_is_that_of_other_noise_not_of_a_missing_digit(
    able: Meter, data: Mnist
) -> None:
    generator = Generator(2, 4, 0.0, conditional=True)
    asked = asked_digits(generator, 200)
    assert asked is not None
    # Real digits in the order that they would be asked for, and in any other.
    of_digit = [data.train_images[data.train_labels == digit] for digit in range(10)]
    places = [of_digit[digit][i // 10] for i, digit in enumerate(asked.tolist())]
    images = to_unit(torch.stack(places))
    shuffled = images[torch.randperm(200, generator=torch.Generator().manual_seed(0))]
    assert able.quick(images)["fd_sigma"] < 2 * able.quick(shuffled)["fd_sigma"]


def test_by_digit_each_is_measured_against_its_own_kind_and_mixed_up_ones_are_told(
    able: Meter, data: Mnist
) -> None:
    labels = data.train_labels.long()
    images = to_unit(data.train_images)
    # Whoever asks for a 3 gets an 8.
    images[labels == 3] = images[labels == 8][: int((labels == 3).sum())]
    features, logits = features_and_logits(able.judge, images)
    rows = by_digit(able, images, labels, data)
    assert [row["digit"] for row in rows] == [*range(10)]
    for digit, row in enumerate(rows):
        read = logits[labels == digit].argmax(1).bincount(minlength=10).double()
        shares = [row[f"read_{other}"] for other in range(10)]
        assert shares == pytest.approx((read / read.sum()).tolist())
        assert row["as_asked"] == row[f"read_{digit}"]
    near = [row["fd"] for row in rows if row["digit"] != 3]
    assert max(near) < 1e-6 < rows[3]["fd"]
    real, _ = features_and_logits(able.judge, data.train_images)
    wanted = frechet_distance(*moments(features[labels == 3]), *moments(real[labels == 3]))
    assert rows[3]["fd"] == pytest.approx(wanted, rel=1e-9)
    assert all(row["fd_test"] > 0 for row in rows)


def test_a_digit_that_a_set_lacks_is_left_out(meter: Meter, data: Mnist) -> None:
    labels = data.test_labels.long()
    few = dataclasses.replace(data, train_labels=data.train_labels.clamp(max=8))
    rows = by_digit(meter, to_unit(data.test_images), labels, few)
    assert [row["digit"] for row in rows] == [*range(9)]
