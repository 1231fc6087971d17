"""How fast is the engine against the original's own Keras loop?

    make bench-keras

runs this in an environment with requirements-keras.txt. The loop is the blog post's: `predict`
for the fakes, `train_on_batch` of the discriminator on real and fake images together, then of the
generator through the frozen discriminator; width 64, batch 128, its rates and dropout. Keras, the
plain port and the engine take turns in one process. One JSON line a row, then a table; the rows
are those of `benchmarks.speed`.
"""

# ruff: noqa: E402 (some settings must come before the imports that read them)

import argparse
import os
import sys
from typing import TYPE_CHECKING

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# torch's optimisers look for triton, whose LLVM ends a process that holds TensorFlow's.
sys.modules["triton"] = None  # type: ignore[assignment]

from benchmarks.command import need_tensorflow

need_tensorflow()

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from benchmarks.contestants import PRECISIONS, Engine, Plain, random_images
from benchmarks.keras_parity import keras_discriminator, keras_generator
from benchmarks.recipes import recipe
from benchmarks.timing import Row, alternate, machine, rounded, show, tables, times_faster
from dcgan.params import RuntimeParams, TrainParams
from dcgan.runtime import configure

if TYPE_CHECKING:
    from collections.abc import Callable


class KerasGan:
    """The original's models and its loop body."""

    def __init__(self, params: TrainParams, images: NDArray[np.float32]) -> None:
        self.params, self.images = params, images  # [N, 28, 28, 1] in [0, 1]
        self.rng = np.random.default_rng(params.seed)
        self.generator = keras_generator(params.width, params.latent_dim, params.g_dropout)
        network = keras_discriminator(params.width)
        self.discriminator = keras.Sequential([network])
        self.discriminator.compile(
            loss="binary_crossentropy",
            optimizer=_rmsprop(params.lr_d, params.decay_d),
            metrics=["accuracy"],
        )
        self._train_discriminator()  # Keras decides at the first batch what is trained ...
        network.trainable = False  # ... so this holds for the adversarial model alone
        self.adversarial = keras.Sequential([self.generator, network])
        self.adversarial.compile(
            loss="binary_crossentropy",
            optimizer=_rmsprop(params.lr_g, params.decay_g),
            metrics=["accuracy"],
        )

    def __call__(self) -> None:
        """One iteration."""
        self._train_discriminator()
        self._train_adversarial()

    def _train_discriminator(self) -> None:
        size = self.params.batch_size
        real = self.images[self.rng.integers(len(self.images), size=size)]
        fake = self.generator.predict(self._noise(), verbose=0)
        labels = np.ones((2 * size, 1))
        labels[size:] = 0
        self.discriminator.train_on_batch(np.concatenate((real, fake)), labels)

    def _train_adversarial(self) -> None:
        self.adversarial.train_on_batch(self._noise(), np.ones((self.params.batch_size, 1)))

    def _noise(self) -> NDArray[np.float64]:
        return self.rng.uniform(-1, 1, (self.params.batch_size, self.params.latent_dim))

    def check(self) -> None:
        """The adversarial step moves the generator alone, the other the discriminator alone."""
        for step, moved, kept in (
            (self._train_discriminator, self.discriminator, self.generator),
            (self._train_adversarial, self.generator, self.discriminator),
        ):
            before = [[value.copy() for value in model.get_weights()] for model in (moved, kept)]
            step()
            after = [model.get_weights() for model in (moved, kept)]
            assert any((a != b).any() for a, b in zip(before[0], after[0], strict=True))
            assert all((a == b).all() for a, b in zip(before[1], after[1], strict=True))


def _rmsprop(lr: float, decay: float) -> keras.optimizers.RMSprop:
    schedule = keras.optimizers.schedules.InverseTimeDecay(lr, decay_steps=1, decay_rate=decay)
    return keras.optimizers.RMSprop(schedule, rho=0.9, epsilon=1e-7)


def rows(params: TrainParams, threads: int, rounds: int) -> list[Row]:
    """Every contestant's time for one iteration, beside how many times as fast as Keras it is."""
    images = random_images()
    seed = KerasGan(params, images[..., None].numpy().astype(np.float32) / np.float32(255))
    seed.check()
    contestants: dict[str, Callable[[], object]] = {
        "keras fp32": seed,
        "plain fp32": Plain(params, images),
        **{f"engine {precision}": Engine(params, precision, images) for precision in PRECISIONS},
    }
    alternate(contestants, 2)
    times = alternate(contestants, rounds)
    return [
        {
            "section": "keras",
            "width": params.width,
            "batch": params.batch_size,
            "threads": threads,
            "contestant": name,
            **own.row(),
            "times_keras": rounded(times_faster(own.wall, times["keras fp32"].wall)),
        }
        for name, own in times.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.keras_speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--width", type=int, help="smaller, to see that it runs")
    parser.add_argument("--batch", type=int)
    arguments = parser.parse_args()
    changes = {"width": arguments.width, "batch_size": arguments.batch}
    params = recipe("blog", **{name: value for name, value in changes.items() if value})
    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    tf.config.threading.set_inter_op_parallelism_threads(arguments.threads)
    configure(RuntimeParams("cpu", arguments.threads, "fp32"))
    versions = {"keras": keras.__version__, "tensorflow": tf.__version__}
    found = [show(machine(**versions))]
    found += [show(row) for row in rows(params, arguments.threads, arguments.rounds)]
    print("\n" + tables(found))


if __name__ == "__main__":
    main()
