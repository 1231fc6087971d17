"""Where a run can be continued from: `checkpoints/<hash of all that determines the run>/`."""

import dataclasses
import hashlib
import io
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from filelock import FileLock, Timeout

import dcgan
import ganverdict
from dcgan.runtime import precision_of
from pipeline.base.cli import UserError, read_json, write_json, write_whole
from pipeline.base.params import Params
from pipeline.base.paths import CHECKPOINTS


def run_hash(params: Params, device: torch.device, data: str, judge: Path) -> str:
    """16 hex digits of all that changes a bit: parameters, data, judge, code, torch, device.

    Of the code, all of `dcgan` and nothing else: what is concluded from a run (`ganverdict` and the
    section `stability`) or done with it changes none of its bits, unless the run rolls back.
    """
    rolls_back = params.train.stop == "rollback"
    parts = {
        "train": dataclasses.asdict(params.train),
        "verdict": [dataclasses.asdict(params.stability), _code(ganverdict)] if rolls_back else [],
        "measure": dataclasses.asdict(params.measure),
        "data": data,
        "judge": hashlib.sha256(judge.read_bytes()).hexdigest(),
        "code": _code(dcgan),
        "torch": torch.__version__,
        "device": str(device),
        "threads": torch.get_num_threads(),
        "precision": precision_of(params.runtime, device),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _code(package: ModuleType) -> dict[str, str]:
    """The checksum of each of its sources."""
    folder = Path(str(package.__file__)).parent
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*.py")
    }


class Checkpoints:
    """The folder of one run: its key, its newest and its best state, every epoch's generator."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder = CHECKPOINTS / name
        self._state = self.folder / "state.pt"
        self._best = self.folder / "best.pt"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the folder; raises UserError, naming the process, if another one does."""
        self.folder.mkdir(parents=True, exist_ok=True)
        owner = self.folder / "process"
        lock = FileLock(self.folder / "lock")  # freed by the system, too, however the owner ends
        try:
            lock.acquire(blocking=False)
        except Timeout:
            number = owner.read_text().strip() if owner.exists() else "unknown"
            raise UserError(
                f"{self.folder.name}: process {number} is training this very run; wait for it, "
                f"or end it (`kill {number}`), and start again"
            ) from None
        try:
            with write_whole(owner) as file:
                file.write(f"{os.getpid()}\n".encode())
            yield
        finally:
            lock.release()

    @property
    def key(self) -> str:
        """The run's own name for the tracker, made up at its first start."""
        file = self.folder / "run.json"
        if not file.exists():
            write_json(file, {"key": uuid.uuid4().hex})
        return str(read_json(file, "train")["key"])

    def save(self, values: dict[str, Any]) -> None:
        """Replace the newest state."""
        _save(self._state, values)

    def save_best(self, state: dict[str, Any]) -> None:
        """Replace the state that a run goes back to."""
        _save(self._best, state)

    def load_best(self, step: float) -> dict[str, Any]:
        """The state to go back to, which must be that of `step`."""
        state = _load(self._best) if self._best.exists() else {}
        if state is None or state.get("step") != step:
            raise self.corrupt(self._best)
        return state

    def load(self) -> dict[str, Any] | None:
        """The newest state, or None at the first start. Nothing but tensors and plain values."""
        if not self._state.exists():
            return None
        values = _load(self._state)
        if values is None:
            raise self.corrupt()
        return values

    def corrupt(self, file: Path | None = None) -> UserError:
        """What to raise for a state, the newest or that in `file`, that is not of this run."""
        there = f"{file or self._state}: corrupt, or not a checkpoint"
        return UserError(f"{there}; delete {self._state} to train from the start")

    def generator(self, epoch: int) -> Path:
        """Where the weights of an epoch's generator lie."""
        return self.folder / "epochs" / f"{epoch:05d}.safetensors"


def _save(path: Path, values: dict[str, Any]) -> None:
    packed = io.BytesIO()  # torch would hide that the disk is full
    torch.save(values, packed)
    with write_whole(path) as file:
        file.write(packed.getbuffer())


def _load(path: Path) -> dict[str, Any] | None:
    """Tensors and plain values; None for a file of anything else."""
    try:
        values: dict[str, Any] = torch.load(path, weights_only=True)
    except Exception:  # torch raises many kinds for a broken or hostile file
        return None
    return values if isinstance(values, dict) else None
