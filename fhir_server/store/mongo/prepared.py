"""Changes made ready: sealed, digested, as the documents that a commit will write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import bson
from bson.int64 import Int64
from bson.objectid import ObjectId

from fhir_server.crypto.envelope import HEADER
from fhir_server.store.api import Change
from fhir_server.store.bodies import DELETE, METHODS, opening, tombstone
from fhir_server.store.mongo.client import Document, too_large
from fhir_server.store.mongo.documents import fields, nothing
from fhir_server.store.mongo.places import compartment
from fhir_server.store.mongo.schema import MOST_INLINE
from fhir_server.store.mongo.tools import Tools

AT_MOST: Final = {
    **dict.fromkeys(("pat", "k", "f", "o"), 20),
    **dict.fromkeys(("r", "i"), 60),
    "q": 100,
    "s": 600,
    "e": 1500,
}
"""Bytes that an entry of each array takes in a document, or fewer."""

MOST_FIELDS: Final = 15 * 1024 * 1024
"""Bytes of search fields that a document has room for, beside what else it holds."""

_KEPT: Final = ("c", "t", "n", "v", "u", "m", "a", "b", "g")
"""What the document of an earlier version has of that of the current one."""


@dataclass(frozen=True, slots=True)
class MongoPrepared:
    """A change sealed and digested.

    ``fields``: its search fields. ``compartment``: where it is to lie; None: where it lay, it is a deletion.
    ``is_filed``: its payload must lie in a file.
    """

    change: Change
    digest: Int64
    payload: bytes
    fields: Document
    compartment: Int64 | None
    is_filed: bool


def prepare(tools: Tools, change: Change) -> MongoPrepared:
    """Seal and digest a change. Raises Fault(TOO_LARGE) when its values fill more than a document."""
    if change.method != "DELETE" and not change.body.startswith(opening(change.type, change.id)):
        raise ValueError("a body must be canonical: resourceType and id first, as in the change")
    digest = Int64(tools.blind.target(f"{change.type}/{change.id}"))
    payload = seal(tools, change, digest)
    if change.values is None:
        return MongoPrepared(change, digest, payload, nothing(), None, is_filed=False)
    found = fields(change.type, change.values, tools.keys, tools.clinical.get(change.type))
    lies = compartment(change.type, digest, found["pat"])
    size = sum(bytes_ * len(found[name]) for name, bytes_ in AT_MOST.items())
    if len(payload) + size > MOST_INLINE:
        size = len(bson.encode(found))
    if size > MOST_FIELDS:
        raise too_large()
    is_filed = len(payload) + size > MOST_INLINE
    return MongoPrepared(change, digest, payload, found, lies, is_filed)


def seal(tools: Tools, change: Change, digest: int) -> bytes:
    """Seal a change's body; a deletion seals whose it is."""
    body = tombstone(change.type, change.id) if change.method == "DELETE" else change.body
    return tools.envelope.seal(change.type, digest, change.version, body)


def document(item: MongoPrepared, file: ObjectId | None, before: Document | None, number: Int64) -> Document:
    """Return the whole document of a change.

    ``file``: the id of the file that holds its payload; None: the document does. ``before``: the document of
    the version before it. ``number``: the number of this version.
    """
    change, method = item.change, METHODS.index(item.change.method)
    lies = item.compartment
    if lies is None:
        lies = item.digest if before is None else before["c"]
    return {
        "_id": item.digest,
        "c": lies,
        "t": change.type,
        "l": int(method != DELETE),
        "n": number if before is None else before["n"],
        "v": change.version,
        "u": Int64(change.updated),
        "w": number,
        "m": method,
        "a": sealed_by(item.payload),
        **({"b": item.payload} if file is None else {"g": file}),
        **item.fields,
    }


def superseded(before: Document, until: int) -> Document:
    """Return the document of ``history`` of a version that another one follows, made at ``until`` (ms)."""
    kept: Document = {name: before[name] for name in _KEPT if name in before}
    return {"_id": Int64(before["w"]), "h": Int64(before["_id"]), **kept, "until": Int64(until)}


def sealed_by(payload: bytes) -> int:
    """Return which dictionary and which data key seal a payload, as one number."""
    return int.from_bytes(payload[: HEADER.size])


def key_of(payload: bytes) -> int:
    """Return the number of the data key that seals a payload."""
    number: int = HEADER.unpack_from(payload)[1]
    return number
