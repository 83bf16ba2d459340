"""What is asked about changes while it is judged: answered as it is now, and as unknown once it has left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from fhir_server.access.actor import Actor
from fhir_server.interactions.consents import Filed
from fhir_server.interactions.request import Request
from fhir_server.operations.consenting import judged
from tests.consent.filed import ACT, MINE, consent
from tests.http.server import Tree, load, refused
from tests.leak.house import ROOT, Guarded, guarded, value
from tests.leak.test_consent import HOSPITAL

QUESTION = (
    "Patient/mine/$consent-decision?resource=Observation/{}&organization=Organization/there&purpose=TREAT"
)
LABEL = {"system": ACT, "code": "PSY"}


@pytest.fixture
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Serve two patients who both hide one record, and what is labelled as mental health."""
    with guarded(tmp_path_factory.mktemp("data")) as server:
        with server.as_(ROOT):
            for patient in ("mine", "hidden"):
                server.create(
                    consent({"securityLabel": [LABEL]}, permit=False, patient=patient, uri="urn:policy:label")
                )
        yield server


def meanwhile(
    monkeypatch: pytest.MonkeyPatch, house: Guarded, tree: Callable[[int], Tree], times: int
) -> None:
    """Write what ``tree`` makes between the moment that the record is found and that it is judged."""
    service = house._app._service
    assert service is not None
    count = 0
    real = judged.filed

    async def writing(*arguments: Any) -> Filed:
        nonlocal count
        if count < times:
            count += 1
            body = tree(count)
            actor = Actor.internal("test")
            await service.run(
                Request("update", "Observation", "mine-1", method="PUT", body=body, actor=actor)
            )
        return await real(*arguments)

    monkeypatch.setattr(judged, "filed", writing)


def written(patient: str, *, labelled: bool) -> Tree:
    tree = value("mine-1", "mine", "1111-1", "10.5")
    meta = {"meta": {"security": [LABEL]}} if labelled else {}
    return {**tree, **meta, "subject": {"reference": f"Patient/{patient}"}}


def asked(house: Guarded, bearer: str = MINE, id_: str = "mine-1") -> httpx.Response:
    with house.as_(bearer):
        return house.get(QUESTION.format(id_))


@pytest.mark.parametrize("bearer", [MINE, HOSPITAL, ROOT], ids=["patient", "custodian", "house"])
def test_what_was_moved_to_another_patient_is_as_unknown(
    house: Guarded, monkeypatch: pytest.MonkeyPatch, bearer: str
) -> None:
    unknown = asked(house, bearer, "absent")
    meanwhile(monkeypatch, house, lambda _: written("hidden", labelled=True), times=1)
    moved = asked(house, bearer)

    refused(moved, 404, "not-found")
    assert moved.text.replace("mine-1", "absent") == unknown.text
    assert set(moved.headers) == set(unknown.headers)
    assert asked(house, bearer).status_code == 404


def test_what_stays_the_patients_is_answered_as_it_is_now(
    house: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decision() -> str:
        return next(
            each["valueCode"] for each in load(asked(house))["parameter"] if each["name"] == "decision"
        )

    assert decision() == "permit"
    meanwhile(monkeypatch, house, lambda _: written("mine", labelled=True), times=1)
    assert decision() == "deny"


def test_what_changes_again_and_again_is_a_conflict_while_it_is_there_and_unknown_afterwards(
    house: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile(monkeypatch, house, lambda count: written("mine", labelled=count % 2 == 1), times=3)
    refused(asked(house), 409, "conflict")

    with house.as_(ROOT):
        house.put("Observation/mine-1", written("mine", labelled=False))
    monkeypatch.undo()

    def leaving(count: int) -> Tree:
        return written("hidden" if count == 3 else "mine", labelled=count % 2 == 1)

    meanwhile(monkeypatch, house, leaving, times=3)
    refused(asked(house), 404, "not-found")
