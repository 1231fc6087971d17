"""Values written into params.yaml: comments, order and everything else stay."""

import difflib
import io
from collections.abc import Mapping
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.representer import RoundTripRepresenter

from pipeline.base.cli import UserError, write_whole


def apply(path: Path, section: str, values: Mapping[str, object]) -> str:
    """Write `values` over those of a section; returns the difference.

    Raises UserError, and changes nothing, if one is not there.
    """
    before = path.read_text(encoding="utf-8")
    after = changed(before, section, values)
    if after != before:
        with write_whole(path) as file:
            file.write(after.encode())
    old, new = before.splitlines(), after.splitlines()
    names = {"fromfile": str(path), "tofile": f"{path} (new)"}
    return "\n".join(difflib.unified_diff(old, new, lineterm="", n=1, **names))


def changed(text: str, section: str, values: Mapping[str, object]) -> str:
    """The text with new values; a comment after a value keeps its column where it can."""
    yaml = YAML()
    yaml.width = 10_000  # no line is folded
    yaml.preserve_quotes = True
    yaml.Representer = _Representer
    content = yaml.load(text)
    for key, value in values.items():
        if key not in content.get(section, {}):
            raise UserError(f"params.yaml: {section}.{key} is not there", 2)
        if content[section][key] != value:
            content[section][key] = value
    written = io.StringIO()
    yaml.dump(content, written)
    return written.getvalue()


class _Representer(RoundTripRepresenter):
    """Writes null as this file does, not as nothing."""


_Representer.add_representer(
    type(None), lambda self, _: self.represent_scalar("tag:yaml.org,2002:null", "null")
)
