"""The envelope: bound to its place, small, and opened by the key that its header names."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.crypto import envelope as module
from fhir_server.crypto.envelope import Damaged, Envelope
from fhir_server.crypto.keys import KeyFault, KeyRing

BODY = b'{"resourceType":"Patient","id":"p1","meta":{},"name":[{"family":"\xe5\xbc\xa0"}]}'


@pytest.fixture(params=["standard", "guomi"])
def ring(request: pytest.FixtureRequest, tmp_path: Path) -> KeyRing:
    return KeyRing.create(tmp_path / "keys", request.param)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(body=st.binary(max_size=3000), digest=st.integers(-(2**63), 2**63 - 1), version=st.integers(1, 2**40))
def test_opens_what_it_sealed(ring: KeyRing, body: bytes, digest: int, version: int) -> None:
    envelope = Envelope(ring)

    assert envelope.open("Patient", digest, version, envelope.seal("Patient", digest, version, body)) == body


@pytest.mark.parametrize("moved", [("Group", 5, 1), ("Patient", 6, 1), ("Patient", 5, 2)])
def test_does_not_open_in_another_place(ring: KeyRing, moved: tuple[str, int, int]) -> None:
    envelope = Envelope(ring)
    payload = envelope.seal("Patient", 5, 1, BODY)

    with pytest.raises(Damaged):
        envelope.open(*moved, payload)


@pytest.mark.parametrize("cut", [0, 1, 3, 14, 20])
def test_does_not_open_a_stump(ring: KeyRing, cut: int) -> None:
    with pytest.raises(Damaged):
        Envelope(ring).open("Patient", 5, 1, Envelope(ring).seal("Patient", 5, 1, BODY)[:cut])


def test_the_header_cannot_be_altered(ring: KeyRing) -> None:
    ring.rotate()
    envelope = Envelope(ring)
    payload = envelope.seal("Patient", 5, 1, BODY)

    for header in (b"\x01\x00\x01", b"\x02\x00\x02"):
        with pytest.raises(Damaged):
            envelope.open("Patient", 5, 1, header + payload[3:])
    with pytest.raises(KeyFault, match="Data key 9"):
        envelope.open("Patient", 5, 1, b"\x01\x00\x09" + payload[3:])


def test_never_seals_the_same_bytes_twice(ring: KeyRing) -> None:
    envelope = Envelope(ring)

    assert len({envelope.seal("Patient", 5, 1, BODY) for _ in range(100)}) == 100


def test_seals_under_the_new_key_and_opens_under_the_old(ring: KeyRing) -> None:
    envelope = Envelope(ring)
    old = envelope.seal("Patient", 5, 1, BODY)
    ring.rotate()
    envelope.refresh()
    new = envelope.seal("Patient", 5, 1, BODY)

    assert (old[:3], new[:3]) == (b"\x01\x00\x01", b"\x01\x00\x02")
    assert (envelope.is_current(old), envelope.is_current(new)) == (False, True)
    assert envelope.open("Patient", 5, 1, old) == envelope.open("Patient", 5, 1, new) == BODY


def test_finds_a_key_that_another_process_made(ring: KeyRing, tmp_path: Path) -> None:
    here = Envelope(ring)
    elsewhere = KeyRing.load(tmp_path / "keys")
    elsewhere.rotate()

    assert here.open("Patient", 5, 1, Envelope(elsewhere).seal("Patient", 5, 1, BODY)) == BODY


def test_a_typical_resource_shrinks_below_a_third(ring: KeyRing) -> None:
    body = (
        b'{"resourceType":"Observation","id":"8f1c7c1e-5a51-4a0c-9d0a-0d6f5f6f7a11","meta":{"versionId":"1",'
        b'"lastUpdated":"2026-02-03T04:05:06.789Z"},"status":"final","category":[{"coding":[{"system":'
        b'"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory"}]}],"code":{'
        b'"coding":[{"system":"http://loinc.org","code":"1558-6","display":"Glucose"}],"text":"Glucose"},'
        b'"subject":{"reference":"Patient/5d1f3c52-7f0e-4a0a-8d0b-3a3f8b1a2c3d"},"effectiveDateTime":'
        b'"2026-02-03T12:00:00+08:00","valueQuantity":{"value":6.10,"unit":"mmol/L","system":'
        b'"http://unitsofmeasure.org","code":"mmol/L"}}'
    )

    assert len(Envelope(ring).seal("Observation", 1, 1, body)) < len(body) / 3


def test_an_altered_dictionary_is_noticed(ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    name, _ = module._DICTIONARIES[1]
    monkeypatch.setitem(module._DICTIONARIES, 1, (name, "0" * 64))
    module._dictionary.cache_clear()

    with pytest.raises(KeyFault, match="altered"):
        Envelope(ring).seal("Patient", 5, 1, BODY)

    monkeypatch.undo()
    module._dictionary.cache_clear()
    assert Envelope(ring).seal("Patient", 5, 1, BODY)
