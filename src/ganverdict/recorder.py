"""The verdict in a training loop: dictionaries in, as loggers take them.

with Recorder("runs/7") as record:
    for step in ...:
        record({"step": step, "d_loss": d_loss, "g_loss": g_loss})
        if step % 1000 == 0:
            record({"step": step, "fid": fid})
            if record.is_best: ...  # save the weights
        if record.should_end: break
"""

import json
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

import numpy as np

from ganverdict.alarms import Alarm
from ganverdict.assessment import Assessment, judged_log
from ganverdict.formats import ReadError, read
from ganverdict.formats.recorded import Settings
from ganverdict.log import Log
from ganverdict.log_file import LogFile
from ganverdict.monitor import Monitor
from ganverdict.output import write_whole
from ganverdict.records import Names, Said
from ganverdict.signals import LOSSES, TABLE
from ganverdict.thresholds import Thresholds
from ganverdict.verdict import Verdict

LOG_FILE = "log.jsonl"
VERDICT_FILE = "verdict.json"
PLOT_FILE = "verdict.png"

Row = tuple[float, dict[str, float]]

_LOGGER = logging.getLogger("ganverdict")
_NO_NAMES: Mapping[str, str] = MappingProxyType({})
_STEPS = {"iteration": "step", "kimg": "kimg", "image": "image", "epoch": "epoch"}
"""What a step may count, and how the log calls it; the first that a record has is its step."""
_SCORES = ("d_score_real", "d_score_fake")
_ROWS_AT_ONCE = 16  # of iterations: the monitor takes many at little more cost than one
_ROWS_TO_LOOK = 512  # after which the verdict is looked at, though nothing happened
_ROWS_TO_END = 48  # of iterations, with a value that is not finite: training may overcome it


class Recorder:
    """Takes what a loop logs, tells the best checkpoint and when to end, and keeps a record.

    A record is a dictionary of names and numbers (or tensors of one element). Names are understood
    as those of logs are: `errD`, `train/loss_G`, `FID`; what means nothing to it is left out, and
    said so once where it may be the measure that counts. The signals of a step may come in several
    records, before its evaluation or with it; measures that can neither count nor confirm (`psnr`)
    are no evaluation, but go with them. Records without a step are counted.

    `folder` gets `log.jsonl` as training goes on, `verdict.json` at every evaluation and at the
    end, and at the end `verdict.png` where matplotlib is installed. Alarms, and a verdict that
    something went wrong, are warnings of the logger "ganverdict".

    Args:
        folder: of this run; a log that an earlier run left there is `log.jsonl.old` then.
        names: ours -> the loop's, where a name does not tell what it means: {"d_loss": "foo"}.
            What else means the same is left out.
        metric: the measure that counts, by the loop's name; one that is better the higher it is,
            as the Inception Score, is judged by its reciprocal. None: of those that the first
            evaluation has, an FD, an FID, a KID or an Inception Score.
        unit: what a step counts: "iteration", "epoch", "kimg" or "image"; None: the first record
            tells, where an epoch without a step makes epochs the steps.
        steps_per_epoch, loss, thresholds: as `ganverdict.monitor.Monitor` takes them.
        resume_from: the step from which an interrupted run goes on; the folder's log is kept up to
            there.

    Attributes:
        verdict: as of the latest evaluation, alarm, or some hundreds of steps.
        is_best: whether the latest record was an evaluation, and its weights are those to keep.
        should_end: whether training should end, because it went wrong.

    Raises ValueError for a unit, a loss or a number of steps that there cannot be, and for a log to
    go on with that counts by another unit; OSError for a folder that cannot be written to.
    """

    def __init__(
        self,
        folder: str | Path = "ganverdict",
        *,
        names: Mapping[str, str] = _NO_NAMES,
        metric: str | None = None,
        unit: str | None = None,
        steps_per_epoch: float | None = None,
        loss: str | None = None,
        thresholds: Thresholds | None = None,
        resume_from: float | None = None,
    ) -> None:
        if unit is not None and unit not in _STEPS:
            raise ValueError(f"unknown unit {unit}; there are {', '.join(_STEPS)}")
        self.folder = Path(folder)
        self.is_best = False
        self.should_end = False
        self._names = Names(names, metric)
        self._unit = unit
        self._thresholds = thresholds
        self._options: dict[str, Any] = {"steps_per_epoch": steps_per_epoch, "loss": loss}
        self._options["metric"] = self._names.metric
        self._monitor = self._new_monitor()
        self.verdict = self._monitor.verdict()
        self._step: float | None = None  # the latest
        self._evaluated = -math.inf  # the latest step that was
        self._row: dict[str, float] = {}  # of the latest step, which may get more
        self._rows: list[Row] = []  # that the monitor has not got yet
        self._unlooked = 0  # rows since the verdict was looked at
        self._ending = 0  # rows since the verdict says that training diverged
        length = None if steps_per_epoch is None else float(steps_per_epoch)
        self._log = LogFile(self.folder / LOG_FILE, Settings(length, loss, self._names.metric))
        self._begin(resume_from)

    def __call__(self, record: Mapping[str, Any]) -> Verdict:
        """Take a record; return the verdict so far.

        Raises ValueError for a step that goes back, for signals that come after the evaluation of
        their step, for names of which it cannot be told which counts, and for what is no number.
        """
        self.is_best = False
        if not isinstance(record, Mapping):
            raise ValueError(f"a record is a dictionary, not {type(record).__name__}")
        given = self._names.said(record)
        if not given.row and not given.measures:
            return self.verdict
        if self._unit is None:
            self._unit = next((unit for unit in _STEPS if unit in given.steps), "iteration")
            self._monitor = self._new_monitor()
        step = self._placed(given)
        if given.row:
            if step <= self._evaluated and _signals(given.row):
                raise ValueError(
                    f"signals of {self._step_name} {step:g} came after its evaluation; give them "
                    "before it, or in one record with it"
                )
            if step != self._step:
                self._end_row()
            self._row |= given.row
        if given.measures and step <= self._evaluated:
            raise ValueError(
                f"{self._step_name} {step:g} was evaluated already; give all its measures in one "
                "record"
            )
        self._step = step
        if given.measures:
            self._end_row()
            self._give()
            self._evaluate(step, given.steps.get("epoch"), given.measures)
        return self.verdict

    def close(self) -> None:
        """Write the log, the verdict, and the plot. May be called again."""
        self._end_row()
        self._give()
        self._tell(self._monitor.verdict())
        self._save()
        self._draw()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # What is done with it.

    def _placed(self, given: Said) -> float:
        """The step of a record: as it says, or counted."""
        latest, step = self._step, given.steps.get(self._unit or "iteration")
        repeats = bool(given.row.keys() & self._row.keys())
        if step is None:
            if latest is None:
                return 1.0
            return latest + (repeats or latest <= self._evaluated)
        if not math.isfinite(step):
            raise ValueError(f"{self._step_name} {step}: must be a finite number")
        if latest is not None and step < latest:
            raise ValueError(
                f"{self._step_name} {step:g} came after {latest:g}; where a run goes on that "
                "was interrupted, say from where: resume_from="
            )
        if self._unit == "epoch" and step == latest and repeats:
            raise ValueError(f"epoch {latest:g} came twice; give a step where there are several")
        return step

    def _new_monitor(self) -> Monitor:
        return Monitor(self._thresholds, **self._options, unit=self._unit or "iteration")

    def _end_row(self) -> None:
        """The latest step is over."""
        if self._row and self._step is not None:
            self._log.write({self._step_name: self._step} | self._row)
            if signals := _signals(self._row):
                self._rows.append((self._step, signals))
            self._row = {}
            if self._unit != "iteration" or len(self._rows) >= _ROWS_AT_ONCE:
                self._give()

    def _give(self) -> None:
        """Give the monitor its rows, and look at the verdict where they may have changed it."""
        rows, self._rows = self._rows, []
        alarms = _add(self._monitor, rows)
        for alarm in alarms:
            _LOGGER.warning("%s at %s %.10g", alarm.words, self._step_name, alarm.step)
        self._unlooked += len(rows)
        broken = any(not math.isfinite(row.get(name, 0.0)) for _, row in rows for name in LOSSES)
        if alarms or broken or self._ending or self._unlooked >= _ROWS_TO_LOOK:
            self._tell(self._monitor.verdict(), len(rows))
            self._log.flush()

    def _evaluate(self, step: float, epoch: float | None, measures: dict[str, float]) -> None:
        named = {self._step_name: step}
        if epoch is not None:
            named["epoch"] = epoch
        verdict = self._monitor.add_evaluation(step, measures, epoch)
        self._log.write(named | measures)
        self._evaluated = step
        self._tell(verdict)
        self.is_best = self._monitor.metric in measures and verdict.best_step == step
        self._save()

    def _tell(self, verdict: Verdict, new: int = 0) -> None:
        """Take a verdict; `new` rows came since the one before."""
        self._unlooked = 0
        before, self.verdict = self.verdict, verdict
        diverged = verdict.ends_training and verdict.status == "diverged"
        self._ending = self._ending + new if diverged else 0
        wanted = _ROWS_TO_END if self._unit == "iteration" else 3
        self.should_end = verdict.ends_training and (not diverged or self._ending >= wanted)
        if verdict.went_wrong and verdict.status != before.status:
            _LOGGER.warning("%s: %s", verdict.status, verdict.reason)

    # What is kept.

    @property
    def _step_name(self) -> str:
        return _STEPS[self._unit or "iteration"]

    def _begin(self, resume_from: float | None) -> None:
        """Open the log: empty, or as it was at a step."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if resume_from is None or not self._log.path.is_file():
            self._log.begin()
            return
        if self._unit is None:
            first = next(self._log.records(), {})
            self._unit = next((unit for unit, key in _STEPS.items() if key in first), None)
        self._log.go_on(self._step_name, resume_from)
        self._replay()
        self._tell(self._monitor.verdict())

    def _replay(self) -> None:
        """Give a new monitor what the log holds."""
        self._monitor = self._new_monitor()
        rows: list[Row] = []
        for record in self._log.records():
            step = self._step = record.pop(self._step_name)
            epoch = step if self._unit == "epoch" else record.pop("epoch", None)
            if signals := _signals(record):
                self._names.are_scores |= not signals.keys().isdisjoint(_SCORES)
                rows.append((step, signals))
            evaluated = self._is_evaluation(record)
            if len(rows) == _ROWS_TO_LOOK or evaluated:
                _add(self._monitor, rows)
                rows = []
            if evaluated:
                self._evaluated = step
                self._monitor.add_evaluation(step, record, epoch)
        _add(self._monitor, rows)

    def _is_evaluation(self, record: Mapping[str, float]) -> bool:
        return not _signals(record) and any(map(self._names.tells, record))

    def _save(self) -> None:
        """Write the verdict as `python -m ganverdict --json` gives it."""
        self._log.flush()
        log = Log(
            name=str(self.folder),
            kind="recorder",
            unit=self._unit or "iteration",
            pairs={},
            evaluations={},
            metric=self._monitor.metric,
            steps_per_epoch=self._options["steps_per_epoch"],
            loss=None,
            notes=(),
            files=(str(self._log.path),),
        )
        found = Assessment(log, "", self.verdict, {"": self.verdict})
        self._write_file(VERDICT_FILE, json.dumps(found.to_json(), indent=2).encode() + b"\n")

    def _draw(self) -> None:
        try:
            from ganverdict.plot import draw
        except ImportError:
            return  # matplotlib is an extra
        try:
            (log,) = read([self._log.path], metric=self.verdict.metric and self._monitor.metric)
            found = Assessment(judged_log(log), "", self.verdict, {"": self.verdict})
            self._write_file(PLOT_FILE, draw(found, "png"))
        except (ReadError, ValueError) as error:
            _LOGGER.warning("no plot: %s", error)

    def _write_file(self, name: str, content: bytes) -> None:
        try:
            write_whole(self.folder / name, content)
        except OSError as error:
            _LOGGER.warning("%s: %s", self.folder / name, error)


def _signals(row: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in row.items() if name in TABLE}


def _add(monitor: Monitor, rows: Sequence[Row]) -> list[Alarm]:
    """Give a monitor rows; a signal that a row does not have is missing in it."""
    if not rows:
        return []
    columns: dict[str, np.ma.MaskedArray[Any, Any]] = {}
    for name in {name for _, row in rows for name in row}:
        values = [row.get(name, math.nan) for _, row in rows]
        columns[name] = np.ma.array(values, mask=[name not in row for _, row in rows])
    return monitor.add_steps([step for step, _ in rows], columns)
