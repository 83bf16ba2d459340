"""What a MongoDB store says about itself: how many resources and versions, and how large it is."""

from __future__ import annotations

from pymongo.errors import PyMongoError

from fhir_server.store.api import Facts
from fhir_server.store.mongo.client import Document, unavailable
from fhir_server.store.mongo.schema import HISTORY, RESOURCE, VERSION
from fhir_server.store.mongo.tools import Tools


async def facts(tools: Tools) -> Facts:
    """Count and measure: three round trips. ``size`` is what data and indexes take on disk, compressed."""
    db = tools.engine.db
    counting: list[Document] = [
        {"$group": {"_id": {"t": "$t", "l": "$l"}, "resources": {"$sum": 1}}},
        {"$sort": {"_id.t": 1}},
    ]
    try:
        rows = await (await db.get_collection(RESOURCE).aggregate(counting)).to_list()
        earlier = await db.get_collection(HISTORY).count_documents({})
        measured = await db.command("dbStats")
    except PyMongoError as error:
        raise unavailable(error) from error
    resources = {row["_id"]["t"]: int(row["resources"]) for row in rows if row["_id"]["l"]}
    versions = sum(row["resources"] for row in rows) + earlier
    size = int(measured.get("storageSize", 0) + measured.get("indexSize", 0))
    return Facts("mongodb", VERSION, tools.ring.suite.name, resources, int(versions), size)
