"""The study's judge: the pipeline's where it can be read, else one that is trained on the spot.

It is kept beside the checkpoints, with its view of the real digits, so that every later command, on
any machine that it is carried to, measures by the same one.
"""

import dataclasses
import hashlib
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.study.runs import FOLDER
from dcgan import judge as judging
from dcgan.judge import Judge
from dcgan.measuring import Meter, Reference, reference
from dcgan.mnist import Mnist
from dcgan.params import MeasureParams
from pipeline.base import paths
from pipeline.base.cli import UserError
from pipeline.base.params import Params
from pipeline.store.checkpoints import Checkpoints
from pipeline.store.exam import examine


@dataclasses.dataclass(frozen=True)
class KeptJudge:
    """A judge that lies in `file`; records name it by `name`, a digest."""

    name: str
    meter: Meter
    file: Path


def keep_judge(data: Mnist, data_hash: str, params: Params, device: torch.device) -> None:
    """See to it that there is one: read the pipeline's or train one, unless one is kept."""
    kept = _place()
    with kept.alone():
        if kept.load() is not None:
            return
        name, meter = _from_the_pipeline(params.measure) or _trained(data, params, device)
        kept.save(
            {
                "name": name,
                "judge": meter.judge.state_dict(),
                "reference": dict(vars(meter.against)),
                "of": _made_of(data_hash, params.measure),
            }
        )


def kept_judge(data_hash: str, measure: MeasureParams, device: torch.device) -> KeptJudge:
    """The judge that is kept, on `device`. Raises UserError if it is of other digits or another
    `measure`."""
    kept = _place()
    saved = kept.load() or {}
    judge = Judge()
    try:
        judge.load_state_dict(saved["judge"])
        against = Reference(**{name: t.to(device) for name, t in saved["reference"].items()})
        against.check()
        name, of = str(saved["name"]), saved["of"]
    except Exception:  # a file made by other code may hold anything
        raise kept.corrupt() from None
    if of != _made_of(data_hash, measure):
        raise UserError(
            f"{kept.folder}: this judge has seen other digits, or `measure` was another in "
            "params.yaml; move it away, and the same command makes another one"
        )
    meter = Meter(judge.eval().requires_grad_(False).to(device), against, measure)
    return KeptJudge(name, meter, kept.folder / "state.pt")


def _place() -> Checkpoints:
    return Checkpoints(f"{FOLDER}/judge")


def _made_of(data_hash: str, measure: MeasureParams) -> dict[str, Any]:
    return {"data": data_hash, "measure": dataclasses.asdict(measure)}


def _from_the_pipeline(measure: MeasureParams) -> tuple[str, Meter] | None:
    """The judge in models/, if it is there and safetensors is."""
    if not (paths.JUDGE.exists() and paths.REFERENCE.exists()):
        return None
    try:
        from pipeline.store.weights import load_meter
    except ImportError:
        print(f"judge: {paths.JUDGE} cannot be read without the package safetensors", flush=True)
        return None
    print(f"judge: that of {paths.JUDGE}", flush=True)
    name = hashlib.sha256(paths.JUDGE.read_bytes()).hexdigest()
    return name, load_meter(measure, torch.device("cpu"))


def _trained(data: Mnist, params: Params, device: torch.device) -> tuple[str, Meter]:
    started = time.monotonic()
    for report in judging.fit(data, params.judge, params.runtime, device):
        seconds = time.monotonic() - started
        print(f"judge: epoch {report.epoch} of {params.judge.epochs}, {seconds:.0f} s", flush=True)
    judge = report.judge.cpu()
    _, accuracy = examine(judge, data, params.judge)
    against = reference(judge, data, params.measure)
    name = _digest(judge.state_dict())
    seconds = time.monotonic() - started
    print(f"judge: trained here, right on {accuracy:.2%}, {seconds:.0f} s", flush=True)
    return name, Meter(judge, against, params.measure)


def _digest(tensors: dict[str, Tensor]) -> str:
    whole = hashlib.sha256()
    for name, tensor in tensors.items():
        whole.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return whole.hexdigest()
