"""What the study trains: the blog post's recipe as it is, with the joint update and D frozen."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from benchmarks.recipes import default_params, recipe
from pipeline.base.cli import UserError
from pipeline.base.params import Params
from pipeline.replication import runs as replication
from pipeline.replication.records import read_facts
from pipeline.replication.runs import Run, differences, in_short

FOLDER = "gpu"  # in checkpoints/: states and the judge
STUDIED = ("joint", "frozen")


def study_params(device: str, seeds: int | None) -> Params:
    """params.yaml, with `replicate` at the recipe's size; `seeds`: so many instead of its own."""
    params, blog = default_params(), recipe("blog")
    size = dataclasses.replace(
        params.replicate,
        width=blog.width,
        epochs=blog.epochs,
        seeds=params.replicate.seeds if seeds is None else seeds,
    )
    # A thread for each worker, however many they are: on a CPU a run's bits depend on threads, and
    # with a GPU there is no work for a second one.
    kind: Literal["cuda", "cpu"] = "cuda" if device == "cuda" else "cpu"
    runtime = dataclasses.replace(params.runtime, device=kind, threads=1)
    return dataclasses.replace(params, replicate=size, runtime=runtime)


def runs(params: Params, root: Path) -> list[Run]:
    """All of the study, a seed after the other: cut short, it is one of fewer seeds."""
    return [run for run in replication.runs(params, root) if run.recipe in STUDIED]


def refuse_other_records(wanted: Sequence[Run], judge: str, params: Params) -> None:
    """Raise UserError if a record was made by another judge or with other parameters."""
    for run in wanted:
        kept = read_facts(run.folder)
        differing = [] if kept is None else differences(kept, run.facts_by(judge, params))
        if differing:
            raise UserError(
                f"{run.folder}: made with {in_short(differing)}; it stays as it is, and "
                f"--folder {run.root}-2 makes the study anew beside it"
            )
