import math

import numpy as np

from pipeline.pages.run.stops import stops
from pipeline.store.outcome import Outcome
from tests.pipeline.pages.conftest import BEST, EPOCHS


def test_each_rule_keeps_its_epoch_and_costs_what_was_measured(outcome: Outcome) -> None:
    verdict, last, lowest, patience = stops(outcome.steps, outcome.epochs, BEST)
    assert (verdict.kept, verdict.trained, verdict.fd) == (BEST, EPOCHS, 3)
    assert (last.kept, last.trained, last.fd) == (EPOCHS, EPOCHS, 17)
    assert (lowest.kept, lowest.trained, lowest.fd) == (2, EPOCHS, 7)
    assert (patience.kept, patience.trained, patience.fd) == (BEST, BEST + 10, 3)


def test_patience_that_never_ran_out_says_so(outcome: Outcome) -> None:
    epochs = {name: values[: BEST + 9] for name, values in outcome.epochs.items()}
    *_, patience = stops(outcome.steps, epochs, BEST)
    assert patience.trained == BEST + 9
    assert "never ran out" in patience.rule
    epochs = {name: values[: BEST + 10] for name, values in outcome.epochs.items()}
    *_, patience = stops(outcome.steps, epochs, BEST)
    assert patience.trained == BEST + 10  # at the very end
    assert "never ran out" not in patience.rule


def test_broken_numbers_take_away_only_what_hangs_on_them(outcome: Outcome) -> None:
    steps = outcome.steps | {"g_loss": np.ma.asarray(np.full(len(outcome.steps["step"]), np.nan))}
    fd = outcome.epochs["fd"].copy()
    fd[-1] = np.nan
    rules = stops(steps, outcome.epochs | {"fd": fd}, BEST)
    assert [stop.kept for stop in rules] == [BEST, EPOCHS, BEST]
    assert math.isnan(rules[1].fd)
