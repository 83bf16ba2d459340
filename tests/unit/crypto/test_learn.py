"""A dictionary learned from records helps, and holds nothing of anybody."""

from __future__ import annotations

import json
import random
from pathlib import Path
from uuid import UUID

import pytest
import zstandard

from fhir_server.crypto.envelope import FIRST_LEARNED, Damaged, Envelope
from fhir_server.crypto.keys import KeyRing
from fhir_server.crypto.learn import PEOPLE, learn

_RARE = "Kuru-disease"


def record(number: int, chance: random.Random, **more: object) -> tuple[str, bytes]:
    """Return whom it is about, and a record with a code that all share and what only this one has."""
    person = f"{UUID(int=chance.getrandbits(128))}"
    tree = {
        "resourceType": "Observation",
        "id": f"{UUID(int=chance.getrandbits(128))}",
        "code": {"coding": [{"system": "http://loinc.org", "code": "4548-4", "display": "Hemoglobin A1c"}]},
        "subject": {"reference": f"Patient/{person}", "display": f"Weissenberger{number:x} 欧阳{number}"},
        "valueQuantity": {"value": 5.1 + number % 7, "unit": "mmol/mol"},
        **more,
    }
    return person, json.dumps(tree, ensure_ascii=False).encode()


def records(count: int) -> list[tuple[str, bytes]]:
    chance = random.Random(1)
    return [record(number, chance) for number in range(count)]


def trained(samples: list[tuple[str, bytes]]) -> bytes:
    content = learn(samples)
    assert content is not None
    return content


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing.create(tmp_path / "keys", "standard")


def test_payloads_get_smaller_and_open_again(ring: KeyRing) -> None:
    envelope, samples = Envelope(ring), records(400)
    body = samples[7][1]
    before = envelope.seal("Observation", 7, 1, body)
    content = trained(samples)

    assert envelope.shrinks(content, [body for _, body in samples]) < 0.8
    envelope.adopt(FIRST_LEARNED, content)

    after = envelope.seal("Observation", 7, 1, body)
    assert len(after) < len(before)
    assert (before[0], after[0]) == (1, FIRST_LEARNED)
    assert envelope.open("Observation", 7, 1, before) == envelope.open("Observation", 7, 1, after) == body


def test_it_holds_what_all_share_and_nothing_of_one() -> None:
    samples = records(400)
    content = trained(samples)

    assert b"Hemoglobin" in content
    assert b"Weissenberger" not in content
    assert "欧阳".encode() not in content
    assert not any(person.split("-")[0].encode() in content for person, _ in samples)


@pytest.mark.parametrize(("people", "is_held"), [(PEOPLE - 1, False), (PEOPLE, True)])
def test_a_text_counts_as_shared_from_so_many_people_on(people: int, is_held: bool) -> None:
    chance = random.Random(2)
    marked = [record(number, chance, note=[{"text": _RARE}]) for number in range(people)]
    # Many records of the same people make nothing shared.
    again = [(person, body) for person, body in marked for _ in range(20)]

    content = trained([*records(300), *again])

    assert (b"Kuru" in content) is is_held


def test_too_few_records_teach_nothing() -> None:
    assert learn([]) is None
    assert learn(records(2)) is None


def test_a_dictionary_that_nobody_has_is_damage_and_one_that_another_process_has_is_fetched(
    ring: KeyRing,
) -> None:
    writing, reading = Envelope(ring), Envelope(ring)
    content = trained(records(400))
    writing.adopt(FIRST_LEARNED, content)
    sealed = writing.seal("Patient", 5, 1, b'{"resourceType":"Patient","id":"5"}')

    with pytest.raises(Damaged):
        reading.open("Patient", 5, 1, sealed)
    reading.fetch = {FIRST_LEARNED: content}.get
    assert reading.open("Patient", 5, 1, sealed) == b'{"resourceType":"Patient","id":"5"}'
    assert reading.header == writing.header


def test_what_is_sealed_plainly_opens_without_it(ring: KeyRing) -> None:
    writing = Envelope(ring)
    writing.adopt(FIRST_LEARNED, trained(records(400)))

    assert Envelope(ring).open("meta", 0, 0, writing.seal_plainly("meta", 0, 0, b"proof")) == b"proof"


def test_a_payload_is_current_by_its_key_whatever_its_dictionary(ring: KeyRing) -> None:
    envelope = Envelope(ring)
    before = envelope.seal("Patient", 5, 1, b"{}")
    envelope.adopt(FIRST_LEARNED, trained(records(400)))

    assert envelope.is_current(before)
    ring.rotate()
    envelope.refresh()
    assert not envelope.is_current(before)
    assert envelope.header == bytes([FIRST_LEARNED, 0, 2])


def test_a_damaged_dictionary_opens_nothing(ring: KeyRing) -> None:
    writing, reading = Envelope(ring), Envelope(ring)
    writing.adopt(FIRST_LEARNED, trained(records(400)))
    sealed = writing.seal("Patient", 5, 1, b'{"resourceType":"Patient","id":"5","gender":"female"}')
    reading.adopt(
        FIRST_LEARNED, zstandard.train_dictionary(4096, [b"%d-other" % n for n in range(2000)]).as_bytes()
    )

    with pytest.raises(Damaged):
        reading.open("Patient", 5, 1, sealed)
