"""Purposes of use that are not stated, and what the house's own clients with a purpose get to see."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fhir_server.consent.masks import masks_for
from tests import engines
from tests.consent.filed import deny_all
from tests.http.server import bundle, entry, load, refused
from tests.leak.house import ROOT, SECRET_NOTE, Guarded, guarded, person, token
from tests.leak.test_consent import shared_world

pytestmark = pytest.mark.every_engine

LABEL = {
    "resourceType": "Parameters",
    "parameter": [{"name": "meta", "valueMeta": {"tag": [{"system": "urn:x", "code": "y"}]}}],
}


@pytest.fixture(scope="module")
def house(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Serve two patients; the second denies everybody everything."""
    with engines.using(engine), guarded(tmp_path_factory.mktemp("purposes"), trees=shared_world()) as server:
        with server.as_(ROOT):
            for tree in deny_all("hidden", "Organization/here"):
                server.create(tree)
            for id_, context in CONTEXTS.items():
                binary = {"resourceType": "Binary", "id": id_, "contentType": "text/plain", "data": "cXVp"}
                context_of = {"securityContext": {"reference": context}} if context else {}
                server.put(f"Binary/{id_}", {**binary, **context_of})
        yield server


CONTEXTS = {
    "of-hidden": "Patient/hidden",
    "of-hidden-result": "Observation/hidden-1",  # a type to which a context is not followed
    "of-nothing": "DocumentReference/none",
    "of-mine": "Patient/mine",
    "of-nobody": "",
}


def of_the_house(*purposes: str, scope: str = "system/*.cruds", patient: str | None = None) -> str:
    return token(scope, client_id="portal", purposes=list(purposes), patient=patient)


def test_a_client_that_states_none_of_its_purposes_is_asked_all_the_same(house: Guarded) -> None:
    for purposes in (["TREAT"], ["TREAT", "HRESCH"]):
        with house.as_(of_the_house(*purposes)):
            assert house.get("Patient/hidden").status_code == 404
            assert "hidden-1" not in house.find("Observation")
    with house.as_(of_the_house()):  # carries records for nobody's purpose
        assert house.get("Patient/hidden").status_code == 200


def test_a_launch_context_frees_no_client_with_system_scopes(house: Guarded) -> None:
    with house.as_(of_the_house("TREAT", patient="mine")):
        assert house.get("Patient/hidden").status_code == 404
        assert house.get("Patient/mine").status_code == 200
    with house.as_(of_the_house("TREAT", scope="patient/*.rs", patient="hidden")):
        assert house.get("Patient/hidden").status_code == 200  # the patient's own app


def test_who_states_no_purpose_gets_what_is_masked_for_none_of_them(house: Guarded) -> None:
    def told(*purposes: str) -> str:
        bearer = token("system/*.rs", client_id="his", organization="Organization/here", purposes=[*purposes])
        with house.as_(bearer):
            return str(house.get("Observation/mine-1").text)

    assert '"plain"' in told("HRESCH", "TREAT")
    assert '"plain"' not in told("HPAYMT", "HRESCH")
    assert '"plain"' not in told("HPAYMT")
    assert masks_for("HPAYMT", "HRESCH") == masks_for("HPAYMT")
    assert masks_for("HPAYMT", "TREAT") is None
    assert masks_for() is None


def test_a_content_is_shown_by_a_context_that_is_followed_alone(house: Guarded) -> None:
    def shown() -> set[str]:
        return {id_ for id_ in CONTEXTS if house.get(f"Binary/{id_}").status_code == 200}

    with house.as_(of_the_house("TREAT")):
        assert shown() == {"of-mine", "of-nobody"}
        assert set(house.find("Binary?_count=50")) & CONTEXTS.keys() == {"of-mine", "of-nobody"}
    with house.as_(ROOT):
        assert shown() == CONTEXTS.keys()


@pytest.mark.parametrize("value", ["final", "wrong"])
def test_the_test_of_a_patch_is_no_oracle(house: Guarded, value: str) -> None:
    patch = [{"op": "test", "path": "/status", "value": value}]
    with house.as_(of_the_house("TREAT")):
        hidden, unknown = (house.patch(f"Observation/{id_}", patch) for id_ in ("hidden-1", "none"))
        refused(hidden, 404, "not-found")
        assert hidden.text.replace("hidden-1", "none") == unknown.text
        assert house.patch("Observation/mine-1", patch).status_code == (200 if value == "final" else 422)
    with house.as_(ROOT):
        assert house.patch("Observation/hidden-1", patch).status_code == (200 if value == "final" else 422)


@pytest.mark.parametrize("operation", ["$meta-add", "$meta-delete"])
def test_labels_that_are_changed_tell_of_no_hidden_record(house: Guarded, operation: str) -> None:
    with house.as_(of_the_house("TREAT")):
        refused(house.post(f"Observation/hidden-1/{operation}", LABEL), 404, "not-found")
        assert house.post(f"Observation/mine-1/{operation}", LABEL).status_code == 200


def test_the_houses_own_still_write_about_whom_they_may_not_read(house: Guarded) -> None:
    sent = {**person("hidden", "Zanzibarov", "here"), "gender": "male"}
    with house.as_(of_the_house("TREAT")):
        assert house.put("Patient/hidden", sent).status_code == 200
        answer = house.post("", bundle("batch", [entry("GET", "Patient/hidden")]))
        assert load(answer)["entry"][0]["response"]["status"].startswith("404")
    with house.as_(ROOT):
        assert SECRET_NOTE in house.get("Observation/hidden-1").text
