"""Conditions on the policy classes of the patients that a resource is about.

The engine puts what is now written down of each patient beside a candidate, once for all conditions.
"""

from __future__ import annotations

from typing import Final

from fhir_server.search.predicate import About
from fhir_server.store.mongo.filters import Filter, Stage, among, any_of
from fhir_server.store.mongo.schema import STANDING

STANDINGS: Final = "st"
"""Field: [{n}], the classes of those patients that are in one."""

UNCLASSED: Final = "un"
"""Field: how many of the patients are in none."""


def standings(now: int) -> list[Stage]:
    """Return the stages that put the classes at ``now`` (ms) of its patients beside each candidate.

    A patient is in one class at a time, so that whoever has none is counted by the difference.
    """
    spans = [
        {"$unwind": "$z"},
        {"$match": {"z.a": {"$lte": now}, "z.b": {"$gt": now}}},
        {"$project": {"_id": 0, "n": "$z.n"}},
    ]
    return [
        {
            "$lookup": {
                "from": STANDING,
                "localField": "pat",
                "foreignField": "_id",
                "pipeline": spans,
                "as": STANDINGS,
            }
        },
        {"$set": {UNCLASSED: {"$subtract": [{"$size": "$pat"}, {"$size": f"${STANDINGS}"}]}}},
    ]


def about(item: About) -> Filter:
    """Compile: some patient is in one of the classes, or in one above; 0 is the class of who is in none."""
    some = [among(f"{STANDINGS}.n", sorted(item.classes - {0}))]
    if item.above is not None:
        some.append({f"{STANDINGS}.n": {"$gt": item.above}})
    if 0 in item.classes or (item.above is not None and item.above < 0):
        some.append({UNCLASSED: {"$gt": 0}})
    return any_of(some)
