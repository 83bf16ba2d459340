"""Where in a sharded cluster the answer to a question lies, so that no more shards are asked than have it.

A resource lies in the compartment of the one patient whom it is about, in :data:`SEVERAL` when it is about
more than one, and in one of its own when it is about none; a Patient in its own. So what is asked about one
patient lies in two compartments, and ``identity`` tells where a resource with a known id is. A replica set
has no shards: there nothing of this is asked. https://www.mongodb.com/docs/manual/core/sharded-cluster-query-router/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from bson.int64 import Int64
from pymongo.asynchronous.client_session import AsyncClientSession

from fhir_server.search.predicate import All, AnyOf, Chain, IdIn, Predicate, ReferenceIs, Where
from fhir_server.search.subjects import PATIENT, telling
from fhir_server.store.mongo.client import Engine
from fhir_server.store.mongo.filters import Filter, among
from fhir_server.store.mongo.keys import Keys
from fhir_server.store.mongo.schema import IDENTITY

SEVERAL: Final = Int64(0)
"""The compartment of what is about several patients."""

Found = Mapping[int, Sequence[Int64]]
"""By the id of a link of a predicate, what it leads to."""


def compartment(type_: str, digest: int, patients: Sequence[Int64]) -> Int64:
    """Return where a resource lies that has this digest and is about these patients."""
    if type_ == PATIENT or not patients:
        return Int64(digest)
    return patients[0] if len(patients) == 1 else SEVERAL


def places(type_: str, predicate: Predicate, found: Found, keys: Keys) -> frozenset[Int64] | None:
    """Return the compartments in which all lies that satisfies ``predicate``; None: it may lie anywhere."""
    match predicate:
        case IdIn(ids) if type_ == PATIENT:
            return frozenset(Int64(keys.blind.target(f"{PATIENT}/{id_}")) for id_ in ids)
        case Where(param, ReferenceIs(targets)) if _says_whom(type_, param):
            if all(target.startswith(f"{PATIENT}/") for target in targets):
                return frozenset({SEVERAL, *(Int64(keys.blind.target(target)) for target in targets)})
        case Chain(param, target_type, _) if target_type == PATIENT and _says_whom(type_, param):
            if id(predicate) in found:
                return frozenset({SEVERAL, *found[id(predicate)]})
        case All(items):
            told = (places(type_, item, found, keys) for item in items)
            return min((some for some in told if some is not None), key=len, default=None)
        case AnyOf(items):
            each = [places(type_, item, found, keys) for item in items]
            some = [one for one in each if one is not None]
            return frozenset[Int64]().union(*some) if len(some) == len(each) else None
    return None


def _says_whom(type_: str, param: str) -> bool:
    """Tell whether a reference of ``param`` to a patient says that the resource is about it."""
    return type_ != PATIENT and param in telling(type_)


def within(lies: Iterable[Int64] | None) -> Filter:
    """Return the filter by compartments; None: anywhere."""
    return {} if lies is None else among("c", sorted(lies))


async def lying(
    engine: Engine, digests: Sequence[Int64], session: AsyncClientSession | None
) -> frozenset[Int64] | None:
    """Return the compartments of the resources with some digests; None: there are no shards.

    One round trip in a cluster; to be read on the snapshot on which the resources are, for they may move. An
    unknown digest counts as one of its own, so that what is not there costs what is hidden.
    """
    if not engine.is_cluster:
        return None
    identities = engine.db.get_collection(IDENTITY)
    rows = await identities.find({"_id": {"$in": list(digests)}}, session=session).to_list()
    known = {row["_id"]: Int64(row["c"]) for row in rows}
    return frozenset(known.get(digest, digest) for digest in digests)
