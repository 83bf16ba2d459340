"""The audit names the Consents that decided, and what decided where none did: reads, refusals, writes.

docs/audit.md
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fhir_server.audit.coding import Origin
from fhir_server.audit.entry import Entry
from fhir_server.audit.events import REASONS, audit_events
from fhir_server.interactions.deciding import Deciding
from fhir_server.validation import errors
from tests.audit.world import written
from tests.consent.filed import HERE, HOSPITAL, MINE, PSY, consent, sad
from tests.http.server import Tree, load
from tests.leak.house import ROOT, Guarded, guarded, token


@pytest.fixture
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarded(tmp_path_factory.mktemp("data")) as server:
        yield server


def last(house: Guarded) -> Entry:
    return written(house.folder)[-1]


def events(entry: Entry) -> list[Tree]:
    found = list(audit_events(entry, Origin("https://a.example/fhir", "a.example")))
    for each in found:
        assert errors({**each, "id": "x"}) == []
    return found


def filed(house: Guarded, tree: Tree) -> str:
    with house.as_(MINE):
        return f"Consent/{house.create(tree)['id']}/_history/1"


def decided(entry: Entry) -> list[str]:
    """Return what the one event says of it: references and texts."""
    (event,) = events(entry)
    entities = [each for each in event["entity"] if each.get("role", {}).get("code") == "13"]
    texts = [part["valueString"] for each in entities for part in each.get("detail", [])]
    assert all(part["type"] == REASONS for each in entities for part in each.get("detail", []))
    return [each["what"]["reference"] for each in entities if "what" in each] + texts


def test_silence_is_told_as_the_overarching_policy(house: Guarded) -> None:
    with house.as_(HOSPITAL):
        house.get("Observation/mine-1")
    (text,) = decided(last(house))
    assert text.endswith("the overarching policy decides: treatment")


def test_who_is_not_asked_is_told(house: Guarded) -> None:
    for caller, words in ((MINE, "the patient's own access"), (ROOT, "a client of the house itself")):
        with house.as_(caller):
            house.get("Observation/mine-1")
        (text,) = decided(last(house))
        assert words in text


def test_a_refusal_names_the_consent_and_the_patient(house: Guarded) -> None:
    denial = filed(house, consent(HERE, permit=False))
    for path in ("Patient/mine", "Patient/mine/$everything"):
        with house.as_(HOSPITAL):
            assert house.get(path).status_code == 404
        entry = last(house)
        assert (entry.status, entry.patients, decided(entry)) == (404, ("mine",), [denial])


def test_whose_hidden_record_was_asked_for_is_not_looked_up(house: Guarded) -> None:
    """Looking would take a time by which hidden can be told from unknown."""
    hidden = sad(house)
    filed(house, consent(HERE, PSY, permit=False))
    with house.as_(HOSPITAL):
        for id_ in (hidden, "absent"):
            assert house.get(f"Condition/{id_}").status_code == 404
            assert last(house).patients == ()


def test_each_consent_that_speaks_of_the_request_is_named_and_no_other(house: Guarded) -> None:
    filed(house, consent(permit=False, purpose=["HRESCH"], uri="urn:research"))
    expected = {
        filed(house, consent(HERE, PSY, permit=False, uri="urn:here")),
        filed(house, consent(permit=True, purpose=["TREAT"], uri="urn:treatment")),
    }
    ended = consent(HERE, PSY, permit=False, uri="urn:ended")
    ended["provision"]["period"] = {"end": "2020-01-01"}
    filed(house, ended)
    with house.as_(HOSPITAL):
        for path in ("Observation/mine-1", "Observation?patient=mine", "Patient/mine/$everything"):
            assert house.get(path).status_code == 200
            assert set(decided(last(house))) == expected, path


def test_a_withdrawn_consent_is_named_no_more_and_the_new_version_is(house: Guarded) -> None:
    with house.as_(MINE):
        tree = house.create(consent(HERE, permit=True))
        changed = {**tree, "dateTime": "2026-02-01"}
        assert house.put(f"Consent/{tree['id']}", changed).status_code == 200
    with house.as_(HOSPITAL):
        house.get("Observation/mine-1")
        assert decided(last(house)) == [f"Consent/{tree['id']}/_history/2"]
    with house.as_(MINE):
        assert house.put(f"Consent/{tree['id']}", {**changed, "status": "inactive"}).status_code == 200
    with house.as_(HOSPITAL):
        house.get("Observation/mine-1")
        assert "overarching" in decided(last(house))[0]


def test_each_patient_of_a_search_has_its_own(house: Guarded) -> None:
    named = filed(house, consent(permit=True, purpose=["TREAT"]))
    with house.as_(token("system/*.rs", client_id="portal", purposes=["TREAT"])):
        house.get("Patient?_count=50")
    entry = last(house)
    by_patient = dict(zip(entry.patients, entry.consents, strict=True))
    assert by_patient == {"mine": (named,), "hidden": ()}
    assert len(events(entry)) == 2


def test_what_the_server_looks_up_itself_is_no_access_of_the_callers(house: Guarded) -> None:
    """A filing reads the patient's other Consents, and the guard looks at the patient: nobody is told."""
    filed(house, consent(HERE, permit=True))
    before = len(written(house.folder))
    with house.as_(MINE):
        posted = consent(HERE, PSY, permit=False, uri="urn:second")
        entry = {"resource": posted, "request": {"method": "POST", "url": "Consent"}}
        answer = house.post("", {"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
        assert load(answer)["entry"]
    assert [each.interaction for each in written(house.folder)[before:]] == ["create"]


def test_an_access_is_recorded_though_its_consents_cannot_be_looked_up(
    house: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    filed(house, consent(HERE, permit=True))

    async def broken(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(Deciding, "_named", broken)
    with house.as_(HOSPITAL):
        assert house.get("Observation/mine-1").status_code == 200
    assert last(house).items[0].id == "mine-1"
