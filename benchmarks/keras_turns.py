"""The original's Keras as a contestant of `benchmarks.time_to_quality`, which starts it.

Runs in the environment of `make bench-keras`, from the project's root folder. Reads requests, a
JSON line each, and answers each with one: {"train": SECONDS} with iterations done and seconds
taken, {"images": NUMBER, "file": PATH} when float32 images [NUMBER, 28, 28, 1] lie in that file.
"""

# ruff: noqa: E402 (first it is asked whether there is what the imports need)

import argparse
import json
import sys
from pathlib import Path

from benchmarks.command import need_tensorflow

need_tensorflow()

import keras
import numpy as np
import tensorflow as tf

from benchmarks.keras_speed import KerasGan
from benchmarks.recipes import recipe
from benchmarks.timing import CLOCKS, call_for
from dcgan import mnist
from dcgan.params import RuntimeParams
from dcgan.runtime import configure


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.keras_turns", description=__doc__)
    parser.add_argument("--width", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--clock", choices=CLOCKS, required=True)
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    tf.config.threading.set_inter_op_parallelism_threads(arguments.threads)
    configure(RuntimeParams("cpu", arguments.threads, "fp32"))
    keras.utils.set_random_seed(arguments.seed)
    images = mnist.load(arguments.data).train_images[..., None].numpy()
    params = recipe("blog", width=arguments.width, seed=arguments.seed)
    gan = KerasGan(params, images.astype(np.float32) / np.float32(255))
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever a library prints is no answer
    for line in sys.stdin:
        request, answer = json.loads(line), {}
        if "train" in request:
            iterations, seconds = call_for(request["train"], gan, CLOCKS[arguments.clock])
            answer = {"iterations": iterations, "seconds": seconds}
        else:
            noise = np.random.default_rng(0).uniform(-1, 1, (request["images"], params.latent_dim))
            np.save(request["file"], gan.generator.predict(noise, batch_size=125, verbose=0))
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
