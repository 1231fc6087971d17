"""What is registered: trainings, seeds, endpoints, and the verdict that they are to try."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ganverdict
from dcgan.params import MeasureParams, RuntimeParams, TrainParams, build
from ganverdict.thresholds import Thresholds
from pipeline.base.cli import UserError, read_yaml, write_whole
from pipeline.base.params import Params

FILE = Path("benchmarks/held_out.yaml")
KINDS = ("joint", "healthy", "few")
STATISTICS = ("share", "median", "mean")
DECIDING = (
    "alarms",
    "answering",
    "charts",
    "confirming",
    "counting",
    "evaluations",
    "evidence",
    "failures",
    "families",
    "improving",
    "judging",
    "loess",
    "metrics",
    "monitor",
    "naming",
    "quality",
    "seen",
    "signals",
    "states",
    "thresholds",
    "timeline",
    "verdict",
    "windows",
    "wobble",
)
"""The modules of `ganverdict` whose code decides what a verdict says."""


@dataclass(frozen=True)
class Group:
    """Trainings that differ by their seeds alone.

    Attributes:
        kind: what is expected of them, of `KINDS`.
        digits: how many training digits they see; None: all.
        train: their parameters, but for the seed.
    """

    name: str
    kind: str
    seeds: tuple[int, ...]
    digits: int | None
    train: TrainParams


@dataclass(frozen=True)
class Endpoint:
    """What is asked of all runs of a kind, and wanted of the answer.

    Attributes:
        kind: of `KINDS`, or "all".
        statistic: of `STATISTICS`: what of the runs' values counts.
        at_least, at_most: what is wanted of it; None: it is reported, no more.
    """

    name: str
    kind: str
    statistic: str
    words: str
    at_least: float | None
    at_most: float | None


@dataclass(frozen=True)
class Registration:
    """All of the file at `path`.

    Attributes:
        fresh_seed: of a noise bank beside that of `measure`.
        settled_epochs: a state that is over by then is not counted.
        verdict: `verdict_digest` of the verdict that was registered, or "none".
        digest: 16 hex digits of all but `verdict`; a record is made under it.
    """

    path: Path
    runtime: RuntimeParams
    measure: MeasureParams
    fresh_seed: int
    settled_epochs: float
    groups: tuple[Group, ...]
    endpoints: tuple[Endpoint, ...]
    verdict: str
    digest: str

    def params(self, present: Params, group: Group, seed: int) -> Params:
        """The parameters of one training; of the `present` ones, what no training depends on."""
        train = dataclasses.replace(group.train, seed=seed)
        runtime = dataclasses.replace(present.runtime, **dataclasses.asdict(self.runtime))
        return dataclasses.replace(present, runtime=runtime, measure=self.measure, train=train)


def read_registration(path: Path = FILE) -> Registration:
    """Read the file. Raises UserError with one line if it is not a registration."""
    values = read_yaml(path)
    try:
        return _registration(path, values)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not a registration: {error!r} is missing or wrong", 2) from None
    except ValueError as error:
        raise UserError(f"{path}: {error}", 2) from None


def _registration(path: Path, values: Any) -> Registration:
    registered = {name: part for name, part in values.items() if name != "verdict"}
    return Registration(
        path=path,
        runtime=build(RuntimeParams, values["runtime"], "runtime"),
        measure=build(MeasureParams, values["measure"], "measure"),
        fresh_seed=int(values["fresh_seed"]),
        settled_epochs=float(values["settled_epochs"]),
        groups=tuple(_group(name, part) for name, part in values["groups"].items()),
        endpoints=tuple(_endpoint(name, part) for name, part in values["endpoints"].items()),
        verdict=str(values["verdict"]),
        digest=_digest(json.dumps(registered, sort_keys=True).encode()),
    )


def _group(name: str, values: Mapping[str, Any]) -> Group:
    if values["kind"] not in KINDS:
        raise ValueError(f"{name}: unknown kind {values['kind']}; there are {', '.join(KINDS)}")
    seeds = tuple(int(seed) for seed in values["seeds"])
    # What a recipe could not say when it was registered is as it was then.
    recipe = {"conditional": False, "raw_every": 1, **values["train"], "seed": seeds[0]}
    train = build(TrainParams, recipe, f"groups.{name}.train")
    return Group(name, values["kind"], seeds, values.get("digits"), train)


def _endpoint(name: str, values: Mapping[str, Any]) -> Endpoint:
    if values["kind"] not in (*KINDS, "all") or values["statistic"] not in STATISTICS:
        raise ValueError(f"{name}: kind or statistic is unknown")
    limits = (values.get("at_least"), values.get("at_most"))
    return Endpoint(name, values["kind"], values["statistic"], values["words"], *limits)


def verdict_digest(thresholds: Thresholds) -> str:
    """16 hex digits of a verdict: its thresholds, and the text of the modules that decide."""
    folder = Path(ganverdict.__file__).parent
    whole = hashlib.sha256(json.dumps(dataclasses.asdict(thresholds)).encode())
    for name in DECIDING:
        whole.update((folder / f"{name}.py").read_bytes())
    return whole.hexdigest()[:16]


def register(path: Path, thresholds: Thresholds) -> str:
    """Write which verdict the trainings are to try; returns its digest."""
    digest = verdict_digest(thresholds)
    text, count = re.subn(
        r"^verdict: .*$", f"verdict: {digest}", path.read_text(encoding="utf-8"), flags=re.M
    )
    if count != 1:
        raise UserError(f"{path}: must have one line that begins with `verdict: `")
    with write_whole(path) as file:
        file.write(text.encode())
    return digest


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
