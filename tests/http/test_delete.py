"""Delete, conditional delete, and referential integrity.

https://hl7.org/fhir/R4/http.html#delete and #cdelete
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.http.samples import observation, patient, tagged, unique
from tests.http.server import Server, entry, load, refused


def test_returns_410_after_delete_and_is_found_no_more(server: Server) -> None:
    tag = unique()
    id_ = server.create(patient(tag))["id"]

    deleted = server.delete(f"Patient/{id_}")

    assert (deleted.status_code, deleted.content) == (204, b"")
    assert deleted.headers["etag"] == 'W/"2"'
    refused(server.get(f"Patient/{id_}"), 410, "deleted")
    assert server.find(f"Patient?{tagged(tag)}") == []
    assert server.find(f"Patient?_id={id_}") == []


def test_deleting_again_or_what_never_was_is_204_and_makes_no_version(
    server: Server, patient_id: str
) -> None:
    server.delete(f"Patient/{patient_id}")

    again = server.delete(f"Patient/{patient_id}")
    unknown = server.delete(f"Patient/{unique()}")

    assert (again.status_code, unknown.status_code) == (204, 204)
    assert load(server.get(f"Patient/{patient_id}/_history"))["total"] == 2


def test_if_match_holds_for_a_delete(server: Server, patient_id: str) -> None:
    refused(server.delete(f"Patient/{patient_id}", if_match='W/"2"'), 412, "conflict")
    assert server.get(f"Patient/{patient_id}").status_code == 200

    assert server.delete(f"Patient/{patient_id}", if_match='W/"1"').status_code == 204


def test_a_conditional_delete_deletes_its_one_match(server: Server) -> None:
    tag = unique()
    id_ = server.create(patient(tag))["id"]

    assert server.delete(f"Patient?{tagged(tag)}").status_code == 204

    refused(server.get(f"Patient/{id_}"), 410, "deleted")


def test_a_conditional_delete_without_match_is_204(server: Server) -> None:
    assert server.delete(f"Patient?{tagged(unique())}").status_code == 204


def test_a_conditional_delete_with_several_matches_is_412_and_deletes_none(server: Server) -> None:
    tag = unique()
    ids = {server.create(patient(tag))["id"] for _ in range(2)}

    refused(server.delete(f"Patient?{tagged(tag)}"), 412, "multiple-matches")

    assert set(server.find(f"Patient?{tagged(tag)}")) == ids


@pytest.mark.parametrize("criteria", ["", "?", "?nickname=x", "?_count=1", "?identifier="])
def test_a_conditional_delete_without_real_criteria_is_400(server: Server, criteria: str) -> None:
    assert server.delete(f"Patient{criteria}").status_code == 400


def test_without_referential_integrity_a_reference_may_dangle(server: Server, patient_id: str) -> None:
    server.create(observation(f"Patient/{patient_id}"))

    assert server.delete(f"Patient/{patient_id}").status_code == 204


def test_with_referential_integrity_what_is_referred_to_stays(serve: Callable[..., Server]) -> None:
    server = serve(referential_integrity=True)
    id_ = server.create(patient())["id"]
    referrer = server.create(observation(f"Patient/{id_}"))["id"]

    answer = server.delete(f"Patient/{id_}")

    assert f"Observation/{referrer}" in refused(answer, 409, "conflict")["diagnostics"]
    refused(server.delete(f"Patient?_id={id_}"), 409, "conflict")
    refused(server.transact(entry("DELETE", f"Patient/{id_}")), 409, "conflict")
    assert server.get(f"Patient/{id_}").status_code == 200
    assert server.delete(f"Observation/{referrer}").status_code == 204
    assert server.delete(f"Patient/{id_}").status_code == 204


def test_with_referential_integrity_both_may_go_in_one_transaction(serve: Callable[..., Server]) -> None:
    server = serve(referential_integrity=True)
    id_ = server.create(patient())["id"]
    referrer = server.create(observation(f"Patient/{id_}"))["id"]

    answer = server.transact(entry("DELETE", f"Patient/{id_}"), entry("DELETE", f"Observation/{referrer}"))

    assert answer.status_code == 200, answer.text
    refused(server.get(f"Patient/{id_}"), 410, "deleted")


def test_with_referential_integrity_a_reference_of_itself_or_of_an_old_version_does_not_hold(
    serve: Callable[..., Server],
) -> None:
    server = serve(referential_integrity=True)
    id_, other = unique(), server.create(patient())["id"]
    link = [{"other": {"reference": f"Patient/{id_}"}, "type": "seealso"}]
    server.put(f"Patient/{id_}", {**patient(), "id": id_, "link": link})
    seen = server.create(observation(f"Patient/{other}"))
    server.put(f"Observation/{seen['id']}", {**seen, "subject": {"reference": f"Patient/{id_}"}})

    assert server.delete(f"Patient/{other}").status_code == 204
    refused(server.delete(f"Patient/{id_}"), 409, "conflict")
    server.delete(f"Observation/{seen['id']}")
    assert server.delete(f"Patient/{id_}").status_code == 204
