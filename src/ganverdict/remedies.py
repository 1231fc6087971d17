"""What to try: one or two remedies that fit the evidence, with who found that they help."""

from ganverdict.verdict import Remedy

_R1 = Remedy(
    "a gradient penalty on real images (R1), which keeps D's gradients from growing",
    "Mescheder, Geiger, Nowozin 2018, arXiv 1801.04406",
)
_LOWER_RATES = Remedy(
    "lower learning rates for both networks, from the checkpoint to keep on",
    "Heusel et al. 2017, arXiv 1706.08500",
)
_LARGER_BATCH = Remedy(
    "a larger batch, or averaged weights of G for samples",
    "Brock, Donahue, Simonyan 2018, arXiv 1809.11096; Yazici et al. 2018, arXiv 1806.04498",
)
_AUGMENT = Remedy(
    "augmentation of what D sees (ADA, DiffAugment), or more data",
    "Karras et al. 2020, arXiv 2006.06676; Zhao et al. 2020, arXiv 2006.10738",
)
_WEAKER_D = Remedy(
    "a lower rate for D or fewer updates of it, smoothed labels, noise on its inputs",
    "Arjovsky, Bottou 2017, arXiv 1701.04862; Salimans et al. 2016, arXiv 1606.03498",
)
_OTHER_LOSS = Remedy(
    "a loss that teaches G also where D is sure: non-saturating, hinge with spectral "
    "normalisation, or a penalised critic",
    "Goodfellow et al. 2014, arXiv 1406.2661; Miyato et al. 2018, arXiv 1802.05957",
)
_FREEZE = Remedy(
    "whether G's step also moves D, and whether labels are swapped or changed after a resume",
    "this project's replication: with the joint update D ends above chance",
)
_STRONGER_D = Remedy(
    "a higher rate or more updates for D, so that it is ahead of G",
    "Heusel et al. 2017, arXiv 1706.08500",
)
_CLIP = Remedy(
    "lower rates, gradients clipped, and in mixed precision the losses in float32",
    "Micikevicius et al. 2017, arXiv 1710.03740",
)
_PENALTY = Remedy(
    "a gradient penalty in place of clipped weights, or a larger one",
    "Gulrajani et al. 2017, arXiv 1704.00028",
)
_DATA = Remedy(
    "a look at real images as D gets them: range, shape, shuffling, labels",
    "Salimans et al. 2016, arXiv 1606.03498, section 5",
)
_METRIC = Remedy(
    "more samples than features, float64, and a matrix square root that is checked: FID from few "
    "samples or from a singular covariance is not a number to go by",
    "Chong, Forsyth 2019, arXiv 1911.07023",
)
_LONGER = Remedy(
    "lower rates from here on (decay), more capacity, or an end",
    "Karras et al. 2022, arXiv 2206.00364, appendix",
)

_BY_STATE = {
    "at_chance": (_FREEZE, _R1),
    "saturated": (_WEAKER_D, _OTHER_LOSS),
    "vanished": (_WEAKER_D, _R1),
    "fooled": (_STRONGER_D, _FREEZE),
    "dead": (_DATA, _OTHER_LOSS),
    "exploding": (_CLIP, _PENALTY),
    "memorising": (_AUGMENT, _R1),
}
_BY_STATUS = {
    "diverged": (_CLIP, _LOWER_RATES),
    "onset": (_LOWER_RATES, _LARGER_BATCH),
    "silent": (_LOWER_RATES, _LARGER_BATCH),
    "stall": (_WEAKER_D, _OTHER_LOSS),
    "never_learned": (_DATA, _OTHER_LOSS),
    "metric_broken": (_METRIC,),
    "plateau": (_LONGER,),
}


_EXPLAINS = dict.fromkeys(("onset", "silent", "stall", "never_learned"), tuple(_BY_STATE))
_EXPLAINS["diverged"] = ("exploding",)
"""The states that may explain a status."""


def remedies(status: str, states: list[str]) -> tuple[Remedy, ...]:
    """At most two, by the first of the states that hold; none where nothing is wrong."""
    explains = [state for state in states if state in _EXPLAINS.get(status, ())]
    return _BY_STATE[explains[0]] if explains else _BY_STATUS.get(status, ())
