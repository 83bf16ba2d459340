"""The collections, the fields of a resource's document, and the indexes; made by ``init`` and at opening.

``resource`` holds the current version of every resource, deletions too, in one document each:

=====  =================================================================================================
_id    h: digest of ``Type/id``
c      compartment, a digest: the patient that it is about; h when it is about none, 0 when about several
       (:mod:`fhir_server.store.mongo.places`). Shard key {c, _id}
t      type
l      1: it lives, 0: it is deleted
n      number of its creation: the order of creation, and what decides between equal sort keys
v      version;  w: number of this version, which grows with time;  u: when it was written (ms);  m: method
b      sealed payload; or g: id of the file in ``payload`` that holds it, when it is too large
a      the first three bytes of the payload as a number: which dictionary and which data key seal it
pat    digests of the patients that it is about
d, D   least and greatest beginning (ms) of its type's clinical date; y, Y: of ``_lastUpdated``; null: none
k      keys of what is found by equality (:mod:`fhir_server.store.mongo.keys`), in order, each once
f      keys of its references by parameter;  o: digests of all that it refers to
r      [{p, k}] parameter and digest of each reference, for walking from it; no index
s      keys of its strings, which keep order and beginnings
i      [{p, a, b}] dates and numbers: parameter, least, greatest
q      [{p, u, s, a, b}] quantities: parameter, unit, system, least, greatest; a row for each name of the unit
e      elements of composites (:mod:`fhir_server.store.mongo.elements`)
=====  =================================================================================================

``history`` holds the versions that were superseded: _id is w, and h, c, t, n, v, u, m, a, b or g as above,
and ``until``, the u of the version after it. ``identity`` says in which compartment a resource lies: one
place in a sharded cluster where an id exists only once. ``guard`` is what conditional commits meet at.
``stamp``: see :mod:`fhir_server.store.mongo.stamps`.
"""

from __future__ import annotations

from typing import Any, Final

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.asynchronous.database import AsyncDatabase

VERSION: Final = 1
"""The version of all of this, in ``meta``."""

RESOURCE: Final = "resource"
HISTORY: Final = "history"
IDENTITY: Final = "identity"
GUARD: Final = "guard"
META: Final = "meta"
STAMP: Final = "stamp"
CLASS: Final = "class"
STANDING: Final = "standing"
STATE: Final = "state"
JOB: Final = "job"
DICTIONARY: Final = "dictionary"
PAYLOAD: Final = "payload"
"""The GridFS bucket: collections ``payload.files`` and ``payload.chunks``."""

PARAMETERS: Final = "parameters"
"""The _id in ``meta`` of the custom search parameters: their text and their generation."""

THE_STORE: Final = "store"
"""The _id in ``meta`` of what holds for the whole store: schema, suite, proofs of keys."""

GUARD_SECONDS: Final = 3600
"""A guard that nobody has touched for so long is removed: no transaction lives that long."""

MOST_INLINE: Final = 12 * 1024 * 1024
"""Bytes of a sealed payload that stand in the document itself; a larger one is a file of the bucket."""


def _index(name: str, *keys: str, **options: Any) -> IndexModel:
    """Describe an index; a key that begins with ``-`` descends."""
    fields = [(key.lstrip("-"), DESCENDING if key.startswith("-") else ASCENDING) for key in keys]
    return IndexModel(fields, name=name, **options)


INDEXES: Final[dict[str, tuple[IndexModel, ...]]] = {
    RESOURCE: (
        _index("created", "t", "l", "n"),
        _index("keys", "k", "n"),
        _index("references", "f", "-D", "-n"),
        _index("targets", "o"),
        _index("clinical", "t", "-D", "-n"),
        _index("updated", "t", "-Y", "-n"),
        _index("strings", "s"),
        _index("spans", "i.p", "i.a", "i.b"),
        _index("quantities", "q.p", "q.u", "q.a", "q.b"),
        _index("elements", "e.k", "e.a"),
        _index("versions", "t", "w"),
        _index("compartment", "c", "_id"),
        _index("file", "g", sparse=True),
    ),
    HISTORY: (
        _index("resource", "h", "v"),
        _index("type", "t", "_id"),
        _index("compartment", "c", "_id"),
        _index("file", "g", sparse=True),
    ),
    IDENTITY: (),
    GUARD: (_index("touched", "at", expireAfterSeconds=GUARD_SECONDS),),
    META: (),
    STAMP: (),
    CLASS: (_index("rule", "digest", unique=True),),
    STANDING: (_index("numbers", "numbers"),),
    STATE: (
        _index("tags", "tags"),
        _index("kind", "kind", "expires"),
        _index("expires", "expires"),
    ),
    JOB: (
        _index("state", "state", "created"),
        _index("one_of_a_kind", "kind", unique=True, partialFilterExpression={"is_open": True}),
    ),
    DICTIONARY: (),
    f"{PAYLOAD}.files": (),
    f"{PAYLOAD}.chunks": (_index("files_id_1_n_1", "files_id", "n", unique=True),),
}
"""The collections and their indexes, besides that of _id; names are stable."""


async def create(db: AsyncDatabase[dict[str, Any]]) -> None:
    """Create what is missing of the collections and indexes; a second call changes nothing.

    Collections are made beforehand so that no transaction has to make one.
    """
    for name, indexes in INDEXES.items():
        # An index of _id is there in any case: asking for it makes a collection that has no other.
        wanted = list(indexes) or [IndexModel([("_id", ASCENDING)], name="_id_")]
        await db.get_collection(name).create_indexes(wanted)
