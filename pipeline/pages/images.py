"""Grids of samples in a page: a slider through a run's, and two side by side."""

import base64
import io
import json
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ganverdict.report import text_of
from pipeline.base.tiles import tile

MAX_FRAMES = 60  # of a slider, about 12 kB each
_GREYS = 16  # enough for a digit, at half the bytes of all 256

Grid = NDArray[np.uint8]


def slider(grids: Grid, labels: Sequence[str], chosen: int) -> str:
    """A picture for each of grids uint8 [k, N, 28, 28], chosen by a slider that starts at `chosen`.

    The pictures are data in the page; `images.js` shows one after the other. Without scripts the
    chosen one stands alone.
    """
    frames = [
        {"image": _uri(grid), "label": label} for grid, label in zip(grids, labels, strict=True)
    ]
    data = json.dumps(frames).replace("<", "\\u003c")  # no label ends the script
    first = frames[chosen]
    return f"""<figure class="grids" id="grids">
<img class="digits" src="{first["image"]}" alt="samples, {text_of(labels[chosen])}">
<figcaption>
<label for="moment">When: <output for="moment">{text_of(labels[chosen])}</output></label>
<input type="range" id="moment" min="0" max="{len(frames) - 1}" value="{chosen}" step="1"
 aria-valuetext="{text_of(labels[chosen])}">
</figcaption>
<script type="application/json">{data}</script>
</figure>"""


def picture(images: Grid, columns: int, title: str) -> str:
    """A grid of images uint8 [N, 28, 28]."""
    return f'<img class="digits" src="{_uri(images, columns)}" alt="{text_of(title)}">'


def side_by_side(pictures: Mapping[str, Grid]) -> str:
    """Grids uint8 [N, 28, 28], each over its title; under one another where there is no room."""
    figures = "".join(
        f"<figure>{picture(images, 8, title)}<figcaption>{text_of(title)}</figcaption></figure>"
        for title, images in pictures.items()
    )
    return f'<div class="beside">{figures}</div>'


def spread(count: int, must: int, most: int = MAX_FRAMES) -> list[int]:
    """At most `most` of so many indices in equal steps, the ends and `must` among them."""
    even = {round(place) for place in np.linspace(0, count - 1, min(count, most)).tolist()}
    if must not in even:
        inner = [index for index in sorted(even) if 0 < index < count - 1]
        even.discard(min(inner, key=lambda index: abs(index - must), default=must))
    return sorted({*even, must})


def _uri(images: Grid, columns: int = 8) -> str:
    """A PNG of images uint8 [N, 28, 28], as an address that holds it."""
    few = Image.fromarray((tile(images, columns) // (256 // _GREYS)).astype(np.uint8))
    few.putpalette([255 * level // (_GREYS - 1) for level in range(_GREYS) for _ in "rgb"])
    file = io.BytesIO()
    few.save(file, "PNG", optimize=True, bits=4)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
