"""What the pages share: sections, tables, and the styles and scripts that lie beside the code."""

from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files

from ganverdict.report import text_of


def titled(title: str, content: str) -> str:
    """A section under a title."""
    return f"<section><h2>{title}</h2>{content}</section>"


def table(columns: Mapping[str, bool], rows: Iterable[Sequence[str]], kind: str) -> str:
    """A table that is scrolled sideways where there is no room.

    Args:
        columns: titles in order, each with whether numbers stand below it.
        rows: cells as text.
        kind: its class.
    """
    kinds = [' class="number"' if number else "" for number in columns.values()]
    head = "".join(
        f"<th{which}>{text_of(title)}</th>" for which, title in zip(kinds, columns, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{which}>{text_of(cell)}</td>" for which, cell in zip(kinds, row, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0"><table class="{kind}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def commands(lines: Iterable[str]) -> str:
    """Lines to be typed."""
    shown = "\n".join(map(text_of, lines))
    return f'<pre tabindex="0">{shown}</pre>'


def style(*names: str) -> str:
    """Those style sheets, written into the page."""
    return "".join(f"<style>{_file(name)}</style>" for name in names)


def script(*names: str) -> str:
    """Those scripts, written into the page."""
    return "".join(f"<script>{_file(name)}</script>" for name in names)


def _file(name: str) -> str:
    return files("pipeline.pages").joinpath(name).read_text(encoding="utf-8")
