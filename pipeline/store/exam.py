"""Whether a judge is good enough to measure samples by."""

from torch import Tensor

from dcgan.judge import Judge, confusion
from dcgan.mnist import Mnist
from dcgan.params import JudgeParams
from pipeline.base.cli import UserError


def examine(judge: Judge, data: Mnist, params: JudgeParams) -> tuple[Tensor, float]:
    """Its confusion of the test digits, counts [10, 10], and its accuracy on them, 0 to 1.

    Raises UserError where that is below `params.min_accuracy`.
    """
    counts = confusion(judge, data.test_images, data.test_labels)
    accuracy = counts.trace().item() / counts.sum().item()
    if accuracy < params.min_accuracy:
        raise UserError(
            f"the judge is right on {accuracy:.2%} of the test digits, less than "
            f"judge.min_accuracy = {params.min_accuracy:g}; give it more judge.epochs, or "
            "lower judge.min_accuracy where the data are harder than MNIST"
        )
    return counts, accuracy
