"""Whoever takes the database reads nothing of a record: no value that was stored or asked for is in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson
import pytest
from pymongo import MongoClient

from tests import engines
from tests.http.samples import PLANTED, observation, patient, unique
from tests.http.server import Server, served


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Serve one database, and keep it for a look into it."""
    with engines.using(engines.MONGODB), served(tmp_path) as running:
        yield running


def contents(server: Server) -> dict[str, bytes]:
    """Return every collection of the server's databases, that of the audit too, as BSON."""
    address = server._settings.store.get_secret_value()
    with MongoClient[dict[str, Any]](address) as client:
        name = client.get_default_database().name
        return {
            f"{database}.{collection}": b"".join(
                bson.encode(document) for document in client[database][collection].find()
            )
            for database in (name, f"{name}_audit")
            for collection in client[database].list_collection_names()
        }


def test_no_value_that_was_stored_or_asked_for_stands_in_the_database(server: Server) -> None:
    tag = unique()
    for _ in range(3):
        id_ = server.create(patient(tag))["id"]
        server.create(observation(f"Patient/{id_}", code="8480-6"))
    assert server.put(f"Patient/{id_}", {**patient(tag, gender="male"), "id": id_}).status_code == 200
    for secret in PLANTED:
        server.request("GET", "Patient", params={"name": secret, "identifier": secret})
    assert server.delete(f"Patient/{id_}").status_code == 204

    found = contents(server)
    assert {name.rpartition(".")[2] for name in found} >= {"resource", "history", "audit_frames"}
    for name, content in found.items():
        for secret in (*PLANTED, tag, "8480-6", "Hangzhou", "1970-01-01", "mm[Hg]"):
            for form in (secret, secret.lower(), secret.upper()):
                assert form.encode() not in content, f"{name} holds {form!r}"


def test_what_may_lie_open_does_so_that_the_test_above_would_find_it(server: Server) -> None:
    server.create(patient())

    assert any(b"Patient" in content for content in contents(server).values())
