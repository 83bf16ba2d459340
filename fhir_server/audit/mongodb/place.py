"""The collections of a log in MongoDB, and how they are reached: majority reads and writes, at the primary.

===============  =======================================================================================
audit_segment    a segment: _id "p00/00000001", chain, number, header; its statement once it is closed
audit_frames     a group: _id "p00/00000001/000000001234" (the last part: its byte), bytes; or ``end``
audit_torn       bytes that were set aside, as audit_frames
audit_lease      who holds a chain, or the turn to index ("index"), under which term, until when
audit_head       number and final hash of the newest closed segment of a chain
audit_position   up to where a chain is indexed
audit_note       the signed note of what was pruned of a chain
audit_key        the name of the key that the log is signed with
===============  =======================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pymongo
from pymongo import ASCENDING, DESCENDING, MongoClient, ReadPreference, WriteConcern
from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from fhir_server.audit.shelf import Segment
from fhir_server.faults import Fault, Kind
from fhir_server.store.mongo.client import DEFAULT_DATABASE, unavailable

Document = dict[str, Any]

SECONDS: Final = 10.0
"""How long one operation may take, the driver's repetitions included: then nobody knows what became of it."""
_SELECTION_SECONDS: Final = 5.0
_MAJORITY: Final = WriteConcern("majority", j=True)
_SNAPSHOT: Final = ReadConcern("snapshot")
_DIGITS: Final = 12
_COLLECTIONS: Final = (
    "audit_segment",
    "audit_frames",
    "audit_torn",
    "audit_lease",
    "audit_head",
    "audit_position",
    "audit_note",
    "audit_key",
)


class Place:
    """The database that ``uri`` names; ``seconds``: how long one operation may take.

    An address that cannot be read raises Fault(UNAVAILABLE).
    """

    def __init__(self, uri: str, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        try:
            self.client: MongoClient[Document] = MongoClient(
                uri,
                serverSelectionTimeoutMS=int(min(seconds, _SELECTION_SECONDS) * 1000),
                timeoutMS=int(seconds * 1000),
                appname="fhir-server-audit",
            )
        except (PyMongoError, ValueError) as error:
            raise Fault(
                Kind.UNAVAILABLE, "The address in FHIR_STORE cannot be read; write mongodb://host/name."
            ) from error
        self.name = self.client.get_default_database(DEFAULT_DATABASE).name
        self.db = self.client.get_database(
            self.name,
            read_preference=ReadPreference.PRIMARY,
            read_concern=ReadConcern("majority"),
            write_concern=_MAJORITY,
        )
        self.segments = self.db["audit_segment"]
        self.frames = self.db["audit_frames"]
        self.torn = self.db["audit_torn"]
        self.leases = self.db["audit_lease"]
        self.heads = self.db["audit_head"]
        self.positions = self.db["audit_position"]
        self.notes = self.db["audit_note"]
        self.keys = self.db["audit_key"]

    def create(self) -> None:
        """Create what is missing of collections and indexes; no transaction has to make one then."""
        with reached():
            for name in _COLLECTIONS:
                self.db[name].create_index([("_id", ASCENDING)], name="_id_")
            self.segments.create_index([("chain", ASCENDING), ("number", ASCENDING)], name="chain")

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def transact(self, work: Callable[[ClientSession], None]) -> None:
        """Run ``work`` in a transaction, again when others were in its way. Raises PyMongoError."""
        # The client's own limit is for each operation: without this one it tries again for two minutes.
        with pymongo.timeout(self._seconds), self.client.start_session() as session:
            session.with_transaction(work, read_concern=_SNAPSHOT, write_concern=_MAJORITY)

    def group_at(self, segment: Segment, offset: int) -> tuple[str, int]:
        """Return the key of the group with byte ``offset``, and how many bytes stand before that in it."""
        key = key_of(segment, offset)
        so_far = {"_id": {"$gte": key_of(segment, 0), "$lte": key}}
        group = self.frames.find_one(so_far, {"_id": 1}, sort=[("_id", DESCENDING)])
        return (key, 0) if group is None else (group["_id"], offset - int(group["_id"][-_DIGITS:]))


@contextmanager
def reached() -> Iterator[None]:
    """Turn the driver's errors into Fault(UNAVAILABLE), or what else they mean."""
    try:
        yield
    except PyMongoError as error:
        raise unavailable(error) from error


def key_of(segment: Segment, offset: int) -> str:
    """Return the key of the group that stands at byte ``offset``; keys are in the order of the bytes."""
    return f"{segment.name}/{offset:0{_DIGITS}d}"


def keys_from(segment: Segment, first: str) -> Document:
    """Return the condition of the keys of a segment from ``first`` on."""
    # "0" follows "/": it is greater than every key of the segment, and smaller than those of the next one.
    return {"$gte": first, "$lt": f"{segment.name}0"}
