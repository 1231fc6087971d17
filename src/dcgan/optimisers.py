"""torch's optimisers without torch's compiler, which takes seconds to import.

Several of an optimiser's methods are kept away from the compiler by a decorator that imports it.
Here they come without the decorator, and compute the same bits.
"""

import inspect

import torch


class Adam(torch.optim.Adam):
    """torch's."""


class RMSprop(torch.optim.RMSprop):
    """torch's."""


for _kind in (Adam, RMSprop):
    for _name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"):
        setattr(_kind, _name, inspect.unwrap(getattr(_kind, _name)))
    _kind.step = torch.no_grad()(inspect.unwrap(_kind.step))  # type: ignore[method-assign]
