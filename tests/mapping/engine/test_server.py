"""What maps make goes into the real server; the same message sent twice changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fhir_server.validation import errors
from mappings.engine.model import Context
from mappings.engine.r4b import validate
from mappings.engine.run import read
from tests import engines
from tests.http.server import Server, load, served
from tests.mapping.engine.demo import enrolment, enrolment_message

pytestmark = pytest.mark.every_engine

CONTEXT = Context(source="h1", now="2026-03-01T00:00:00Z", media_type="application/json")


@pytest.fixture(scope="module")
def server(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with engines.using(engine), served(Path(tmp_path_factory.mktemp("data"))) as running:
        yield running


def send(server: Server, bundle: dict[str, Any]) -> dict[str, Any]:
    answer = server("POST", "", bundle)
    assert answer.status_code == 200, answer.text
    return dict(load(answer))


def versions(server: Server, types: tuple[str, ...]) -> dict[str, str]:
    return {
        entry["fullUrl"]: entry["resource"]["meta"]["versionId"]
        for type_ in types
        for entry in load(server("GET", type_)).get("entry", [])
    }


def test_a_message_is_stored_found_and_the_same_one_again_changes_nothing(server: Server) -> None:
    types = ("Patient", "Coverage", "DocumentReference", "Provenance", "Binary")
    message = enrolment_message()
    send(server, read(enrolment(), message, CONTEXT).bundle)
    before = versions(server, types)

    later = replace(CONTEXT, now="2026-04-01T00:00:00Z")
    send(server, read(enrolment(), message, later).bundle)

    assert len(before) == 6
    assert versions(server, types) == before
    found = load(server("GET", "Coverage?beneficiary:Patient.identifier=https://demo.example/h1/person|P1"))
    assert len(found["entry"]) == 2


def test_a_changed_message_makes_a_new_version_of_what_changed_alone(server: Server) -> None:
    send(server, read(enrolment(), enrolment_message(), CONTEXT).bundle)
    before = versions(server, ("Patient", "Coverage"))

    changed = enrolment_message(psn_name="测试乙")
    send(server, read(enrolment(), replace(changed, raw=b"{} "), CONTEXT).bundle)
    after = versions(server, ("Patient", "Coverage"))

    moved = {url for url in before if after[url] != before[url]}
    assert [url.rpartition("/")[0].rpartition("/")[2] for url in moved] == ["Patient"]
    assert after.keys() == before.keys()


def test_what_the_worked_example_makes_is_valid_for_both_validators() -> None:
    entries = read(enrolment(), enrolment_message(), CONTEXT).bundle["entry"]

    assert [problem for entry in entries for problem in validate(entry["resource"])] == []
    assert [problem for entry in entries for problem in errors(entry["resource"])] == []
