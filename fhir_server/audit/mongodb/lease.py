"""A right that one process has at a time, while it renews it: a document with an owner and a term.

The database's own clock counts, so that the clocks of the processes need not agree. Who is paused or cut off
for longer than the lease may be followed by another owner, and the term grows; what the former owner does
under its term then changes nothing. A lease is a courtesy to others; what must not happen twice is guarded by
the term in the same transaction (:meth:`Lease.renew`), or by a unique key.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from typing import Any, Final

from pymongo import ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError, InvalidOperation, PyMongoError

SECONDS: Final = 30.0
"""How long a process that says nothing keeps what it holds."""
_BEATS: Final = 3
"""Renewals in the time of a lease: two may fail."""

_NOW: Final = {"$toLong": "$$NOW"}
_IS_FREE: Final = {"$lte": [{"$ifNull": ["$until", 0]}, _NOW]}

_LOG = logging.getLogger("fhir_server.audit")

Document = dict[str, Any]


class Lease:
    """The lease ``name`` of a collection, not yet taken. Methods but :meth:`is_mine` raise PyMongoError."""

    def __init__(self, leases: Collection[Document], name: str, seconds: float = SECONDS) -> None:
        self.name = name
        self._leases = leases
        self._seconds = seconds
        self._owner = uuid.uuid4().hex
        self._term = 0
        self._until = 0.0
        self._stop = threading.Event()

    def acquire(self) -> bool:
        """Take the lease and renew it from now on; False while another process has it."""
        asked = time.monotonic()
        taking = _taking(self._owner, self._seconds)
        try:
            found = self._leases.find_one_and_update(
                {"_id": self.name}, taking, upsert=True, return_document=ReturnDocument.AFTER
            )
        except DuplicateKeyError:
            # Another process makes the lease at this moment.
            return False
        if found is None or found["owner"] != self._owner:
            return False
        self._term = found["term"]
        self._until = asked + self._seconds
        threading.Thread(target=self._beat, name=f"audit-lease-{self.name}", daemon=True).start()
        return True

    def renew(self, session: ClientSession | None = None) -> bool:
        """Make the lease last from now; False when another process took it.

        In a transaction that then commits, nobody else took it before the commit.
        """
        asked = time.monotonic()
        until = [{"$set": {"until": {"$add": [_NOW, int(self._seconds * 1000)]}}}]
        is_mine = self._leases.update_one(self._mine, until, session=session).matched_count == 1
        self._until = asked + self._seconds if is_mine else 0.0
        return is_mine

    def is_mine(self) -> bool:
        """Tell whether nobody else can have taken the lease, as far as this process knows."""
        return time.monotonic() < self._until

    def release(self) -> None:
        """Give the lease free; nothing happens when it is another's."""
        self._stop.set()
        self._until = 0.0
        self._leases.update_one(self._mine, {"$set": {"until": 0}})

    @property
    def _mine(self) -> Document:
        return {"_id": self.name, "owner": self._owner, "term": self._term}

    def _beat(self) -> None:
        while not self._stop.wait(self._seconds / _BEATS):
            try:
                if not self.renew():
                    return
            except InvalidOperation:
                # The client was closed: there is nobody left for whom to renew.
                return
            except PyMongoError as error:
                _LOG.warning(
                    "A lease of the audit could not be renewed; it is tried again",
                    extra={"fields": {"lease": self.name, "error": type(error).__name__}},
                )


def _taking(owner: str, seconds: float) -> list[Document]:
    """Return the update that gives a free lease to ``owner``, and leaves one that is held as it is."""

    def when_free(then: object, field: str) -> Document:
        return {"$cond": [_IS_FREE, then, f"${field}"]}

    return [
        {
            "$set": {
                "owner": when_free(owner, "owner"),
                "term": when_free({"$add": [{"$ifNull": ["$term", 0]}, 1]}, "term"),
                "until": when_free({"$add": [_NOW, int(seconds * 1000)]}, "until"),
            }
        }
    ]


def are_free(leases: Collection[Document], wanted: Document) -> bool:
    """Tell whether nobody has any of the leases that are ``wanted``. Raises PyMongoError."""
    found = leases.aggregate([{"$match": wanted}, {"$project": {"is_free": _IS_FREE}}])
    return all(each["is_free"] for each in found)
