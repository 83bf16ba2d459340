"""Random resources in which whatever a search parameter leads to may stand, for hypothesis."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import Any

from hypothesis import strategies as st

from fhir_server.resources.types import definitions
from fhir_server.search.expressions import Get, paths
from fhir_server.search.parameters import parameters

Strategy = st.SearchStrategy[Any]

TEXTS = st.sampled_from(["", "Müller", "张伟", "单", "四川省", "a b", "x" * 70, "male", "phone", "email"])
CODES = st.sampled_from(["male", "final", "1234-5", "phone", "email", "replaces"])
SYSTEMS = st.sampled_from(["http://loinc.org", "urn:oid:1.2.156", "phone", "email", ""])
DATES = st.sampled_from(
    ["2024", "2024-02", "2024-02-29", "2016-12-31T23:59:60Z", "2024-02-29T10:00:00.5+08:00"]
)
NUMBERS = st.sampled_from([0, -5, 10**400, Decimal("1.10"), Decimal("1E+999"), Decimal("-0.000001")])
COORDINATES = st.sampled_from([0, Decimal("30.66"), Decimal("-104.0600"), 90, 180, 181, "1", None])
URLS = st.sampled_from(["http://example.org/a", "http://example.org/a|1.0", "urn:oid:1.2.3", "|"])
REFERENCES = st.sampled_from(
    [
        "Patient/1",
        "Group/2/_history/3",
        "#c",
        "urn:uuid:2a5d",
        "http://other/fhir/Patient/9",
        "http://me/fhir/Patient/1",
        "odd",
    ]
)


def some(**optional: Strategy) -> Strategy:
    """Any of the properties."""
    return st.fixed_dictionaries({}, optional=optional)


def several(strategy: Strategy) -> Strategy:
    return st.lists(strategy, min_size=1, max_size=2)


UNITS = st.sampled_from(["mg", "g", "mm[Hg]", "Cel", "[iU]", "pieces", ""])
CODING = some(system=SYSTEMS, code=CODES, display=TEXTS)
IDENTIFIER = some(system=SYSTEMS, value=TEXTS, type=some(coding=several(CODING), text=TEXTS))
PERIOD = some(start=DATES, end=DATES)
UCUM = st.just("http://unitsofmeasure.org")
QUANTITY = some(
    value=NUMBERS,
    unit=TEXTS,
    system=SYSTEMS | UCUM,
    code=CODES | UNITS,
    comparator=st.sampled_from(["<", ">="]),
)
TYPES: dict[str, Strategy] = {
    "boolean": st.booleans(),
    **dict.fromkeys(("date", "dateTime", "instant"), DATES),
    **dict.fromkeys(("decimal", "integer", "positiveInt"), NUMBERS),
    **dict.fromkeys(("uri", "url", "canonical"), URLS),
    **dict.fromkeys(("Quantity", "Age", "Duration"), QUANTITY),
    "code": CODES,
    "Coding": CODING,
    "CodeableConcept": some(coding=several(CODING), text=TEXTS),
    "Identifier": IDENTIFIER,
    "ContactPoint": some(system=SYSTEMS, value=TEXTS, use=CODES),
    "HumanName": some(
        text=TEXTS, family=TEXTS, given=several(TEXTS), prefix=several(TEXTS), suffix=several(TEXTS)
    ),
    "Address": some(
        text=TEXTS,
        line=several(TEXTS),
        city=TEXTS,
        district=TEXTS,
        state=TEXTS,
        postalCode=TEXTS,
        country=TEXTS,
    ),
    "Period": PERIOD,
    "Timing": some(event=several(DATES), repeat=some(boundsPeriod=PERIOD)),
    "Range": some(low=QUANTITY, high=QUANTITY),
    "Location.position": some(latitude=COORDINATES, longitude=COORDINATES),
    "Money": some(value=NUMBERS, currency=CODES),
    "Reference": some(
        reference=REFERENCES, identifier=IDENTIFIER, type=st.sampled_from(["Patient", "Group"])
    ),
    "Resource": some(resourceType=st.sampled_from(["Composition", "MessageHeader"]), id=CODES),
}


@cache
def resources(type_: str) -> Strategy:
    """Resources of a type; of each choice[x] at most one."""
    root: dict[Get, Any] = {}
    for parameter in parameters(type_).values():
        if not parameter.expression.endswith("!= false"):
            for path in paths(parameter.expression, type_):
                node = root
                for step in path.steps:
                    if isinstance(step, Get):
                        node = node.setdefault(Get(step.key, step.many), {})
    named = _object(type_, root)
    return named.map(lambda tree: {"resourceType": type_, **tree})


def _object(type_: str, node: dict[Get, Any]) -> Strategy:
    known = definitions()[type_].properties
    optional = {}
    for step, inner in node.items():
        child = known[step.key][1]
        other = _object(child, inner) if inner and child not in TYPES else TEXTS
        strategy = TYPES.get(child, other)
        optional[step.key] = several(strategy) if step.many else strategy

    def one_of_each_choice(tree: dict[str, Any]) -> dict[str, Any]:
        return dict({known[key][0].name: (key, value) for key, value in tree.items()}.values())

    return st.fixed_dictionaries({}, optional=optional).map(one_of_each_choice)


JUNK = st.sampled_from([None, 0, "", "x", True, [], {}, [None], [[]], {"coding": "x"}, Decimal("1.0")])


@st.composite
def damaged(draw: st.DrawFn, type_: str) -> Any:
    """Draw a resource in which something has not the shape of its type."""
    tree = draw(resources(type_))
    place = tree
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw(st.sampled_from(keys))
        if isinstance(place[key], dict | list) and place[key] and draw(st.booleans()):
            place = place[key]
            continue
        place[key] = draw(JUNK)
        return tree
