"""A first map of a table that nobody has mapped: written from a sample, with comments that say why.

It is complete (it passes ``fhir-map check`` and converts the sample) and modest: what no guess fits is kept
in an extension under the column's name, so that nothing is lost before a person has looked at it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from mappings.engine.guess import Guess, guess, means

_ONCE = ", no value comes twice"


def scaffold(name: str, columns: Mapping[str, Sequence[str]], sampled: int) -> str:
    """Return the YAML of a map for a table. ``columns``: column → cells of the sample; ``sampled``: rows."""
    guesses = [guess(column, cells) for column, cells in columns.items()]
    key = _key(guesses)
    slug = _slug(name)
    own = _own_names(slug, guesses)
    placed = _placed([one for one in guesses if one is not key and one.kind != "empty"])
    kept = [one for one in guesses if one is not key and one.kind != "empty" and one.name not in placed]
    lines = [
        f"# Made by 'fhir-map new' from {sampled} rows. Every line is a guess: read it, correct it, then run",
        "# 'fhir-map check' on this file. docs/mappings.md explains each key.",
        f"map: {slug}",
        "format: table",
        f"kind: {_quoted(name)}                # files of this name (without ending) are read by this map",
        f"title: {{en: {_quoted(name)}}}",
        'version: "1"',
        "per: row",
        f"columns: [{', '.join(_quoted(one.name) for one in guesses)}]",
        "",
        "systems:",
        "  # {source} is the sending system's name (--source): numbers are unique there, not in the country.",
        f'  {slug}-number: "{{base}}/NamingSystem/{{source}}/{slug}"',
    ]
    if kept:
        lines += [
            "",
            "extensions:",
            "  # Where columns go that no FHIR element was guessed for: look for a better place.",
        ]
        lines += [f'  {own[one.name]}: "{{base}}/StructureDefinition/{own[one.name]}"' for one in kept]
    codes = [one for one in kept if one.kind == "codes"]
    if codes:
        lines += ["", "codes:"]
        for one in codes:
            lines += _table(own[one.name], one)
    lines += [
        "",
        "resources:",
        "  - id: patient",
        "    type: Patient             # is a row a person? Else an Encounter, an Observation …",
        "    by: update",
        f"    identity:                 # {_plain(key.name)}: {key.why}{_ONCE if key.is_unique else ''}",
        f"      - {{system: {slug}-number, from: {_quoted(key.name)}}}",
        "    fields:" if placed or kept else "    fields: []",
    ]
    for one in guesses:
        if one.name in placed or one in kept:
            lines.append(f"      # {_plain(one.name)}: {one.why}")
            lines.append(f"      - {placed.get(one.name) or _kept(one, own[one.name])}")
    empty = [one for one in guesses if one.kind == "empty" and one is not key]
    if empty:
        lines += ["", "ignore:"] + [f"  {_quoted(one.name)}: the sample has no value in it" for one in empty]
    return "\n".join(lines) + "\n"


def _placed(guesses: Sequence[Guess]) -> dict[str, str]:
    """Return column → pair for the columns whose FHIR element was guessed; each element is given once."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for one in guesses:
        field = _field(one)
        if field is not None and field[0] not in taken:
            taken.add(field[0])
            to, convert = field
            written = f'"{to}"' if "[" in to else to
            found[one.name] = f"{{from: {_quoted(one.name)}, to: {written}{convert}}}"
    return found


def _key(guesses: Sequence[Guess]) -> Guess:
    """Return the column that names a row: unique and named so, else unique, else named so, else the first."""
    ranked = sorted(
        guesses,
        key=lambda one: (
            -(2 * means(one.name, "patient-number") + (one.kind == "key")) - 3 * one.is_unique,
            one.kind in {"empty", "date", "datetime", "money", "card", "phone"},
        ),
    )
    return ranked[0]


_FIELDS = {
    "gender": ("gender", ", convert: {gender: {write: word}}"),
    "card": ("identifier[system=cn-id].value", ", convert: cn-id"),
    "phone": ("telecom[system=phone].value", ", convert: phone"),
}


def _field(one: Guess) -> tuple[str, str] | None:
    """Return the element and converter that a column's meaning asks for; None when it has none."""
    if one.kind in _FIELDS:
        return _FIELDS[one.kind]
    if one.kind == "date" and means(one.name, "birth"):
        return "birthDate", ", convert: date"
    if one.kind == "text" and means(one.name, "address"):
        return "address[0].text", ""
    if one.kind in {"text", "codes"} and means(one.name, "patient"):
        return "name[0].text", ""
    return None


_FLAGS = (("1", "0"), ("是", "否"), ("Y", "N"))
_VALUES = {
    "date": ("valueDate", ", convert: date"),
    "datetime": ("valueDateTime", ", convert: datetime"),
    "money": ("valueMoney", ", convert: money"),
    "decimal": ("valueDecimal", ", convert: decimal"),
    "flag": ("valueBoolean", ""),
}


def _kept(one: Guess, name: str) -> str:
    """Return the pair that keeps a column in an extension of its own."""
    value, convert = _VALUES.get(one.kind, ("valueString", ""))
    if one.kind == "flag":
        yes, no = next(pair for pair in _FLAGS if set(one.values) <= set(pair))
        convert = f', convert: {{boolean: {{"true": [{_text(yes)}], "false": [{_text(no)}]}}}}'
    if one.kind == "codes":
        value, convert = "valueCoding", f", codes: {name}, as: coding"
    return f"{{from: {_quoted(one.name)}, to: \"extension('{name}').{value}\"{convert}}}"


def _table(name: str, one: Guess) -> list[str]:
    return [
        f"  {name}:                 # {one.why}: is this a code table? Complete it",
        f'    system: "{{base}}/CodeSystem/{name}"',
        "    display: {" + ", ".join(f"{_text(value)}: {_text(value)}" for value in one.values) + "}",
    ]


def _own_names(slug: str, guesses: Sequence[Guess]) -> dict[str, str]:
    """Return column → the name of its extension and code table; columns that sound the same are numbered."""
    found: dict[str, str] = {}
    for one in guesses:
        name = f"{slug}-{_slug(one.name)}"
        while name in found.values():
            name = f"{name}-{len(found)}"
        found[one.name] = name
    return found


def _plain(name: str) -> str:
    """Return a name as a comment may hold it, in one line."""
    return " ".join(name.split())


def _slug(name: str) -> str:
    """Return a name for addresses: ASCII letters and digits, Chinese by its sound (费别 → fei-bie)."""
    if not name.isascii():
        # The dictionary of sounds takes a second to import; ASCII names do not need it.
        from pypinyin import lazy_pinyin  # noqa: PLC0415 - see above

        name = " ".join(lazy_pinyin(name))
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "column"


def _quoted(text: str) -> str:
    """Write a text as YAML needs it."""
    return (
        text if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", text) and text.lower() not in _WORDS else _text(text)
    )


def _text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
