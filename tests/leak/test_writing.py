"""Writes judged before and after: nobody writes beyond what it may reach, nor makes itself a right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.http.server import Tree, entry, load, refused, statuses
from tests.leak.house import (
    CALLERS,
    MINE,
    PROXY,
    ROOT,
    SECRET,
    SECRETS,
    Guarded,
    guarded,
    person,
    token,
    value,
    visit,
)

pytestmark = pytest.mark.every_engine

LABEL = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}


@pytest.fixture(autouse=True)
def _nothing_hidden_changed(house: Guarded) -> Iterator[None]:
    """Whatever a test tries, the hidden records stay as they were."""
    with house.as_(ROOT):
        before = [house.get(path).content for path in ("Patient/hidden", "Observation/hidden-1")]
    yield
    with house.as_(ROOT):
        assert [house.get(path).content for path in ("Patient/hidden", "Observation/hidden-1")] == before


def fresh(patient: str = "mine", **more: Any) -> Tree:
    """Return a new Observation, without an id."""
    return {k: v for k, v in value("x", patient, "2222-2", "1.5", **more).items() if k != "id"}


def made(house: Guarded, **more: Any) -> Tree:
    """Create an Observation of ``mine`` as the house."""
    with house.as_(ROOT):
        return house.create(fresh(**more))


@pytest.mark.parametrize("caller", CALLERS)
def test_a_caller_writes_about_its_own_patient(house: Guarded, caller: str) -> None:
    with house.as_(CALLERS[caller]):
        created = house.create(fresh())
        path = f"Observation/{created['id']}"

        assert house.put(path, {**created, "status": "amended"}).status_code == 200
        assert house.patch(path, [{"op": "replace", "path": "/status", "value": "final"}]).status_code == 200
        assert house.delete(path).status_code == 204
        assert house.get(path).status_code == 410


@pytest.mark.parametrize("caller", CALLERS)
def test_a_caller_creates_nothing_about_another_patient(house: Guarded, caller: str) -> None:
    with house.as_(CALLERS[caller]):
        refused(house.post("Observation", fresh("hidden")), 403, "forbidden", "Observation")


@pytest.mark.parametrize("caller", CALLERS)
def test_a_record_is_not_moved_into_another_patients_compartment(house: Guarded, caller: str) -> None:
    path = f"Observation/{made(house)['id']}"
    subject = {"reference": "Patient/hidden"}
    with house.as_(CALLERS[caller]):
        tree = load(house.get(path))
        patch = [{"op": "replace", "path": "/subject", "value": subject}]

        refused(house.put(path, {**tree, "subject": subject}), 403, "forbidden")
        refused(house.patch(path, patch), 403, "forbidden")
        assert load(house.get(path)) == tree


@pytest.mark.parametrize("caller", CALLERS)
def test_a_second_patient_in_a_record_is_refused_too(house: Guarded, caller: str) -> None:
    """Performer and subject both put an Observation into a compartment."""
    with house.as_(CALLERS[caller]):
        both = fresh(performer=[{"reference": "Patient/hidden"}])
        refused(house.post("Observation", both), 403, "forbidden")
        assert house.post("Observation", fresh(performer=[{"reference": "Patient/mine"}])).status_code == 201


@pytest.mark.parametrize("caller", CALLERS)
def test_what_is_hidden_is_not_updated_patched_or_deleted(house: Guarded, caller: str) -> None:
    with house.as_(CALLERS[caller]):
        for id_ in ("hidden-1", "absent"):
            path = f"Observation/{id_}"
            put = house.put(path, {**fresh(), "id": id_})
            patch = house.patch(path, [{"op": "replace", "path": "/status", "value": "amended"}])
            assert (put.status_code, patch.status_code) == (404, 404)
            assert house.delete(path).status_code == 204
            assert id_ in put.text
            assert not any(secret in put.text + patch.text for secret in SECRETS)


def test_who_sees_all_of_a_type_may_choose_ids(house: Guarded) -> None:
    with house.as_(token("system/*.cruds")):
        path = f"Observation/{uuid4()}"
        assert house.put(path, {**fresh(), "id": path.partition("/")[2]}).status_code == 201


@pytest.mark.parametrize("caller", CALLERS)
def test_criteria_match_what_the_caller_may_see(house: Guarded, caller: str) -> None:
    """A conditional create of what only the hidden patient has is a create, not a finding."""
    with house.as_(CALLERS[caller]):
        code = uuid4().hex
        with house.as_(ROOT):
            hidden = fresh("hidden", identifier=[{"system": "urn:t", "value": code}])
            house.create(hidden)
        mine = fresh(identifier=[{"system": "urn:t", "value": code}])
        first = house.post("Observation", mine, if_none_exist=f"identifier=urn:t|{code}")
        again = house.post("Observation", mine, if_none_exist=f"identifier=urn:t|{code}")
        updated = house.put(f"Observation?identifier=urn:t|{code}", {**mine, "status": "amended"})

        assert (first.status_code, again.status_code, updated.status_code) == (201, 200, 200)
        assert load(again)["id"] == load(first)["id"] == load(updated)["id"]


def test_criteria_need_the_right_to_search(house: Guarded) -> None:
    with house.as_(token("patient/Observation.cud", patient="mine")):
        for response in (
            house.post("Observation", fresh(), if_none_exist="status=final"),
            house.put("Observation?status=final", fresh()),
            house.delete("Observation?status=final"),
        ):
            refused(response, 403, "forbidden")


@pytest.mark.parametrize("caller", CALLERS)
def test_one_refused_entry_fails_a_transaction_before_anything_is_written(
    house: Guarded, caller: str
) -> None:
    with house.as_(CALLERS[caller]):
        code = uuid4().hex
        good = fresh(identifier=[{"system": "urn:t", "value": code}])
        bad = entry("POST", "Observation", fresh("hidden"))
        response = house.transact(entry("POST", "Observation", good), bad)

        refused(response, 403, "forbidden", "Bundle.entry[1].resource")
        assert house.find(f"Observation?identifier=urn:t|{code}") == []
        assert house.transact(entry("POST", "Observation", good)).status_code == 200
        assert len(house.find(f"Observation?identifier=urn:t|{code}")) == 1


def test_an_entry_without_its_scope_fails_a_transaction_and_only_itself_in_a_batch(house: Guarded) -> None:
    with house.as_(token("patient/Observation.c patient/Patient.r", patient="mine")):
        entries = [entry("POST", "Observation", fresh()), entry("GET", "Observation/mine-1")]
        refused(house.transact(*entries), 403, "forbidden", "Bundle.entry[1]")
        batch = house.post("", {"resourceType": "Bundle", "type": "batch", "entry": entries})
        assert statuses(load(batch)) == [201, 403]


def test_records_of_one_transaction_confer_membership_on_each_other(house: Guarded) -> None:
    """A hospital admits a new patient: Patient, Encounter and Observation in one go."""
    here = token("system/*.cruds", organization="Organization/here")
    subject = {"reference": "urn:uuid:11111111-1111-4111-8111-111111111111"}
    newcomer = {k: v for k, v in person("x", "Newcomer", "here").items() if k != "id"}
    stay = {k: v for k, v in visit("x", "x", "here").items() if k != "id"} | {"subject": subject}
    with house.as_(here):
        entries = [
            entry("POST", "Patient", newcomer, subject["reference"]),
            entry("POST", "Encounter", stay),
            entry("POST", "Observation", {**fresh(), "subject": subject}),
        ]
        assert house.transact(*entries).status_code == 200
        elsewhere = {**newcomer, "managingOrganization": {"reference": "Organization/there"}}
        response = house.transact(entry("POST", "Patient", elsewhere, subject["reference"]), *entries[1:])
        refused(response, 403, "forbidden")


def test_a_hospital_does_not_make_itself_a_patient(house: Guarded) -> None:
    """An Encounter would show it the patient: so it is refused for a patient it may not see."""
    with house.as_(token("system/*.cruds", organization="Organization/here")):
        stay = {k: v for k, v in visit("x", "hidden", "here").items() if k != "id"}
        cover = {
            "resourceType": "Coverage",
            "status": "active",
            "beneficiary": {"reference": "Patient/hidden"},
            "payor": [{"reference": "Organization/here"}],
        }
        refused(house.post("Encounter", stay), 403, "forbidden")
        refused(house.post("Coverage", cover), 403, "forbidden")
        assert house.get("Patient/hidden").status_code == 404
        assert house.post("Encounter", {**stay, "subject": {"reference": "Patient/mine"}}).status_code == 201


@pytest.mark.parametrize("name", ["security", "tag"])
@pytest.mark.parametrize("caller", CALLERS)
def test_labels_are_not_changed_without_the_scope_relabel(house: Guarded, caller: str, name: str) -> None:
    label = LABEL if name == "security" else {"system": "urn:fhir-server:protected", "code": "x"}
    labelled = {"meta": {name: [label]}}
    tree = made(house, **labelled)
    path = f"Observation/{tree['id']}"
    argument = {"parameter": [{"name": "meta", "valueMeta": {name: [label]}}], "resourceType": "Parameters"}
    with house.as_(CALLERS[caller]):
        expression = f"Observation.meta.{name}"
        refused(house.post("Observation", fresh(**labelled)), 403, "forbidden", expression)
        bare = {key: part for key, part in tree.items() if key != "meta"}
        refused(house.put(path, bare), 403, "forbidden", expression)
        refused(house.patch(path, [{"op": "remove", "path": f"/meta/{name}"}]), 403, "forbidden", expression)
        refused(house.post(f"{path}/$meta-delete", argument), 403, "forbidden", expression)
        assert house.put(path, {**tree, "status": "amended"}).status_code == 200


def test_who_may_relabel_changes_labels(house: Guarded) -> None:
    tree = made(house)
    argument = {
        "parameter": [{"name": "meta", "valueMeta": {"security": [LABEL]}}],
        "resourceType": "Parameters",
    }
    with house.as_(token("patient/*.cruds relabel", patient="mine")):
        response = house.post(f"Observation/{tree['id']}/$meta-add", argument)

        assert response.status_code == 200
        assert load(response)["parameter"][0]["valueMeta"]["security"] == [LABEL]


@pytest.mark.parametrize("caller", ["patient", "practitioner", "proxy"])
def test_who_sees_whom_is_not_written_in_a_users_context(house: Guarded, caller: str) -> None:
    """A proxy does not lengthen its own period."""
    with house.as_(CALLERS[caller]):
        mother = load(house.get("RelatedPerson/mother"))
        refused(
            house.put("RelatedPerson/mother", {**mother, "period": {"end": "2999-01-01"}}), 403, "forbidden"
        )
    with house.as_(ROOT):
        assert house.put("RelatedPerson/mother", {**mother, "active": True}).status_code in {200, 201}


@pytest.mark.parametrize("caller", [*CALLERS.values(), token("system/*.cruds system/AuditEvent.cruds")])
def test_nobody_writes_the_audit(house: Guarded, caller: str) -> None:
    event = {
        "resourceType": "AuditEvent",
        "type": {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "110100"},
        "recorded": "2026-01-01T00:00:00Z",
        "agent": [{"requestor": True}],
        "source": {"observer": {"display": "x"}},
    }
    with house.as_(caller):
        assert house.post("AuditEvent", event).status_code in {403, 405}


@pytest.mark.parametrize("caller", CALLERS)
def test_raw_content_follows_its_context_too(house: Guarded, caller: str) -> None:
    """X-Security-Context says whose rules hold; without one, or with a hidden one, nothing is stored."""
    with house.as_(CALLERS[caller]):
        sent = {"content_type": "text/plain", "accept": "*/*"}
        refused(house.post("Binary", b"scan", **sent), 403, "forbidden")
        for hidden in ("Patient/hidden", "Encounter/hidden-visit", "Patient/absent"):
            refused(house.post("Binary", b"scan", x_security_context=hidden, **sent), 403, "forbidden")
        mine = house.post("Binary", b"scan", x_security_context="Patient/mine", **sent)
        assert mine.status_code == 201, mine.text
        refused(house.put("Binary/hidden-scan", b"over", **sent), 404, "not-found")
        moved = f"Binary/{load(mine)['id']}"
        answer = house.put(moved, b"moved", x_security_context="Patient/hidden", **sent)
        refused(answer, 403, "forbidden")
        assert house.get(moved).content == b"scan"


def test_what_is_universal_is_read_not_written(house: Guarded) -> None:
    for bearer in (MINE, PROXY, CALLERS["practitioner"]):
        with house.as_(bearer):
            doctor = load(house.get("Practitioner/doctor"))
            refused(house.put("Practitioner/doctor", {**doctor, "active": False}), 403, "forbidden")


def test_a_patch_shows_nothing_to_who_may_not_read(house: Guarded) -> None:
    path = f"Observation/{made(house)['id']}"
    patch = [{"op": "replace", "path": "/status", "value": "amended"}]
    with house.as_(token("patient/Observation.u", patient="mine")):
        blind = house.patch(path, patch, prefer="return=representation")
    with house.as_(token("patient/Observation.ru", patient="mine")):
        seeing = house.patch(path, patch, prefer="return=representation")

    assert (blind.status_code, blind.content) == (200, b"")
    assert "2222-2" in seeing.text


def test_a_deletion_that_is_refused_names_no_hidden_referrer(tmp_path: Path) -> None:
    about = [{"reference": "Coverage/gone"}]
    secret = value(SECRET, "hidden", "3333-3", "1.5", focus=about)
    mine = {
        "resourceType": "Coverage",
        "id": "gone",
        "status": "active",
        "beneficiary": {"reference": "Patient/mine"},
        "payor": [{"reference": "Organization/here"}],
    }
    with guarded(tmp_path, referential_integrity=True) as house:
        with house.as_(ROOT):
            house.transact(*(entry("PUT", f"{t['resourceType']}/{t['id']}", t) for t in (secret, mine)))
            assert SECRET in refused(house.delete("Coverage/gone"), 409, "conflict")["diagnostics"]
        with house.as_(MINE):
            assert SECRET not in refused(house.delete("Coverage/gone"), 409, "conflict")["diagnostics"]
