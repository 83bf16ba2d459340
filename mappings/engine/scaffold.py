"""A first map of a table that nobody has mapped: written from a sample, with comments that say why.

It is complete (it passes ``fhir-map check`` and converts the sample) and modest: what no guess fits is kept in
an extension under the column's name, so that nothing is lost before a person has looked at it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pypinyin import lazy_pinyin

from mappings.engine.guess import Guess, guess, means


def scaffold(name: str, columns: Mapping[str, Sequence[str]], sampled: int) -> str:
    """Return the YAML of a map for a table. ``columns``: column → cells of the sample; ``sampled``: rows."""
    guesses = [guess(column, cells) for column, cells in columns.items()]
    key = _key(guesses)
    slug = _slug(name)
    codes = [one for one in guesses if one.kind == "codes" and one is not key]
    lines = [
        f"# Made by 'fhir-map new' from {sampled} rows. Every line is a guess: read it, correct it, then run",
        "# 'fhir-map check' on this file. docs/mappings.md explains each key.",
        f"map: {slug}",
        "format: table",
        f"kind: {_quoted(name)}                # files of this name (without the ending) are read by this map",
        f"title: {{en: {_quoted(name)}}}",
        'version: "1"',
        "per: row",
        f"columns: [{', '.join(_quoted(one.name) for one in guesses)}]",
        "",
        "systems:",
        "  # {source} is the sending system's name (--source): numbers are unique there, not in the country.",
        f'  {slug}-number: "{{base}}/NamingSystem/{{source}}/{slug}"',
        "",
        "extensions:",
        "  # Where columns go that no FHIR element was guessed for. Look for a better place, or move them to 'ignore'.",
        *(f'  {_extension(slug, one)}: "{{base}}/StructureDefinition/{_extension(slug, one)}"' for one in guesses
          if one is not key and _field(one) is None and one.kind != "empty"),
    ]  # fmt: skip
    if lines[-1].startswith("  #"):
        del lines[-2:]
    if codes:
        lines += ["", "codes:"]
        for one in codes:
            lines += _table(slug, one)
    lines += [
        "",
        "resources:",
        "  - id: patient",
        "    type: Patient             # the guess of all guesses: is a row a person? Else an Encounter, an Observation …",
        "    by: update",
        f"    identity:                 # {key.name}: {key.why}{', and no value comes twice' if key.is_unique else ''}",
        f"      - {{system: {slug}-number, from: {_quoted(key.name)}}}",
        "    fields:",
    ]
    for one in guesses:
        if one is not key and one.kind != "empty":
            lines.append(f"      # {one.name}: {one.why}")
            lines.append(f"      - {_field(one) or _kept(one, slug)}")
    empty = [one for one in guesses if one.kind == "empty" and one is not key]
    if empty:
        lines += ["", "ignore:"] + [f"  {_quoted(one.name)}: the sample has no value in it" for one in empty]
    return "\n".join(lines) + "\n"


def _key(guesses: Sequence[Guess]) -> Guess:
    """Return the column that names a row: by its name and unique, else unique, else by its name, else the first."""
    ranked = sorted(
        guesses,
        key=lambda one: (
            -(2 * means(one.name, "patient-number") + (one.kind == "key")) - 2 * one.is_unique,
            one.kind in {"empty", "date", "datetime", "money", "card", "phone"},
        ),
    )
    return ranked[0]


def _field(one: Guess) -> str | None:
    """Return the pair for a column whose element was guessed; None when none was."""
    source = f"from: {_quoted(one.name)}"
    simple = {
        "gender": f"{{{source}, to: gender, convert: {{gender: {{write: word}}}}}}",
        "card": f'{{{source}, to: "identifier[system=cn-id].value", convert: cn-id}}',
        "phone": f'{{{source}, to: "telecom[system=phone].value", convert: phone}}',
    }
    if one.kind in simple:
        return simple[one.kind]
    if one.kind == "date" and means(one.name, "birth"):
        return f"{{{source}, to: birthDate, convert: date}}"
    if one.kind == "text" and means(one.name, "address"):
        return f'{{{source}, to: "address[0].text"}}'
    if one.kind in {"text", "codes"} and means(one.name, "patient"):
        return f'{{{source}, to: "name[0].text"}}'
    return None


_FLAGS = (("1", "0"), ("是", "否"), ("Y", "N"))
_VALUES = {
    "date": ("valueDate", ", convert: date"),
    "datetime": ("valueDateTime", ", convert: datetime"),
    "money": ("valueMoney", ", convert: money"),
    "decimal": ("valueDecimal", ", convert: decimal"),
    "flag": ("valueBoolean", ""),
}


def _kept(one: Guess, slug: str) -> str:
    value, convert = _VALUES.get(one.kind, ("valueString", ""))
    if one.kind == "flag":
        yes, no = next(pair for pair in _FLAGS if set(one.values) <= set(pair))
        convert = f', convert: {{boolean: {{"true": [{_text(yes)}], "false": [{_text(no)}]}}}}'
    if one.kind == "codes":
        value, convert = "valueCoding", f", codes: {_extension(slug, one)}, as: coding"
    return f"{{from: {_quoted(one.name)}, to: \"extension('{_extension(slug, one)}').{value}\"{convert}}}"


def _table(slug: str, one: Guess) -> list[str]:
    name = _extension(slug, one)
    return [
        f"  {name}:                 # {one.why}: is this a code table? Complete it",
        f'    system: "{{base}}/CodeSystem/{name}"',
        "    display: {" + ", ".join(f"{_text(value)}: {_text(value)}" for value in one.values) + "}",
    ]


def _extension(slug: str, one: Guess) -> str:
    return f"{slug}-{_slug(one.name)}"


def _slug(name: str) -> str:
    """Return a name for addresses: ASCII letters and digits, Chinese by its sound (费别 → fei-bie)."""
    sounds = " ".join(lazy_pinyin(name))
    return re.sub(r"[^a-z0-9]+", "-", sounds.lower()).strip("-") or "column"


def _quoted(text: str) -> str:
    """Write a text as YAML needs it."""
    return (
        text if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", text) and text.lower() not in _WORDS else _text(text)
    )


def _text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
