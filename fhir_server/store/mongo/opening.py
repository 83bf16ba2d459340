"""Making a store ready: its collections and indexes created, its keys proved, before anything uses it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from pymongo.errors import DuplicateKeyError

from fhir_server.crypto.envelope import Envelope
from fhir_server.faults import Fault, Kind
from fhir_server.store import proofs
from fhir_server.store.mongo import schema
from fhir_server.store.mongo.client import Engine
from fhir_server.store.mongo.numbers import ALLOTTED
from fhir_server.store.mongo.schema import META, THE_STORE
from fhir_server.store.mongo.tools import Tools

_PROOF: Final = "proof"


async def make_ready(tools: Tools) -> None:
    """Create what is missing, and see that the keys are the store's own.

    Raises KeyFault for another store's key ring, Fault(UNAVAILABLE) for a store of a newer program. Several
    processes may do it at once.
    """
    db = tools.engine.db
    meta = await _meta(tools)
    _refuse_newer(meta)
    if "suite" in meta:
        # A wrong key ring is told before anything is written.
        proofs.verify(meta, tools.ring, tools.blind, tools.envelope)
    await schema.create(db)
    await tools.stamps.prepare()
    founded = {"_id": THE_STORE, "schema": schema.VERSION, **proofs.founded(tools.ring, tools.blind)}
    await _insert(tools.engine, founded)
    await _insert(tools.engine, {"_id": ALLOTTED, "count": 0})
    await mark(tools.engine, tools.envelope)
    proofs.verify(await _meta(tools), tools.ring, tools.blind, tools.envelope)
    await tools.files.sweep(tools.clock())


async def mark(engine: Engine, envelope: Envelope) -> None:
    """Leave a proof of the active data key, so that its absence is noticed when the store is next opened."""
    name, proof = proofs.proof(envelope)
    await _insert(engine, {"_id": name, _PROOF: proof})


async def _insert(engine: Engine, document: dict[str, Any]) -> None:
    """Insert what is not there yet."""
    meta = engine.db.get_collection(META)
    if await meta.find_one({"_id": document["_id"]}, {"_id": 1}) is None:
        try:
            await meta.insert_one(document)
        except DuplicateKeyError:
            return


async def _meta(tools: Tools) -> dict[str, Any]:
    """Return what is noted of the whole store, proofs by their names."""
    found: dict[str, Any] = {}
    names = {"$or": [{"_id": THE_STORE}, {_PROOF: {"$exists": True}}]}
    async for document in tools.engine.db.get_collection(META).find(names):
        if document["_id"] == THE_STORE:
            found.update(document)
        else:
            found[document["_id"]] = document[_PROOF]
    return found


def _refuse_newer(meta: dict[str, Any]) -> None:
    version = meta.get("schema", schema.VERSION)
    if version > schema.VERSION:
        raise Fault(
            Kind.UNAVAILABLE,
            f"The store has schema version {version}, this program knows {schema.VERSION}: use the newer"
            " program.",
        )


async def forget_all_but(engine: Engine, numbers: Collection[int]) -> None:
    """Remove the proofs of the keys that are about to be retired."""
    kept = [f"{proofs.PROOF}{number}" for number in numbers]
    where = {_PROOF: {"$exists": True}, "_id": {"$nin": kept}}
    await engine.db.get_collection(META).delete_many(where)
