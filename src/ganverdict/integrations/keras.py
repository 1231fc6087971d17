"""A callback for Keras 3: `model.fit(..., callbacks=[GanVerdict()])`, whatever its backend.

It takes what `train_step` returns, batch by batch, and measures such as `fid` or `val_fid` from the
logs of epochs: from `test_step`, or put there by a callback that stands before this one.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import keras

from ganverdict.recorder import Recorder
from ganverdict.records import Names
from ganverdict.thresholds import Thresholds
from ganverdict.verdict import Verdict

WEIGHTS = "best.weights.h5"

_NO_NAMES: Mapping[str, str] = MappingProxyType({})


class GanVerdict(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Ends a training that went wrong, and keeps its best weights and a report.

    Epochs are counted from 0, as Keras's own logs do, and steps are batches. Let `train_step`
    return the losses of its batch: the running means of Keras's `Mean` see things late. A training
    that goes on (`initial_epoch`) goes on with its log, where the number of batches of an epoch is
    known.

    Args:
        folder: for `best.weights.h5`, `verdict.json` and what else `Recorder` writes.
        names, metric, loss, thresholds: as `ganverdict.recorder.Recorder` takes them.
        end_training: whether to end a training that went wrong; else there are warnings only.
    """

    def __init__(
        self,
        folder: str | Path = "ganverdict",
        *,
        names: Mapping[str, str] = _NO_NAMES,
        metric: str | None = None,
        loss: str | None = None,
        thresholds: Thresholds | None = None,
        end_training: bool = True,
    ) -> None:
        super().__init__()
        self._folder = Path(folder)
        self._options: dict[str, Any] = {
            "names": names,
            "metric": metric,
            "loss": loss,
            "thresholds": thresholds,
        }
        self._names = Names(names, metric)
        self._end_training = end_training
        self._recorder: Recorder | None = None  # while it trains
        self._verdict: Verdict | None = None
        self._batches = 0

    @property
    def verdict(self) -> Verdict | None:
        """The latest; None before training."""
        return self._recorder.verdict if self._recorder is not None else self._verdict

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002
        self.on_train_end()  # where it was interrupted, the one before has not ended

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        if self._recorder is not None:
            return
        length = self.params.get("steps")
        self._batches = epoch * (length or 0)
        self._recorder = Recorder(
            self._folder,
            unit="iteration",
            steps_per_epoch=length,
            resume_from=self._batches or None,
            **self._options,
        )

    def on_train_batch_end(
        self,
        batch: int,  # noqa: ARG002
        logs: Mapping[str, Any] | None = None,
    ) -> None:
        self._batches += 1
        signals = {
            name: value for name, value in (logs or {}).items() if self._names.is_signal(name)
        }
        self._take(signals)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        # Losses of an epoch are means of what was taken; its measures are new.
        others = {n: v for n, v in (logs or {}).items() if not self._names.is_signal(n)}
        self._take({"epoch": epoch, **others})

    def on_train_end(self, logs: Any = None) -> None:  # noqa: ARG002
        if self._recorder is not None:
            self._recorder.close()
            self._verdict = self._recorder.verdict
            self._recorder = None

    def _take(self, record: Mapping[str, Any]) -> None:
        assert self._recorder is not None
        self._recorder({"step": self._batches, **record})
        if self._recorder.is_best:
            self.model.save_weights(self._folder / WEIGHTS)
        if self._recorder.should_end and self._end_training:
            self.model.stop_training = True
