"""Chains compiled: what a reference leads to, and what refers to a resource.

Where the other end is known (few satisfy what is asked of it), a link is a list of keys. Otherwise the engine
follows it from each candidate. https://hl7.org/fhir/R4/search.html#chaining
and https://hl7.org/fhir/R4/search.html#has
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bson.int64 import Int64

from fhir_server.search.predicate import Chain, Has
from fhir_server.store.mongo.filters import Filter, Stage, among
from fhir_server.store.mongo.keys import Keys, parameter
from fhir_server.store.mongo.schema import RESOURCE

_THIS = "self"


def known(type_: str, link: Chain | Has, found: Iterable[Int64], keys: Keys) -> Filter:
    """Compile a link whose other end was looked up: to what it leads, or to what is referred."""
    if isinstance(link, Has):
        return among("_id", found)
    p = parameter(type_, link.param)
    return among("f", [keys.reference(p, digest) for digest in found])


def targets(p: int) -> Stage:
    """Return the expression of the digests that parameter ``p`` refers to."""
    own = {"$filter": {"input": "$r", "cond": {"$eq": ["$$this.p", p]}}}
    return {"$map": {"input": own, "in": "$$this.k"}}


def listing(link: Chain | Has, found: Sequence[Stage], most: int) -> list[Stage]:
    """Return the pipeline that lists what a link may lead to, ``most`` at most, in ``x`` of its documents.

    ``found``: the pipeline of what satisfies what is asked at the other end.
    """
    at = "$_id" if isinstance(link, Chain) else targets(parameter(link.type, link.param))
    return [*found, {"$limit": most}, {"$project": {"_id": 0, "x": at}}]


def followed(type_: str, link: Chain | Has, found: Sequence[Stage], name: str) -> list[Stage]:
    """Return the stages that put the first one that a link leads to into the list ``name``."""
    one: list[Stage] = [{"$limit": 1}, {"$project": {"_id": 1}}]
    if isinstance(link, Chain):
        lookup: Stage = {"localField": name, "foreignField": "_id", "pipeline": [*found, *one]}
        return [
            {"$set": {name: targets(parameter(type_, link.param))}},
            {"$lookup": {"from": RESOURCE, **lookup, "as": name}},
        ]
    by = {"p": parameter(link.type, link.param), "k": f"$${_THIS}"}
    refers = {"$match": {"$expr": {"$in": [by, "$r"]}}}
    lookup = {"localField": "_id", "foreignField": "o", "let": {_THIS: "$_id"}}
    return [{"$lookup": {"from": RESOURCE, **lookup, "pipeline": [refers, *found, *one], "as": name}}]


def led_somewhere(name: str) -> Filter:
    """Return the filter of those for whom :func:`followed` found something."""
    return {f"{name}.0": {"$exists": True}}
