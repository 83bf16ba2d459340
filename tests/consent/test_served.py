"""Consent over HTTP: who sees what once a patient has spoken, from the very next request on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.consent.filed import HERE, HOSPITAL, MINE, PSY, consent, sad
from tests.http.server import load, matches, refused
from tests.leak.house import Guarded, guarded, token


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Guarded]:
    with guarded(tmp_path) as server:
        yield server


def test_a_patient_denies_a_hospital_mental_health_and_takes_it_back(house: Guarded) -> None:
    hidden = sad(house)
    with house.as_(HOSPITAL):
        before = load(house.get("Condition?patient=mine&_total=accurate"))
        assert hidden in matches(before)
    with house.as_(MINE):
        filed = house.create(consent(HERE, PSY, permit=False))
    with house.as_(HOSPITAL):
        after = load(house.get("Condition?patient=mine&_total=accurate"))
        assert hidden not in matches(after)
        assert after["total"] == before["total"] - 1
        assert house.get(f"Condition/{hidden}").status_code == 404
        assert house.get(f"Condition/{hidden}/_history").status_code == 404
        assert matches(load(house.get("Patient?_has:Condition:patient:code=F32.9"))) == []
    with house.as_(MINE):
        assert house.get(f"Condition/{hidden}").status_code == 200
        refused(house.delete(f"Consent/{filed['id']}"), 405, "not-supported")
        assert house.put(f"Consent/{filed['id']}", {**filed, "status": "inactive"}).status_code == 200
    with house.as_(HOSPITAL):
        assert house.get(f"Condition/{hidden}").status_code == 200


def test_nobody_files_for_another_and_what_cannot_be_enforced_is_refused(house: Guarded) -> None:
    with house.as_(MINE):
        other = consent(HERE, permit=False, patient="hidden")
        assert house.post("Consent", other).status_code == 403
        answer = house.post("Consent", consent(HERE, permit=False, modifierExtension=[{"url": "urn:x"}]))
        assert answer.status_code == 422, answer.text
    with house.as_(token("user/*.cruds", fhirUser="RelatedPerson/mother")):
        assert house.post("Consent", consent(HERE, permit=False)).status_code == 403
