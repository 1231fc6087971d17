"""Where a run can be continued from: `checkpoints/<hash of all that determines the run>/`.

Where `runtime.checkpoints` names another place, `checkpoints/` is what this machine has of it.
"""

import dataclasses
import hashlib
import io
import json
import os
import shutil
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
from pipeline.store.place import Place
from pipeline.store.shared import Shared


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


def shared_place(place: str) -> str | None:
    """A place other than the project's own folder, by its whole name; None: it is that folder."""
    if not place.strip():
        raise UserError(
            "params.yaml: runtime.checkpoints: is empty; `checkpoints` is the project's own folder",
            2,
        )
    if "://" in place:
        return place.rstrip("/")
    folder = (CHECKPOINTS.parent / place).resolve()
    return None if folder == CHECKPOINTS.resolve() else str(folder)


def check_place(place: str) -> None:
    """Raise UserError where checkpoints cannot be kept there."""
    shared = shared_place(place)
    if shared is not None:
        Place(shared).probe()


class Checkpoints:
    """The folder of one run: its key, its newest and its best state, every epoch's generator."""

    def __init__(self, name: str, place: str | None = None) -> None:
        """`place`: `runtime.checkpoints`; None: this project's folder, whatever that says."""
        self.name = name
        self.folder = CHECKPOINTS / name
        self._state = self.folder / "state.pt"
        self._best = self.folder / "best.pt"
        shared = None if place is None else shared_place(place)
        self._shared = None if shared is None else Shared(Place(shared, name), self.folder)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the folder; raises UserError, naming the process, if another one does.

        From a place that others reach, what they have done of this run is taken over, and the run
        is taken from them.
        """
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
            if self._shared is not None:
                self._shared.take()
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

    @property
    def term(self) -> int:
        """How often this run has been taken, at a place that others reach; 0: at none."""
        return 0 if self._shared is None else self._shared.term

    @property
    def kept(self) -> bool:
        """Whether whoever goes on with this run, on any machine, finds all that was saved here."""
        return self._shared is None or self._shared.kept

    def save(self, values: dict[str, Any]) -> None:
        """Replace the newest state. Raises TakenOverError if another machine has taken the run."""
        _save(self._state, values)
        self.keep()

    def keep(self, at_once: bool = False) -> None:
        """Copy what is new to the place; where that fails, say so, and try later."""
        if self._shared is not None:
            self._shared.push(at_once)

    def remove(self) -> None:
        """Remove the folder, and what is of it at the place."""
        if self._shared is not None:
            self._shared.remove()
        shutil.rmtree(self.folder, ignore_errors=True)

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
        return self.folder / _generator(epoch)

    def find_generator(self, epoch: int) -> Path | None:
        """The same, fetched if only another machine has it; None: nobody has."""
        path = self.generator(epoch)
        if not path.exists() and self._shared is not None:
            self._shared.fetch_file(_generator(epoch))
        return path if path.exists() else None


def _generator(epoch: int) -> str:
    return f"epochs/{epoch:05d}.safetensors"


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
