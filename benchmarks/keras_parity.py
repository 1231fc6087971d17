"""Are the networks and the optimiser here those of the original? Ask the real Keras.

In an environment with requirements-keras.txt, from the project's root folder:

    python -m benchmarks.keras_parity --width 64
    python -m benchmarks.keras_parity --golden tests/golden/keras_parity.npz \
        --width 4 --latent-dim 8 --batch 3

Builds the original's generator and discriminator in Keras with random weights, batch-norm scales
and running statistics, loads them into the torch networks, and compares parameter counts, outputs,
input gradients and, after a training pass, running statistics. One JSON line each; exit status 1
when an error, absolute or relative to the largest value, exceeds 1e-4 in float32 or 1e-7 in
float64. `--golden` also writes what tests/dcgan/test_keras_weights.py checks without Keras: inputs,
weights and Keras's float64 results.

Input gradients are required in float64 only ("ok" is null in float32). Eight pictures at width 64
pass 900,000 ReLUs, and often one of them lies so near its kink that float32 rounding decides its
side; a single such unit moves the gradient by 1e-4 to 1e-2, in Keras against Keras's own float64
just as well. In float64 the generator agrees to 1e-14, the discriminator to 1e-8: TensorFlow's
leaky ReLU keeps its slope in float32.

Two things differ between versions of Keras, not between Keras and torch (Keras 2 read from its
source, 2.0.6, 2.2.4 and 2.3.1; Keras 3.15 run here):

RMSprop's epsilon. Keras 2, the original's, divides by sqrt(v) + eps, as torch does. Keras 3
divides by sqrt(v + eps), so its smallest divisor is sqrt(1e-7) = 3e-4 instead of 1e-7: no
difference while gradients are large, but steps three times shorter once they are near 1e-4. So
torch.optim.RMSprop(alpha=0.9, eps=1e-7) is the original's rule, and a rerun of the original in
Keras 3 is not. The learning rate of step t = 0, 1, ... is lr / (1 + decay * t) in all three.

The running variance. Keras 2.2 and 2.3 and torch average the unbiased variance of a batch, Keras
2.0 and 3 the biased one, (n - 1) / n of it, n being the batch times the pixels. Allowed for below.
"""

# ruff: noqa: E402 (settings, and whether there is TensorFlow, come before the imports)

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.command import need_tensorflow

need_tensorflow()

import keras
import numpy as np
import tensorflow as tf
import torch
from keras import layers
from numpy.typing import NDArray

from dcgan.keras_weights import load_discriminator, load_generator
from dcgan.networks import Discriminator, Generator

TOLERANCE = {"float32": 1e-4, "float64": 1e-7}
ORIGINAL_PARAMETERS = {
    "generator": 2_394_241,
    "discriminator": 4_311_553,
}  # at width 64
Arrays = dict[str, NDArray[np.floating]]
Weights = list[NDArray[np.floating]]


def keras_generator(width: int, latent_dim: int, dropout: float = 0.4) -> keras.Model:
    return keras.Sequential(
        [
            layers.Input((latent_dim,)),
            layers.Dense(7 * 7 * 4 * width),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
            layers.Reshape((7, 7, 4 * width)),
            layers.Dropout(dropout),
            layers.UpSampling2D(),
            layers.Conv2DTranspose(2 * width, 5, padding="same"),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
            layers.UpSampling2D(),
            layers.Conv2DTranspose(width, 5, padding="same"),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
            layers.Conv2DTranspose(width // 2, 5, padding="same"),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
            layers.Conv2DTranspose(1, 5, padding="same"),
            layers.Activation("sigmoid"),
        ]
    )


def keras_discriminator(width: int) -> keras.Model:
    return keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(width, 5, strides=2, padding="same"),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Dropout(0.4),
            layers.Conv2D(2 * width, 5, strides=2, padding="same"),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Dropout(0.4),
            layers.Conv2D(4 * width, 5, strides=2, padding="same"),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Dropout(0.4),
            layers.Conv2D(8 * width, 5, strides=1, padding="same"),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Dropout(0.4),
            layers.Flatten(),
            layers.Dense(1),
            layers.Activation("sigmoid"),
        ]
    )


def random_weights(model: keras.Model, rng: np.random.Generator) -> Weights:
    """Keras's own Glorot kernels; everything that starts at 0 or 1 is moved away from there."""
    for weight in model.weights:
        if weight.name in ("gamma", "moving_variance"):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        elif weight.name in ("bias", "beta", "moving_mean"):
            weight.assign(rng.normal(0, 0.1, weight.shape))
    arrays: Weights = model.get_weights()
    return arrays


def random_inputs(latent_dim: int, batch: int, rng: np.random.Generator) -> Arrays:
    """Inputs, and for each output the weights of the sum whose input gradient is compared."""
    return {
        "z": rng.uniform(-1, 1, (batch, latent_dim)).astype(np.float32),
        "images": rng.uniform(0, 1, (batch, 28, 28, 1)).astype(np.float32),
        "of_images": rng.normal(0, 1, (batch, 28, 28, 1)).astype(np.float32),
        "of_probabilities": rng.normal(0, 1, (batch, 1)).astype(np.float32),
    }


def keras_results(inputs: Arrays, g_weights: Weights, d_weights: Weights, dtype: str) -> Arrays:
    """Outputs, input gradients and running statistics, images as [B, 28, 28, 1]."""
    latent_dim, width = inputs["z"].shape[1], d_weights[0].shape[-1]
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    generator = keras_generator(width, latent_dim)
    generator.set_weights(g_weights)
    undropped = keras_generator(width, latent_dim, dropout=0.0)
    undropped.set_weights(g_weights)
    discriminator = keras_discriminator(width)
    discriminator.set_weights(d_weights)

    def run(
        model: keras.Model, of: str, weights_of: str, training: bool
    ) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        source = tf.constant(inputs[of].astype(dtype))
        with tf.GradientTape() as tape:
            tape.watch(source)
            outputs = model(source, training=training)
            total = tf.reduce_sum(outputs * inputs[weights_of].astype(dtype))
        assert outputs.dtype == dtype
        return outputs.numpy(), tape.gradient(total, source).numpy()

    results = {}
    for name, values in (
        ("discriminator_inference", run(discriminator, "images", "of_probabilities", False)),
        ("generator_inference", run(generator, "z", "of_images", False)),
        ("generator_training", run(undropped, "z", "of_images", True)),
    ):
        results[f"{name}_outputs"], results[f"{name}_gradients"] = values
    for name in ("moving_mean", "moving_variance"):
        moved = [weight.numpy().ravel() for weight in undropped.weights if weight.name == name]
        results[f"generator_{name}"] = np.concatenate(moved)
    return results


def torch_results(inputs: Arrays, g_weights: Weights, d_weights: Weights, dtype: str) -> Arrays:
    """The same as `keras_results`, from the networks of this project."""
    latent_dim, width = inputs["z"].shape[1], d_weights[0].shape[-1]
    kind = getattr(torch, dtype)
    generator = Generator(width, latent_dim, dropout=0.0).to(kind).eval()
    load_generator(generator, g_weights)
    discriminator = Discriminator(width, dropout=0.4).to(kind).eval()
    load_discriminator(discriminator, d_weights)
    z = torch.from_numpy(inputs["z"]).to(kind).requires_grad_()
    images = torch.from_numpy(inputs["images"]).to(kind).requires_grad_()
    of_images = torch.from_numpy(inputs["of_images"]).to(kind)
    of_probabilities = torch.from_numpy(inputs["of_probabilities"]).to(kind)

    results = {}
    probabilities = torch.sigmoid(discriminator(images.permute(0, 3, 1, 2))).unsqueeze(1)
    total = (probabilities * of_probabilities).sum()
    results["discriminator_inference_outputs"] = probabilities.detach().numpy()
    results["discriminator_inference_gradients"] = torch.autograd.grad(total, images)[0].numpy()
    for mode in ("inference", "training"):
        outputs = generator.train(mode == "training")(z).permute(0, 2, 3, 1)
        total = (outputs * of_images).sum()
        results[f"generator_{mode}_outputs"] = outputs.detach().numpy()
        results[f"generator_{mode}_gradients"] = torch.autograd.grad(total, z)[0].numpy()

    norms = [generator.project_norm, generator.norm1, generator.norm2, generator.norm3]
    pixels = (1, 14 * 14, 28 * 28, 28 * 28)
    means, variances = [], []
    for norm, size, old in zip(norms, pixels, g_weights[5::6], strict=True):
        values = len(z) * size
        biased = (values - 1) / values
        mean, variance = norm.running_mean, norm.running_var
        assert mean is not None
        assert variance is not None
        means.append(mean.numpy())
        kept = 0.9 * old.astype(dtype)
        variances.append(kept + (variance.numpy() - kept) * biased)
    results["generator_moving_mean"] = np.concatenate(means)
    results["generator_moving_variance"] = np.concatenate(variances)
    return results


def rmsprop_movements(
    gradient_scale: float, lr: float, decay: float
) -> dict[str, NDArray[np.floating]]:
    """How far 20 steps of each rule move 64 parameters of a quadratic, float64."""
    rng = np.random.default_rng(0)
    matrix = rng.normal(0, 1, (64, 64)) / 8
    matrix = gradient_scale * (matrix @ matrix.T)
    start = rng.normal(0, 1, 64)

    schedule = keras.optimizers.schedules.InverseTimeDecay(lr, decay_steps=1, decay_rate=decay)
    optimizer = keras.optimizers.RMSprop(schedule, rho=0.9, epsilon=1e-7)
    variable = keras.Variable(start, dtype="float64")
    parameter = torch.nn.Parameter(torch.from_numpy(start.copy()))
    torch_optimizer = torch.optim.RMSprop([parameter], lr, alpha=0.9, eps=1e-7)
    torch_schedule = torch.optim.lr_scheduler.LambdaLR(
        torch_optimizer, lambda step: 1 / (1 + decay * step)
    )
    outside, inside = start.copy(), start.copy()
    outside_average, inside_average = np.zeros(64), np.zeros(64)
    for step in range(20):
        optimizer.apply([matrix @ variable.numpy()], [variable])
        parameter.grad = torch.from_numpy(matrix @ parameter.detach().numpy())
        torch_optimizer.step()
        torch_schedule.step()
        rate = lr / (1 + decay * step)
        gradient = matrix @ outside
        outside_average = 0.9 * outside_average + 0.1 * gradient**2
        outside -= rate * gradient / (np.sqrt(outside_average) + 1e-7)
        gradient = matrix @ inside
        inside_average = 0.9 * inside_average + 0.1 * gradient**2
        inside -= rate * gradient / np.sqrt(inside_average + 1e-7)
    return {
        "Keras 3": variable.numpy() - start,
        "torch": parameter.detach().numpy() - start,
        "sqrt(v) + eps": outside - start,
        "sqrt(v + eps)": inside - start,
    }


def errors(expected: NDArray[np.floating], actual: NDArray[np.floating]) -> dict[str, float]:
    assert expected.shape == actual.shape, (expected.shape, actual.shape)
    largest = float(np.abs(expected - actual).max())
    return {"max_abs_error": largest, "relative_error": largest / float(np.abs(expected).max())}


def compare(args: argparse.Namespace) -> Iterator[tuple[dict[str, object], bool | None]]:
    """Each line to print, and whether it is as it must be; None where nothing is required."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    keras.config.set_dtype_policy("float32")
    models = {
        "generator": keras_generator(args.width, args.latent_dim),
        "discriminator": keras_discriminator(args.width),
    }
    networks = {
        "generator": Generator(args.width, args.latent_dim, dropout=0.4),
        "discriminator": Discriminator(args.width, dropout=0.4),
    }
    for name, model in models.items():
        state = networks[name].state_dict()
        here = sum(value.numel() for value in state.values() if value.is_floating_point())
        counts = {"keras": model.count_params(), "torch": here}
        if (args.width, args.latent_dim) == (64, 100):
            counts["original"] = ORIGINAL_PARAMETERS[name]
        yield {"compare": f"{name} parameters", **counts}, len(set(counts.values())) == 1

    weights = {name: random_weights(model, rng) for name, model in models.items()}
    g_weights, d_weights = weights["generator"], weights["discriminator"]
    inputs = random_inputs(args.latent_dim, args.batch, rng)
    for dtype in ("float32", "float64"):
        expected = keras_results(inputs, g_weights, d_weights, dtype)
        actual = torch_results(inputs, g_weights, d_weights, dtype)
        for name, value in expected.items():
            found = errors(value, actual[name])
            good = all(error <= TOLERANCE[dtype] for error in found.values())
            required = dtype == "float64" or not name.endswith("gradients")
            line = {"compare": name, "dtype": dtype, "width": args.width, **found}
            yield line, good if required else None
    if args.golden:
        arrays: dict[str, Any] = {**inputs}
        arrays |= {name: value.astype(np.float32) for name, value in expected.items()}
        for kind, values in weights.items():
            arrays |= {f"{kind}_{index:02d}": value for index, value in enumerate(values)}
        args.golden.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(args.golden, **arrays)

    for scale in (1.0, 1e-4):
        moved = rmsprop_movements(scale, lr=2e-4, decay=0.1)
        for one, other, must_agree in (
            ("torch", "sqrt(v) + eps", True),
            ("Keras 3", "sqrt(v + eps)", True),
            ("Keras 3", "torch", False),
        ):
            found = errors(moved[one], moved[other])
            line = {"compare": f"rmsprop: {one}, {other}", "gradient_scale": scale, **found}
            yield line, found["relative_error"] <= TOLERANCE["float64"] if must_agree else None


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.keras_parity", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--latent-dim", type=int, default=100)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--golden", type=Path, help="also write a golden file")
    args = parser.parse_args()
    failed = False
    for line, good in compare(args):
        print(json.dumps(line | {"ok": good}), flush=True)
        failed |= good is False
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
