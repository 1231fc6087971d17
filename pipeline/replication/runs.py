"""What is trained, and whether a record that lies there is of the same thing."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.base.cli import UserError
from pipeline.base.params import Params
from pipeline.base.paths import JUDGE
from pipeline.replication.records import is_whole, read_facts

_RECIPES = Path(__file__).parent.parent / "recipes"
RECIPES: dict[str, tuple[str, dict[str, object]]] = {
    "joint": ("blog", {"freeze_discriminator": False}),
    "frozen": ("blog", {}),
    "stabilised": ("stabilised", {"batch_size": 128}),
}
"""What is trained: a recipe of `pipeline.recipe`, and what differs from it."""


@dataclass(frozen=True)
class Run:
    """One training of the replication; its record lies under `root`."""

    recipe: str
    seed: int
    root: Path

    @property
    def name(self) -> str:
        """Tells it from the others."""
        return f"{self.recipe}-{self.seed}"

    @property
    def folder(self) -> Path:
        """Where its record lies."""
        return self.root / self.name

    def params(self, params: Params) -> Params:
        """The present parameters with what this run has of its own."""
        name, differing = RECIPES[self.recipe]
        text = (_RECIPES / f"{name}.yaml").read_text(encoding="utf-8")
        values = {**dataclasses.asdict(params.train), **yaml.safe_load(text)}
        size = {"width": params.replicate.width, "epochs": params.replicate.epochs}
        own = {"seed": self.seed, "sample_every": 0, "stop": "never"}
        whole = {**dataclasses.asdict(params), "train": {**values, **differing, **size, **own}}
        return Params.from_mapping(whole)

    def facts(self, params: Params) -> dict[str, Any]:
        """What its record says from the start; `params` are the present ones."""
        return self.facts_by(hashlib.sha256(JUDGE.read_bytes()).hexdigest(), params)

    def facts_by(self, judge: str, params: Params) -> dict[str, Any]:
        """The same for a judge that is named by its digest: all that the metrics depend on."""
        own = self.params(params)
        return {
            "recipe": self.recipe,
            "seed": self.seed,
            "train": dataclasses.asdict(own.train),
            "measure": dataclasses.asdict(own.measure),
            "judge": judge,
        }

    def is_done(self) -> bool:
        """Whether its record is whole."""
        return is_whole(read_facts(self.folder))

    def differences(self, params: Params) -> list[str]:
        """What the record that lies there was made with, where that is not so now; [] for none."""
        kept = read_facts(self.folder)
        return [] if kept is None else differences(kept, self.facts(params))


def runs(params: Params, root: Path) -> list[Run]:
    """All of the replication, a seed after the other: one cut short is one of fewer seeds."""
    seeds = range(1, params.replicate.seeds + 1)
    return [Run(recipe, seed, root) for seed in seeds for recipe in RECIPES]


def refuse_other_records(runs: Sequence[Run], params: Params) -> None:
    """Raise UserError if a record was made with anything else: what lies there is never lost."""
    others = {run: differing for run in runs if (differing := run.differences(params))}
    if not others:
        return
    run = next(iter(others))
    more = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
    raise UserError(
        f"{run.folder}{more}: made with {in_short(others[run])}; it stays as it is, and "
        f"`python -m pipeline.replicate --folder {run.root}-2` makes the experiment anew beside it"
    )


def differences(kept: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """What a record was made with, where its facts and those wanted differ in what counts."""
    if not kept:
        return ["what it does not tell"]
    differing = []
    for section, effective in (("train", _effective_in_training), ("measure", _effective_in_fd)):
        old, new = effective(kept[section]), effective(wanted[section])
        differing += [
            f"{section}.{key} {old.get(key, 'none')} (now {new.get(key, 'none')})"
            for key in {**new, **old}
            if old.get(key) != new.get(key)
        ]
    if kept["judge"] != wanted["judge"]:
        differing.append("another judge, whose fd is of another scale")
    return differing


def in_short(differing: Sequence[str]) -> str:
    """The first of what differs, for one line."""
    more = [f"{len(differing) - 3} other differences"] if len(differing) > 3 else []
    return ", ".join([*differing[:3], *more])


def _effective_in_training(train: Mapping[str, Any]) -> dict[str, Any]:
    """Without what this recipe makes no use of."""
    unused = {"raw_every"}  # of a figure that decides nothing
    if train.get("optimizer") != "adam":
        unused |= {"beta1", "beta2"}
    if not train.get("r1_gamma"):
        unused |= {"r1_every"}
    if not train.get("conditional"):
        unused |= {"conditional"}  # which records of before do not tell
    if train.get("stop") != "rollback":
        unused |= {"rollbacks"}
    return {key: value for key, value in train.items() if key not in unused}


def _effective_in_fd(measure: Mapping[str, Any]) -> dict[str, Any]:
    """Without what counts only after training."""
    return {key: value for key, value in measure.items() if key != "num_samples"}
