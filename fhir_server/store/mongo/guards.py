"""What conditional commits meet at, so that no two of them are blind to what the other writes.

Snapshots alone let two commits each find nothing and each create what the other was looking for. So a commit
with conditions counts up a small document for everything that it asked for and everything that it writes: two
that could see each other's outcome touch one document in common, and the engine has one of them done again.

What is asked for by an identifier or an id is one document each. Whatever else is asked for could be any
resource of a type: it touches all of the type's :data:`STRIPES`, and who writes a resource of that type one
of them. https://hl7.org/fhir/R4/http.html#ccreate
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from bson.int64 import Int64
from pymongo import UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession

from fhir_server.search.predicate import (
    All,
    AnyOf,
    Chain,
    Has,
    IdIn,
    Not,
    Predicate,
    TokenIs,
    Where,
)
from fhir_server.search.values import Values
from fhir_server.store.api import Condition, Expectation
from fhir_server.store.mongo.client import Engine
from fhir_server.store.mongo.keys import Keys, parameter
from fhir_server.store.mongo.schema import GUARD

STRIPES: Final = 64

_IDENTIFIER: Final = "identifier"

Guard = Int64 | str
"""The _id of a guard: a digest, or a type and the number of a stripe."""


def asked(conditions: Iterable[Condition], keys: Keys) -> set[Guard]:
    """Return the guards of what conditions ask for, rights apart: those are of the moment."""
    found: set[Guard] = set()
    for condition in conditions:
        if not isinstance(condition, Expectation):
            found.add(_resource(condition.type, condition.id, keys))
            continue
        narrow = set(_narrow(condition.type, condition.where, keys))
        found |= narrow or set(_stripes(condition.type))
        found.update(_resource(condition.type, id_, keys) for id_ in condition.ids)
        for type_ in _linked(condition.where):
            found.update(_stripes(type_))
    return found


def written(type_: str, digest: int, values: Values | None, keys: Keys) -> set[Guard]:
    """Return the guards of writing a resource, but for its type's stripe: see :func:`touch`."""
    found: set[Guard] = {Int64(digest)}
    if values is not None:
        p = parameter(type_, _IDENTIFIER)
        identifiers = [(system, code) for name, system, code in values.tokens if name == _IDENTIFIER]
        found.update(keys.token(p, system, code) for system, code in identifiers)
        found.update(keys.code(p, code) for _, code in identifiers)
    return found


async def touch(
    engine: Engine,
    session: AsyncClientSession,
    guards: Iterable[Guard],
    types: Iterable[str],
    now_ms: int,
) -> None:
    """Count guards up in an open transaction, and for each of ``types``, which it writes, a stripe."""
    # Which one does not matter: whoever must meet this commit touches all of them.
    stripe = random.randrange(STRIPES)  # noqa: S311 - spreads writers, guards nothing
    touched = {*guards, *(f"{type_} {stripe}" for type_ in types)}
    # The time lets the engine remove the guards that nobody touches any more.
    change = {"$inc": {"n": 1}, "$set": {"at": datetime.fromtimestamp(now_ms / 1000, UTC)}}
    updates = [UpdateOne({"_id": guard}, change, upsert=True) for guard in sorted(touched, key=str)]
    await engine.db.get_collection(GUARD).bulk_write(updates, ordered=False, session=session)


def _resource(type_: str, id_: str, keys: Keys) -> Int64:
    return Int64(keys.blind.target(f"{type_}/{id_}"))


def _stripes(type_: str) -> Iterator[str]:
    return (f"{type_} {stripe}" for stripe in range(STRIPES))


def _narrow(type_: str, where: Predicate, keys: Keys) -> Sequence[Guard]:
    """Return guards that whoever changes the outcome of ``where`` must touch; none: it may be anything."""
    match where:
        case Where("identifier", TokenIs(None, str(code))):
            return [keys.code(parameter(type_, _IDENTIFIER), code)]
        case Where("identifier", TokenIs(str(system), str(code))):
            return [keys.token(parameter(type_, _IDENTIFIER), system, code)]
        case IdIn(ids):
            return [_resource(type_, id_, keys) for id_ in ids]
        case All(items):
            # One of several conditions that all must hold is enough to be met at.
            return next((some for some in (_narrow(type_, item, keys) for item in items) if some), ())
        case AnyOf(items):
            each = [_narrow(type_, item, keys) for item in items]
            return [guard for some in each for guard in some] if all(each) else ()
    return ()


def _linked(where: Predicate) -> Iterator[str]:
    """Yield the types of the resources at the other ends of links."""
    match where:
        case Chain(_, type_, inner) | Has(type_, _, inner):
            yield type_
            yield from _linked(inner)
        case All(items) | AnyOf(items):
            for item in items:
                yield from _linked(item)
        case Not(item):
            yield from _linked(item)
