"""$convert is no side door: what it stores and shows is what its caller may write and see."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.audit.world import written
from tests.http.server import load, refused
from tests.leak.house import CALLERS, DOCTOR, HOSPITAL, ROOT, SECRETS, Guarded, entry, token
from tests.mapping.his.world import extract

pytestmark = pytest.mark.xdist_group("convert-leak-server")  # one server for the file, not one per worker

RAW = (Path(__file__).parents[1] / "mapping/nhsa/golden/1101-response.message.json").read_bytes()
TABLE = extract("junwei", "PAT_MASTER_INDEX")
OUT = "$convert?format=junwei&source=h1&map=junwei-patients"


def patients(house: Guarded, bearer: str | None, source: str, more: str = "") -> httpx.Response:
    """Send a table of two patients to be stored."""
    query = f"$convert?format=junwei&source={source}&store=true{more}"
    with house.as_(bearer):
        return house("POST", query, TABLE, content_type="text/csv")


def find(house: Guarded, bearer: str, query: str) -> list[str]:
    with house.as_(bearer):
        return house.find(query)


def test_without_a_token_it_is_401_and_without_any_scope_403(house: Guarded) -> None:
    refused(patients(house, None, "nobody"), 401, "login")
    refused(patients(house, token(""), "nobody"), 403, "forbidden")


@pytest.mark.parametrize("scope", ["system/Patient.rs", "system/Observation.cruds", "patient/*.cruds"])
def test_without_the_scope_nothing_is_stored_nor_kept(house: Guarded, scope: str) -> None:
    bearer = token(scope, client_id="narrow")
    with house.as_(ROOT):
        before = [house.get(f"{type_}?_summary=count").json()["total"] for type_ in COUNTED]
    refused(patients(house, bearer, "narrow"), 403, "forbidden")

    with house.as_(ROOT):
        assert [house.get(f"{type_}?_summary=count").json()["total"] for type_ in COUNTED] == before


COUNTED = ("Patient", "Binary", "DocumentReference", "Provenance")


def test_the_same_scope_stores_what_it_covers(house: Guarded) -> None:
    bearer = token("system/Patient.cruds", client_id="narrow")
    response = patients(house, bearer, "covered", "&archive=false")

    assert response.status_code == 200, response.text
    assert (
        len(find(house, ROOT, "Patient?identifier=https://fhir-server.invalid/NamingSystem/covered-patient|"))
        == 2
    )


@pytest.mark.parametrize("caller", CALLERS)
def test_nobody_writes_about_whom_he_may_not_write(house: Guarded, caller: str) -> None:
    hidden = {
        "resourceType": "Patient",
        "identifier": [
            {
                "system": f"https://fhir-server.invalid/NamingSystem/foreign-{caller}-patient",
                "value": "0000001001",
            }
        ],
        "managingOrganization": {"reference": "Organization/there"},
        "name": [{"text": SECRETS[0]}],
    }
    with house.as_(ROOT):
        made = house.transact(
            entry("PUT", f"Patient?identifier={hidden['identifier'][0]['system']}|0000001001", hidden)
        )
    url = load(made)["entry"][0]["response"]["location"]
    response = patients(house, CALLERS[caller], f"foreign-{caller}", "&archive=false")

    assert not any(secret in response.text for secret in SECRETS)
    with house.as_(ROOT):
        assert house.get(url.partition("/_history")[0]).json()["name"] == hidden["name"]


def test_an_organisation_sends_patients_of_its_own_and_their_originals(house: Guarded) -> None:
    first = patients(house, HOSPITAL, "own")
    again = patients(house, HOSPITAL, "own")

    assert (first.status_code, again.status_code) == (200, 200), first.text
    assert "201" in first.text
    assert '"status":"201' not in again.text
    [one] = find(
        house, HOSPITAL, "Patient?identifier=https://fhir-server.invalid/NamingSystem/own-patient|0000001001"
    )
    with house.as_(HOSPITAL):
        assert house.get(f"Patient/{one}").json()["managingOrganization"]["reference"] == "Organization/here"
        [document] = house.find(f"DocumentReference?patient={one}")
        attachment = house.get(f"DocumentReference/{document}").json()["content"][0]["attachment"]
        assert "0000001001" in house.get(attachment["url"], accept="*/*").content.decode("gb18030", "replace")


def test_what_failed_is_kept_for_the_house_alone(house: Guarded) -> None:
    with house.as_(HOSPITAL):
        response = house(
            "POST",
            "$convert?format=nhsa&source=h1&kind=1101&store=true",
            RAW[:400],
            content_type="application/json",
        )
    refused(response, 422, "structure")

    assert len(find(house, ROOT, "DocumentReference?category=dead-letter")) == 1
    for bearer in CALLERS.values():
        assert find(house, bearer, "DocumentReference?category=dead-letter") == []


@pytest.mark.parametrize("caller", CALLERS)
def test_nothing_hidden_is_written_out(house: Guarded, caller: str) -> None:
    with house.as_(CALLERS[caller]):
        whole = house.post(f"{OUT}&url=Patient&report=true", None)
        hidden = house.post(f"{OUT}&url=Patient/hidden", None)
        unknown = house.post(f"{OUT}&url=Patient/unknown", None)

    assert not any(secret in whole.text for secret in SECRETS)
    assert hidden.status_code == unknown.status_code == 404
    assert hidden.text.replace("hidden", "unknown") == unknown.text


def test_a_type_without_scope_is_not_written_out(house: Guarded) -> None:
    with house.as_(
        token("user/Observation.rs", fhirUser="Practitioner/doctor", organization="Organization/here")
    ):
        refused(house.post(f"{OUT}&url=Patient", None), 403, "forbidden")


def test_every_call_and_what_it_stored_is_in_the_audit(house: Guarded) -> None:
    stored = patients(house, ROOT, "audited").headers["x-request-id"]
    with house.as_(HOSPITAL):
        query = "$convert?format=nhsa&source=h1&kind=1101&store=true"
        failed = house("POST", query, RAW[:401], content_type="application/json").headers["x-request-id"]
    found = [each for each in written(house.folder) if each.request in {stored, failed}]

    told = {(each.interaction, each.agent.client, each.status) for each in found if each.request == stored}
    assert {("operation", "root", 200), ("update", "root", 200), ("create", "root", 200)} <= told
    assert {each.operation for each in found if each.interaction == "operation"} == {"$convert"}
    assert sum(bool(each.patients) for each in found if each.request == stored) >= 2
    told = {(each.interaction, each.agent.client, each.status) for each in found if each.request == failed}
    assert ("operation", "his", 422) in told
    assert ("create", "internal:convert", 200) in told
    assert not any("9999" in each.text for each in found)


def test_a_practitioner_converts_without_storing(house: Guarded) -> None:
    with house.as_(DOCTOR):
        response = house(
            "POST", "$convert?format=nhsa&source=h1&kind=1101", RAW, content_type="application/json"
        )

    assert response.status_code == 200
