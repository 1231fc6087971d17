"""What all records say together: tables on the screen, result.json and pictures beside them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ganverdict.thresholds import Thresholds
from pipeline.base.cli import write_json
from pipeline.base.interval import CONFIDENCE
from pipeline.plots.replication import RunCurves, fds, gradients, grids, losses
from pipeline.plots.training import save
from pipeline.replication.answers import answers, answers_table
from pipeline.replication.assessment import ORIGINAL_EPOCH, Record, read_record, table
from pipeline.replication.runs import Run


def summarise(runs: Sequence[Run], params: Thresholds, root: Path) -> None:
    """Print and draw what the records of `runs` say, of whole ones and of those under way."""
    records = [record for run in runs if (record := read_record(run.folder, params)) is not None]
    if not records:
        return
    result = {"runs": [record.row() for record in records], "answers": answers(records)}
    write_json(root / "result.json", {**result, "confidence": CONFIDENCE})
    curves = [plotted(record) for record in records]
    first = [plotted(record) for record in records if record.seed == 1]
    pictures = {
        "fd": fds(curves, ORIGINAL_EPOCH),
        "losses": losses(curves, ORIGINAL_EPOCH),
        "gradients": gradients(curves, ORIGINAL_EPOCH),
        "grids": grids(first),
    }
    for name, figure in pictures.items():
        save(figure, root / f"{name}.png")
    print(table(records))
    print(answers_table(records))
    print(f"{root}: result.json, {', '.join(f'{name}.png' for name in pictures)}")


def plotted(record: Record) -> RunCurves:
    """What the pictures show of a record."""
    length, verdict = record.epoch_length, record.verdict
    return RunCurves(
        recipe=record.recipe,
        epochs=record.epochs["epoch"],
        fds=record.epochs["fd"],
        signal_epochs=np.asarray(record.signals["step"], dtype=np.float64) / length,
        signals=record.signals,
        stop=verdict.best_epoch,
        onset=verdict.onset_epoch,
        alarms=[alarm.step / length for alarm in record.alarms],
        grids=record.grids,
    )
