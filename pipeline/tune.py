"""Search for the best recipe and its best stopping point, for the price of one run each.

With no arguments: a sweep around the section `train` of params.yaml, over the keys of `tune.space`,
then the best trials again with fresh seeds, a table, and reports/tune/. Interrupted by Ctrl-C,
SIGTERM or a kill, the same command continues it, and repeats no trial that has ended. A study is
named after what it searches; the same recipe continues its study, another one starts its own.

`optuna-dashboard sqlite:///tune.db` and `mlflow ui` show trials while they run. With --storage
postgresql+psycopg://... and --join, any number of machines work on one study: the same command on
each, with MLFLOW_TRACKING_URI set to a server that all of them reach.
"""

import argparse
import dataclasses
import re

from dcgan.params import check
from pipeline.base.cli import Parser, UserError, load_params, run
from pipeline.base.params import Params, TuneParams
from pipeline.base.pool import with_a_share_of_threads
from pipeline.base.space import holding

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def main() -> None:
    arguments = _arguments()
    params = _params(arguments)
    # After the command line is known to be right: this takes seconds.
    from pipeline.search.session import Options, tune

    names = [field.name for field in dataclasses.fields(Options)]
    tune(params, Options(**{name: getattr(arguments, name) for name in names}))


def _arguments() -> argparse.Namespace:
    parser = Parser("tune", __doc__)
    parser.add_argument("--trials", type=int, help="trials in all (default: tune.trials)")
    parser.add_argument(
        "--timeout",
        type=seconds,
        help="begin no step after 45s, 30m, 2h; a share of it is kept for the confirmation",
    )
    parser.add_argument("--workers", type=int, help="processes here (default: tune.workers)")
    parser.add_argument("--study", type=study_name, help="its name; one that exists is continued")
    parser.add_argument(
        "--storage", type=address, help="database of the studies (default: sqlite in tune.db)"
    )
    parser.add_argument("--seed", type=int, help="of the search (default: tune.seed)")
    parser.add_argument("--join", action="store_true", help="work on it beside other commands")
    parser.add_argument("--apply", action="store_true", help="write the choice into params.yaml")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and its cost")
    return parser.parse_args()


def seconds(text: str) -> float:
    """45, 45s, 30m, 2h or 1d as seconds; raises ArgumentTypeError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; 45s, 30m and 2h are")
    return float(match[1]) * _UNITS[match[2]]


def study_name(text: str) -> str:
    """A name that folders, tags and databases take; raises ArgumentTypeError for another."""
    if not re.fullmatch(r"[\w.-]{1,100}", text):
        raise argparse.ArgumentTypeError("a name is at most 100 letters, digits, '.', '_' and '-'")
    return text


def address(text: str) -> str:
    """A database's address; raises ArgumentTypeError, which shows no password, for another text."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        make_url(text)
    except (ArgumentError, ValueError):
        raise argparse.ArgumentTypeError(
            "no address of a database, such as postgresql+psycopg://user@host/name"
        ) from None
    return text


def _params(arguments: argparse.Namespace) -> Params:
    """params.yaml with what the command line changes, checked beyond what one key can be."""
    params = load_params()
    given = {name: getattr(arguments, name) for name in ("trials", "workers", "seed")}
    try:
        given = {
            name: check(TuneParams, name, value, f"--{name}: tune.{name}")
            for name, value in given.items()
            if value is not None
        }
    except ValueError as error:
        raise UserError(str(error), 2) from None
    epochs = params.tune.epochs
    if epochs.min > epochs.max:
        raise UserError(f"params.yaml: tune.epochs: min {epochs.min} is above max", 2)
    try:
        space = holding(params.tune.space, params.train)
    except ValueError as error:
        raise UserError(f"params.yaml: {error}", 2) from None
    tune = dataclasses.replace(params.tune, space=space, **given)
    runtime = with_a_share_of_threads(params.runtime, tune.workers)
    return dataclasses.replace(params, tune=tune, runtime=runtime)


if __name__ == "__main__":
    run(main)
