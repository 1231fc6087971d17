"""Names of a log in words, whatever their case and punctuation."""

import re
from functools import lru_cache

_TRANSLATED = {
    "discriminator": ("判别器", "鉴别器", "判別器", "識別器", "판별자", "판별기"),
    "generator": ("生成器", "생성자", "생성기"),
    "loss": ("损失", "損失", "손실"),
    "train": ("训练", "訓練", "학습"),
    "val": ("验证", "検証", "검증"),
    "test": ("测试",),
    "epoch": ("轮次", "轮数", "周期", "エポック", "에포크"),
    "step": ("步数", "迭代次数", "迭代", "ステップ", "스텝"),
}


@lru_cache(maxsize=8192)
def name_words(name: str) -> tuple[str, ...]:
    """A name in lower-case words: `train/lossD` is train, loss, d; `fid50k_full` fid50k, full."""
    if not name.isascii():
        for word, others in _TRANSLATED.items():
            for other in others:
                name = name.replace(other, f" {word} ")
    text = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    text = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1 \2", text)
    return tuple(re.findall(r"[a-z0-9²]+", text.lower()))


def word_set(*texts: str) -> frozenset[str]:
    """The words of texts."""
    return frozenset(word for text in texts for word in text.split())
