"""The tables of docs/search.md: every cell is asked of the parser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fhir_server.faults import Fault, Kind
from fhir_server.search.filter.grammar import OPERATORS
from fhir_server.search.matrix import PREFIXED, PREFIXES, TYPES, markdown, modifiers, operators
from fhir_server.search.parameters import Type
from fhir_server.search.terms import Codes, Direction
from tests.architecture.search_table import BEGIN, END, PAGE
from tests.unit.search.asking import outcome, where

EXAMPLES: dict[Type, tuple[str, str, str]] = {
    "token": ("Patient", "identifier", "http://s|1"),
    "string": ("Patient", "family", "li"),
    "date": ("Patient", "birthdate", "2024"),
    "number": ("RiskAssessment", "probability", "5"),
    "quantity": ("Observation", "value-quantity", "5"),
    "reference": ("Encounter", "location", "1"),
    "uri": ("ValueSet", "url", "http://a/b"),
    "composite": ("Observation", "code-value-concept", "1$2"),
    "special": ("Location", "near", "1|2"),
}
VALUES = {"missing": "true", "of-type": "http://s|MR|1"}
NAMES = {"[type]": "Location"}
SAID = {row.modifier: row.meanings for row in modifiers()}


class Few:
    """A terminology of one code."""

    def expand(self, _: str) -> Codes:
        return frozenset({("http://s", "1")})

    def subsumed(self, system: str, code: str, _: Direction) -> Codes:
        return frozenset({(system, code)})


def supports(type_: Type, modifier: str) -> bool:
    resource, code, value = EXAMPLES[type_]
    pair = f"{code}:{NAMES.get(modifier, modifier)}", VALUES.get(modifier, value)
    found = outcome(resource, pair, terminology=Few())
    assert not isinstance(found, Fault) or found.kind is Kind.UNSUPPORTED_PARAMETER
    return not isinstance(found, Fault)


@pytest.mark.parametrize("type_", TYPES)
def test_a_modifier_is_served_where_the_table_says_so_and_nowhere_else(type_: Type) -> None:
    assert {name: supports(type_, name) for name in SAID} == {name: type_ in SAID[name] for name in SAID}


def test_the_table_names_every_modifier_of_r4() -> None:
    named = "missing exact contains text not in not-in above below of-type identifier [type]"

    assert SAID.keys() == set(named.split())


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_prefix_is_one_where_the_table_says_so_and_a_part_of_the_value_elsewhere(
    type_: Type, prefix: str
) -> None:
    resource, code, value = EXAMPLES[type_]
    plain = where(resource, code, value)
    with_prefix = outcome(resource, (code, prefix + value))

    understood = not isinstance(with_prefix, Fault) and f"prefix='{prefix}'" in repr(with_prefix.query.where)
    assert understood == (type_ in PREFIXED)
    assert type_ in PREFIXED or isinstance(with_prefix, Fault) or with_prefix.query.where != plain


@pytest.mark.parametrize("type_", TYPES)
def test_an_operator_of_a_filter_is_served_where_the_table_says_so(type_: Type) -> None:
    resource, code, value = EXAMPLES[type_]
    asked = {
        operator: outcome(
            resource,
            ("_filter", f"{code} {operator} {'true' if operator == 'pr' else value}"),
            terminology=Few(),
        )
        for operator in OPERATORS
    }

    assert {name for name, found in asked.items() if not isinstance(found, Fault)} == set(operators(type_))


def test_the_page_shows_the_table() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert page.partition(BEGIN)[2].partition(END)[0] == markdown()
    assert re.search(r"search_table", (Path(PAGE).parents[1] / "Makefile").read_text(encoding="utf-8"))
