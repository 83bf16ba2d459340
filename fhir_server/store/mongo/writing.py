"""Small writes of several steps: one transaction, tried again when another process was first."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import BulkWriteError, DuplicateKeyError, PyMongoError

from fhir_server.faults import Fault, Kind
from fhir_server.store.mongo.client import unavailable
from fhir_server.store.mongo.stamps import Lane
from fhir_server.store.mongo.tools import Tools

T = TypeVar("T")

_DUPLICATE: Final = 11000


async def written(tools: Tools, work: Callable[[AsyncClientSession], Awaitable[T]]) -> T:
    """Run ``work`` in a transaction; return what it returned.

    ``work`` may run several times. Raises what it raises, and Fault(UNAVAILABLE) for the engine's errors.
    """
    until = time.monotonic() + tools.engine.lock_seconds
    tools.envelope.refresh()
    try:
        while True:
            try:
                return await tools.engine.transact(work)
            except PyMongoError as error:
                if not is_duplicate(error) or time.monotonic() > until:
                    raise unavailable(error) from error
    finally:
        tools.stamps.committed()


def is_duplicate(error: PyMongoError) -> bool:
    """Tell whether somebody else has inserted first what was to be inserted."""
    if isinstance(error, BulkWriteError):
        return any(each["code"] == _DUPLICATE for each in error.details["writeErrors"])
    return isinstance(error, DuplicateKeyError)


def may_seal(tools: Tools, lane: Lane) -> None:
    """See that the active key is not one that is being retired; call it before sealing in a transaction.

    Raises Fault(UNAVAILABLE) when this process does not have the key that replaced it.
    """
    if tools.envelope.active >= lane.key:
        return
    tools.envelope.refresh()
    if tools.envelope.active < lane.key:
        raise Fault(
            Kind.UNAVAILABLE,
            "The key ring of this server is older than the store's; copy the current one to its key folder.",
        )
