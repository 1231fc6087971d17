"""Whose log it is, and the loss that this kind is known to have."""

import re
from collections.abc import Iterable

import numpy as np

from ganverdict.formats.names import role
from ganverdict.formats.table import Table

# Names that all must be there -> what it is called, and its loss. The first that fits counts.
_KINDS: tuple[tuple[str, tuple[str, ...], str, str | None], ...] = (
    ("", ("Loss/D/loss", "Loss/r2_penalty"), "R3GAN", "relativistic"),
    ("", ("Loss/D/loss", "Loss/r1_penalty"), "StyleGAN", "bce_sum"),
    ("", ("Loss/D/loss", "Progress/kimg"), "StyleGAN (another loss)", None),
    ("text", ("Loss_D", "Loss_G", "D(x)", "epoch", "batch"), "pytorch/examples DCGAN", "bce_sum"),
    ("text", ("Loss_D", "Loss_G", "epoch", "batch"), "pytorch/examples DCGAN, its copies", None),
    ("text", ("D loss", "G loss", "Epoch", "Batch"), "PyTorch-GAN", None),
    ("text", ("D loss", "G loss", "#step"), "Keras-GAN", None),
    (
        "text",
        ("d_loss", "g_loss", "Epoch", "Epoch/of", "batch", "time"),
        "DCGAN-tensorflow",
        "bce_sum",
    ),
    # Without the count of epochs many print so, of WGAN-GP, hinge and least squares, too.
    ("text", ("d_loss", "g_loss", "Epoch", "batch", "time"), "DCGAN-tensorflow or its like", None),
    ("text", ("Dis_loss", "Gen_loss", "Step"), "StudioGAN", None),
    ("text", ("Discriminator_loss", "Generator_loss", "Step"), "StudioGAN", None),
    ("text", ("D_A", "G_A", "epoch", "iters"), "CycleGAN", "lsgan_mean"),
    ("text", ("G_GAN", "G_L1", "D_real", "D_fake", "epoch", "iters"), "pix2pix", "bce_mean"),
    ("text", ("G_GAN", "D_real", "D_fake", "epoch", "iters"), "pix2pix (another loss)", None),
    ("text", ("GAN", "D_real", "D_Fake", "epoch", "iters"), "SPADE", None),
    ("text", ("l_g_gan", "l_d_real", "iter"), "BasicSR", None),
    ("text", ("Loss G", "Loss D", "Epoch"), "CTGAN", "wasserstein"),
    ("text", ("Gen", "Discrim"), "CTGAN", "wasserstein"),
    ("text", ("d", "g", "r1", "path"), "rosinality StyleGAN2", "bce_sum"),
    ("text", ("G", "D", "GP"), "lucidrains StyleGAN2", "hinge"),
    ("text", ("loss_disc_fake", "loss_disc_real", "loss_gen"), "mmagic", None),
    ("text", ("network-snapshot",), "StyleGAN", None),
    ("text", ("kimg",), "StyleGAN", None),
    ("CSV", ("Epoch", "Generator Loss", "Discriminator Loss"), "CTGAN", "wasserstein"),
    ("JSON", ("dis/loss", "gen/loss", "iteration"), "Chainer", None),
    ("CSV", ("_step", "_runtime"), "Weights & Biases", None),
    ("JSON", ("_step", "_runtime"), "Weights & Biases", None),
    ("JSON lines", ("_step", "_runtime"), "Weights & Biases", None),
    ("JSON lines", ("itr", "IS_mean", "FID"), "BigGAN-PyTorch", "hinge"),
)
# What an iteration counts, where the numbers do not say it.
UNITS = {
    "CycleGAN": "image",
    "pix2pix": "image",
    "pix2pix (another loss)": "image",
    "SPADE": "image",
    "CTGAN": "epoch",
}
_SAMPLES = (
    (re.compile(r'"log_history"'), "Hugging Face trainer"),
    (re.compile(r'"snapshot_pkl"'), "StyleGAN"),
    (re.compile(r"^Wall time Step Value$"), "TensorBoard chart"),
    (re.compile(r"__MIN\b"), "Weights & Biases chart"),
)


def kind_of(tables: Iterable[Table]) -> tuple[str, str | None]:
    """What a run's tables are, and their loss; of several kinds the one that is known best."""
    tables = list(tables)
    for layout, needed, kind, loss in _KINDS:
        for table in tables:
            fits = not layout or table.layout == layout
            if fits and all(name in table.columns for name in needed):
                if UNITS.get(kind) == "epoch" and _counts_within_epochs(table, needed):
                    continue
                return kind, loss
    for pattern, kind in _SAMPLES:
        if any(pattern.search(table.sample) for table in tables):
            return kind, None
    layouts = list(dict.fromkeys(table.layout for table in tables))
    return " and ".join(layouts), None


def _counts_within_epochs(table: Table, names: Iterable[str]) -> bool:
    """Whether a batch or a step stands in the rows of `names`."""
    rows = np.concatenate([table.columns[name].rows for name in names])
    for name, series in table.columns.items():
        meaning = role(name)
        counts = meaning.kind == "step" and meaning.name != "epoch" and not meaning.weak
        if counts and np.isin(series.rows, rows).any():
            return True
    return False
