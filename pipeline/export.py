"""Stage `export`: the best generator for use elsewhere, with its card, and into the registry."""

import io
import shutil
from math import inf
from pathlib import Path
from typing import Any

from pipeline.base.cli import Parser, UserError, corrupt, load_params, read_json, run

if __name__ == "__main__":  # --help and wrong options first: the imports below take seconds
    run(Parser("export", __doc__).parse_args)

import numpy as np
import onnxruntime
import torch
from PIL import Image

from dcgan.networks import Generator, one_hot
from dcgan.sampling import asked_digits, fixed_noise, generate, to_bytes
from pipeline.base.device import set_up
from pipeline.base.folders import folder_whole
from pipeline.base.interrupt import interrupts_deferred
from pipeline.base.paths import (
    DATA_REPORT,
    EXPORT,
    GENERATOR_BEST,
    JUDGE,
    METRICS,
    REFERENCE,
    RUN,
    STOP,
)
from pipeline.base.tiles import tile
from pipeline.store.exchange import IMAGE, input_names, program_of, write_onnx
from pipeline.store.model_card import Facts, model_card
from pipeline.store.outcome import verdict_of
from pipeline.store.weights import load_generator, load_meter
from pipeline.tracking.run import TrackedRun

BATCHES = (1, 2, 64)
MAX_ERROR = 1e-5  # of a pixel in [0, 1]
CPU = torch.device("cpu")  # what is exported computes anywhere; what it is compared with, here


def main() -> None:
    Parser("export", __doc__).parse_args()
    params = load_params()
    set_up(params.runtime)
    generator, about = load_generator(GENERATOR_BEST)
    load_meter(params.measure, CPU)  # the registry will need it; what is wrong with it is said now
    run_key = _read(RUN, "train", "key")
    tracked = TrackedRun(run_key)
    data = {name: _read(DATA_REPORT, "fetch", name) for name in ("hash", "source", "verified")}
    verdict = verdict_of(read_json(STOP, "train"))
    metrics, scale = _read_metrics()
    with folder_whole(EXPORT) as folder:
        shutil.copyfile(GENERATOR_BEST, folder / "generator.safetensors")
        with interrupts_deferred():
            export(generator, folder)
            errors = parity(generator, folder)
        print(
            f"largest difference to the trained network at batch {', '.join(map(str, BATCHES))}: "
            + ", ".join(f"{name} {error:.1e}" for name, error in errors.items())
        )
        for name, error in errors.items():
            if not error <= MAX_ERROR:  # nan, too, is no agreement
                raise UserError(
                    f"{name} differs from the trained network by {error:.1e}, over {MAX_ERROR:.0e};"
                    " nothing was exported; another torch or onnxruntime may do better"
                )
        images = generate(generator, fixed_noise(params.train.seed, generator.latent_dim, CPU))
        Image.fromarray(tile(to_bytes(images).squeeze(1).numpy())).save(folder / "samples.png")
        facts = Facts(params, about, run_key, data, verdict, metrics, scale, errors)
        (folder / "model_card.md").write_text(model_card(facts), encoding="utf-8")
    print(f"{EXPORT}: " + ", ".join(sorted(file.name for file in EXPORT.iterdir())))
    tracked.model(GENERATOR_BEST, JUDGE, REFERENCE, params.measure)
    tracked.flush(at_once=True)


def _read(path: Path, made_by: str, name: str) -> Any:
    try:
        return read_json(path, made_by)[name]
    except (KeyError, TypeError):
        raise corrupt(path, made_by) from None


def _read_metrics() -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """The best generator's metrics; for each metric, what it is for known sets."""
    try:
        best = {**_read(METRICS, "evaluate", "best")}
        return best, {row.pop("metric"): row for row in _read(METRICS, "evaluate", "scale")}
    except (KeyError, TypeError, AttributeError):
        raise corrupt(METRICS, "evaluate") from None


def export(generator: Generator, folder: Path) -> None:
    """Write generator.pt2 and generator.onnx, each for any batch size."""
    program = program_of(generator)
    packed = io.BytesIO()  # torch would hide that the disk is full
    torch.export.save(program, packed)
    (folder / "generator.pt2").write_bytes(packed.getbuffer())
    write_onnx(generator, program, folder / "generator.onnx")


def parity(generator: Generator, folder: Path) -> dict[str, float]:
    """The largest difference of a pixel between `generator` and what `export` wrote, by file."""
    session = onnxruntime.InferenceSession(
        folder / "generator.onnx", providers=["CPUExecutionProvider"]
    )
    program = torch.export.load(folder / "generator.pt2").module()
    errors: dict[str, list[float]] = {"generator.onnx": [], "generator.pt2": []}
    for batch in BATCHES:
        noise = fixed_noise(batch, generator.latent_dim, CPU)[:batch]
        wanted = generate(generator, noise)
        digits = asked_digits(generator, batch)
        given = [noise] if digits is None else [noise, one_hot(digits)]
        named = dict(zip(input_names(generator), (part.numpy() for part in given), strict=True))
        (image,) = session.run([IMAGE], named)
        drawn = {"generator.onnx": torch.from_numpy(image), "generator.pt2": program(*given)}
        for name, images in drawn.items():
            same = images.shape == wanted.shape
            errors[name].append(float((images - wanted).abs().max()) if same else inf)
    return {name: float(np.max(values)) for name, values in errors.items()}  # nan stays nan


if __name__ == "__main__":
    run(main)
