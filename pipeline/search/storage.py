"""The database that studies lie in: opened, and waited for while it is away.

One mechanism for every database: Optuna's relational storage, by default SQLite in one file. The
journal file would be faster, but has no heartbeats, and its lock outlives a worker that is killed
while it writes; SQLite's locks are the system's and go with the process. Workers open a database
that the command has made before they start, because cold ones crash when several create it.
"""

import contextlib
import functools
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import NullPool, create_engine, inspect, make_url
from sqlalchemy.exc import InterfaceError, OperationalError, PendingRollbackError, SQLAlchemyError

from pipeline.base.cli import UserError
from pipeline.tracking.server import brief

HEARTBEAT_SECONDS = 10  # a worker elsewhere that is silent for `GRACE_SECONDS` counts as dead
GRACE_SECONDS = 60
WAIT_SECONDS = 600.0  # for a database that is away: a restart, a cut link
_PAUSE_SECONDS = 1.0
FAILURES = (SQLAlchemyError, StorageInternalError)
"""What asking the storage can fail with."""

# A cut link is noticed in seconds; by itself, the system waits for an answer for ever.
_POSTGRESQL = {
    "tcp_user_timeout": 15_000,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}

WhenSilent = Callable[[optuna.Study, FrozenTrial], None]
"""Takes a study and its trial that was ended because its worker had been silent."""


class Storage(RDBStorage):
    """Optuna's storage, which gives up when the database is away; this one waits."""

    def __init__(
        self, url: str, when_silent: WhenSilent, may_wait: Callable[[], bool], waits: bool
    ) -> None:
        """Open the database. `waits` is for later questions, and only while `may_wait()`."""
        self._may_wait, self._waits = may_wait, False
        self._away_at = -float("inf")
        super().__init__(
            url,
            engine_kwargs={"connect_args": _connect_args(url)},
            heartbeat_interval=HEARTBEAT_SECONDS,
            grace_period=GRACE_SECONDS,
            heartbeat_stale_trial_callback=when_silent,
        )
        self._waits = waits

    def ask(self, question: Callable[[], Any]) -> Any:
        """Ask until there is an answer, `WAIT_SECONDS` are over, or waiting is not allowed."""
        began, asked_at, said = time.monotonic(), time.monotonic(), False
        while True:
            try:
                answer = question()
            except FAILURES as error:
                self._away_at = asked_at = time.monotonic()
                late = self._away_at > began + WAIT_SECONDS
                if late or not (self._waits and _is_away(error) and self._may_wait()):
                    raise
                if not said:
                    reason = brief(error.__cause__ or error)
                    print(f"the storage of the search is away ({reason}); waiting", file=sys.stderr)
                    said = True
                time.sleep(_PAUSE_SECONDS)
                continue
            if time.monotonic() - asked_at > HEARTBEAT_SECONDS:
                self._away_at = time.monotonic()
            return answer

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        asked = 0

        def question() -> bool:
            nonlocal asked
            asked += 1
            try:
                return bool(RDBStorage.set_trial_state_values(self, trial_id, state, values))
            except UpdateFinishedTrialError:
                # The answer to the first time may have been lost on its way.
                if asked > 1 and RDBStorage.get_trial(self, trial_id).state == state:
                    return True
                raise

        return bool(self.ask(question))

    def record_heartbeat(self, trial_id: int) -> None:
        try:
            super().record_heartbeat(trial_id)
        except FAILURES:  # the next one may come through; an exception would end them for good
            self._away_at = time.monotonic()

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        stale = self.ask(lambda: RDBStorage._get_stale_trial_ids(self, study_id))
        # Who could not ask does not know whether the others could tell that they are alive.
        was_away = time.monotonic() - self._away_at < GRACE_SECONDS
        return [] if was_away else list(stale)


def _waiting(name: str) -> Callable[..., Any]:
    plain = getattr(RDBStorage, name)

    @functools.wraps(plain)
    def method(self: Storage, *arguments: Any, **options: Any) -> Any:
        return self.ask(lambda: plain(self, *arguments, **options))

    return method


# All that a study asks of its storage, beside what is written out above.
for _name in (
    "set_study_user_attr",
    "get_study_user_attrs",
    "get_study_system_attrs",
    "get_study_directions",
    "get_trial_id_from_study_id_trial_number",
    "_create_new_trial",
    "_set_trial_param",
    "set_trial_intermediate_value",
    "set_trial_user_attr",
    "set_trial_system_attr",
    "get_trial",
    "_get_trials",
):
    setattr(Storage, _name, _waiting(_name))


def open_storage(url: str, when_silent: WhenSilent, may_wait: Callable[[], bool]) -> Storage:
    """The storage at `url`, with its tables. Raises as `errors_in_a_line` expects."""
    sqlite = _is_sqlite(url)
    lock = FileLock(Path(f"{make_url(url).database}.lock")) if sqlite else contextlib.nullcontext()
    attempts = 5
    with lock:
        while True:
            try:
                _refuse_anothers(url)
                return Storage(url, when_silent, may_wait, waits=not sqlite)
            except SQLAlchemyError:
                # Several machines that make the tables at once get in each other's way.
                attempts -= 1
                if not attempts:
                    raise
                time.sleep(random.uniform(0.1, 0.6))  # noqa: S311


def _refuse_anothers(url: str) -> None:
    """Raise UserError for a database of MLflow or the like, before Optuna's tables are in it."""
    engine = create_engine(url, poolclass=NullPool, connect_args=_connect_args(url))
    tables = inspect(engine).get_table_names()
    if "alembic_version" in tables and "studies" not in tables:
        raise UserError(
            "--storage: this database is another program's, such as MLflow's; a study needs one "
            "of its own (`createdb tune`)"
        )


@contextlib.contextmanager
def errors_in_a_line(url: str) -> Iterator[None]:
    """Turn what opening a study can fail with into a UserError that shows no password."""
    try:
        yield
    except KeyError:
        raise UserError("this study is not in that storage; see --study") from None
    except (SQLAlchemyError, ImportError, ValueError, OSError, RuntimeError) as error:
        try:
            shown = make_url(url).render_as_string(hide_password=True)
        except (SQLAlchemyError, ValueError):
            shown = "--storage"
        # The text of a ValueError may hold a piece of a password.
        reason = "it is no address" if isinstance(error, ValueError) else brief(error)
        if isinstance(error, RuntimeError):  # Optuna's word for tables of another version
            reason += (
                f"; this is Optuna {optuna.__version__}: bring both to one version (`optuna "
                "storage upgrade --storage ...` for older tables), or choose another database"
            )
        raise UserError(f"{shown}: cannot be used: {reason}") from None


def _is_sqlite(url: str) -> bool:
    return bool(make_url(url).get_backend_name() == "sqlite")


def _connect_args(url: str) -> dict[str, Any]:
    if _is_sqlite(url):
        return {"timeout": 60}
    driver = make_url(url).get_driver_name()
    return dict(_POSTGRESQL) if driver in ("psycopg", "psycopg2") else {}


def _is_away(error: BaseException) -> bool:
    """Whether a question failed for want of a database, and not for what was asked."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    # The last one: the connection was lost within a transaction.
    return isinstance(cause, OperationalError | InterfaceError | PendingRollbackError)


def does_not_answer(error: BaseException) -> UserError:
    """What to raise for one of FAILURES that waiting did not mend."""
    reason = brief(error.__cause__ or error)
    return UserError(
        f"the storage of the search does not answer: {reason}; the same command continues"
    )
