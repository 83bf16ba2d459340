"""What belongs together: the components of composites, and positions.

https://hl7.org/fhir/R4/search.html#composite
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.search.extract import Extractor
from fhir_server.search.generate import groups
from fhir_server.search.parameters import parameters
from fhir_server.search.values import Values
from tests.unit.search.trees import resources
from tests.unit.search.walking import ZONE, follow, read

EXTRACTOR = Extractor(ZONE, "http://me/fhir")
UCUM = "http://unitsofmeasure.org"


def component(code: str, value: float, unit: str = "mm[Hg]") -> dict[str, Any]:
    return {
        "code": {"coding": [{"code": code}]},
        "valueQuantity": {"value": value, "system": UCUM, "code": unit},
    }


def test_each_component_of_an_observation_is_a_group() -> None:
    tree = {"resourceType": "Observation", "component": [component("s", 120), component("d", 80)]}

    rows = [
        row for code, row in EXTRACTOR.extract(tree).composites if code == "component-code-value-quantity"
    ]

    assert rows == [
        ((("token", "", "s"),), (("quantity", UCUM, "mm[Hg]", "", 120.0, 120.0),)),
        ((("token", "", "d"),), (("quantity", UCUM, "mm[Hg]", "", 80.0, 80.0),)),
    ]


def test_a_group_has_a_twin_in_canonical_units_where_there_are_any() -> None:
    tree = {"resourceType": "Observation", "component": [component("s", 1, "kPa"), component("d", 1, "pcs.")]}

    rows = [row for code, row in EXTRACTOR.extract(tree).composites if code.endswith("quantity:ucum")]

    assert rows == [((("token", "", "s"),), (("quantity", "", "g.m-1.s-2", "", 1e6, 1e6),))]


def test_a_component_without_a_value_is_no_group() -> None:
    tree = {"resourceType": "Observation", "component": [{"code": {"coding": [{"code": "s"}]}}, None, "x"]}

    assert EXTRACTOR.extract(tree).composites == []


@pytest.mark.parametrize(
    ("position", "row"),
    [
        ({"latitude": Decimal("30.6600"), "longitude": 104}, [("near", 30.66, 104.0)]),
        ({"latitude": -90, "longitude": -180}, [("near", -90.0, -180.0)]),
        ({"latitude": 91, "longitude": 0}, []),
        ({"latitude": 0, "longitude": 181}, []),
        ({"latitude": 0}, []),
        ("x", []),
    ],
)
def test_a_position_lies_on_the_earth(position: Any, row: list[Any]) -> None:
    assert EXTRACTOR.extract({"resourceType": "Location", "position": position}).positions == row


COMPOSED = sorted(
    each for each in RESOURCE_TYPES if any(p.type == "composite" for p in parameters(each).values())
)


@settings(max_examples=150)
@given(st.sampled_from(COMPOSED).flatmap(resources))
def test_a_composite_holds_what_one_element_holds(tree: dict[str, Any]) -> None:
    type_ = tree["resourceType"]
    kinds = {"tokens": "token", "quantities": "quantity", "dates": "date", "references": "reference"}
    kinds |= {"numbers": "number", "strings": "string", "uris": "uri"}
    expected = []
    for parameter in parameters(type_).values():
        for path, halves in groups(parameter, type_):
            for element in follow(tree, path) if path.steps else ():
                parts = []
                for half in halves:
                    scratch = Values()
                    for inner, function in half.sources:
                        for value in follow(tree if half.is_root else element, inner):
                            read(function, scratch, "", value)
                    found = [(name, *row[1:]) for kind, name in kinds.items() for row in getattr(scratch, kind) if row[0] == ""]  # fmt: skip  # noqa: E501
                    parts.append(sorted(set(found)))
                if all(parts):
                    expected.append((parameter.code, parts))

    rows_ = EXTRACTOR.extract(tree).composites
    found = [(code, [sorted(part) for part in parts]) for code, parts in rows_ if ":" not in code]

    assert sorted(found) == sorted(expected)
