"""A callback for Lightning: `Trainer(callbacks=[GanVerdict()])`.

It takes what the module logs by `self.log`, of which it needs nothing but losses of D and G, and of
an FID whatever there is. Manual optimisation is expected, with as many optimisers as one likes: a
step is a batch, and not an optimiser's step, of which Lightning's `global_step` counts several.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lightning.pytorch import Callback, Trainer

from ganverdict.recorder import Recorder
from ganverdict.records import Names
from ganverdict.thresholds import Thresholds
from ganverdict.verdict import Verdict

CHECKPOINT = "best.ckpt"

_NO_NAMES: Mapping[str, str] = MappingProxyType({})
_BATCHES_BETWEEN = 50  # agreements of several processes


class GanVerdict(Callback):
    """Ends a training that went wrong, and keeps its best checkpoint and a report.

    Losses that are logged at every batch are taken batch by batch, those that are logged as means
    of epochs by epoch. Measures such as `fid` count whenever they are logged, in validation or
    elsewhere. Epochs are counted from 0, as Lightning does. A training that goes on from a
    checkpoint (`ckpt_path`) that was made with this callback goes on with its log, too.

    Reading a loss waits for the GPU, once a batch.

    Args:
        folder: for `best.ckpt`, `verdict.json` and what else `Recorder` writes; None: `ganverdict`
            in the trainer's `default_root_dir`.
        names, metric, loss, thresholds: as `ganverdict.recorder.Recorder` takes them.
        end_training: whether to end a training that went wrong; else there are warnings only.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        names: Mapping[str, str] = _NO_NAMES,
        metric: str | None = None,
        loss: str | None = None,
        thresholds: Thresholds | None = None,
        end_training: bool = True,
    ) -> None:
        self._folder = None if folder is None else Path(folder)
        self._names = Names(names, metric)
        self._options: dict[str, Any] = {
            "names": names,
            "metric": metric,
            "loss": loss,
            "thresholds": thresholds,
        }
        self._end_training = end_training
        self._recorder: Recorder | None = None  # of the first process, while it trains
        self._verdict: Verdict | None = None
        self._goes_on = False  # from a checkpoint
        self._reset()

    def _reset(self) -> None:
        self._batches = self._epoch = 0
        self._ended_at = self._evaluated_at = 0  # batches
        self._is_late = False  # whether the module logs measures after this callback's turn
        self._by_epoch: bool | None = None  # whether losses are means of epochs, once known
        self._taken: dict[str, Any] = {}  # what was logged, by name, as it was last taken
        self._new_best = False

    @property
    def verdict(self) -> Verdict | None:
        """The latest, in the first process; None before training."""
        return self._recorder.verdict if self._recorder is not None else self._verdict

    def state_dict(self) -> dict[str, Any]:
        return {"batches": self._batches, "epoch": self._epoch, "by_epoch": self._by_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._reset()
        self._goes_on = True
        self._batches = self._ended_at = state_dict["batches"]
        self._epoch = state_dict["epoch"]
        self._by_epoch = state_dict["by_epoch"]

    def on_train_start(self, trainer: Trainer, *_: Any) -> None:
        # A trainer whose epochs do not start again goes on without a checkpoint.
        if not self._goes_on and trainer.current_epoch == 0:
            self._reset()
        self._goes_on = False
        if not trainer.is_global_zero:
            return
        resume_from = self._epoch if self._by_epoch else self._batches
        length = trainer.num_training_batches
        self._recorder = Recorder(
            self._path(trainer),
            steps_per_epoch=length if not self._by_epoch and 1 <= length < float("inf") else None,
            resume_from=resume_from if self._batches else None,
            **self._options,
        )

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self._batches += 1
        self._epoch = trainer.current_epoch
        logged = trainer.callback_metrics
        if self._by_epoch is None and any(map(self._names.is_signal, logged)):
            self._by_epoch = False
        if self._by_epoch is False:
            self._take(self._new(logged))
        if trainer.world_size == 1 or self._batches % _BATCHES_BETWEEN == 0:
            self._act(trainer)

    def on_validation_end(self, trainer: Trainer, *_: Any) -> None:
        # What is logged at the end of an epoch is taken all at once, when all has been logged.
        if trainer.state.fn != "fit" or trainer.sanity_checking or trainer.is_last_batch:
            return
        self._by_epoch = bool(self._by_epoch)
        self._take_measures(trainer)
        self._act(trainer)

    def on_train_epoch_end(self, trainer: Trainer, *_: Any) -> None:
        if not self._is_late and self._batches != self._ended_at:
            self._end_epoch(trainer)
        self._act(trainer)

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        self._look_again(trainer)
        self._act(trainer)

    def on_train_end(self, trainer: Trainer, *_: Any) -> None:
        self._look_again(trainer)
        self._act(trainer)
        self._close()

    def on_exception(self, *_: Any) -> None:
        self._close()

    def _path(self, trainer: Trainer) -> Path:
        return self._folder or Path(trainer.default_root_dir) / "ganverdict"

    def _look_again(self, trainer: Trainer) -> None:
        """Take what the module logs in `on_train_epoch_end`, which comes after a callback's."""
        if self._is_late:
            if self._batches != self._ended_at:
                self._end_epoch(trainer)
        elif any(map(self._names.is_evaluated, self._new(trainer.callback_metrics))):
            self._is_late = True
            # A step has one evaluation; a second belongs to the step that comes next.
            if self._batches != self._evaluated_at:
                self._end_epoch(trainer)

    def _end_epoch(self, trainer: Trainer) -> None:
        self._ended_at = self._batches
        if self._by_epoch is None:
            self._by_epoch = True
        if self._by_epoch:
            self._take(self._new(trainer.callback_metrics))
        else:
            self._take_measures(trainer)

    def _take_measures(self, trainer: Trainer) -> None:
        """Take what is new but losses: those of an epoch are means of what was taken."""
        new = self._new(trainer.callback_metrics)
        self._taken |= new
        self._take({name: value for name, value in new.items() if not self._names.is_signal(name)})

    def _take(self, new: Mapping[str, Any]) -> None:
        self._taken |= new
        if any(map(self._names.is_evaluated, new)):
            self._evaluated_at = self._batches
        if new and self._recorder is not None:
            step = {} if self._by_epoch else {"step": self._batches}
            self._recorder({**step, "epoch": self._epoch, **new})
            self._new_best |= self._recorder.is_best

    def _new(self, logged: Mapping[str, Any]) -> dict[str, Any]:
        """What was logged since it was last taken: Lightning keeps showing the rest.

        A value that is logged anew has a memory of its own, since the taken one still has its.
        """
        return {
            name: value
            for name, value in logged.items()
            if name not in self._taken or value.data_ptr() != self._taken[name].data_ptr()
        }

    def _act(self, trainer: Trainer) -> None:
        """Keep the best and end training, in all processes alike.

        For the hooks that all of them reach as often, whatever was logged in which.
        """
        ends = self._recorder is not None and self._recorder.should_end
        best, ends = self._new_best, ends and self._end_training
        if trainer.world_size > 1:
            best, ends = trainer.strategy.broadcast((best, ends))
        self._new_best = False
        if best:
            trainer.save_checkpoint(self._path(trainer) / CHECKPOINT, weights_only=False)
        if ends:
            trainer.should_stop = True

    def _close(self) -> None:
        if self._recorder is not None:
            self._recorder.close()
            self._verdict = self._recorder.verdict
            self._recorder = None
