"""What a search found, as its page shows it."""

import dataclasses
import shlex

from pipeline.base.params import Params
from pipeline.base.space import present
from pipeline.pages.sweep.intervals import PRESENT, Confirmation
from pipeline.pages.sweep.page import COMMAND, Sweep
from pipeline.search.confirmation import Confirmed
from pipeline.search.result import Findings, curve_of, plotted
from pipeline.search.study import DEFAULT_STORAGE


def sweep(
    findings: Findings, params: Params, storage: str, timeout: float | None, interrupted: bool
) -> Sweep:
    """The page's content, without where it comes from.

    Args:
        findings: what the search knows.
        params: what it was asked for.
        storage: where its study lies; not shown, as an address may hold a password.
        timeout: seconds that the command was given, or None.
        interrupted: whether it is to be continued.
    """
    tune, best = params.tune, findings.found
    command = f"{COMMAND} --study {shlex.quote(findings.study)}"
    command += "" if storage == DEFAULT_STORAGE else " --storage ADDRESS"
    # With no more trials than were begun, nothing is searched before it is applied.
    begun = sum(trial.outcome != "waiting" for trial in findings.trials)
    limit = "" if timeout is None else f" --timeout {timeout:.15g}s"
    applicable = findings.choice is not None and not interrupted
    return Sweep(
        study=findings.study,
        trials=[curve_of(trial) for trial in findings.trials],
        best=best and dataclasses.replace(best, name=_shown(best.name)),
        confirmed=[_confirmation(confirmed, findings) for confirmed in findings.confirmed],
        present=present(tune.space, params.train)[1],
        space=tune.space,
        epochs=plotted(findings).epochs,
        seconds=findings.cost.seconds,
        importances=findings.importances,
        pruner=tune.pruner,
        interrupted=interrupted,
        command=(
            f"{command} --trials {tune.trials} --seed {tune.seed} --workers {tune.workers}{limit}"
        ),
        apply=f"{command} --trials {begun} --apply" if applicable else None,
    )


def _confirmation(confirmed: Confirmed, findings: Findings) -> Confirmation:
    candidate = confirmed.candidate
    fresh = findings.fresh_noise.get(candidate.name, {}).get("fd", [])
    return Confirmation(
        name=_shown(candidate.name),
        recipe=candidate.recipe,
        runs=confirmed.runs,
        epoch=confirmed.epoch,
        unknown=confirmed.unknown,
        fds=confirmed.fds,
        mean=confirmed.mean,
        low=confirmed.low,
        high=confirmed.high,
        fresh_noise=sum(fresh) / len(fresh) if fresh else None,
    )


def _shown(name: str) -> str:
    return PRESENT if name == "current" else name
