"""What lies in Bokeh's figures."""

from collections.abc import Mapping
from typing import Any

from bokeh.models.renderers import GlyphRenderer

Drawn = tuple[Any, Mapping[str, Any]]


def glyphs(drawn: Any) -> list[Drawn]:
    """Each glyph of a figure, with the columns that it is drawn from."""
    found = drawn.select({"type": GlyphRenderer})
    return [(renderer.glyph, renderer.data_source.data) for renderer in found]
