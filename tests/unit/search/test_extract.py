"""The values of a resource. https://hl7.org/fhir/R4/search.html#ptypes"""

from __future__ import annotations

import math
import os
from decimal import Decimal
from functools import cache
from pathlib import Path as File
from typing import Any
from zoneinfo import ZoneInfo

import fhirpathpy
import msgspec
import pytest
from fhirpathpy.models import models
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.search import elements
from fhir_server.search.dates import OPEN_END, OPEN_START, span
from fhir_server.search.expressions import paths
from fhir_server.search.extract import Extractor
from fhir_server.search.generate import sources
from fhir_server.search.joined import is_indexed
from fhir_server.search.parameters import parameters
from fhir_server.search.values import Values
from tests.unit.search.trees import damaged, resources
from tests.unit.search.walking import follow, read

ZONE = ZoneInfo("Asia/Shanghai")
EXTRACTOR = Extractor(ZONE, "http://me/fhir")
LARGEST = elements.LARGEST


def values(type_: str, **tree: Any) -> Values:
    return EXTRACTOR.extract({"resourceType": type_, **tree})


def of(rows: list[Any], param: str) -> list[Any]:
    return [row[1:] for row in rows if row[0] == param]


def test_every_resource_has_its_update_time_and_labels_and_is_found_by_id_without_a_row() -> None:
    found = values(
        "Basic",
        id="a",
        meta={
            "lastUpdated": "1970-01-01T00:00:00.005Z",
            "profile": ["http://p|2", "http://q"],
            "source": "urn:s",
            "tag": [{"system": "http://t", "code": "x"}],
            "security": [{"code": "R"}],
        },
    )

    assert found.tokens == [("_security", "", "R"), ("_tag", "http://t", "x")]
    assert found.dates == [("_lastUpdated", 5, 5)]
    assert of(found.uris, "_profile") == [("http://p|2",), ("http://p",), ("http://q",)]
    assert of(found.uris, "_source") == [("urn:s",)]


def test_codes_concepts_identifiers_contacts_and_booleans_are_tokens() -> None:
    found = values(
        "Patient",
        active=False,
        gender="male",
        identifier=[{"system": "urn:i", "value": "1"}, {"value": "2"}, {"system": "urn:none"}],
        telecom=[{"system": "phone", "value": "010"}, {"system": "email", "value": "a@b"}],
        communication=[
            {"language": {"coding": [{"code": "zh"}, {"display": "no code"}], "text": "no token"}}
        ],
    )

    assert of(found.tokens, "active") == [("", "false")]
    assert of(found.tokens, "gender") == [("", "male")]
    assert of(found.tokens, "identifier") == [("urn:i", "1"), ("", "2")]
    assert of(found.tokens, "phone") == [("", "010")]
    assert of(found.tokens, "telecom") == [("", "010"), ("", "a@b")]
    assert of(found.tokens, "language") == [("", "zh")]


@pytest.mark.parametrize(
    ("tree", "token", "dates"),
    [
        ({}, "false", 0),
        ({"deceasedBoolean": False}, "false", 0),
        ({"deceasedBoolean": True}, "true", 0),
        ({"deceasedDateTime": "2024"}, "true", 1),
    ],
)
def test_a_patient_is_deceased_by_flag_or_date(tree: dict[str, Any], token: str, dates: int) -> None:
    found = values("Patient", **tree)

    assert of(found.tokens, "deceased") == [("", token)]
    assert len(of(found.dates, "death-date")) == dates


def test_names_and_addresses_are_strings_part_by_part() -> None:
    found = values(
        "Patient",
        name=[{"text": "张 伟", "family": "张", "given": ["伟", None], "prefix": ["Dr"], "suffix": ["Jr"]}],
        address=[{"line": ["1 Road"], "city": "Beijing", "use": "home", "period": {"start": "2024"}}],
    )

    assert sorted(of(found.strings, "name")) == [("Dr",), ("Jr",), ("伟",), ("张",), ("张 伟",)]
    assert of(found.strings, "given") == [("伟",)]
    assert sorted(of(found.strings, "address")) == [("1 Road",), ("Beijing",)]
    assert of(found.tokens, "address-use") == [("", "home")]


def test_periods_are_open_where_they_have_no_end() -> None:
    start, end = span("2024-01", ZONE)

    assert of(values("Encounter", period={"start": "2024-01"}).dates, "date") == [(start, OPEN_END)]
    assert of(values("Encounter", period={"end": "2024-01"}).dates, "date") == [(OPEN_START, end)]
    assert of(values("Encounter", period={"id": "x"}).dates, "date") == []


def test_a_timing_spans_its_events_and_bounds() -> None:
    events = {
        "event": ["2024-02", "2024-01"],
        "repeat": {"boundsPeriod": {"start": "2024-01-15", "end": "2024-03"}},
    }
    found = values("Observation", effectiveTiming=events)

    assert of(found.dates, "date") == [(span("2024-01", ZONE)[0], span("2024-03", ZONE)[1])]
    assert of(values("Observation", effectiveTiming={"repeat": {"count": 1}}).dates, "date") == []


def test_the_clinical_date_is_where_it_begins() -> None:
    first, _ = span("2024-01", ZONE)

    assert values("Observation", effectivePeriod={"start": "2024-01"}).clinical == first
    assert values("Condition", recordedDate="2024-01").clinical == first
    assert values("Observation", issued="2024-01-01T00:00:00Z").clinical is None
    assert values("Patient", birthDate="2024-01").clinical is None


def test_numbers_and_ranges_have_a_low_and_a_high() -> None:
    predictions = [
        {"probabilityDecimal": Decimal("0.25")},
        {"probabilityRange": {"low": {"value": 1}, "high": {"value": 2}}},
        {"probabilityRange": {"low": {"value": 3}}},
        {"probabilityRange": {"low": {"unit": "%"}}},
        {"probabilityDecimal": Decimal("1E+999")},
        {"probabilityDecimal": -(10**400)},
        {"probabilityDecimal": True},
    ]
    found = values("RiskAssessment", prediction=predictions)

    assert of(found.numbers, "probability") == [
        (0.25, 0.25), (1.0, 2.0), (3.0, LARGEST), (LARGEST, LARGEST), (-LARGEST, -LARGEST),
    ]  # fmt: skip


def test_quantities_keep_system_code_and_unit() -> None:
    ucum = {"system": "http://unitsofmeasure.org", "code": "mg", "unit": "milligram"}
    found = values("Observation", valueQuantity={"value": Decimal("5.40"), **ucum})

    assert of(found.quantities, "value-quantity") == [
        ("http://unitsofmeasure.org", "mg", "milligram", 5.4, 5.4)
    ]
    assert values("Observation", valueQuantity=ucum).quantities == []


def test_a_comparator_opens_a_quantity() -> None:
    below = values("Observation", valueQuantity={"value": 5, "comparator": "<="}).quantities
    above = values("Observation", valueQuantity={"value": 5, "comparator": ">"}).quantities

    assert of(below, "value-quantity") == [("", "", "", -LARGEST, 5.0)]
    assert of(above, "value-quantity") == [("", "", "", 5.0, LARGEST)]


def test_money_is_a_quantity_of_its_currency() -> None:
    found = values("ChargeItem", priceOverride={"value": Decimal("9.90"), "currency": "CNY"})

    assert of(found.quantities, "price-override") == [("urn:iso:std:iso:4217", "CNY", "", 9.9, 9.9)]


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({"low": {"value": 1, "unit": "a"}, "high": {"value": 2}}, [("", "", "a", 1.0, 2.0)]),
        ({"low": {"value": 1, "unit": "a"}}, [("", "", "a", 1.0, LARGEST)]),
        ({"high": {"value": 2, "unit": "a"}}, [("", "", "a", -LARGEST, 2.0)]),
        ({"low": {"unit": "a"}, "high": {"value": 2, "unit": "b"}}, [("", "", "b", -LARGEST, 2.0)]),
        ({"low": {"unit": "a"}}, []),
    ],
)
def test_a_range_is_a_quantity_from_low_to_high(bounds: dict[str, Any], expected: list[Any]) -> None:
    assert of(values("Condition", onsetRange=bounds).quantities, "onset-age") == expected


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        ("Patient/1", "Patient/1"),
        ("Patient/1/_history/3", "Patient/1"),
        ("http://me/fhir/Patient/1", "Patient/1"),
        ("http://me/fhir/Patient/1/_history/3", "Patient/1"),
        ("http://me/fhirs/Patient/1", "http://me/fhirs/Patient/1"),
        ("http://you/fhir/Patient/1/_history/3", "http://you/fhir/Patient/1/_history/3"),
        ("urn:uuid:1", "urn:uuid:1"),
    ],
)
def test_a_reference_is_spelt_as_the_index_spells_it(reference: str, target: str) -> None:
    found = values("Observation", subject={"reference": reference})

    assert of(found.references, "subject") == [(target,)]


def test_contained_references_are_left_out() -> None:
    assert values("Observation", subject={"reference": "#p"}, device={"reference": ""}).references == []


def test_a_logical_reference_is_a_token_of_its_own() -> None:
    found = values(
        "Observation", subject={"type": "Patient", "identifier": {"system": "urn:i", "value": "7"}}
    )

    assert (
        of(found.tokens, "subject:identifier") == of(found.tokens, "patient:identifier") == [("urn:i", "7")]
    )
    assert of(found.tokens, "subject") == of(found.references, "subject") == []


def test_a_parameter_for_one_type_takes_references_to_that_type_alone() -> None:
    patient = values("Observation", subject={"reference": "http://you/fhir/Patient/1"})
    group = values("Observation", subject={"reference": "Group/1"})

    assert len(of(patient.references, "patient")) == len(of(group.references, "subject")) == 1
    assert of(group.references, "patient") == []


def test_a_canonical_is_found_with_and_without_its_version() -> None:
    found = values("PlanDefinition", library=["http://l|1"])

    assert of(found.references, "depends-on") == [("http://l|1",), ("http://l",)]


def test_a_document_bundle_refers_to_its_first_resource() -> None:
    entry = [
        {"resource": {"resourceType": "Composition", "id": "c"}},
        {"resource": {"resourceType": "Composition", "id": "another"}},
        {"resource": {"resourceType": "Patient"}},
    ]

    found = values("Bundle", type="document", entry=entry)

    assert found.references == [("composition", "Composition/c")]


def test_an_unknown_type_has_no_values() -> None:
    assert EXTRACTOR.extract({"resourceType": "Nope", "id": "a"}).tokens == []
    assert EXTRACTOR.extract({"resourceType": ["Patient"]}).tokens == []


def test_stored_bytes_give_the_values_of_the_tree() -> None:
    tree = {"resourceType": "Observation", "id": "a", "valueQuantity": {"value": Decimal("5.40")}}
    body = msgspec.json.Encoder(decimal_format="number").encode(tree)

    assert rows(EXTRACTOR.from_body("Observation", body)) == rows(EXTRACTOR.extract(tree))


def rows(found: Values) -> dict[str, Any]:
    """All rows, in an order of their own."""
    kinds = {kind: getattr(found, kind) for kind in Values.__slots__}
    return {kind: sorted(kept) if isinstance(kept, list) else kept for kind, kept in kinds.items()}


@settings(max_examples=150)
@given(st.sampled_from(sorted(RESOURCE_TYPES)).flatmap(resources))
def test_generated_code_reads_every_path(tree: dict[str, Any]) -> None:
    expected = Values()
    for parameter in parameters(tree["resourceType"]).values():
        if not is_indexed(tree["resourceType"], parameter.code):
            continue
        seen: set[Any] = set()
        for path, function in sources(parameter, tree["resourceType"]):
            if (path.steps, function) not in seen:
                seen.add((path.steps, function))
                for element in follow(tree, path):
                    read(function, expected, parameter.code, element)

    found = EXTRACTOR.extract(tree)

    expected.clinical, expected.composites = found.clinical, found.composites
    expected.patients = found.patients
    assert rows(found) == rows(expected)
    assert all(math.isfinite(lo) and math.isfinite(hi) for _, lo, hi in found.numbers)


@cache
def compiled(expression: str) -> Any:
    return fhirpathpy.compile(expression, models["r4"])


COMPARED = (
    "Patient",
    "Observation",
    "Condition",
    "MedicationRequest",
    "Encounter",
    "Claim",
    "ValueSet",
    "Procedure",
)


@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(COMPARED).flatmap(resources))
def test_paths_find_what_an_independent_fhirpath_engine_finds(tree: dict[str, Any]) -> None:
    type_ = tree["resourceType"]
    for parameter in parameters(type_).values():
        if (
            parameter.type == "composite"
            or "resolve()" in parameter.expression
            or parameter.code == "deceased"
        ):
            continue
        found = [e for path in paths(parameter.expression, type_) for e in follow(tree, path)]

        engine = compiled(parameter.expression.replace("Resource.", f"{type_}."))
        expected = [e for e in engine(tree) if e is not None]

        # A union in FHIRPath drops what occurs twice; a search finds it all the same.
        assert all(element in expected for element in found), parameter.code
        assert all(element in found for element in expected), parameter.code


@settings(max_examples=150)
@given(st.sampled_from(sorted(RESOURCE_TYPES)).flatmap(damaged))
def test_no_shape_of_a_resource_raises(tree: dict[str, Any]) -> None:
    assert isinstance(EXTRACTOR.extract(tree), Values)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["coding", "code", "value", "reference", "start", "low", "repeat", "given"]), inner, max_size=3), max_leaves=5)  # fmt: skip  # noqa: E501


@given(
    st.dictionaries(
        st.sampled_from(["name", "meta", "telecom", "deceasedBoolean", "link", "birthDate"]), JSON
    )
)
def test_no_json_raises(tree: dict[str, Any]) -> None:
    assert isinstance(EXTRACTOR.extract({**tree, "resourceType": "Patient"}), Values)


SYNTHEA = (
    File(os.environ.get("FHIR_SHARED", File(__file__).parents[4] / "shared")) / "synthea" / "patient-01.json"
)


def test_real_records_all_have_values() -> None:
    entries = msgspec.json.decode(SYNTHEA.read_bytes())["entry"] if SYNTHEA.exists() else []

    for entry in entries:
        found = EXTRACTOR.extract(entry["resource"])
        assert len(found.tokens) > 1
        assert found.references or entry["resource"]["resourceType"] in (
            "Patient",
            "Organization",
            "Practitioner",
        )


def test_what_is_contained_has_values_of_its_own_and_its_type_is_known() -> None:
    drug = {"resourceType": "Medication", "id": "m", "status": "active"}
    inside = [drug, {**drug, "id": "n"}, {"resourceType": "Nonsense", "id": "x"}, "y", {"id": "z"}]
    found = values("MedicationRequest", id="a", status="stopped", contained=inside)

    assert of(found.tokens, "_contained") == [("", "Medication")]
    assert of(found.tokens, "status") == [("", "stopped")]
    assert [(type_, id_) for type_, id_, _ in found.contained] == [("Medication", "m"), ("Medication", "n")]
    assert of(found.contained[0][2].tokens, "status") == [("", "active")]


@pytest.mark.parametrize("inside", [None, [], "x", {}, [3]])
def test_a_resource_that_contains_nothing_has_no_row_for_it(inside: Any) -> None:
    found = values("Basic", id="a", contained=inside)

    assert (found.contained, found.tokens) == ([], [])
