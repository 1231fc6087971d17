"""What a stage computes on; a wish that cannot be met is one line."""

import torch

from dcgan.params import RuntimeParams
from dcgan.runtime import configure
from pipeline.base.cli import UserError


def set_up(params: RuntimeParams) -> torch.device:
    """Apply threads and kernels of params.yaml; returns the device. Raises UserError."""
    try:
        return configure(params)
    except ValueError as error:
        raise UserError(f"params.yaml: {error}", 2) from None
