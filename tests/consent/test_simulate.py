"""Patient/$consent-simulate: what it counts is what happens once the Consent is filed; it stores nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.consent.filed import MINE, PSY, consent, sad
from tests.consent.test_decision import HERE, PURPOSES, THERE, actor, shared, value
from tests.http.server import Tree, load, refused
from tests.leak.house import Guarded, guarded, token

TYPES = (
    *("Condition", "Device", "Encounter", "List", "MedicationRequest", "Observation", "Patient"),
    "RelatedPerson",
)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Guarded]:
    with guarded(tmp_path) as server:
        sad(server)
        shared(server)
        yield server


def totals(house: Guarded) -> dict[tuple[str, str, str], int]:
    """Return how many of the patient's records each organisation gets, by organisation, purpose and type."""
    found = {}
    for organization in (HERE, THERE):
        bearer = token("system/*.rs", client_id="x", organization=organization, purposes=PURPOSES)
        for purpose in PURPOSES:
            for type_ in TYPES:
                where = "_id=mine" if type_ == "Patient" else "patient=mine"
                with house.as_(bearer):
                    page = load(house.get(f"{type_}?{where}&_summary=count", x_purpose_of_use=purpose))
                found[organization, purpose, type_] = page["total"]
    return found


def simulated(house: Guarded, tree: Tree) -> tuple[dict[tuple[str, str, str], int], list[object]]:
    with house.as_(MINE):
        response = house.post("Patient/mine/$consent-simulate", tree)
    assert response.status_code == 200, response.text
    parts = load(response)["parameter"]
    differences = {}
    for each in parts:
        if each["name"] == "change":
            change = {part["name"]: value(part) for part in each["part"]}
            organization = change["organization"]["reference"]  # type: ignore[index]
            key = organization, str(change["purpose"]), str(change["type"])
            differences[key] = int(change["gained"]) - int(change["lost"])  # type: ignore[call-overload]
    return differences, [value(each) for each in parts if each["name"] == "replaces"]


WISHES = {
    "deny": consent(PSY, actor(THERE), permit=False, purpose=["TREAT"]),
    "narrow": consent(PSY, actor(THERE), permit=True, purpose=["TREAT"]),
    "nobody": consent(permit=False),
    "custodian": consent(actor(HERE), permit=False),
    "research": consent(permit=True, purpose=["HRESCH"]),
}


@pytest.mark.parametrize("wish", WISHES)
def test_the_counts_come_true(house: Guarded, wish: str) -> None:
    told, replaces = simulated(house, WISHES[wish])
    before = totals(house)
    with house.as_(MINE):
        house.create(WISHES[wish])
    after = totals(house)

    assert replaces == []
    assert told
    assert {key: told[key] for key in told if key[1] in PURPOSES} == {
        key: after[key] - before[key] for key in before if after[key] != before[key]
    }


def test_a_change_of_a_consent_is_compared_with_what_it_was_and_names_what_it_replaces(
    house: Guarded,
) -> None:
    with house.as_(MINE):
        filed = house.create(WISHES["deny"])
    assert simulated(house, filed) == ({}, [])

    told, replaces = simulated(house, {**filed, "status": "inactive"})
    assert told == {(THERE, "TREAT", "Condition"): 1}
    assert replaces == []
    newer = {**WISHES["research"], "dateTime": "2026-02-01"}
    assert simulated(house, newer)[1] == [{"reference": f"Consent/{filed['id']}"}]


def test_nothing_is_stored(house: Guarded) -> None:
    before = totals(house)
    simulated(
        house,
        {"resourceType": "Parameters", "parameter": [{"name": "consent", "resource": WISHES["nobody"]}]},
    )

    assert totals(house) == before
    with house.as_(MINE):
        assert load(house.get("Consent?_summary=count"))["total"] == 0


def test_what_could_not_be_filed_cannot_be_simulated(house: Guarded) -> None:
    with house.as_(MINE):
        path = "Patient/mine/$consent-simulate"
        refused(
            house.post(
                path, consent(permit=False, modifierExtension=[{"url": "urn:x", "valueBoolean": True}])
            ),
            422,
            "extension",
        )
        refused(
            house.post(path, consent(permit=False, patient="hidden")), 422, "processing", "Consent.patient"
        )
        refused(house.post(path, consent(permit=False, status="odd")), 422, "code-invalid")
        refused(house.post(path, {"resourceType": "Parameters"}), 400, "invalid")
        refused(house.get(path), 405, "not-supported")
        refused(house.post("Patient/hidden/$consent-simulate", consent(permit=False)), 404, "not-found")
    with house.as_(token("system/*.rs", client_id="x", organization=THERE, purposes=PURPOSES)):
        answer = house.post(path, consent(permit=False), x_purpose_of_use="TREAT")
        refused(answer, 404, "not-found")
