"""Weights on disk: safetensors, which cannot run code, with what is needed to use them again."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from dcgan.judge import Judge
from dcgan.measuring import Meter, Reference
from dcgan.networks import Generator
from dcgan.params import MeasureParams
from pipeline.base.cli import UserError, corrupt, missing, write_whole
from pipeline.base.paths import JUDGE, REFERENCE


def save_tensors(path: Path, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    """Write tensors and a description, whole or not at all."""
    dense = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with write_whole(path) as file:
        file.write(save(dense, {"about": json.dumps(about, sort_keys=True)}))


def load_tensors(path: Path, made_by: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote; a missing or corrupt file names the stage that makes it."""
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})["about"])
            return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118
    except FileNotFoundError:
        raise missing(path, made_by) from None
    except (SafetensorError, KeyError, ValueError):
        raise corrupt(path, made_by) from None


def _fill(module: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    try:
        module.load_state_dict(tensors)
    except RuntimeError:
        raise UserError(f"{path}: these are weights of another network; make them anew") from None


def _need_finite(tensors: dict[str, Tensor], path: Path) -> None:
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise UserError(f"{path}: {name} is not finite; these weights are broken")


def save_generator(path: Path, generator: Generator, about: dict[str, Any]) -> None:
    """Write a generator and its shape; `about`, at least "epoch" and "step", is kept beside."""
    shape = {
        "width": generator.width,
        "latent_dim": generator.latent_dim,
        "conditional": generator.conditional,
    }
    save_tensors(path, generator.state_dict(), {**about, **shape})


def load_generator(
    path: Path, made_by: str = "train", may_be_broken: bool = False
) -> tuple[Generator, dict[str, Any]]:
    """A generator in inference mode, and what was kept beside it.

    Args:
        may_be_broken: whether its weights may be other than finite, as at a failed run's end.
    """
    tensors, about = load_tensors(path, made_by)
    _need_finite({} if may_be_broken else tensors, path)
    try:
        # A network of any size could be asked for; one that the weights do not fill is not made.
        conditional = about.get("conditional", False)  # which older weights do not tell
        shape = about["width"], about["latent_dim"], 0.0, conditional
        with torch.device("meta"):
            shapes = {name: t.shape for name, t in Generator(*shape).state_dict().items()}
        fits = shapes == {name: tensor.shape for name, tensor in tensors.items()}
        fits = fits and all(type(about.get(name)) is int for name in ("epoch", "step"))
        fits = fits and type(conditional) is bool
    except Exception:  # whatever a stranger's description holds
        fits = False
    if not fits:
        raise UserError(f"{path}: not a generator's weights; `dvc repro {made_by}` makes it")
    generator = Generator(*shape)
    _fill(generator, tensors, path)
    return generator.eval().requires_grad_(False), {**about, "conditional": conditional}


def load_judge(path: Path = JUDGE) -> Judge:
    """The judge, in inference mode."""
    judge, tensors = Judge(), load_tensors(path, "judge")[0]
    _need_finite(tensors, path)
    _fill(judge, tensors, path)
    return judge.eval().requires_grad_(False)


def load_meter(
    params: MeasureParams, device: torch.device, judge: Path = JUDGE, reference: Path = REFERENCE
) -> Meter:
    """The judge and its view of the real digits, ready to measure on `device`."""
    tensors, _ = load_tensors(reference, "judge")
    try:
        against = Reference(**{name: tensor.to(device) for name, tensor in tensors.items()})
        against.check()
    except (TypeError, ValueError):
        raise UserError(f"{reference}: not a reference; `dvc repro judge` makes it") from None
    return Meter(load_judge(judge).to(device), against, params)
