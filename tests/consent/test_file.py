"""Patient/$consent-file: a template filed by who may file, refused to who may not; the profile is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fhir_server.consent.templates import templates
from tests.consent.filed import MINE, sad
from tests.consent.test_decision import HERE, THERE, shared, value
from tests.http.server import Tree, load, refused
from tests.leak.house import DOCTOR, PROXY, ROOT, Guarded, guarded, token

TREATING = token("system/*.rs", client_id="x", organization=THERE, purposes=["TREAT"])


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Guarded]:
    with guarded(tmp_path) as server:
        shared(server)
        yield server


def arguments(template: str, **given: str) -> Tree:
    listed = [{"name": name.replace("_", "-"), "valueString": each} for name, each in given.items()]
    return {
        "resourceType": "Parameters",
        "parameter": [{"name": "template", "valueCode": template}, *listed],
    }


def test_a_patient_files_by_template_and_it_counts_from_the_next_request(house: Guarded) -> None:
    hidden = sad(house)
    with house.as_(TREATING):
        assert house.get(f"Condition/{hidden}").status_code == 200
    with house.as_(MINE):
        answer = house.post("Patient/mine/$consent-file", arguments("share-except", organization=THERE))
        assert answer.status_code == 201, answer.text
        assert house.get(answer.headers["location"]).status_code == 200
    with house.as_(TREATING):
        assert house.get(f"Condition/{hidden}").status_code == 404
        assert house.get("Observation/mine-1").status_code == 200
    with house.as_(MINE):
        house.post("Patient/mine/$consent-file", arguments("share-with", organization=THERE))
    with house.as_(TREATING):
        assert house.get(f"Condition/{hidden}").status_code == 200


def test_a_preview_is_the_same_consent_and_files_nothing(house: Guarded) -> None:
    with house.as_(MINE):
        shown = load(house.post("Patient/mine/$consent-file", arguments("nobody", preview="true")))
        assert load(house.get("Consent?_summary=count"))["total"] == 0
        assert house.post("Patient/mine/$consent-simulate", shown).status_code == 200
        filed = load(house.post("Patient/mine/$consent-file", arguments("nobody")))
    assert filed["provision"] == shown["provision"] == {"type": "deny"}


def test_staff_file_what_was_signed_with_the_document_and_with_whom_it_was_verified(house: Guarded) -> None:
    with house.as_(ROOT):
        document = {
            "resourceType": "DocumentReference",
            "status": "current",
            "subject": {"reference": "Patient/mine"},
            "content": [{"attachment": {"contentType": "application/pdf", "title": "signed"}}],
        }
        paper = house.create(document)["id"]
    signed = {"document": f"DocumentReference/{paper}", "verified_with": "Patient/mine"}
    staff = token("user/*.cruds", fhirUser="Practitioner/doctor", organization=HERE)
    with house.as_(staff):
        plain = house.post("Patient/mine/$consent-file", arguments("nobody"))
        refused(plain, 422, "required", "Consent.source", "Consent.verification")
        answer = house.post("Patient/mine/$consent-file", arguments("nobody", **signed))
        assert answer.status_code == 201, answer.text


@pytest.mark.parametrize(
    "bearer", [PROXY, token("user/*.rs", fhirUser="Patient/mine")], ids=["proxy", "scope"]
)
def test_who_may_not_file_a_consent_files_none_by_template(house: Guarded, bearer: str) -> None:
    with house.as_(bearer):
        refused(house.post("Patient/mine/$consent-file", arguments("nobody")), 403, "forbidden")
    with house.as_(MINE):
        answer = house.post("Patient/hidden/$consent-file", arguments("nobody"))
        assert answer.status_code == 403
        assert load(house.get("Consent?_summary=count"))["total"] == 0


def test_a_template_that_cannot_be_filled_is_refused(house: Guarded) -> None:
    with house.as_(MINE):
        path = "Patient/mine/$consent-file"
        refused(house.post(path, arguments("share-with")), 400, "value")
        refused(house.post(path, {"resourceType": "Parameters"}), 400, "value")
        refused(
            house.post(path, arguments("share-except", organization=THERE, label="FUN")), 422, "not-supported"
        )
        refused(house.post(path, arguments("hide-record", record="Observation/hidden-1")), 422, "not-found")
        refused(house.post(path, arguments("nobody", preview="maybe")), 400, "value")
        refused(house.get(f"{path}?template=nobody"), 405, "not-supported")


def test_the_templates_are_listed_in_both_languages_with_what_they_need(house: Guarded) -> None:
    with house.as_(DOCTOR):
        listed = load(house.get("Patient/$consent-templates"))["parameter"]

    told = [{part["name"]: part for part in each["part"]} for each in listed]
    assert [value(each["code"]) for each in told] == list(templates())
    assert all(value(each["zh"]) and value(each["en"]) for each in told)


def test_the_profile_is_claimed_and_read(house: Guarded) -> None:
    statement = load(house.get("metadata"))
    (consent,) = [each for each in statement["rest"][0]["resource"] if each["type"] == "Consent"]
    with house.as_(DOCTOR):
        answer = house.get("StructureDefinition/consent")
        profile = load(answer)
        assert house.get("StructureDefinition/consent", if_none_match='W/"1"').status_code == 304
        refused(house.get("StructureDefinition/other"), 404, "not-found")
        refused(house.get("ValueSet/consent"), 404, "not-found")
    assert consent["supportedProfile"] == [profile["url"]]
    assert answer.headers["etag"] == 'W/"1"'
    with house.as_(token("patient/Consent.rs", patient="mine")):
        refused(house.get("StructureDefinition/consent"), 403, "forbidden")
