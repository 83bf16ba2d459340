"""What lies on the disk tells nothing, keys rotate while the store serves, a wrong key is noticed at once."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from fhir_server.crypto.keys import KeyFault, KeyRing
from fhir_server.faults import Fault, Kind
from fhir_server.search.predicate import ReferenceIs, StringStarts, Where
from fhir_server.search.query import Query
from fhir_server.store.api import Reclass, Slice
from fhir_server.store.sqlite.store import SqliteStore
from tests.contract.store_world import ALL, change, extractor, matcher, open_sqlite, put

SECRETS = (
    "张伟平",
    "欧阳娜娜",
    "Schneiderhuber",
    "990101196503021234",
    "13900001234",
    "朝阳区幸福路八十八号",
    "88 Wisteria Lane",
    "E11.9-codeword",
    "http://hospital.example.org/mrn",
    "MRN-0042-4711",
    "raised-hba1c@example.org",
)


def spellings(secret: str) -> set[bytes]:
    """Every way in which a careless program might leave a text on the disk."""
    plain = {secret.encode(codec) for codec in ("utf-8", "utf-16-le", "utf-16-be", "gb18030")}
    lower = {secret.lower().encode(), secret.upper().encode(), secret.encode().hex().encode()}
    # Base64 of a text within other bytes depends on where it begins: the middle of each of the three forms.
    coded = {base64.b64encode(b"\0" * shift + secret.encode())[4:-4] for shift in range(3)}
    return plain | lower | coded


def files_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("suite", ["standard", "guomi"])
async def test_no_byte_of_any_file_shows_what_was_stored(tmp_path: Path, suite: str) -> None:
    store = open_sqlite(tmp_path, suite)
    values: dict[str, Any] = {
        "tokens": [["identifier", "http://hospital.example.org/mrn", secret] for secret in SECRETS],
        "strings": [["name", secret] for secret in SECRETS],
        "uris": [["url", secret] for secret in SECRETS],
        "references": [["subject", f"Patient/{secret}"] for secret in SECRETS],
        "quantities": [["value", SECRETS[8], secret, secret, 1.0, 1.0] for secret in SECRETS],
    }
    for number in range(20):
        await put(store, change("Patient", f"MRN-0042-4711.{number}", text=" ".join(SECRETS), **values))
        await put(store, change("Patient", f"MRN-0042-4711.{number}", 2, text="".join(SECRETS), **values))
    everything = " ".join(SECRETS).encode()
    for secret in SECRETS:
        patient, rule = f"MRN-0042-4711.{secret}", secret.encode() + everything
        about = change("Observation", f"about-{secret}", patients=[patient, SECRETS[0]])
        await store.commit(
            [store.prepare(about)], (), [Reclass(patient, 0, (Slice(0, 9, rule),), everything)]
        )
    found = await store.search(
        ALL, Query("Patient", Where("name", StringStarts("schneider")), total="accurate")
    )
    assert found.total == 20

    # With the store open the write-ahead log is there too; after close it has moved into the database.
    during = files_of(tmp_path / "data")
    await store.close()
    after = files_of(tmp_path / "data")

    assert any(name.endswith("-wal") for name in during)
    for files in (during, after):
        for name, content in files.items():
            for secret in SECRETS:
                assert not any(spelling in content for spelling in spellings(secret)), (name, secret)


def test_the_spellings_would_be_found_in_a_file_that_is_not_sealed(tmp_path: Path) -> None:
    for secret in SECRETS:
        careless = tmp_path / "careless"
        careless.write_bytes(b"xx" + base64.b64encode(b"ab" + secret.encode() + b"cd"))
        assert any(spelling in careless.read_bytes() for spelling in spellings(secret))
        careless.write_bytes(os.urandom(9) + secret.encode("gb18030"))
        assert any(spelling in careless.read_bytes() for spelling in spellings(secret))


def reopen(tmp_path: Path, keys: str) -> SqliteStore:
    ring = KeyRing.load(tmp_path / keys)
    return SqliteStore.open(tmp_path / "data", ring, extractor=extractor, matcher=matcher)


async def test_another_ring_is_refused_at_open(tmp_path: Path) -> None:
    await open_sqlite(tmp_path).close()
    KeyRing.create(tmp_path / "others", "standard")
    KeyRing.create(tmp_path / "chinese", "guomi")

    with pytest.raises(KeyFault, match="not the one that the store was made with"):
        reopen(tmp_path, "others")
    with pytest.raises(KeyFault, match="standard suite"):
        reopen(tmp_path, "chinese")
    await reopen(tmp_path, "keys").close()


@pytest.mark.parametrize(
    ("keep", "sentence"), [("1", "Data key 2 is not in"), ("swap", "Data key 2 in the key ring")]
)
async def test_a_missing_or_wrong_data_key_is_refused_at_open(
    tmp_path: Path, keep: str, sentence: str
) -> None:
    store = open_sqlite(tmp_path)
    KeyRing.load(tmp_path / "keys").rotate()
    await put(store, change("Patient", "p1"))
    await store.close()
    file = tmp_path / "keys" / "ring.json"
    content = json.loads(file.read_text())
    if keep == "1":
        del content["data"]["2"]
        content["active"] = 1
    else:
        content["data"]["2"] = content["data"]["1"]
    file.write_text(json.dumps(content))

    with pytest.raises(KeyFault, match=sentence):
        reopen(tmp_path, "keys")


async def test_digests_depend_on_the_key(tmp_path: Path) -> None:
    one, two = open_sqlite(tmp_path / "1"), open_sqlite(tmp_path / "2")

    digests = {store._tools.blind.code("E11.9") for store in (one, two)}

    assert len(digests) == 2
    assert one._tools.blind.code("E11.9") == one._tools.blind.code("E11.9")
    await one.close()
    await two.close()


async def test_a_digest_that_meets_another_id_is_refused_and_overwrites_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_sqlite(tmp_path)
    plain = store._tools.blind.target
    monkeypatch.setattr(store._tools.blind, "target", lambda text: plain(text.replace("twin", "first")))
    await put(store, change("Patient", "first", text="kept"))

    for version in (1, 2):
        with pytest.raises(Fault) as fault:
            await put(store, change("Patient", "twin", version))
        assert fault.value.kind is Kind.CONFLICT
    assert await store.read(ALL, "Patient", "twin") is None
    assert b"kept" in (await store.read(ALL, "Patient", "first")).body
    assert await store.read_many(ALL, [("Patient", "twin")]) == []
    assert (await store.search(ALL, Query("Patient", Where("x", ReferenceIs(("Patient/a",)))))).matches == []
    await store.close()
