"""Where the numbers of a page come from, and how to make them again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ganverdict.report import text_of
from pipeline.pages.layout import commands


@dataclass(frozen=True, eq=False)
class Origin:
    """Where numbers come from.

    Attributes:
        tags: commit and machine, as `pipeline.tracking.provenance.tags` tells them.
        data_hash: of the digits.
        params: what they were made with, as `section.key`.
    """

    tags: Mapping[str, str]
    data_hash: str
    params: Mapping[str, object]


def again(origin: Origin, lines: Sequence[str], done: str) -> str:
    """The commands that make it again, and what else they hang on.

    Args:
        origin: of what is on the page.
        lines: commands, after the one that fetches the code.
        done: what was done on this machine, such as "Evaluated".
    """
    commit = origin.tags.get("mlflow.source.git.commit")
    told = [f"Data: hash <code>{text_of(origin.data_hash)}</code>, as in reports/data.json."]
    if not commit:
        told.append("The code was in no git repository.")
    elif origin.tags.get("git_dirty") == "yes":
        told.append("There were changes that this commit does not have.")
    machine = ", ".join(
        f"{name} {origin.tags[name]}"
        for name in ("torch", "threads", "machine")
        if name in origin.tags
    )
    told.append(f"{done} with {text_of(machine)}.")
    checkout = [f"git checkout {commit}"] if commit else []
    return f"{commands([*checkout, *lines])}<p>{' '.join(told)}</p>"


def parameters(params: Mapping[str, object], opened: str) -> str:
    """All parameters by section, of which `opened` is open."""
    sections: dict[str, list[str]] = {}
    for name, value in params.items():
        part, _, key = name.partition(".")
        row = f"<tr><td>{text_of(key)}</td><td>{text_of(str(value))}</td></tr>"
        sections.setdefault(part, []).append(row)
    return "".join(
        f"<details{' open' if part == opened else ''}><summary>{text_of(part)}</summary>"
        f'<div class="scroll"><table><tbody>{"".join(rows)}</tbody></table></div></details>'
        for part, rows in sections.items()
    )
