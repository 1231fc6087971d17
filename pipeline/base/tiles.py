"""Small pictures side by side in a large one."""

import numpy as np
from numpy.typing import NDArray


def tile(images: NDArray[np.uint8], columns: int = 8, gap: int = 2) -> NDArray[np.uint8]:
    """Images uint8 [N, 28, 28] -> one picture uint8 [H, W], row by row, black gaps between."""
    rows = -(-len(images) // columns)
    height, width = images.shape[1:]
    picture = np.zeros((rows * (height + gap) - gap, columns * (width + gap) - gap), np.uint8)
    for index, image in enumerate(images):
        top, left = (index // columns) * (height + gap), (index % columns) * (width + gap)
        picture[top : top + height, left : left + width] = image
    return picture
