"""Closed forms: what a trial, a run and a checkpoint cost, from parameters alone."""

from dataclasses import dataclass

from dcgan.params import TrainParams
from dcgan.training import SIGNALS

OF_THE_MACHINE = 4  # metrics of every report, see pipeline.tracking.run.system_metrics
_FLOAT, _COUNTER = 4, 8  # bytes of a value, and of a batch norm's count of batches
_PICTURE = 64 * 28 * 28  # bytes of a report's picture from the fixed noise


# --- a search


@dataclass(frozen=True)
class Trips:
    """Round trips of a trial: `of_trial` and, for each of its reports, `of_report` more."""

    of_trial: float
    of_report: float

    def __call__(self, reports: float) -> float:
        """Of a trial with so many reports."""
        return self.of_trial + self.of_report * reports


def round_trips(statements: float, transactions: float) -> float:
    """On PostgreSQL: each statement is one, and each transaction has a BEGIN and a COMMIT more."""
    return statements + 2 * transactions


def trials_per_hour(
    workers: int, trial_seconds: float, processor_seconds: float, cores: int
) -> float:
    """Trials in an hour: workers that do not disturb each other, as far as the cores go."""
    return 3600 * min(workers / trial_seconds, cores / processor_seconds)


# --- a run


def reports_of(train: TrainParams) -> int:
    """How often a whole run reports: at every picture and every epoch's end."""
    steps = range(1, train.epochs * train.steps_per_epoch + 1)
    every = [train.steps_per_epoch] + [train.sample_every] * bool(train.sample_every)
    return sum(any(step % interval == 0 for interval in every) for step in steps)


def rows_of_run(train: TrainParams, measured: int) -> int:
    """Rows that a whole run writes into MLflow's table, but for a handful at its end.

    Every signal of every iteration, `measured` metrics at every epoch's end, and the machine's use
    at every report.
    """
    steps = train.epochs * train.steps_per_epoch
    return len(SIGNALS) * steps + measured * train.epochs + OF_THE_MACHINE * reports_of(train)


# --- a checkpoint


def generator_weights(width: int, latent_dim: int) -> int:
    """Trainable values of G: its convolutions grow with the square of the width."""
    return (525 * width**2 + (392 * latent_dim + 1222) * width) // 2 + 1


def generator_buffers(width: int) -> int:
    """Running means and variances of G's batch norms; each of the four counts its batches, too."""
    return 399 * width


def discriminator_weights(width: int) -> int:
    """Trainable values of D."""
    return 1050 * width**2 + 168 * width + 1


def state_bytes(train: TrainParams) -> int:
    """The tensors of a state, by Adam, D frozen in G's step, digits not told.

    Each trainable value is kept with Adam's two moments, and each tensor's count of steps; of the
    average G's weights and buffers once more.
    """
    width, g_tensors, d_tensors = train.width, 18, 10
    g_weights, d_weights = (
        generator_weights(width, train.latent_dim),
        discriminator_weights(width),
    )
    generators = 2 if train.average_images else 1
    values = generators * (g_weights + generator_buffers(width)) + d_weights
    moments = 2 * (g_weights + d_weights) + g_tensors + d_tensors
    return _FLOAT * (values + moments) + generators * 4 * _COUNTER


def history_bytes(train: TrainParams) -> int:
    """What a whole run's record adds to its state: signals by iteration, pictures by report."""
    steps = train.epochs * train.steps_per_epoch
    return _FLOAT * len(SIGNALS) * steps + _PICTURE * reports_of(train)


def generator_bytes(width: int, latent_dim: int) -> int:
    """The tensors of an epoch's generator."""
    values = generator_weights(width, latent_dim) + generator_buffers(width)
    return _FLOAT * values + 4 * _COUNTER
