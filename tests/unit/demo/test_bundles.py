"""Demo data: repeatable, made-up, complete, right by R4 and by arithmetic."""

from __future__ import annotations

import importlib
import re
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import fhirkit
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.consent.labels import rules
from fhir_server.consent.policy import ACT_CODE
from fhir_server.demo import PATIENTS, UNTIL, bundles
from fhir_server.demo.codes import ID_CARD, INSURANCE_CARD
from fhir_server.demo.people import check_digit, id_number
from fhir_server.validation import errors

Tree = dict[str, Any]
ENCODE = msgspec.json.Encoder(decimal_format="number").encode
BUNDLES = dict(bundles())
STAY = BUNDLES[f"{PATIENTS + 1}-acute-pancreatitis.json"]
SAMPLE = [name for name in BUNDLES if name[:2] in ("00", "01", "02", "41")]


def resources(*bundle: Tree) -> list[Tree]:
    return [entry["resource"] for each in bundle or BUNDLES.values() for entry in each["entry"]]


def of_type(name: str, *bundle: Tree) -> list[Tree]:
    return [resource for resource in resources(*bundle) if resource["resourceType"] == name]


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "reference" and isinstance(item, str):
                yield item
            else:
                yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def codes(bundle: Tree) -> set[str]:
    return {
        coding["code"]
        for resource in of_type("Observation", bundle)
        for concept in (resource["code"], *(part["code"] for part in resource.get("component", ())))
        for coding in concept["coding"]
    }


def totals(benefit: Tree) -> dict[str, Decimal]:
    return {total["category"]["coding"][0]["code"]: total["amount"]["value"] for total in benefit["total"]}


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert [ENCODE(bundle) for _, bundle in bundles(7)] == [ENCODE(bundle) for _, bundle in bundles(7)]


def test_another_seed_gives_other_people() -> None:
    def numbers(seed: int) -> set[str]:
        patients = of_type("Patient", *(bundle for _, bundle in bundles(seed)))
        return {patient["identifier"][0]["value"] for patient in patients}

    assert not numbers(7) & numbers(8)


def test_there_are_forty_one_people_and_some_thousand_resources() -> None:
    counts = Counter(resource["resourceType"] for resource in resources())

    assert counts["Patient"] == counts["Coverage"] == PATIENTS + 1 == 41
    assert 3000 <= counts.total() <= 6000
    assert counts["Claim"] == counts["ExplanationOfBenefit"] == counts["Encounter"]


def test_the_institutions_are_two_hospitals_of_different_regions_and_one_insurer() -> None:
    institutions = of_type("Organization", BUNDLES["00-institutions.json"])
    kinds = Counter(each["type"][0]["coding"][0]["code"] for each in institutions)
    regions = {each["address"][0]["state"] for each in institutions if each["type"][0]["text"] == "医院"}

    assert kinds == {"prov": 2, "pay": 1}
    assert len(regions) == 2


@pytest.mark.parametrize("name", BUNDLES)
def test_every_reference_leads_to_an_entry_of_the_same_bundle(name: str) -> None:
    addresses = [entry["fullUrl"] for entry in BUNDLES[name]["entry"]]

    assert len(addresses) == len(set(addresses))
    assert set(references(resources(BUNDLES[name]))) <= set(addresses)


@pytest.mark.parametrize("kind", ["Organization", "Practitioner", "PractitionerRole"])
def test_institutions_and_staff_are_created_only_once(kind: str) -> None:
    requests = [
        (entry["resource"]["identifier"][0], entry["request"])
        for bundle in BUNDLES.values()
        for entry in bundle["entry"]
        if entry["resource"]["resourceType"] == kind
    ]

    assert requests
    for identifier, request in requests:
        assert request["ifNoneExist"] == f"identifier={identifier['system']}|{identifier['value']}"


def test_no_bundle_creates_the_same_institution_twice() -> None:
    for bundle in BUNDLES.values():
        conditions = Counter(
            entry["request"].get("ifNoneExist", entry["fullUrl"]) for entry in bundle["entry"]
        )
        assert max(conditions.values()) == 1


def test_every_entry_is_valid_by_an_independent_r4_validator() -> None:
    issues = {name: fhirkit.validate(ENCODE(bundle)) for name, bundle in BUNDLES.items()}

    assert {name: found for name, found in issues.items() if found} == {}


def test_every_entry_is_valid_by_the_servers_own_validation() -> None:
    issues = {
        name: [issue for each in resources(bundle) for issue in errors(each)]
        for name, bundle in BUNDLES.items()
    }

    assert {name: found for name, found in issues.items() if found} == {}


def test_the_independent_validator_finds_a_planted_mistake() -> None:
    patient = {**of_type("Patient")[0], "nickname": "x"}

    assert fhirkit.validate(ENCODE(patient))


@pytest.mark.parametrize("name", SAMPLE)
def test_resources_are_valid_by_fhir_resources(name: str) -> None:
    for resource in resources(BUNDLES[name]):
        kind = resource["resourceType"]
        module = importlib.import_module(f"fhir.resources.R4B.{kind.lower()}")
        getattr(module, kind).model_validate_json(ENCODE(resource))


def test_every_sum_of_a_settlement_meets() -> None:
    for benefit in of_type("ExplanationOfBenefit"):
        paid = totals(benefit)
        lines = sum(item["net"]["value"] for item in benefit["item"])
        assert paid["submitted"] == lines == paid["benefit"] + paid["memberliability"]
        assert paid["memberliability"] == paid["paidbypatienthealthaccount"] + paid["paidbypatientcash"]
        assert benefit["payment"]["amount"]["value"] == paid["benefit"]


def test_residents_have_no_personal_account_and_employees_do() -> None:
    schemes = {
        coverage["subscriberId"]: coverage["type"]["coding"][0]["code"] for coverage in of_type("Coverage")
    }
    assert set(schemes.values()) == {"310", "390"}
    for bundle in BUNDLES.values():
        for coverage in of_type("Coverage", bundle):
            accounts = {
                totals(benefit)["paidbypatienthealthaccount"] > 0
                for benefit in of_type("ExplanationOfBenefit", bundle)
            }
            assert accounts == {schemes[coverage["subscriberId"]] == "310"}


def test_a_ct_costs_an_employee_in_service_thirty_per_cent() -> None:
    (benefit,) = of_type("ExplanationOfBenefit", STAY)
    (scan,) = [item for item in benefit["item"] if "CT" in item["productOrService"]["coding"][0]["display"]]
    amounts = {
        part["category"]["coding"][0]["code"]: part["amount"]["value"] for part in scan["adjudication"]
    }

    assert amounts == {"submitted": Decimal(600), "benefit": Decimal(420), "memberliability": Decimal(180)}


def test_chronic_patients_have_two_years_of_visits() -> None:
    for name, bundle in BUNDLES.items():
        if "chronic" in name:
            visits = [
                datetime.fromisoformat(e["period"]["start"]).date() for e in of_type("Encounter", bundle)
            ]
            assert (max(visits) - min(visits)).days > 540, name
            assert max(visits) <= UNTIL


def test_all_five_chronic_diseases_occur_and_some_patients_have_several() -> None:
    found = [
        {condition["code"]["coding"][0]["code"] for condition in of_type("Condition", bundle)}
        for name, bundle in BUNDLES.items()
        if "chronic" in name
    ]

    assert set().union(*found) == {"I10", "E11.9", "I25.1", "J44.9", "N18.3", "F32.1"}
    assert {len(each) for each in found} == {1, 2, 3}


@pytest.mark.parametrize(
    "code",
    # white cells, creatinine, urea, blood and urine amylase, calcium, glucose, blood gas, fluid balance
    [
        *("6690-2", "14682-9", "14937-7", "1798-8", "1799-6", "2000-8", "14749-6", "24336-0"),
        *("fluid-balance", "urine-output", "outcome", "8310-5", "8867-4", "9279-1", "85354-9", "59408-5"),
    ],
)
def test_the_stay_for_pancreatitis_records_what_such_a_case_needs(code: str) -> None:
    assert code in codes(STAY)


@pytest.mark.parametrize(
    "kind",
    [
        *("Device", "Procedure", "ImagingStudy", "DiagnosticReport", "ServiceRequest"),
        *("MedicationAdministration", "NutritionOrder", "RiskAssessment"),
    ],
)
def test_the_stay_has_treatment_and_imaging(kind: str) -> None:
    assert of_type(kind, STAY)


def test_the_score_falls_from_before_to_after_treatment() -> None:
    scores = [
        (observation["effectiveDateTime"], observation["valueQuantity"]["value"])
        for observation in of_type("Observation", STAY)
        if observation["code"]["coding"][0]["code"] == "apache-ii"
    ]

    assert [score for _, score in sorted(scores)] == [14, 4]


def test_every_measurement_is_flagged_as_its_range_says() -> None:
    for observation in of_type("Observation"):
        if "referenceRange" in observation:
            value = observation["valueQuantity"]["value"]
            (normal,) = observation["referenceRange"]
            flag = observation["interpretation"][0]["coding"][0]["code"]
            assert flag == (
                "L" if value < normal["low"]["value"] else "H" if value > normal["high"]["value"] else "N"
            )


def test_people_cannot_exist() -> None:
    for patient in of_type("Patient"):
        card, insurance, _ = patient["identifier"]
        assert card["system"] == ID_CARD
        assert insurance["system"] == INSURANCE_CARD
        assert re.fullmatch(r"990[12]01\d{11}[\dX]", card["value"]), "a region that is not assigned"
        assert re.fullmatch(r"129\d{8}", patient["telecom"][0]["value"]), "a prefix that no network has"


def test_identity_numbers_tell_birth_date_and_sex_and_are_all_different() -> None:
    patients = of_type("Patient")
    for patient in patients:
        number = patient["identifier"][0]["value"]
        assert number[6:14] == patient["birthDate"].replace("-", "")
        assert (int(number[16]) % 2 == 1) is (patient["gender"] == "male")
    assert len({patient["identifier"][0]["value"] for patient in patients}) == len(patients)


def test_the_check_digit_is_that_of_the_standards_own_example() -> None:
    # The example numbers of GB 11643-1999, annex.
    assert check_digit("11010519491231002") == "X"
    assert check_digit("44052418800101001") == "4"


@given(
    born=st.dates(date(1900, 1, 1), date(2026, 1, 1)),
    sequence=st.integers(0, 10_000),
    male=st.booleans(),
    position=st.integers(0, 16),
    change=st.integers(1, 9),
)
def test_a_mistyped_digit_never_keeps_the_check_digit(
    born: date, sequence: int, position: int, change: int, *, male: bool
) -> None:
    number = id_number("990101", born, sequence, male=male)
    wrong = f"{number[:position]}{(int(number[position]) + change) % 10}{number[position + 1 : 17]}"

    assert len(number) == 18
    assert check_digit(number[:17]) == number[17]
    assert check_digit(wrong) != number[17]


def test_two_patients_of_different_hospitals_have_records_that_are_labelled_as_mental_health() -> None:
    psychiatric = (ACT_CODE, "PSY")
    counselled = [
        name
        for name, bundle in BUNDLES.items()
        if any(psychiatric in rules().of_codes(each, ENCODE(each)) for each in resources(bundle))
    ]

    assert counselled == ["01-chronic-patient.json", "02-chronic-patient.json"]
