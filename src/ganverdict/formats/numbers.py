"""From the text of a cell to a number."""

import re

MISSING = frozenset(
    [
        "",
        "-",
        "--",
        "---",
        "na",
        "n/a",
        "#n/a",
        "<na>",
        "n.a.",
        "nil",
        "none",
        "null",
        "?",
        "missing",
    ]
)
# C's printf and numpy write these; Python's float does not read them.
_NOT_FINITE = {
    "1.#inf": "inf",
    "-1.#inf": "-inf",
    "1.#qnan": "nan",
    "-1.#ind": "nan",
    "1.#ind": "nan",
    "nan(ind)": "nan",
    "-nan(ind)": "nan",
    "∞": "inf",
    "-∞": "-inf",
}
_WRAPPED = re.compile(
    r"(?:[A-Za-z_.]+\()+\[?\s*([^,()\[\]\s]+)\s*\]?(?:,[^()]*(?:\([^()]*\))?[^()]*)?\)+"
)
_BRACKETS = re.compile(r"\[\s*([^\[\],\s]+)\s*\]")
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
DOTTED_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:\.\d{3})+")
_ROUND = re.compile(r"([-+]?\d+(?:\.\d+)?)([kKM])")  # `500k`, `1.5M` steps
_JULIAS = re.compile(r"([-+]?[\d.]+)f([-+]?\d+)")  # 32 bits: `6.9f-5`
_EMPHASIS = "*_`~"  # of Markdown
_DEVIATION = re.compile(r"\s*(?:±|\+/-|\+-)\s*[\d.]+(?:[eE][-+]?\d+)?$")
# A sign or a word that marks a cell: `20.3 ↓`, `**9.80** (best)`.
_SIGN = r"[^\w\s.,;:%()/#+-]+"
_MARKED = re.compile(
    rf"(?:{_SIGN}\s*)?([-+]?[\d.][^\s(]*?)\s*(?:{_SIGN}\s*)?(?:\(?(?:best|lowest|min)\)?)?[*_]*",
    re.IGNORECASE,
)
_LONGEST = 400


def is_missing(text: str) -> bool:
    """Whether a cell says that there is no value."""
    return text.strip().lower() in MISSING


def number(text: str, comma: bool = False) -> float | None:
    """The number that a cell holds, or None where it holds none.

    `comma`: a comma separates decimals and a point thousands. Percent signs, tensors, quotes, bold
    type, deviations (`7.0 ± 0.1`), marks (`7.0 (best)`) and groups of digits are taken off.
    """
    text = text.strip().strip("\"'").strip()
    if comma and ("," in text or DOTTED_THOUSANDS.fullmatch(text)):
        text = text.replace(".", "").replace(",", ".")
    value = _float(text)
    if value is not None or len(text) > _LONGEST:
        return value
    lowered = text.lower()
    if lowered in _NOT_FINITE:
        return float(_NOT_FINITE[lowered])
    if text.endswith("%"):
        return number(text[:-1])
    if (bare := _unmarked(text)) != text:
        return number(bare)
    if match := _WRAPPED.fullmatch(text) or _BRACKETS.fullmatch(text):
        return number(match[1])
    if _THOUSANDS.fullmatch(text):
        return _float(text.replace(",", ""))
    if text.count(",") == 1 and "." not in text:
        return _float(text.replace(",", "."))
    if text.count(",") == 1 and text.rindex(",") > text.rindex("."):
        return _float(text.replace(".", "").replace(",", "."))
    bare = re.sub(r"(?<=\d)[\s'\u2019\u00a0\u202f](?=\d{3})", "", text)
    return _float(bare) if bare != text else None


def _unmarked(text: str) -> str:
    """A cell without what stands beside its number."""
    bare = _DEVIATION.sub("", text).strip(_EMPHASIS)
    match = _MARKED.fullmatch(bare)
    return match[1] if match else bare


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        if match := _ROUND.fullmatch(text):
            return round(float(match[1]) * (1e6 if match[2] == "M" else 1e3), 6)
        match = _JULIAS.fullmatch(text)
        return _float(f"{match[1]}e{match[2]}") if match else None
