"""Sharing agreements: another organisation's data are shown under a signed contract in force, else not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fhir_server.access.agreements import Agreement, contract
from tests.http.server import Tree, refused
from tests.leak.house import ROOT, Guarded, token

pytestmark = pytest.mark.every_engine

SIGNATURE: Tree = {
    "type": [{"system": "urn:iso-astm:E1762-95:2013", "code": "1.2.840.10065.1.12.1.1"}],
    "when": "2026-01-01T00:00:00Z",
    "who": {"reference": "Organization/here"},
}
BEARER = token("system/*.rs", organization="Organization/here", purposes=["TREAT", "HRESCH"], client_id="his")


def agreement(**changes: Any) -> Agreement:
    made: dict[str, Any] = {
        "id": "sharing",
        "receiver": "Organization/here",
        "grantors": ("Organization/there",),
        "types": frozenset({"Observation", "Patient"}),
        "purposes": frozenset({"TREAT"}),
        "start": 0,
        "end": 0,
        "status": "executed",
        "is_signed": True,
    }
    return Agreement(**{**made, **changes})


def store(house: Guarded, tree: Tree) -> None:
    with house.as_(ROOT):
        assert house.put("Contract/sharing", tree).status_code in {200, 201}


def seen(house: Guarded, purpose: str = "TREAT") -> bool:
    """Ask every route; tell whether the other hospital's observation is shown, by all of them or by none."""
    with house.as_(BEARER):
        read = house.get("Observation/hidden-1", x_purpose_of_use=purpose)
        found = house.get("Observation?_id=hidden-1&_total=accurate", x_purpose_of_use=purpose).json()
        past = house.get("Observation/hidden-1/_history", x_purpose_of_use=purpose)
        answers = {read.status_code == 200, found["total"] == 1, past.status_code == 200}
        if read.status_code != 200:
            unknown = house.get("Observation/absent", x_purpose_of_use=purpose)
            assert (read.status_code, read.text) == (404, unknown.text.replace("absent", "hidden-1"))
    assert len(answers) == 1
    return answers.pop()


@pytest.fixture(autouse=True)
def _without_agreement(house: Guarded) -> Iterator[None]:
    yield
    with house.as_(ROOT):
        house.delete("Contract/sharing")


def test_a_signed_contract_in_force_shows_what_it_covers_and_without_one_nothing_is_shown(
    house: Guarded,
) -> None:
    assert not seen(house)
    store(house, contract(agreement(), SIGNATURE))
    assert seen(house)
    with house.as_(BEARER):
        shown = house.get("Patient?_id=hidden", x_purpose_of_use="TREAT").json()
        assert [each["resource"]["id"] for each in shown["entry"]] == ["hidden"]


@pytest.mark.parametrize(
    ("changes", "more"),
    [
        ({"is_signed": False}, {}),
        ({"status": "offered"}, {}),
        ({"status": "executable"}, {}),
        ({"status": "revoked"}, {}),
        ({"status": "terminated"}, {}),
        ({"status": "entered-in-error"}, {}),
        ({}, {"applies": {"end": "2020-01-01"}}),
        ({}, {"applies": {"start": "2999-01-01"}}),
        ({"types": frozenset({"Condition"})}, {}),
        ({}, {"term": [{"offer": {"text": "nothing"}}]}),
        ({"purposes": frozenset({"HPAYMT"})}, {}),
        ({"receiver": "Organization/there"}, {}),
        ({"grantors": ("Organization/elsewhere",)}, {}),
        ({}, {"type": {"text": "an insurance contract"}}),
    ],
    ids=str,
)
def test_anything_less_shows_nothing(house: Guarded, changes: dict[str, Any], more: Tree) -> None:
    made = agreement(**changes)
    store(house, {**contract(made, SIGNATURE if made.is_signed else None), **more})

    assert not seen(house)


def test_another_purpose_than_the_contracts_shows_nothing(house: Guarded) -> None:
    store(house, contract(agreement(), SIGNATURE))

    assert seen(house, "TREAT")
    assert not seen(house, "HRESCH")


def test_a_contract_for_any_purpose_and_of_everybodys_data_is_no_patients_consent(house: Guarded) -> None:
    """Treatment is what silence permits; research needs the patient's word besides the contract."""
    store(house, contract(agreement(purposes=frozenset(), grantors=()), SIGNATURE))

    assert seen(house, "TREAT")
    assert not seen(house, "HRESCH")


def test_revocation_counts_from_the_next_request_and_on_open_pages(house: Guarded) -> None:
    store(house, contract(agreement(), SIGNATURE))
    with house.as_(BEARER):
        page = house.get("Observation?_count=1", x_purpose_of_use="TREAT").json()
        link = next(each["url"] for each in page["link"] if each["relation"] == "next")
        assert house.get(link, x_purpose_of_use="TREAT").status_code == 200
    store(house, contract(agreement(status="revoked"), SIGNATURE))
    with house.as_(BEARER):
        assert house.get(link, x_purpose_of_use="TREAT").status_code == 404
    assert not seen(house)


def test_what_is_shared_is_read_not_written(house: Guarded) -> None:
    store(house, contract(agreement(), SIGNATURE))
    writer = token("system/*.cruds", organization="Organization/here", purposes=["TREAT"])
    with house.as_(writer):
        tree = house.get("Observation/hidden-1").json()
        refused(house.put("Observation/hidden-1", tree), 403, "forbidden")
        refused(house.delete("Observation/hidden-1"), 403, "forbidden")


def test_an_organisation_makes_itself_no_contract(house: Guarded) -> None:
    writer = token("system/*.cruds", organization="Organization/here", purposes=["TREAT"])
    with house.as_(writer):
        tree = contract(agreement(), SIGNATURE)
        refused(house.post("Contract", tree), 403, "forbidden")
        refused(house.put("Contract/sharing", tree), 404, "not-found")
    assert not seen(house)
