"""Masks by purpose of use: absent from every answer, and neither searched nor sorted by."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from fhir_server.consent.masks import Masks, masks_for
from fhir_server.resources.codec import decode, encode
from fhir_server.resources.types import compartments, definitions
from fhir_server.search.parameters import parameters
from tests.http.server import Tree, load, matches, refused
from tests.leak.house import MINE, ROOT, Guarded, guarded, token
from tests.strategies import resources

NAME = "Xanthippe"
NUMBER = "990000199901019999"
PHONE = "13800001111"
STREET = "Hemlock Lane"
NOTE = "told in confidence"
SECRETS = (NAME, NUMBER, PHONE, STREET, NOTE)
RESEARCH = masks_for("HRESCH")
assert RESEARCH is not None


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Guarded]:
    """Serve whoever reaches a record for whatever purpose: masks alone stand between."""
    with guarded(tmp_path, consent_policy="permit") as server:
        with server.as_(ROOT):
            person = {
                "resourceType": "Patient",
                "id": "masked",
                "name": [{"family": NAME}],
                "identifier": [{"system": "urn:id", "value": NUMBER}],
                "telecom": [{"system": "phone", "value": PHONE}],
                "address": [{"line": [STREET]}],
                "gender": "female",
                "birthDate": "1970-01-01",
                "managingOrganization": {"reference": "Organization/here", "display": "Here"},
            }
            finding = {
                "resourceType": "Observation",
                "id": "noted",
                "status": "final",
                "code": {"coding": [{"system": "http://loinc.org", "code": "8480-6"}], "text": NOTE},
                "subject": {"reference": "Patient/masked", "display": NAME},
                "note": [{"text": NOTE}],
                "valueString": NOTE,
                "effectiveDateTime": "2026-01-01",
                "contained": [
                    {"resourceType": "Patient", "id": "p", "name": [{"family": NAME}], "gender": "female"}
                ],
                "performer": [{"reference": "#p"}],
            }
            for tree in (person, finding):
                assert server.put(f"{tree['resourceType']}/{tree['id']}", tree).status_code == 201
        yield server


def hospital(purpose: str) -> str:
    return token("system/*.cruds", client_id="his", organization="Organization/here", purposes=[purpose])


PATHS = [
    "Patient/masked",
    "Patient/masked/_history",
    "Patient/masked/_history/1",
    "Patient?_id=masked",
    "Patient?_id=masked&_revinclude=Observation:subject",
    "Observation?subject=Patient/masked&_include=Observation:subject",
    "Observation?patient=masked&_elements=subject,note",
    "Observation/noted",
    "Patient/masked/$everything",
    "Patient/masked/Observation",
    "Observation/$lastn?patient=Patient/masked&code=8480-6",
    "Patient?_contained=true",
    "Patient?gender=female&_contained=both&_containedType=contained",
    "Patient/_history",
    "?_type=Patient,Observation",
]


@pytest.mark.parametrize("path", PATHS)
def test_what_research_may_not_see_is_in_no_answer_and_treatment_sees_it(house: Guarded, path: str) -> None:
    with house.as_(hospital("HRESCH")):
        masked = house.get(path)
    with house.as_(hospital("TREAT")):
        whole = house.get(path)

    assert masked.status_code == whole.status_code == 200, masked.text
    assert not [secret for secret in SECRETS if secret in masked.text]
    assert [secret for secret in SECRETS if secret in whole.text]
    assert "REDACTED" in masked.text
    assert "REDACTED" not in whole.text


@pytest.mark.parametrize(
    "path",
    [
        f"Patient?name={NAME}",
        "Patient?name=Nobody",
        f"Patient?family:exact={NAME}",
        f"Patient?identifier=urn:id|{NUMBER}",
        f"Patient?phone={PHONE}",
        "Patient?address-city:missing=true",
        "Patient?_sort=family",
        f"Observation?patient.name={NAME}",
        f"Observation?subject:Patient.identifier=urn:id|{NUMBER}",
        f"Patient?_has:RelatedPerson:patient:name={NAME}",
        f"Observation?value-string={NOTE}",
        f"Observation?code:text={NOTE}",
        "Observation?subject:identifier=urn:id|1",
        f"Patient?_filter=family eq {NAME}",
        f"Observation?code-value-string=8480-6${NOTE}",
        f"Patient?_contained=true&name={NAME}",
        "Patient?_contained=both&_containedType=contained&family=Nobody",
    ],
)
def test_nothing_masked_is_searched_or_sorted_by_found_or_not(house: Guarded, path: str) -> None:
    with house.as_(hospital("HRESCH")):
        told = refused(house.get(path), 403, "forbidden")
        assert "masks" in told["diagnostics"]
    with house.as_(hospital("TREAT")):
        assert house.get(path).status_code == 200


def test_what_is_not_masked_is_still_searched_by(house: Guarded) -> None:
    with house.as_(hospital("HRESCH")):
        found = load(
            house.get("Observation?code=8480-6&patient.gender=female&_sort=-date&subject=Patient/masked")
        )

    assert matches(found) == ["noted"]


def test_what_is_masked_is_not_written_back(house: Guarded) -> None:
    with house.as_(hospital("HRESCH")):
        tree = load(house.get("Patient/masked"))
        refused(house.put("Patient/masked", {**tree, "gender": "male"}), 403, "forbidden")
        patch = [{"op": "replace", "path": "/gender", "value": "male"}]
        refused(house.patch("Patient/masked", patch), 403, "forbidden")
        refused(
            house.put(f"Patient?identifier=urn:id|{NUMBER}", {"resourceType": "Patient"}), 403, "forbidden"
        )
    with house.as_(hospital("TREAT")):
        assert NAME in house.get("Patient/masked").text


def test_what_holds_nothing_masked_is_written_as_usual(house: Guarded) -> None:
    with house.as_(hospital("HPAYMT")):
        tree = load(house.get("Patient/masked"))
        assert house.put("Patient/masked", {**tree, "gender": "male"}).status_code == 200
        refused(house.put("Observation/noted", load(house.get("Observation/noted"))), 403, "forbidden")


def test_a_patient_sees_the_own_record_whole(house: Guarded) -> None:
    with house.as_(MINE):
        assert "REDACTED" not in house.get("Patient/mine").text
        assert "Minear" in house.get("Patient/mine").text


def test_the_payer_reads_claims_and_no_free_text(house: Guarded) -> None:
    with house.as_(hospital("HPAYMT")):
        text = house.get("Observation/noted").text
        assert NOTE not in text
        assert NAME in text


def values(node: Any, type_: str, masks: Masks) -> Iterator[str]:
    """Yield every text that stands at a masked place, by the definitions and nothing else."""
    if not isinstance(node, dict):
        return
    for name, (_, kind) in definitions()[type_].properties.items():
        inner = node.get(name)
        if inner is None:
            continue
        if f"{type_}.{name}" in masks.rules or f"={kind}" in masks.rules:
            yield from texts(inner)
            continue
        for each in inner if isinstance(inner, list) else [inner]:
            below = (
                each.get("resourceType", "Basic") if kind == "Resource" and isinstance(each, dict) else kind
            )
            if below in definitions():
                yield from values(each, below, masks)


def texts(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for each in node.values():
            yield from texts(each)
    elif isinstance(node, list):
        for each in node:
            yield from texts(each)
    elif isinstance(node, str):
        yield node


@settings(max_examples=300)
@given(tree=resources())
def test_no_masked_place_is_left_in_any_resource_and_nothing_else_is_lost(tree: Tree) -> None:
    whole = {"resourceType": tree["resourceType"], "id": "1", "meta": {"versionId": "1"}, **tree}
    masked = decode(RESEARCH.body(encode(whole)))

    left = [text for text in values(masked, masked["resourceType"], RESEARCH) if text not in _MARKS]
    assert left == []
    # To mask what is masked changes nothing.
    assert decode(RESEARCH.body(encode(masked))) == masked
    hidden = list(values(whole, whole["resourceType"], RESEARCH))
    if not hidden and "extension" not in str(whole):
        assert masked == whole


_MARKS = {"http://hl7.org/fhir/StructureDefinition/data-absent-reason", "masked"}


def test_parameters_that_read_what_is_masked_are_known_by_their_expressions() -> None:
    hidden = {code for code in parameters("Patient") if RESEARCH.hides("Patient", code)}

    assert hidden == {
        "address", "address-city", "address-country", "address-postalcode", "address-state", "address-use",
        "email", "family", "given", "identifier", "name", "phone", "phonetic", "telecom",
    }  # fmt: skip
    assert RESEARCH.hides("Observation", "of-the-deployments-own")
    assert not RESEARCH.hides("Observation", "value-quantity")
    assert masks_for("TREAT") is None
    assert masks_for(None) is None
    assert masks_for("DSRCH") == RESEARCH


WRITTEN = frozenset(
    (
        *("comment", "description", "detail", "disposition", "instruction", "patientInstruction"),
        *("rationale", "text", "textEquivalent", "title"),
    )
)
"""Names of elements that people write freely into."""


def test_every_rule_names_an_element_of_r4() -> None:
    masks = [masks_for(each) for each in ("HRESCH", "PUBHLTH", "HPAYMT")]
    for rule in frozenset().union(*(each.rules for each in masks if each is not None)):
        owner, _, name = rule.rpartition(".")
        known = name[1:] in definitions() if rule.startswith("=") else name in definitions()[owner].properties
        assert known, rule


def test_what_people_write_freely_into_a_patients_record_is_masked_for_research() -> None:
    """Twin: what a machine writes is not."""
    assert RESEARCH is not None
    written = {
        f"{owner}.{name}"
        for owner in definitions()
        if owner.partition(".")[0] in compartments()["Patient"].keys() - {"AuditEvent"}
        for name, (_, kind) in definitions()[owner].properties.items()
        if kind == "markdown" or (kind == "string" and name in WRITTEN)
    }
    # What a laboratory prints beside a range is the same for everybody.
    assert written - RESEARCH.rules == {"Observation.referenceRange.text"}
    assert "Observation.valueQuantity" not in RESEARCH.rules
    assert len(written) > 30
