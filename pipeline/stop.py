"""Judge a GAN's training from its logs: when it was best, whether and when it went wrong, and why.

steps.csv has a row per iteration: step, d_loss, g_loss, and whatever there is of d_real, d_fake
(mean D(x), mean D(G(z))), d_grad_norm, g_grad_norm, d_update_ratio, g_update_ratio (norm of the
step over norm of the weights). epochs.csv has a row per evaluation: step, epoch, and whatever there
is of fd (or fd_ema, which then counts), fd_sigma (its standard deviation), class_kl, coverage,
min_share (the rarest class's share over its true share). Losses alone raise alarms; fd confirms
them and tells the best stopping point. Thresholds: params.yaml, section `stability`.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ganverdict.alarms import SIGNALS
from ganverdict.monitor import Verdict, assess
from ganverdict.quality import MEASURES
from ganverdict.thresholds import Thresholds
from pipeline.base.cli import Parser, UserError, load_params, run, write_json, write_whole
from pipeline.store.columns import Columns, from_histories, read_csv, read_header

PARAMS = Path(__file__).resolve().parent.parent / "params.yaml"  # from whatever folder one calls

_STEP_NAMES = ("step", *SIGNALS)
_EPOCH_NAMES = ("epoch", "step", *MEASURES, "fd_ema")
_NAMES = tuple(dict.fromkeys((*_STEP_NAMES, *_EPOCH_NAMES)))


@dataclass(frozen=True)
class _Logs:
    """A run's logs: columns by iteration, and by evaluation if there are any."""

    steps: Columns
    epochs: Columns | None


def main() -> None:
    arguments = _arguments()
    params = load_params(PARAMS).stability
    renamed = _renamed(arguments.map)
    if arguments.run:
        logs = _from_mlflow(arguments.run, renamed)
    else:
        logs = _from_files(arguments.steps, arguments.epochs, renamed, arguments.steps_per_epoch)
    verdict = _judge(logs, params, arguments.steps_per_epoch)
    if arguments.out:
        write_json(arguments.out, verdict.to_json())
    if arguments.plot:
        from pipeline.plots.verdict import draw_verdict  # slow to import, seldom wanted

        with write_whole(arguments.plot) as file:
            draw_verdict(file, logs.steps, logs.epochs, verdict)
    print(in_words(verdict))


def _arguments() -> argparse.Namespace:
    parser = Parser(
        "stop",
        __doc__,
    )
    parser.add_argument("steps", nargs="?", type=Path, metavar="steps.csv")
    parser.add_argument("epochs", nargs="?", type=Path, metavar="epochs.csv")
    parser.add_argument("--run", metavar="RUN_ID", help="read an MLflow run instead of files")
    parser.add_argument("--out", type=Path, metavar="stop.json", help="write the verdict here")
    parser.add_argument("--plot", type=Path, metavar="stop.png", help="draw logs and verdict here")
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="OURS=THEIRS",
        help="a column (or metric of the run) of another name, e.g. d_loss=disc_loss; repeatable",
    )
    parser.add_argument(
        "--steps-per-epoch",
        type=int,
        metavar="N",
        help="iterations per epoch, if the evaluations do not tell",
    )
    arguments = parser.parse_args()
    if bool(arguments.run) == bool(arguments.steps):
        raise UserError("give either steps.csv or --run RUN_ID", 2)
    if arguments.steps_per_epoch is not None and not 1 <= arguments.steps_per_epoch <= 10**9:
        raise UserError("--steps-per-epoch: must be a whole number from 1 to 1e+09", 2)
    return arguments


def _renamed(pairs: list[str]) -> dict[str, str]:
    renamed = {}
    for pair in pairs:
        ours, equals, theirs = pair.partition("=")
        if not equals or not theirs or ours not in _NAMES:
            raise UserError(
                f"--map {pair}: must be OURS=THEIRS, where OURS is one of {', '.join(_NAMES)}", 2
            )
        renamed[ours] = theirs
    return renamed


def _from_files(
    steps_file: Path, epochs_file: Path | None, renamed: dict[str, str], length: int | None
) -> _Logs:
    headers = {file: read_header(file) for file in (steps_file, epochs_file) if file}
    for ours, theirs in renamed.items():
        if not any(theirs in header for header in headers.values()):
            raise UserError(f"--map {ours}={theirs}: no file has a column {theirs}", 2)
    steps = read_csv(steps_file, _STEP_NAMES, renamed)
    for name in ("step", "d_loss", "g_loss"):
        _need(name in steps, steps_file, name, headers[steps_file])
    if epochs_file is None:
        return _Logs(steps, None)
    epochs = read_csv(epochs_file, _EPOCH_NAMES, renamed)
    measured = any(name in epochs for name in MEASURES) or "fd_ema" in epochs
    _need(measured, epochs_file, "fd (or class_kl, coverage, min_share)", headers[epochs_file])
    if "step" not in epochs and "epoch" in epochs and length is not None:
        epochs["step"] = epochs["epoch"] * length
    _need("step" in epochs, epochs_file, "step", headers[epochs_file])
    return _Logs(steps, _finished(epochs, renamed))


def _from_mlflow(run_id: str, renamed: dict[str, str]) -> _Logs:
    from pipeline.tracking import server as tracking  # importing mlflow takes seconds

    keys = {name: renamed.get(name, f"train/{name}") for name in SIGNALS}
    keys |= {name: renamed.get(name, f"eval/{name}") for name in (*MEASURES, "fd_ema")}
    try:
        histories = tracking.read_history(run_id, keys.values())
    except tracking.FAILURES as error:
        raise UserError(f"run {run_id}: {tracking.brief(error)}") from None
    found = {name: histories[key] for name, key in keys.items() if key in histories}
    steps = from_histories({name: found[name] for name in SIGNALS if name in found})
    for name in ("d_loss", "g_loss"):
        if name not in steps:
            raise UserError(
                f"run {run_id}: no metric {keys[name]}; name yours with --map {name}=NAME"
            )
    epochs = from_histories({name: pair for name, pair in found.items() if name not in SIGNALS})
    return _Logs(steps, _finished(epochs, renamed) if len(epochs["step"]) else None)


def _finished(epochs: Columns, renamed: dict[str, str]) -> Columns:
    """Evaluations are numbered where the log does not, and of two kinds of fd one counts."""
    numbers = np.ma.asarray(np.arange(1, len(epochs["step"]) + 1))
    averaged = epochs.pop("fd_ema", None)
    if averaged is not None and "fd" not in renamed:
        epochs["fd"] = averaged
    return {"epoch": numbers} | epochs


def _need(there: bool, file: Path, name: str, header: list[str]) -> None:
    if not there:
        has = ", ".join(header)
        has = has if len(has) <= 200 else has[:197] + "..."
        ours = name.split(" ")[0]
        raise UserError(f"{file}: no column {name}; it has {has}. Name yours: --map {ours}=NAME")


def _judge(logs: _Logs, params: Thresholds, length: int | None) -> Verdict:
    try:
        return assess(logs.steps, logs.epochs, params, length)
    except ValueError as error:
        raise UserError(f"these logs cannot be judged: {error}") from None


def in_words(verdict: Verdict) -> str:
    """The verdict for people."""
    lines = [f"{verdict.status}: {verdict.reason}"]
    if verdict.best_step is None or verdict.fd is None:
        lines.append("best stopping point: unknown, because no fd was given before anything else")
    else:
        fd = f"fd {verdict.fd:.4g}"
        if verdict.fd_interval is not None:
            fd += " ({:.4g} to {:.4g})".format(*verdict.fd_interval)
        lines.append(
            f"best stopping point: epoch {verdict.best_epoch}, step {verdict.best_step:,}, {fd}"
        )
    if verdict.onset_step is not None:
        after = ", but fd recovered later" if verdict.recovered else ""
        lines.append(f"onset: epoch {verdict.onset_epoch}, step {verdict.onset_step:,}{after}")
    return "\n".join(lines)


if __name__ == "__main__":
    run(main)
