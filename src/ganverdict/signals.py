"""The signals of a run: their names, what they are called, and which way is a warning."""

from typing import NamedTuple


class Signal(NamedTuple):
    """What a signal is called, and whether its rise (1) or its fall (-1) is a warning (0: none)."""

    words: str
    warning: int


TABLE: dict[str, Signal] = {
    "d_loss": Signal("the loss of D", -1),
    "g_loss": Signal("the loss of G", 1),
    "d_real": Signal("mean D(x)", 0),  # probabilities in [0, 1]
    "d_fake": Signal("mean D(G(z))", 0),
    "d_grad_norm": Signal("the gradient norm of D", 1),
    "g_grad_norm": Signal("the gradient norm of G", 1),
    "d_update_ratio": Signal("the update ratio of D", 1),  # norm of the step over that of weights
    "g_update_ratio": Signal("the update ratio of G", 1),
    "d_score_real": Signal("D's score of real images", 0),  # logits or critic's values, any sign
    "d_score_fake": Signal("D's score of generated images", 0),
    "d_sign_real": Signal("the sign of D's logits on real images", 0),  # r_t of 2006.06676
    "d_loss_train": Signal("D's loss on training images", 0),  # in inference mode
    "d_loss_test": Signal("D's loss on held-out images", 0),
    "d_weight_norm": Signal("the norm of D's weights", 0),
}
SIGNALS = tuple(TABLE)
"""Per iteration, any subset."""

CHARTED = tuple(name for name, signal in TABLE.items() if signal.warning)
"""The signals whose change is a warning."""

HELD_OUT = ("d_loss_train", "d_loss_test")
"""What tells whether D knows its training images by heart; may come with evaluations."""

LOSSES = ("d_loss", "g_loss")
"""The signals that must be finite: mixed precision skips steps whose gradient norm is not."""
