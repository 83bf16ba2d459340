"""What a resource takes in MongoDB, measured: the documents of the demo data, their bytes, their index keys.

Documents are made by the store's own code and encoded as BSON; no server is needed. What an index entry takes
is counted by MongoDB's KeyString format; prefix compression and half-empty pages, which work against each
other, are left out: only a real ``mongod`` tells them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import bson
from bson.int64 import Int64
from pymongo import IndexModel

from fhir_server.config import Settings
from fhir_server.crypto.blind import BlindIndex
from fhir_server.crypto.envelope import Envelope
from fhir_server.crypto.keys import KeyRing
from fhir_server.resources.codec import decode, encode, with_meta
from fhir_server.search.extract import Extractor
from fhir_server.search.parameters import CLINICAL_DATE
from fhir_server.store.api import Change
from fhir_server.store.mongo.keys import Keys
from fhir_server.store.mongo.prepared import document, prepare, superseded
from fhir_server.store.mongo.schema import HISTORY, INDEXES, RESOURCE
from fhir_server.store.mongo.tools import Tools
from tests.bench import data

_NOW = "2026-03-01T08:30:00.125Z"
_NOW_MS = 1_772_353_800_125
_RECORD_ID = 4
_CELL = 3
"""Bytes of an index entry beside its key: WiredTiger's number of the document, cell header and end mark."""

Document = dict[str, Any]


def documents(keys: Path, transactions: int) -> Iterator[Document]:
    """Yield the documents of so many transactions of the load, as the store would write them."""
    settings = Settings()
    ring = KeyRing.create(keys, "standard")
    blind = BlindIndex(ring.suite.digest(ring.index_key))
    tools = cast(
        "Tools",
        SimpleNamespace(blind=blind, keys=Keys(blind), envelope=Envelope(ring), clinical=CLINICAL_DATE),
    )
    extractor = Extractor(settings.zone)
    number = 0
    for batch in islice(data.transactions(), transactions):
        for entry in data.placed_entries(batch):
            number += 1
            tree = with_meta(decode(entry.json, max_depth=64), entry.uuid, 1, _NOW)
            change = Change(entry.type, entry.uuid, 1, _NOW_MS, "POST", encode(tree), extractor.extract(tree))
            yield document(prepare(tools, change), None, None, Int64(number))


def measured(keys: Path, transactions: int = 40) -> dict[str, Any]:
    """Return means over all resources: bytes of the document and its parts, entries and bytes of each index.

    ``types``: by resource type, how many there were and the mean bytes of a document.
    """
    count = history = 0
    sizes: Counter[str] = Counter()
    types: dict[str, Counter[str]] = defaultdict(Counter)
    entries: Counter[str] = Counter()
    index_bytes: Counter[str] = Counter()
    for made in documents(keys, transactions):
        count += 1
        whole = len(bson.encode(made))
        earlier = superseded(made, _NOW_MS)
        sizes.update(
            {"document": whole, "payload": len(made["b"]), "earlier version": len(bson.encode(earlier))}
        )
        history += entry_bytes((earlier["_id"],))
        history += sum(taken_by(index, earlier)[1] for index in INDEXES[HISTORY])
        types[made["t"]].update({"count": 1, "bytes": whole})
        for index in INDEXES[RESOURCE]:
            number, taken = taken_by(index, made)
            entries[str(index.document["name"])] += number
            index_bytes[str(index.document["name"])] += taken
    return {
        "resources": count,
        "bytes": {name: round(total / count, 1) for name, total in sizes.items()},
        "identity_bytes": len(bson.encode({"_id": Int64(2**62), "c": Int64(2**62)})),
        "entries": {name: round(total / count, 2) for name, total in entries.items()},
        "index_bytes": {name: round(total / count, 1) for name, total in index_bytes.items()},
        "history_index_bytes": round(history / count, 1),
        "types": {
            name: {"share": round(each["count"] / count, 4), "bytes": round(each["bytes"] / each["count"])}
            for name, each in sorted(types.items())
        },
    }


def taken_by(index: IndexModel, made: Document) -> tuple[int, int]:
    """Return how many entries a document has in an index, and their bytes.

    A field that is an array has one entry for each of its elements, an empty one a single one; a document
    that lacks what a partial index asks for, or all fields of a sparse one, has none:
    https://www.mongodb.com/docs/manual/core/indexes/index-types/index-multikey/
    """
    paths = [str(path) for path in index.document["key"]]
    asked = index.document.get("partialFilterExpression", {})
    is_sparse = index.document.get("sparse", False) and not made.keys() & set(paths)
    if is_sparse or not made.keys() >= asked.keys():
        return 0, 0
    arrays = {path.partition(".")[0] for path in paths if isinstance(made.get(path.partition(".")[0]), list)}
    assert len(arrays) <= 1, "MongoDB indexes one array at a time"
    rows: list[Any] = [None]
    if arrays:
        (array,) = arrays
        rows = made[array] or [None]
    found = {tuple(_value(made, path, row) for path in paths) for row in rows}
    return len(found), sum(entry_bytes(values) for values in found)


def _value(made: Document, path: str, row: Any) -> Any:
    field, _, inner = path.partition(".")
    if not isinstance(made.get(field), list):
        return made.get(field)
    return row.get(inner) if inner and isinstance(row, dict) else row


def entry_bytes(values: tuple[Any, ...]) -> int:
    """Return the bytes of an index entry: KeyStrings of its values, number of the document, cell."""
    return sum(map(_key_bytes, values)) + _RECORD_ID + _CELL


def _key_bytes(value: Any) -> int:
    """Return the length of a value's KeyString: a byte for its type, and what it takes to be ordered."""
    if value is None:
        return 1
    if isinstance(value, str):
        return 2 + len(value.encode())
    if isinstance(value, float):
        return 9
    return 1 + max(1, (abs(int(value)).bit_length() + 8) // 8)
