"""Run a whole recipe as a DVC experiment: `python -m pipeline.recipe blog`.

    original     the script: batch 256, 10,000 iterations, joint update; hours on two cores
    blog         the blog post: batch 128, 150 x 468 iterations, D frozen; most of a day
    classic      an early default: dropout, no gradient penalty
    stabilised   laptop size with R1 and averaged weights
    conditional  laptop size, draws the digit that it is asked for
    joint        laptop size, joint update: goes wrong, and is ended

A recipe is a file of pipeline/recipes with values for the section `train` of params.yaml; what it
does not name stays as it is there. Every further argument goes to `dvc exp run`, so
`python -m pipeline.recipe original --name short -S train.epochs=2` and `--queue` work. An
interrupted recipe continues with the same command; `dvc exp show` and the MLflow UI compare the
results.
"""

import json
import os
import sys
from pathlib import Path

from pipeline.base.cli import Parser, load_params, read_yaml, run

RECIPES = {file.stem: file for file in (Path(__file__).parent / "recipes").glob("*.yaml")}


def main() -> None:
    parser = Parser(
        "recipe",
        __doc__,
        allow_abbrev=False,  # `--dry` is dvc's
    )
    parser.add_argument("recipe", choices=sorted(RECIPES))
    parser.add_argument("--dry-run", action="store_true", help="print the command, run nothing")
    chosen, others = parser.parse_known_args()
    load_params()  # what is wrong with it, or with the folder, is one line here and many of DVC's
    command = [sys.executable, "-m", "dvc", *exp_run(chosen.recipe, others)]
    print(" ".join(["dvc", *command[3:]]), flush=True)
    if not chosen.dry_run:
        os.execv(sys.executable, command)  # noqa: S606 - so that Ctrl-C and the exit status are dvc's own


def exp_run(recipe: str, others: list[str]) -> list[str]:
    """The arguments of dvc; later ones win, so `others` may change the name and any value."""
    values = read_yaml(RECIPES[recipe])
    settings = [f"--set-param=train.{key}={_text(value)}" for key, value in values.items()]
    return ["exp", "run", "--name", recipe, *settings, *others]


def _text(value: object) -> str:
    """A value as DVC's command line reads it: `null` and `true`, and texts without quotes."""
    return value if isinstance(value, str) else json.dumps(value)


if __name__ == "__main__":
    run(main)
