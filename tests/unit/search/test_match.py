"""What predicates and queries mean. https://hl7.org/fhir/R4/search.html"""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.search.extract import Extractor
from fhir_server.search.fold import fold
from fhir_server.search.match import Catalog, date_is, number_is
from fhir_server.search.parse import Options, parse
from fhir_server.search.predicate import EVERYTHING, NOTHING, DateIs, NumberIs, Predicate, negate
from fhir_server.search.query import Query, Sort
from fhir_server.search.values import Values
from fhir_server.search.visibility import Visibility

ZONE = ZoneInfo("Asia/Shanghai")
OPTIONS = Options(ZONE, 1_700_000_000_000)
ALL = Visibility.everything("test")
EXTRACTOR = Extractor(ZONE)


def resource(type_: str, id_: str, **elements: Any) -> tuple[str, str, Values]:
    return type_, id_, EXTRACTOR.extract({"resourceType": type_, "id": id_, **elements})


def quantity(value: float, unit: str = "mg", **more: str) -> dict[str, Any]:
    return {"value": value, "unit": unit, **more}


def refers(target: str) -> dict[str, str]:
    return {"reference": target}


CATALOG = Catalog(
    [
        resource("Organization", "o", name="East Hospital"),
        resource(
            "Patient", "li", name=[{"family": "Li", "given": ["Na"]}], gender="female", birthDate="1950-05"
        ),
        resource(
            "Patient", "wang", name=[{"family": "Wáng"}, {"family": "Abel"}], gender="male", active=True
        ),
        resource("Patient", "none", managingOrganization=refers("Organization/o"), birthDate="1940"),
        resource("Patient", "lin", name=[{"family": "Lin"}], identifier=[{"system": "urn:i", "value": "7"}]),
        resource(
            "Observation",
            "a",
            subject=refers("Patient/li"),
            effectiveDateTime="2024-02-10",
            valueQuantity=quantity(5),
        ),
        resource(
            "Observation",
            "b",
            subject=refers("Patient/none"),
            effectivePeriod={"start": "2024-01", "end": "2024-03"},
            valueQuantity=quantity(6, code="mg", system="http://unitsofmeasure.org"),
        ),
        resource("Observation", "c", subject={"identifier": {"value": "7"}}, valueQuantity=quantity(5, "g")),
        resource("Observation", "d", subject=refers("http://else/Patient/li"), effectiveDateTime="2023"),
        resource("ValueSet", "v", url="http://v", title="Vals"),
        resource("RiskAssessment", "r", prediction=[{"probabilityDecimal": 5}]),
    ]
)


def found(type_: str, *pairs: tuple[str, str], visibility: Visibility = ALL) -> list[str]:
    return CATALOG.matching(visibility, type_, parse(type_, pairs, OPTIONS).query.where)


@pytest.mark.parametrize(
    ("type_", "name", "value", "ids"),
    [
        ("Patient", "gender", "male", "wang"),
        ("Patient", "gender", "male,female", "li wang"),
        ("Patient", "gender:not", "male", "li none lin"),
        ("Patient", "gender", "Male", ""),
        ("Patient", "gender", "http://hl7.org/fhir/administrative-gender|male", "wang"),
        ("Patient", "gender", "http://loinc.org|male", ""),
        ("Patient", "gender", "|male", "wang"),
        ("Patient", "active", "true", "wang"),
        ("Patient", "active", "false", ""),
        ("Patient", "identifier", "7", "lin"),
        ("Patient", "identifier", "urn:i|7", "lin"),
        ("Patient", "identifier", "urn:i|", "lin"),
        ("Patient", "identifier", "urn:j|7", ""),
        ("Patient", "identifier", "|7", ""),
        ("Patient", "name", "li", "li lin"),
        ("Patient", "name", "WANG", "wang"),
        ("Patient", "name", "ang", ""),
        ("Patient", "family:exact", "Wáng", "wang"),
        ("Patient", "family:exact", "Wang", ""),
        ("Patient", "birthdate", "1950", "li"),
        ("Patient", "birthdate", "1950-05-01", ""),
        ("Patient", "birthdate", "ne1950", "none"),
        ("Patient", "birthdate:missing", "true", "wang lin"),
        ("Patient", "birthdate:missing", "false", "li none"),
        ("Patient", "_id", "li,none", "li none"),
        ("Patient", "_id", "nobody", ""),
        ("Patient", "organization", "o", "none"),
        ("Patient", "organization", "Organization/p", ""),
        ("Patient", "organization.name", "east", "none"),
        ("Patient", "organization.name", "west", ""),
        ("Patient", "_has:Observation:patient:date", "2024-02-10", "li"),
        ("Patient", "_has:Observation:patient:date", "2022", ""),
        ("Observation", "subject", "Patient/li", "a"),
        ("Observation", "subject", "http://else/Patient/li", "d"),
        ("Observation", "subject:identifier", "7", "c"),
        ("Observation", "subject:missing", "true", ""),
        ("Observation", "patient.birthdate", "lt1945", "b"),
        ("Observation", "patient.organization.name", "east", "b"),
        ("Observation", "value-quantity", "5||mg", "a"),
        ("Observation", "value-quantity", "ge5||mg", "a b"),
        ("Observation", "value-quantity", "gt1|http://unitsofmeasure.org|mg", "b"),
        ("Observation", "value-quantity", "5", "a c"),
        ("Observation", "value-quantity", "5||kg", ""),
        ("ValueSet", "url", "http://v", "v"),
        ("ValueSet", "url", "http://V", ""),
        ("RiskAssessment", "probability", "5", "r"),
        ("RiskAssessment", "probability", "6", ""),
    ],
)
def test_every_kind_of_parameter_finds_and_leaves(type_: str, name: str, value: str, ids: str) -> None:
    assert found(type_, (name, value)) == ids.split()


# Searched: [10, 20]; stored: within, before, after, over the start, over the end, around.
SPANS = {"in": (12, 18), "pre": (1, 5), "post": (25, 30), "start": (5, 15), "end": (15, 25), "over": (5, 25)}


@pytest.mark.parametrize(
    ("prefix", "names"),
    [
        ("eq", "in"),
        ("ne", "pre post start end over"),
        ("gt", "post end over"),
        ("lt", "pre start over"),
        ("ge", "in post end over"),
        ("le", "in pre start over"),
        ("sa", "post"),
        ("eb", "pre"),
        ("ap", "in start end over"),
    ],
)
def test_spans_compare_by_prefix(prefix: Any, names: str) -> None:
    dates = {name for name, (lo, hi) in SPANS.items() if date_is(DateIs(prefix, 10, 20), lo, hi)}

    assert dates == set(names.split())


@pytest.mark.parametrize(
    ("prefix", "values"),
    [
        ("eq", [9.5, 10, 10.4]),
        ("ne", [9, 10.5, 11]),
        ("gt", [10.4, 10.5, 11]),
        ("lt", [9, 9.5]),
        ("ge", [10, 10.4, 10.5, 11]),
        ("le", [9, 9.5, 10]),
        ("sa", [10.4, 10.5, 11]),
        ("eb", [9, 9.5]),
        ("ap", [9.5, 10, 10.4]),
    ],
)
def test_numbers_compare_by_prefix(prefix: Any, values: list[float]) -> None:
    test = NumberIs(prefix, 10, 9.5, 10.5)

    assert [value for value in (9, 9.5, 10, 10.4, 10.5, 11) if number_is(test, value, value)] == values


def ids(query: Query, visibility: Visibility = ALL) -> list[str]:
    """All pages of a query, two by two."""
    pages: list[str] = []
    query = replace(query, count=2)
    while True:
        page = CATALOG.search(visibility, query)
        pages += page.ids
        if page.next is None:
            return pages
        query = replace(query, after=page.next)


def back(query: Query) -> list[str]:
    """All pages of a query, two by two, from the last to the first; the ids in their order."""
    page = CATALOG.search(ALL, replace(query, count=2))
    while page.next is not None:
        page = CATALOG.search(ALL, replace(query, count=2, after=page.next))
    found = list(page.ids)
    while page.previous is not None:
        page = CATALOG.search(ALL, replace(query, count=2, before=page.previous))
        found = [*page.ids, *found]
    return found


@pytest.mark.parametrize(
    ("type_", "sorts", "expected"),
    [
        ("Patient", "", "li wang none lin"),
        ("Patient", "family", "none wang li lin"),
        ("Patient", "-family", "wang lin li none"),
        ("Patient", "birthdate", "wang lin none li"),
        ("Patient", "-birthdate", "li none lin wang"),
        ("Patient", "gender,-birthdate", "none lin li wang"),
        ("Patient", "_id", "li lin none wang"),
        ("Observation", "date", "c d b a"),
        ("Observation", "-value-quantity", "b c a d"),
    ],
)
def test_pages_follow_the_sort(type_: str, sorts: str, expected: str) -> None:
    keys = [key for key in sorts.split(",") if key]
    sort = tuple(Sort(key.removeprefix("-"), descending=key.startswith("-")) for key in keys)

    assert ids(Query(type_, sort=sort)) == expected.split()
    assert back(Query(type_, sort=sort)) == expected.split()


def test_the_total_counts_what_all_pages_hold() -> None:
    page = CATALOG.search(ALL, Query("Patient", count=1, total="accurate"))

    assert (page.ids, page.total) == (("li",), 4)
    assert CATALOG.search(ALL, Query("Patient", count=0, total="accurate")).next is None
    assert CATALOG.search(ALL, Query("Patient")).total is None


def test_a_page_goes_on_after_its_last_resource_was_deleted() -> None:
    catalog = Catalog(resource("Basic", id_) for id_ in "abcd")
    query = Query("Basic", sort=(Sort("created"),), count=2)
    first = catalog.search(ALL, query)

    catalog.remove("Basic", "b")
    catalog.put(*resource("Basic", "e"))

    assert catalog.search(ALL, replace(query, after=first.next, count=9)).ids == ("c", "d", "e")


def test_nothing_is_seen_without_a_right_and_no_chain_leads_past_it() -> None:
    blind = Visibility("test", {"Observation": EVERYTHING})

    assert found("Patient", visibility=blind) == []
    assert found("Observation", ("patient.name", "li"), visibility=blind) == []
    assert found("Observation", ("patient.name", "li")) == ["a"]
    assert ids(Query("Observation"), blind) == list("abcd")


PREDICATES = st.sampled_from(
    [
        parse("Patient", [pair], OPTIONS).query.where
        for pair in (("name", "li"), ("gender", "male"), ("birthdate", "ge1950"), ("organization.name", "e"))
    ]
    + [NOTHING, EVERYTHING]
)


@given(PREDICATES)
def test_a_predicate_and_its_opposite_share_out_all_resources(predicate: Predicate) -> None:
    held = CATALOG.matching(ALL, "Patient", predicate)
    rest = CATALOG.matching(ALL, "Patient", negate(predicate))

    assert sorted(held + rest) == ["li", "lin", "none", "wang"]


@given(st.text(), st.text())
def test_a_string_starts_with_any_beginning_of_itself(start: str, rest: str) -> None:
    text = f"{start} {rest}"
    catalog = Catalog([resource("Organization", "x", name=text)])
    where = parse("Organization", [("name:exact", "")], OPTIONS).query.where

    assert catalog.matching(ALL, "Organization", where) == ["x"]
    assert fold(text).startswith(fold(start))
    assert fold(fold(text)) == fold(text)
