"""Names of a log in words, whatever their case and punctuation."""

import re


def name_words(name: str) -> tuple[str, ...]:
    """A name in lower-case words: `train/lossD` is train, loss, d; `fid50k_full` fid50k, full."""
    text = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    text = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1 \2", text)
    return tuple(re.findall(r"[a-z0-9²]+", text.lower()))
