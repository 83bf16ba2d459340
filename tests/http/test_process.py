"""``fhir-server serve`` end to end: kill -9 loses nothing, nothing stored can be read from disk or log."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.http.process import Process
from tests.http.samples import PLANTED, observation, patient, tagged, unique
from tests.http.server import bundle, dump, entry

JSON = {"content-type": "application/fhir+json"}


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    """Make a store; the test starts and ends the server."""
    made = Process(tmp_path / "data", workers=2)
    assert made.run("init").returncode == 0
    yield made
    made.stop()


def write_until_cut_off(base: str, tag: str, acknowledged: list[str]) -> None:
    """Create Patients and pairs of records as fast as the server answers; note what was acknowledged."""
    urn = "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"
    pair = [
        entry("POST", "Patient", patient(tag), full_url=urn),
        entry("POST", "Observation", observation(urn, identifier=[{"system": "urn:tag", "value": tag}])),
    ]
    with httpx.Client(base_url=base, headers=JSON, timeout=10) as client:
        try:
            while True:
                single = client.post("/Patient", content=dump(patient(tag)))
                if single.status_code == 201:
                    acknowledged.append(f"Patient/{single.json()['id']}")
                both = client.post("/", content=dump(bundle("transaction", pair)))
                if both.status_code == 200:
                    places = [e["response"]["location"] for e in both.json()["entry"]]
                    acknowledged += ["/".join(place.split("/")[-4:-2]) for place in places]
        except httpx.TransportError:
            return


def found(client: httpx.Client, query: str) -> set[str]:
    """Return Type/id of every match over all pages."""
    ids: set[str] = set()
    address: str | None = f"{query}&_count=1000"
    while address:
        page = client.get(address).json()
        ids |= {f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in page.get("entry", [])}
        address = next((link["url"] for link in page["link"] if link["relation"] == "next"), None)
    return ids


def total(client: httpx.Client, query: str) -> int:
    """Return how many resources match."""
    number: int = client.get(f"{query}&_summary=count").json()["total"]
    return number


def test_kill_minus_nine_loses_no_acknowledged_write_and_leaves_no_half(process: Process) -> None:
    tag = unique()
    acknowledged: list[str] = []
    for wanted in (9, 40):
        process.start()
        threads = [
            threading.Thread(target=write_until_cut_off, args=(process.base, tag, acknowledged))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        # By count, not by time: on a busy machine a fixed time may pass before the first write.
        end = time.monotonic() + 30
        while len(acknowledged) < wanted and time.monotonic() < end:
            time.sleep(0.005)
        process.kill()
        for thread in threads:
            thread.join()
    process.start()

    with httpx.Client(base_url=process.base, timeout=30) as client:
        searched = set().union(
            *(found(client, f"/{type_}?{tagged(tag)}") for type_ in ("Patient", "Observation"))
        )
        missing = [name for name in acknowledged if client.get(f"/{name}").status_code != 200]
        patients = total(client, f"/Patient?{tagged(tag)}")
        of_a_patient = total(client, f"/Observation?{tagged(tag)}&patient.identifier=urn:tag|{tag}")
    assert len(acknowledged) >= wanted
    assert missing == []
    assert set(acknowledged) <= searched
    assert patients == sum(name.startswith("Patient/") for name in searched)
    assert of_a_patient == sum(name.startswith("Observation/") for name in searched) > 0
    assert process.stop() == 0
    assert process.run("check").returncode == 0


@pytest.mark.sqlite_file(
    "what stands in the data folder; tests/mongo/test_nothing_lies_open.py has the database"
)
def test_no_value_that_was_stored_stands_on_disk_or_in_the_log(process: Process) -> None:
    tag = unique()
    process.start()
    with httpx.Client(base_url=process.base, headers=JSON, timeout=30) as client:
        for _ in range(20):
            id_ = client.post("/Patient", content=dump(patient(tag))).json()["id"]
            client.post("/Observation", content=dump(observation(f"Patient/{id_}", code="8480-6")))
        client.put(f"/Patient/{id_}", content=dump({**patient(tag, gender="male"), "id": id_}))
        for secret in PLANTED:
            client.get("/Patient", params={"name": secret, "telecom": secret, "identifier": secret})
            client.post("/Patient", content=dump(patient(tag, gender=secret)))
            client.get(f"/Patient/{secret}")
            client.get(f"/{secret}")
        assert client.get(f"/Patient?{tagged(tag)}&_summary=count").json()["total"] == 20
    files = [path for path in process.folder.rglob("*") if path.is_file() and "keys" not in path.parts]
    log = process.log.read_bytes()

    def assert_silent() -> None:
        for path in files:
            content = path.read_bytes() if path.exists() else b""
            for secret in (*PLANTED, tag, "8480-6", "Hangzhou", "1970-01-01", "mm[Hg]"):
                for form in (secret, secret.lower(), secret.upper()):
                    assert form.encode() not in content, f"{path.name} holds {form!r}"
                    assert form.encode("utf-16-le") not in content, f"{path.name} holds {form!r}"

    assert_silent()  # with the write-ahead log still there
    assert process.stop() == 0
    assert_silent()
    assert any(path.stat().st_size > 20_000 for path in process.folder.rglob("*") if path.is_file())
    assert b'"interaction":"search-type"' in log
    for secret in (*PLANTED, tag):
        assert secret.encode() not in log, f"the log holds {secret!r}"
