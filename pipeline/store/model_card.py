"""The text that goes with an exported generator."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tabulate import tabulate

from ganverdict.verdict import Verdict
from ganverdict.words import do
from pipeline.base.params import Params

_LICENCE = """\
The code and these weights: MIT. The data: MNIST by Y. LeCun and C. Cortes, CC BY-SA 3.0
(https://creativecommons.org/licenses/by-sa/3.0/), derived from NIST's special databases 1 and 3."""

_OTHER_LICENCE = """\
The code and these weights: MIT, as far as the licence of the data allows; the data are not MNIST's
files but a folder given by whoever trained this."""


_UNCONDITIONAL = "It draws what it likes: there is no way to ask for a class."
_CONDITIONAL = """\
It does not always draw what it is asked for: the classifier reads `as_asked` of its pictures so."""


@dataclass(frozen=True)
class Facts:
    """What the card tells of one generator.

    Attributes:
        params: with which it was trained and measured.
        about: what was kept beside its weights, at least "width", "latent_dim", "conditional",
            "epoch", "step".
        run_key: its run's name in the tracker.
        data: the report of the stage `fetch`: "hash", "source", "verified".
        verdict: on that run.
        metrics: its metrics, such as "fd".
        scale: for each metric, what it is for known sets of images.
        errors: the largest difference to the trained network, by file.
    """

    params: Params
    about: Mapping[str, Any]
    run_key: str
    data: Mapping[str, Any]
    verdict: Verdict
    metrics: Mapping[str, float]
    scale: Mapping[str, Mapping[str, float]]
    errors: Mapping[str, float]


def model_card(facts: Facts) -> str:
    """The card as Markdown; its pictures and files lie beside it."""
    about, measure = facts.about, facts.params.measure
    errors = ", ".join(f"`{name}` {error:.1e}" for name, error in facts.errors.items())
    recipe = dataclasses.asdict(facts.params.train).items()
    example = "--digits 2026" if about["conditional"] else "--num 64"
    verified, conditional = facts.data["verified"], about["conditional"]
    return f"""\
# A generator of {"handwritten digits" if verified else "small pictures"}

![64 samples from the run's fixed noise](samples.png)

A DCGAN generator of width {about["width"]}: {about["latent_dim"]} numbers from U(-1, 1)
{"and a digit " if conditional else ""}in, one grey picture of 28 x 28 pixels in [0, 1] out.
These are the weights of epoch {about["epoch"]} (iteration {about["step"]:,}), the best stopping
point of the run `{facts.run_key}` (tag `run_key` in MLflow).

## How to use it

From the project's folder:

    python -m pipeline.generate {example} --seed 7 --out digits.png

{_usage(about["width"], about["latent_dim"], conditional)}
In all three the first dimension is the number of pictures, any number from one. Differences to the
trained network at batch 1, 2 and 64, largest pixel: {errors}.

## How good it is

Metrics of {measure.num_samples:,} samples (noise seed {measure.seed}), seen by a small
classifier of the data's ten classes; `fd` is the Frechet distance of that classifier's features to
the training data, not an Inception FID. The columns beside are the scale, the same metrics of known
pictures: one half of the training data against the other (floor), test data, blurred training data,
all without the label 9 (nines removed), the label 8 alone (one class), uniform noise. The nearer to
the floor, the better.

{_metrics(facts.metrics, facts.scale)}
## The verdict on its training

**{facts.verdict.status}**: {facts.verdict.reason}.

{_keep(facts.verdict)}Whether to train on: {do(facts.verdict.end, facts.verdict.end_reason)}.

## How it was made

Data: source {facts.data["source"]}, hash `{facts.data["hash"]}`\
{"" if verified else ", not MNIST's files"}.

{_table(["train", "value"], [[name, _text(value)] for name, value in recipe])}
## Limits

- {_CONDITIONAL if conditional else _UNCONDITIONAL}
- Noise from another distribution than U(-1, 1) gives other, mostly worse pictures.
- Some pictures are of no class; the share that the classifier is not sure of is 1 - `confident`.
- The classifier that measured it was trained on the same data; the metrics compare such
  generators with each other and with the scale, and with nothing else.
- 28 x 28 grey pixels, as in the data: nothing larger, nothing coloured.

## Licence

{_LICENCE if verified else _OTHER_LICENCE}
"""


def _usage(width: int, latent_dim: int, conditional: bool) -> str:
    told = "A digit is told as ten numbers, a 1 in its place; between digits they add up to 1.\n\n"
    wants, numpy_digits, digits = "", "", ""
    if conditional:
        wants = ", conditional=True"
        numpy_digits = ', "digit": np.eye(10, dtype=np.float32)[np.arange(64) % 10]'
        digits = ", torch.eye(10)[torch.arange(64) % 10]"
    return f"""\
{told if conditional else ""}ONNX, without PyTorch:

```python
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("generator.onnx")
z = np.random.default_rng(7).uniform(-1, 1, (64, {latent_dim})).astype(np.float32)
(images,) = session.run(["image"], {{"z": z{numpy_digits}}})  # float32 [64, 1, 28, 28]
```

PyTorch, without this project's code:

```python
import torch

generator = torch.export.load("generator.pt2").module()
images = generator(torch.rand(64, {latent_dim}) * 2 - 1{digits})
```

PyTorch, with it:

```python
import torch
from safetensors.torch import load_file

from dcgan.networks import Generator

generator = Generator(width={width}, latent_dim={latent_dim}, dropout=0.0{wants}).eval()
generator.load_state_dict(load_file("generator.safetensors"))
images = generator(torch.rand(64, {latent_dim}) * 2 - 1{digits})
```
"""


def _keep(verdict: Verdict) -> str:
    """What the kept weights are worth; the verdict's metric, by which they were chosen."""
    if verdict.best_value is None or verdict.best_interval is None:
        return ""
    low, high = map(_text, verdict.best_interval)
    value = f"{verdict.metric} {_text(verdict.best_value)} (95 %: {low} to {high})"
    return f"Kept are these weights, with the lowest value plus deviation: {value}. "


def _metrics(metrics: Mapping[str, float], scale: Mapping[str, Mapping[str, float]]) -> str:
    names = [name for name in metrics if name in scale]
    known = list(dict.fromkeys(kind for name in names for kind in scale[name]))
    titles = ["", "this", *(kind.replace("_", " ") for kind in known)]
    rows = [
        [f"`{name}`", _text(metrics[name]), *(_text(scale[name].get(kind)) for kind in known)]
        for name in names
    ]
    return _table(titles, rows)


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return f"{tabulate(rows, titles, tablefmt='github', disable_numparse=True)}\n"


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)
