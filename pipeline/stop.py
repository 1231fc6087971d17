"""Judge a GAN's training from its logs: when it was best, whether and when it went wrong, and why.

This is `python -m ganverdict` with the thresholds of params.yaml, section `stability`, and with
the runs that this project tracked. steps.csv has a row per iteration, epochs.csv a row per
evaluation; whatever else `python -m ganverdict` reads will do as well.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from ganverdict import cli
from ganverdict.command import CallError
from ganverdict.evaluations import MEASURES
from ganverdict.formats import ReadError
from ganverdict.log import Log
from ganverdict.signals import HELD_OUT, SIGNALS
from pipeline.base.cli import Parser, UserError, load_params, run
from pipeline.store.columns import from_histories

_FAMILIES = {"bce": "bce_mean", "relativistic": "relativistic"}  # of the project's losses
PARAMS = Path(__file__).resolve().parent.parent / "params.yaml"  # from whatever folder one calls


def main() -> None:
    arguments = _arguments()
    try:
        options = cli.parse(_translated(arguments))
        options = replace(options, thresholds=load_params(PARAMS).stability)
        if arguments.run:
            status = cli.tell(options, [_tracked(arguments.run, options.rename or {})])
        else:
            status = cli.run(options)
    except (CallError, ReadError) as error:
        raise UserError(str(error), 2) from None
    sys.exit(status)


def _arguments() -> argparse.Namespace:
    parser = Parser("stop", __doc__)
    parser.add_argument("steps", nargs="?", metavar="steps.csv", help="or another log")
    parser.add_argument("epochs", nargs="?", metavar="epochs.csv")
    parser.add_argument("--run", metavar="RUN_ID", help="read a run of MLflow instead of files")
    parser.add_argument("--out", metavar="stop.json", help="write the verdict here")
    parser.add_argument("--plot", metavar="stop.png", help="draw logs and verdict here")
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="OURS=THEIRS",
        help="a column (or metric of the run) of another name, e.g. d_loss=disc_loss; repeatable",
    )
    parser.add_argument(
        "--steps-per-epoch",
        metavar="N",
        help="iterations per epoch, if the evaluations do not tell",
    )
    arguments = parser.parse_args()
    if bool(arguments.run) == bool(arguments.steps):
        raise UserError("give either steps.csv or --run RUN_ID", 2)
    return arguments


def _translated(arguments: argparse.Namespace) -> list[str]:
    """The same call of `python -m ganverdict`."""
    words = [f"--map={pair}" for pair in arguments.map]
    for name in ("out", "plot", "steps_per_epoch"):
        if (value := getattr(arguments, name)) is not None:
            words.append(f"--{name.replace('_', '-')}={value}")
    logs = [arguments.steps or f"mlflow:{arguments.run}", arguments.epochs]
    return [*words, "--", *filter(None, logs)]


def _tracked(run_id: str, renamed: dict[str, str]) -> Log:
    """A run as this project tracks it: values that are not finite are told by tags."""
    from pipeline.tracking import server as tracking  # importing mlflow takes seconds

    keys = {name: renamed.get(name, f"train/{name}") for name in SIGNALS}
    evaluated = (*MEASURES, "fd_ema", *HELD_OUT)
    keys |= {name: renamed.get(name, f"eval/{name}") for name in evaluated}
    try:
        histories = tracking.read_history(run_id, keys.values())
        loss = tracking.read_params(run_id).get("train.loss", "")
    except tracking.FAILURES as error:
        raise UserError(f"run {run_id}: {tracking.brief(error)}") from None
    found = {name: histories[key] for name, key in keys.items() if key in histories}
    if not found:
        raise UserError(
            f"run {run_id}: no metric {keys['d_loss']} or {keys['fd']}; name yours with "
            "--map d_loss=NAME"
        )
    signals = {name: pair for name, pair in found.items() if name in SIGNALS}
    measures = {name: pair for name, pair in found.items() if name not in SIGNALS}
    evaluations = from_histories(measures) if measures else {}
    length = None
    if measures:
        number = np.arange(1.0, len(evaluations["step"]) + 1)
        evaluations["epoch"] = np.ma.asarray(number)
        length = float(evaluations["step"][0])
        length = length if np.array_equal(evaluations["step"], length * number) else None
    averaged = "fd_ema" in measures and "fd" not in renamed
    return Log(
        name=f"run {run_id}",
        kind="MLflow",
        unit="iteration",
        pairs={"": from_histories(signals)} if signals else {},
        evaluations=evaluations,
        metric="fd_ema" if averaged else "fd" if "fd" in measures else None,
        steps_per_epoch=length,
        loss=_FAMILIES.get(loss),
        notes=(),
        files=(),
    )


if __name__ == "__main__":
    run(main)
