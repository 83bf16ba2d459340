"""The load: the demo generator's patients, many times over, cut into transactions of a hundred creates.

Every seed gives other people; what tells them apart (identifiers) is made unique over all seeds. The
institutions are stored once, under ids that follow from their identifiers: each entry of a transaction then
makes a resource.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from typing import Any

import msgspec

from fhir_server.demo import bundles

SIZE = 100
"""Entries of a transaction."""
FIRST_SEED = 1_000_000
"""Where the seeds of the load begin: far from the demo data's own."""
_URN = re.compile(rb"urn:uuid:[0-9a-f-]{36}")
_encode = msgspec.json.Encoder(decimal_format="number").encode

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """A resource to make: its type, the uuid that stands for it, its JSON with ``urn:uuid:`` references."""

    type: str
    uuid: str
    json: bytes


def people(seed: int, serials: Iterator[int]) -> Iterator[list[Entry]]:
    """Yield the entries of each patient of a seed, in an order in which every reference points backwards."""
    for _, bundle in bundles(seed):
        known = {
            entry["fullUrl"].encode(): _institution(entry["resource"]).encode()
            for entry in bundle["entry"]
            if _is_institution(entry)
        }
        mine = [entry for entry in bundle["entry"] if not _is_institution(entry)]
        if mine:
            rename = _renamer(mine, next(serials))
            yield [
                Entry(
                    entry["resource"]["resourceType"],
                    entry["fullUrl"].removeprefix("urn:uuid:"),
                    _replace_urns(rename(_encode(entry["resource"])), known),
                )
                for entry in mine
            ]


def _replace_urns(json_bytes: bytes, places: dict[bytes, bytes]) -> bytes:
    """Put the place of each ``urn:uuid:`` in its stead; one without a place stays."""
    return _URN.sub(lambda match: places.get(match[0], match[0]), json_bytes)


def _is_institution(entry: Tree) -> bool:
    return "ifNoneExist" in entry["request"]


def _institution(resource: Tree) -> str:
    first = resource["identifier"][0]
    digest = sha256(f"{first['system']}|{first['value']}".encode()).hexdigest()[:32]
    return f"{resource['resourceType']}/{digest}"


def _renamer(entries: list[Tree], serial: int) -> Callable[[bytes], bytes]:
    """Return what makes one patient's identifiers unlike anybody else's, wherever they are repeated."""
    values = {
        str(identifier["value"])
        for entry in entries
        for identifier in entry["resource"].get("identifier", [])
        if "value" in identifier
    }
    if not values:
        return lambda data: data
    pattern = re.compile(b'"(' + b"|".join(re.escape(value.encode()) for value in sorted(values)) + b')"')
    return lambda data: pattern.sub(rb'"\1-%d"' % serial, data)


def institutions() -> bytes:
    """Return a transaction that stores every institution of the demo data under its own id (PUT)."""
    found: dict[str, bytes] = {}
    for _, bundle in bundles(FIRST_SEED):
        ids = {
            e["fullUrl"].encode(): _institution(e["resource"]) for e in bundle["entry"] if _is_institution(e)
        }
        known = {url: place.encode() for url, place in ids.items()}
        for entry in bundle["entry"]:
            if _is_institution(entry):
                place = ids[entry["fullUrl"].encode()]
                tree = {"resourceType": entry["resource"]["resourceType"], "id": place.partition("/")[2]}
                data = _encode({**tree, **entry["resource"]})
                found[place] = _replace_urns(data, known)
    return _transaction(_entry(found[place], "PUT", place) for place in sorted(found))


def transactions(first_seed: int = FIRST_SEED, size: int = SIZE) -> Iterator[list[Entry]]:
    """Yield transactions of ``size`` entries without end; each refers to itself and institutions only.

    A transaction holds whole patients as far as they fit; the rest of the last one is left out.
    """
    serials = count(first_seed * 100)
    batch: list[Entry] = []
    for seed in count(first_seed):
        for patient in people(seed, serials):
            batch += patient[: size - len(batch)]
            if len(batch) == size:
                yield batch
                batch = []


def create_bundle(entries: list[Entry]) -> bytes:
    """Return the transaction that creates the entries (POST); the server picks the ids."""
    return _transaction(_entry(e.json, "POST", e.type, f'"fullUrl":"urn:uuid:{e.uuid}",') for e in entries)


def put_bundle(entries: list[Entry]) -> bytes:
    """Return the transaction that stores the entries under their uuids (PUT): they can be asked for."""
    placed = placed_entries(entries)
    return _transaction(
        _entry(b'{"id":"%s",' % e.uuid.encode() + e.json[1:], "PUT", f"{e.type}/{e.uuid}") for e in placed
    )


def placed_entries(entries: list[Entry]) -> list[Entry]:
    """Return the entries with ``Type/uuid`` in place of every ``urn:uuid:`` reference."""
    places = {f"urn:uuid:{e.uuid}".encode(): f"{e.type}/{e.uuid}".encode() for e in entries}
    return [Entry(e.type, e.uuid, _replace_urns(e.json, places)) for e in entries]


def _entry(resource: bytes, method: str, url: str, full_url: str = "") -> bytes:
    request = json.dumps({"method": method, "url": url}).encode()
    return b'{%s"resource":%s,"request":%s}' % (full_url.encode(), resource, request)


def _transaction(entries: Iterator[bytes]) -> bytes:
    return b'{"resourceType":"Bundle","type":"transaction","entry":[' + b",".join(entries) + b"]}"
