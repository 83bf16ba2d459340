"""Filing a Consent: who may, what it may name, and that every patient of a store is classed before it serves.

docs/consent.md
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fhir_server.consent import combine
from fhir_server.consent.policy import CONFIDENTIALITY
from fhir_server.interactions import consents
from fhir_server.store.api import Reclass
from tests.consent.filed import HERE, HOSPITAL, MINE, PSY, consent, sad
from tests.http.server import Tree, bundle, entry, load, refused, statuses
from tests.leak.house import ROOT, Guarded, guarded, token, value

DOCTOR = token(
    "user/*.cruds", fhirUser="Practitioner/doctor", organization="Organization/here", purposes=["TREAT"]
)
PAPER: Tree = {
    "sourceAttachment": {"contentType": "application/pdf", "data": "JVBERi0="},
    "verification": [{"verified": True, "verifiedWith": {"reference": "Patient/mine"}}],
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarded(tmp_path_factory.mktemp("data")) as server:
        yield server


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Guarded]:
    with guarded(tmp_path) as server:
        yield server


def about(meaning: str, reference: str) -> Tree:
    return {"data": [{"meaning": meaning, "reference": {"reference": reference}}]}


@pytest.mark.parametrize("meaning", ["instance", "related", "dependents"])
@pytest.mark.parametrize("reference", ["Observation/hidden-1", "Observation/absent", "Patient/hidden"])
def test_data_of_another_patient_are_refused_and_told_from_unknown_ones_by_nothing(
    house: Guarded, meaning: str, reference: str
) -> None:
    with house.as_(MINE):
        answer = house.post("Consent", consent(HERE, about(meaning, reference), permit=False))

    issue = refused(answer, 422, "not-found", "Consent.provision.data.reference")
    assert issue["diagnostics"] == (
        f"A Consent speaks of its own patient's records alone; {reference} is none of them."
    )


def test_data_of_ones_own_are_kept_and_hidden(fresh: Guarded) -> None:
    with fresh.as_(MINE):
        for reference in ("Observation/mine-1", "Encounter/mine-visit", "Medication/aspirin"):
            posted = consent(HERE, about("instance", reference), permit=False, uri=f"urn:{reference}")
            assert fresh.post("Consent", posted).status_code == 201
    with fresh.as_(HOSPITAL):
        assert fresh.get("Observation/mine-1").status_code == 404
        assert fresh.get("Observation/mine-focus").status_code == 200


def test_data_may_be_filed_in_the_same_transaction(house: Guarded) -> None:
    urn = "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e1"
    posted = {**value("new", "mine", "2222-2", "1.5")}
    del posted["id"]
    entries = [
        entry("POST", "Observation", posted, full_url=urn),
        entry("POST", "Consent", consent(HERE, about("instance", urn), permit=False)),
    ]
    with house.as_(ROOT):
        assert statuses(load(house.post("", bundle("transaction", entries)))) == [201, 201]
    entries[0]["resource"]["subject"] = {"reference": "Patient/hidden"}
    with house.as_(ROOT):
        refused(house.post("", bundle("transaction", entries)), 422, "not-found")


def test_staff_attach_what_was_signed_and_say_with_whom_it_was_verified(house: Guarded) -> None:
    posted = consent(HERE, permit=True, uri="urn:paper")
    for caller in (DOCTOR, HOSPITAL):
        with house.as_(caller):
            refused(house.post("Consent", posted), 422, "required")
            assert house.post("Consent", {**posted, **PAPER}).status_code == 201


@pytest.mark.parametrize(
    "claims",
    [
        {"fhirUser": "RelatedPerson/mother"},
        {"fhirUser": "RelatedPerson/mother", "organization": "Organization/here"},
        {"fhirUser": "Practitioner/doctor"},
        {"fhirUser": "Person/1", "organization": "Organization/here"},
        {},
    ],
)
@pytest.mark.parametrize("scope", ["patient/*.cruds", "user/*.cruds"])
def test_nobody_else_files_for_a_patient(house: Guarded, scope: str, claims: dict[str, str]) -> None:
    with house.as_(token(scope, patient="mine", **claims)):
        refused(house.post("Consent", {**consent(HERE), **PAPER}), 403, "forbidden")


def test_who_may_not_read_it_later_may_still_record_it(fresh: Guarded) -> None:
    """A Consent that names no action forbids no record, one that names "collect" does."""
    depressed = {
        "resourceType": "Condition",
        "subject": {"reference": "Patient/mine"},
        "encounter": {"reference": "Encounter/mine-visit"},
        "code": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10", "code": "F32.9"}]},
    }
    with fresh.as_(MINE):
        fresh.create(consent(HERE, PSY, permit=False))
    with fresh.as_(HOSPITAL):
        made = fresh.post("Condition", depressed)
        assert made.status_code == 201
        assert fresh.get(f"Condition/{load(made)['id']}").status_code == 404
    system = "http://terminology.hl7.org/CodeSystem/consentaction"
    collect = {"action": [{"coding": [{"system": system, "code": "collect"}]}]}
    with fresh.as_(MINE):
        fresh.create(consent(HERE, PSY, collect, permit=False, uri="urn:collect"))
    with fresh.as_(HOSPITAL):
        refused(fresh.post("Condition", depressed), 403, "forbidden")


def test_a_patient_who_has_filed_too_much_may_still_withdraw(
    fresh: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consents, "MOST", 2)
    hidden = sad(fresh)
    with fresh.as_(MINE):
        first = fresh.create(consent(HERE, PSY, permit=False, uri="urn:1"))
        fresh.create(consent(HERE, permit=True, uri="urn:2"))
        refused(fresh.post("Consent", consent(HERE, uri="urn:3")), 422, "processing")
    monkeypatch.setattr(consents, "MOST", 1)
    with fresh.as_(HOSPITAL):
        assert fresh.get(f"Condition/{hidden}").status_code == 404
    with fresh.as_(MINE):
        assert fresh.put(f"Consent/{first['id']}", {**first, "status": "inactive"}).status_code == 200
    with fresh.as_(HOSPITAL):
        assert fresh.get(f"Condition/{hidden}").status_code == 200


def test_a_consent_that_is_moved_leaves_the_patient_whom_it_was_about(fresh: Guarded) -> None:
    hidden = sad(fresh)
    with fresh.as_(ROOT):
        filed = fresh.create(consent(HERE, PSY, permit=False))
    with fresh.as_(HOSPITAL):
        assert fresh.get(f"Condition/{hidden}").status_code == 404
    with fresh.as_(ROOT):
        moved = {**filed, "patient": {"reference": "Patient/hidden"}}
        assert fresh.put(f"Consent/{filed['id']}", moved).status_code == 200
    with fresh.as_(HOSPITAL):
        assert fresh.get(f"Condition/{hidden}").status_code == 200


def test_a_store_from_before_the_classes_is_classed_before_it_serves(
    fresh: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when another patient was classed already: half of it must not pass for the whole."""
    hidden = sad(fresh)
    reclasses = consents.reclasses

    async def none(*_: Any) -> tuple[Reclass, ...]:
        return ()

    monkeypatch.setattr("fhir_server.interactions.write.reclasses", none)
    with fresh.as_(ROOT):
        fresh.create(consent(HERE, PSY, permit=False))
    monkeypatch.setattr("fhir_server.interactions.write.reclasses", reclasses)
    with fresh.as_(ROOT):
        fresh.create(consent(HERE, permit=True, patient="hidden"))
    with fresh.as_(HOSPITAL):
        assert fresh.get(f"Condition/{hidden}").status_code == 200  # as an old server would
    service = fresh._app._service
    assert service is not None
    monkeypatch.setattr(consents, "_CLASSED", "another mark, which is not there")

    fresh.stop()
    fresh.start()

    with fresh.as_(HOSPITAL):
        assert fresh.get(f"Condition/{hidden}").status_code == 404


def test_old_consents_that_cannot_be_combined_refuse_everything(
    fresh: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def none(*_: Any) -> tuple[Reclass, ...]:
        return ()

    monkeypatch.setattr("fhir_server.interactions.write.reclasses", none)
    with fresh.as_(ROOT):
        fresh.create(consent({"period": {"start": "2020-01-01"}}, purpose=["TREAT"]))
    monkeypatch.setattr(consents, "_CLASSED", "another mark, which is not there")
    monkeypatch.setattr("fhir_server.consent.combine.MOST_SLICES", 0)
    fresh.stop()
    fresh.start()

    with fresh.as_(token("system/*.rs", client_id="portal", purposes=["TREAT"])):
        assert fresh.get("Patient/mine").status_code == 404
        assert fresh.get("Patient/hidden").status_code == 200


def test_who_said_more_than_is_taken_now_takes_away_and_adds_nothing(
    fresh: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two Consents of two provisions each, where three provisions hold at most, as after an upgrade."""
    permit, denial = {"type": "permit"}, {**PSY, "type": "deny"}
    restricted = {"type": "deny", "securityLabel": [{"system": CONFIDENTIALITY, "code": "R"}]}
    with fresh.as_(MINE):
        one, other = (
            fresh.create(consent({**permit, "provision": [denial]}, purpose=[each], uri=f"urn:policy:{each}"))
            for each in ("TREAT", "HPAYMT")
        )
    monkeypatch.setattr(combine, "MOST_CLAUSES", 3)

    with fresh.as_(MINE):
        third = consent(purpose=["HRESCH"], uri="urn:policy:third")
        refused(fresh.post("Consent", third), 422, "processing", "Consent.provision")
        wider = {**one, "provision": {**one["provision"], "provision": [denial, {**denial, **HERE}]}}
        del wider["provision"]["purpose"]
        refused(fresh.put(f"Consent/{one['id']}", wider), 422, "processing", "Consent.provision")
        narrower = {**one, "provision": {**one["provision"], "provision": [denial, restricted]}}
        assert fresh.put(f"Consent/{one['id']}", narrower).status_code == 200
        back = fresh.put(f"Consent/{one['id']}", one)
        assert back.status_code == 200  # says less than before, though more than is taken
        ended = {**one, "provision": {**one["provision"], "period": {"end": "2020-01-01"}}}
        assert fresh.put(f"Consent/{one['id']}", ended).status_code == 200
        assert fresh.put(f"Consent/{one['id']}", {**one, "status": "inactive"}).status_code == 200
        assert fresh.put(f"Consent/{other['id']}", {**other, "status": "inactive"}).status_code == 200
        assert fresh.post("Consent", third).status_code == 201


def test_changes_that_only_take_away_have_an_end_too(fresh: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    with fresh.as_(MINE):
        filed = fresh.create(consent(purpose=["TREAT"]))
        monkeypatch.setattr(combine, "MOST_CLAUSES", 1)
        codes = [{"coding": [{"system": "urn:x", "code": str(n)}]} for n in range(10)]
        denials = [{"type": "deny", "code": [each]} for each in codes]
        nine = {**filed, "provision": {**filed["provision"], "provision": denials[:9]}}
        ten = {**filed, "provision": {**filed["provision"], "provision": denials}}

        refused(fresh.put(f"Consent/{filed['id']}", ten), 422, "processing", "Consent.provision")
        assert fresh.put(f"Consent/{filed['id']}", nine).status_code == 200


def test_the_audit_stays_open_to_its_administrator_whatever_patients_deny(house: Guarded) -> None:
    with house.as_(MINE):
        house.create(consent(permit=False, uri="urn:policy:all"))
    administrator = token(
        "user/AuditEvent.rs",
        fhirUser="Practitioner/doctor",
        organization="Organization/here",
        roles=["audit-administrator"],
    )
    with house.as_(administrator):
        assert house.get("AuditEvent?_count=1").status_code == 200
