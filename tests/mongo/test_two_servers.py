"""Two server processes on one database are one server: what holds of one process holds of both together."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import engines
from tests.consent.filed import deny_all
from tests.http import test_concurrency
from tests.http.samples import patient
from tests.http.server import Server, load
from tests.leak.house import ROOT, Guarded, guarded
from tests.leak.test_consent import GUEST, shared_world
from tests.mongo.pair import Pair

# What one process promises to many clients at once, two promise together.
globals().update({name: each for name, each in vars(test_concurrency).items() if name.startswith("test_")})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve one database by two processes, asked in turn."""
    pair = Pair(tmp_path_factory.mktemp("pair"))
    pair.start()
    yield pair
    pair.close()


@pytest.fixture
def patient_id(server: Server) -> str:
    """Create a Patient."""
    return str(server.create(patient())["id"])


@contextmanager
def two(folder: Path) -> Iterator[tuple[Guarded, Guarded]]:
    """Serve one database by two servers that ask for tokens."""
    with engines.using(engines.MONGODB), guarded(folder, trees=shared_world()) as one:
        other = one.beside()
        other.start()
        try:
            yield one, other
        finally:
            other.close()


def test_a_consent_that_is_filed_or_withdrawn_at_one_holds_at_the_others_next_request(tmp_path: Path) -> None:
    with two(tmp_path) as (one, other):
        with other.as_(GUEST):
            before = other.find("Observation?patient=hidden")
            assert before
        with one.as_(ROOT):
            denials = [one.create(tree) for tree in deny_all("hidden", "Organization/guest")]
        with other.as_(GUEST):
            assert other.find("Observation?patient=hidden") == []
        with one.as_(ROOT):
            for tree in denials:
                changed = {**tree, "status": "inactive"}
                assert one.put(f"Consent/{tree['id']}", changed).status_code == 200
        with other.as_(GUEST):
            assert other.find("Observation?patient=hidden") == before


def test_what_one_has_written_the_other_finds_at_once(tmp_path: Path) -> None:
    with two(tmp_path) as (one, other), one.as_(ROOT), other.as_(ROOT):
        for writer, reader in ((one, other), (other, one)):
            id_ = writer.create(patient())["id"]
            assert reader.get(f"Patient/{id_}").status_code == 200
            assert reader.find(f"Patient?_id={id_}") == [id_]
            assert writer.delete(f"Patient/{id_}").status_code == 204
            assert reader.get(f"Patient/{id_}").status_code == 410


def test_a_job_is_done_once_whoever_was_asked(server: Server) -> None:
    for _ in range(3):
        server.create(patient())
    # The pair is asked in turn: whichever answers knows of it.
    address = server.post("$reindex", None).headers["content-location"]
    until = time.monotonic() + 60
    while (answer := server.get(address)).status_code == 202:
        assert time.monotonic() < until
        time.sleep(0.1)
    assert answer.status_code == 200
    told = {each["name"]: each for each in load(answer)["parameter"]}
    found = load(server.get("?_type=Patient&_summary=count"))["total"]
    assert told["resources"]["valueInteger"] >= found
