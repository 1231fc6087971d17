"""Which trainings there are, and the record of each: reports/<plan>/<group>-<seed>/."""

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.registered.registration import KINDS, Group, Registration
from pipeline.base.cli import UserError
from pipeline.base.params import Params
from pipeline.base.paths import JUDGE
from pipeline.replication.records import epochs_done, is_whole, read_facts


@dataclass(frozen=True)
class Run:
    """One registered training; its record lies under `root`."""

    group: Group
    seed: int
    root: Path

    @property
    def name(self) -> str:
        """Tells it from the others."""
        return f"{self.group.name}-{self.seed}"

    @property
    def folder(self) -> Path:
        """Where its record lies."""
        return self.root / self.name

    @property
    def epochs(self) -> int:
        """How many its record holds."""
        return epochs_done(self.folder)

    @property
    def is_done(self) -> bool:
        """Whether its record is whole."""
        return is_whole(read_facts(self.folder))

    def facts(self, registration: Registration, params: Params) -> dict[str, Any]:
        """What its record says from the start; `params` are this training's own."""
        return {
            "group": self.group.name,
            "kind": self.group.kind,
            "seed": self.seed,
            "digits": self.group.digits,
            "registration": registration.digest,
            "registered_verdict": registration.verdict,
            "train": dataclasses.asdict(params.train),
            "measure": dataclasses.asdict(params.measure),
            "judge": hashlib.sha256(JUDGE.read_bytes()).hexdigest(),
        }


def runs(registration: Registration, root: Path, only: str | None = None) -> list[Run]:
    """The trainings, the first seed of every group first: cut short, they are ones of fewer seeds.

    `only` is a kind, a group or a training's name. Raises UserError for anything else.
    """
    groups = registration.groups
    places = range(max(len(group.seeds) for group in groups))
    every = [
        Run(group, group.seeds[place], root)
        for place in places
        for group in groups
        if place < len(group.seeds)
    ]
    if only is None:
        return every
    chosen = [run for run in every if only in (run.group.kind, run.group.name, run.name)]
    if not chosen:
        names = ", ".join([*KINDS, *(group.name for group in groups)])
        raise UserError(f"--only {only}: no such trainings; there are {names}, or a name", 2)
    return chosen


def refuse_other_records(wanted: Sequence[Run], registration: Registration) -> None:
    """Raise UserError if a record was made under another registration: it is never mixed in."""
    for run in wanted:
        facts = read_facts(run.folder)
        if facts is not None and facts.get("registration") != registration.digest:
            raise UserError(
                f"{run.folder}: made under another registration than {registration.path}; it "
                f"stays as it is, and --folder {run.root}-2 makes the trainings anew beside it"
            )
