"""Several processes of one command: torchrun's, or started here as torchrun would start them."""

import contextlib
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterator

import torch

from dcgan import processes
from pipeline.base.cli import UserError
from pipeline.base.params import Params
from pipeline.base.rank import is_rank

_CONTINUES = "the same command continues, also with another number of processes"


def check(params: Params) -> int:
    """How many processes train together. Raises UserError where these cannot."""
    size = here = params.runtime.processes
    if is_rank():
        size, here = int(os.environ["WORLD_SIZE"]), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    batch = params.train.batch_size
    if batch % size:
        raise UserError(
            f"params.yaml: train.batch_size: {batch} images cannot be shared out evenly among "
            f"{size} processes; change it, or runtime.processes (torchrun: --nproc-per-node)",
            2,
        )
    gpus = torch.cuda.device_count()
    if params.runtime.device != "cpu" and here > 1 and 0 < gpus < here:
        raise UserError(
            f"params.yaml: runtime.processes: {here} processes want a GPU each, but torch sees "
            f"{gpus} here; lower it (torchrun: --nproc-per-node), or set runtime.device: cpu",
            2,
        )
    return size


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Be one of torchrun's processes, on a GPU of its own if on any. Raises UserError if left."""
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    met = False
    try:
        with processes.joined(device):
            met = True
            yield
    except processes.LostError as error:
        if met:
            raise UserError(f"another process of this training is gone; {_CONTINUES}") from error
        place = ":".join(os.environ.get(name, "?") for name in ("MASTER_ADDR", "MASTER_PORT"))
        raise UserError(
            f"the processes did not meet at {place} (MASTER_ADDR, MASTER_PORT): {error}"[:400], 2
        ) from error


def share_threads(threads: int) -> None:
    """Give this process its share of a machine's `threads`."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    torch.set_num_threads(max(threads // here, 1))


def start(size: int, module: str) -> None:
    """Run `python -m module` in `size` processes here, by torch's launcher, until all have ended.

    Raises UserError if one is killed, and SystemExit with their status for any other bad end, of
    which they have told. The first signal to this process is passed on to them.
    """
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=size,
            run_id=module,
            rdzv_backend="c10d",
            rdzv_endpoint="127.0.0.1:0",
            local_addr="127.0.0.1",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
        )
        try:
            elastic_launch(config, sys.executable)("-m", module)
        except SignalException as received:
            sys.exit(128 + received.sigval)
        except ChildFailedError as failed:
            number, failure = failed.get_first_failure()
            if failure.exitcode < 0:
                raise UserError(
                    f"process {number} of {size} was ended by {_name(-failure.exitcode)}; "
                    f"{_CONTINUES}",
                    128 - failure.exitcode,
                ) from None
            sys.exit(failure.exitcode)


def _name(number: int) -> str:
    return signal.Signals(number).name
