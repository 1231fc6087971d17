"""The tracking server or database: which one, whether it answers, what it has."""

import logging
import math
import os
import re
import textwrap
from collections.abc import Iterable
from pathlib import Path
from shlex import quote
from urllib.parse import unquote, urlsplit

import mlflow
import psutil
from filelock import FileLock
from filelock import Timeout as LockTimeout
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy import NullPool, create_engine, inspect, make_url
from sqlalchemy.exc import SQLAlchemyError

from pipeline.base.cli import UserError
from pipeline.base.paths import OUTBOX, ROOT

# Whatever goes wrong is said in one line of our own, not in MLflow's pages of traceback.
logging.getLogger("mlflow").setLevel(logging.CRITICAL)

EXPERIMENT = "dcgan"
KEY_TAG = "run_key"  # our own name of a run, known before any server has been asked
PROCESS_TAG = "process"
TERM_TAG = "term"  # how often machines have taken the run, where they take it from one another
NOT_FINITE_TAG = "not_finite/"  # and a metric's name: the step at which it first was not

# What sending can fail with. ImportError: the address asks for a driver that is not installed;
# UserError: a queued model is one that this code cannot load.
FAILURES = (MlflowException, SQLAlchemyError, OSError, LockTimeout, ImportError, UserError)


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, or the SQLite file at the root of the original repository."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{ROOT / 'mlflow.db'}"


def connect() -> tuple[MlflowClient, str]:
    """A client and the id of this project's experiment, which the first call creates."""
    # Several processes that create one cold SQLite database at once crash each other.
    with FileLock(OUTBOX / "mlflow.lock", timeout=60):
        try:
            _ask_database(tracking_uri())
            client = MlflowClient(tracking_uri=tracking_uri())
            experiment = client.get_experiment_by_name(EXPERIMENT)
        except ValueError:  # its text may hold a piece of a password
            raise UserError("MLFLOW_TRACKING_URI is no address that can be used") from None
        except MlflowException as error:
            if "database schema" not in str(error):
                raise
            raise UserError(
                f"the database is of another version of MLflow than this one, {mlflow.__version__};"
                " bring both to one version (`mlflow db upgrade ADDRESS` for an older database)"
            ) from None
        # What a database of this project's own tells of is beside it.
        files = None if os.environ.get("MLFLOW_TRACKING_URI") else ROOT / "mlartifacts"
        if experiment is None:
            place = None if files is None else files.as_uri()
            return client, client.create_experiment(EXPERIMENT, artifact_location=place)
        if files is not None:
            _check_place(experiment.artifact_location, files)
        return client, experiment.experiment_id


def _check_place(recorded: str, files: Path) -> None:
    """Raise UserError where the project was moved: MLflow keeps the whole path of its files."""
    place = Path(unquote(urlsplit(recorded).path))
    if place.resolve() != files.resolve():
        raise UserError(
            f"{ROOT / 'mlflow.db'} was made in {place.parent}, where it looks for pictures and "
            f"models; let that name lead here: ln -s {quote(str(ROOT))} {quote(str(place.parent))}"
        )


def _ask_database(address: str) -> None:
    """Raise at once if a database cannot be read; MLflow would try for a hundred seconds."""
    if not address.startswith(("sqlite", "postgresql", "mysql", "mssql")):
        return
    url = make_url(address)
    if url.drivername.startswith("sqlite") and url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)  # as MLflow does
    with create_engine(url, poolclass=NullPool).connect() as connection:
        inspect(connection).has_table("experiments")  # opened is not read: SQLite's may be locked


def find_run(client: MlflowClient, experiment: str, key: str) -> str | None:
    """The id of the run with our key, if the server knows it."""
    runs = client.search_runs([experiment], f"tags.{KEY_TAG} = '{key}'", max_results=1)
    return str(runs[0].info.run_id) if runs else None


def read_history(run_id: str, keys: Iterable[str]) -> dict[str, tuple[list[int], list[float]]]:
    """Steps and values of each metric of a run; a metric that the run lacks is left out.

    The first value that was not finite is nan, later ones are missing. Raises one of FAILURES.
    """
    address = tracking_uri()
    database = make_url(address).database if address.startswith("sqlite") else None
    if database is not None and not Path(database).exists():  # asked, MLflow would create it
        raise UserError(f"no run was ever tracked in {database}")
    client = MlflowClient(tracking_uri=address)
    tags = client.get_run(run_id).data.tags
    histories = {}
    for key in keys:
        values = {metric.step: metric.value for metric in client.get_metric_history(run_id, key)}
        if f"{NOT_FINITE_TAG}{key}" in tags:
            values[int(tags[f"{NOT_FINITE_TAG}{key}"])] = math.nan
        if values:
            histories[key] = (list(values), list(values.values()))
    return histories


def read_params(run_id: str) -> dict[str, str]:
    """What a run was made with, as `section.key`. Raises as `read_history` does."""
    return dict(MlflowClient(tracking_uri=tracking_uri()).get_run(run_id).data.params)


def close_dead_runs() -> int:
    """Mark runs of this machine KILLED whose process is gone; returns how many there were."""
    closed = 0
    try:
        client, experiment = connect()
        for run in client.search_runs([experiment], "attributes.status = 'RUNNING'"):
            process = run.data.tags.get(PROCESS_TAG, "")
            host, _, number = process.partition(":")
            if (
                host != os.uname().nodename
                or not number.isdecimal()
                or psutil.pid_exists(int(number))
            ):
                continue
            # It may have ended the run, or another may have taken it up, since the search.
            now = client.get_run(run.info.run_id)
            if now.info.status == "RUNNING" and now.data.tags.get(PROCESS_TAG) == process:
                client.set_terminated(run.info.run_id, "KILLED")
                closed += 1
    except FAILURES:
        pass  # whoever comes next will do it
    return closed


def brief(error: BaseException) -> str:
    """The first sentence of an error, without addresses, which may hold a password."""
    line = (str(error).splitlines() or [""])[0]
    # An address may also be a mere word, such as databricks, which others contain.
    own = rf"(?<![\w-]){re.escape(tracking_uri())}(?![\w-])"
    safe = re.sub(own, "the server", re.sub(r"[\w+.-]+://(.*@)?\S*", "the server", line))
    safe = re.sub(r"\?\S*", "", safe)
    if isinstance(error, UserError):
        return safe
    sentence = re.split(r"(?<=\w\w)\. +(?=[A-Z])", safe)[0].removesuffix(".")
    return f"{type(error).__name__}: {textwrap.shorten(sentence, 300, placeholder=' ...')}"
