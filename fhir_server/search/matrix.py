"""What the search language of this server holds, as a table: made of the registries that the parser reads.

docs/search.md shows it, and a test asks the parser about every cell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

from fhir_server.search.filter.meaning import MEANINGS
from fhir_server.search.modifiers import MODIFIERS
from fhir_server.search.parameters import Type
from fhir_server.search.predicate import Prefix

TYPES: tuple[Type, ...] = get_args(Type)
PREFIXES: tuple[Prefix, ...] = get_args(Prefix)
PREFIXED: frozenset[Type] = frozenset({"number", "date", "quantity"})
"""The types whose values take a prefix. https://hl7.org/fhir/R4/search.html#prefix"""

MISSING = "There is no value (true), or there is one (false)."
OF_TYPE_NAME = "The reference leads to a resource of that type."


@dataclass(frozen=True, slots=True)
class Row:
    """A modifier: what it means to each type of parameter that takes it."""

    modifier: str
    meanings: dict[Type, str]


def modifiers() -> list[Row]:
    """Return every modifier, in the order of the types that take it."""
    rows = {"missing": Row("missing", dict.fromkeys(TYPES, MISSING))}
    for type_ in TYPES:
        for name, modifier in MODIFIERS[type_].items():
            rows.setdefault(name, Row(name, {})).meanings[type_] = modifier.meaning
    rows["[type]"] = Row("[type]", {"reference": OF_TYPE_NAME})
    return list(rows.values())


def operators(type_: Type) -> tuple[str, ...]:
    """Return the operators of ``_filter`` that mean something to a type of parameter."""
    return (*MEANINGS[type_], "pr")


def markdown() -> str:
    """Write the tables: modifiers by type of parameter, then prefixes and operators of ``_filter``."""
    return "\n".join([*_supported(), "", *_meanings(), "", *_ordered(), ""])


def _line(cells: Iterator[str] | list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _head(cells: list[str]) -> list[str]:
    return [_line(cells), _line(["---"] * len(cells))]


def _supported() -> Iterator[str]:
    yield from _head(["Modifier", *TYPES])
    for row in modifiers():
        yield _line([f"`:{row.modifier}`", *("yes" if type_ in row.meanings else "" for type_ in TYPES)])


def _meanings() -> Iterator[str]:
    yield from _head(["Modifier", "Of", "What it asks"])
    for row in modifiers():
        types = "all" if len(row.meanings) == len(TYPES) else ""
        for meaning in dict.fromkeys(row.meanings.values()):
            of = types or ", ".join(type_ for type_, each in row.meanings.items() if each == meaning)
            yield _line([f"`:{row.modifier}`", of, meaning])


def _ordered() -> Iterator[str]:
    yield from _head(["Type", "Prefixes of a value", "Operators of `_filter`"])
    for type_ in TYPES:
        prefixes = " ".join(f"`{each}`" for each in PREFIXES) if type_ in PREFIXED else ""
        yield _line([type_, prefixes, " ".join(f"`{each}`" for each in operators(type_))])
