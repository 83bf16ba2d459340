"""A chain in MongoDB as its owner has it: appends that cannot fork, whoever else believes to own it.

A group is one insert, acknowledged by a majority with their journals. Its key says at which byte it stands,
and a key exists once: two processes can never both append at one place. Who follows a former owner ends its
segment first, by a mark at the key where the former's next group would go: that group, and everything that
is still on its way, is refused for ever. A segment is begun, ended and closed in transactions that hold only
while the lease is the owner's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError

from fhir_server.audit.mongodb.lease import Lease
from fhir_server.audit.mongodb.place import Place, key_of, keys_from, reached
from fhir_server.audit.shelf import Lost, Segment

PIECE_BYTES: Final = 8 * 1024 * 1024
"""A longer group is several documents, of which none may exceed 16 MB."""


class MongoHold:
    """The chain of a lease that was acquired."""

    def __init__(self, place: Place, lease: Lease) -> None:
        self._place = place
        self._lease = lease
        self._segment: Segment | None = None

    @property
    def chain(self) -> str:
        """The name of the lease."""
        return self._lease.name

    def confirm(self) -> None:
        """Renew the lease."""
        with reached():
            if not self._lease.renew():
                raise Lost

    def begin(self, segment: Segment, header: bytes) -> None:
        """Insert the segment."""
        made = {"_id": segment.name, **segment._asdict(), "header": header}
        if not self._as_owner(lambda session: self._place.segments.insert_one(made, session=session)):
            # This owner's own, of which it did not hear: it is read, and closed, as any other that was left.
            raise OSError(segment.name)
        self._segment = segment

    def append(self, frames: bytes, offset: int) -> None:
        """Insert a group: one document, unless it is too long for one."""
        assert self._segment is not None
        for at in range(0, len(frames), PIECE_BYTES):
            self._insert(key_of(self._segment, offset + at), frames[at : at + PIECE_BYTES])

    def abandon(self, durable: int) -> None:
        """Nothing is done: what became of the last group is seen when the segment is ended."""
        del durable
        self._segment = None

    def end(self, segment: Segment, seen: int, size: int) -> bool:
        """Mark the end, so that nothing can follow; then cut off what could not be read, if anything."""
        key = key_of(segment, seen)
        mark = {"_id": key, "end": True}
        if not self._as_owner(lambda session: self._place.frames.insert_one(mark, session=session)):
            with reached():
                there = self._place.frames.find_one({"_id": key}, {"end": 1}) or {}
            if not there.get("end"):
                return False
        if size < seen:
            self._cut(segment, size)
        self._segment = None
        return True

    def set_aside(self, segment: Segment, torn: bytes) -> None:
        """Keep bytes in documents of their own."""
        with reached():
            for at in range(0, len(torn), PIECE_BYTES):
                key, piece = key_of(segment, at), torn[at : at + PIECE_BYTES]
                self._place.torn.replace_one({"_id": key}, {"bytes": piece}, upsert=True)

    def close(self, segment: Segment, statement: bytes, final: str) -> None:
        """Keep the statement with the segment, and the final hash as the newest one."""

        def work(session: ClientSession) -> None:
            # The first statement stays, should this one be a second for want of an answer to it.
            unstated = {"_id": segment.name, "statement": {"$exists": False}}
            self._place.segments.update_one(unstated, {"$set": {"statement": statement}}, session=session)
            head = {"number": segment.number, "hash": final}
            self._place.heads.replace_one({"_id": segment.chain}, head, upsert=True, session=session)

        self._as_owner(work)

    def release(self) -> None:
        """Give the lease free."""
        with reached():
            self._lease.release()

    def _insert(self, key: str, piece: bytes) -> None:
        """Insert a piece of a group; Lost when anything else stands there."""
        with reached():
            try:
                self._place.frames.insert_one({"_id": key, "bytes": piece})
            except DuplicateKeyError:
                # The driver asks again when an answer is lost. What it meets may be what it brought: nobody
                # else can have sealed the same bytes.
                if (self._place.frames.find_one({"_id": key}) or {}).get("bytes") != piece:
                    raise Lost from None

    def _as_owner(self, work: Callable[[ClientSession], Any]) -> bool:
        """Run ``work`` in a transaction that holds only while the lease is this owner's; else Lost.

        False when what it inserts is there already.
        """

        def owned(session: ClientSession) -> None:
            if not self._lease.renew(session):
                raise Lost
            work(session)

        with reached():
            try:
                self._place.transact(owned)
            except DuplicateKeyError:
                return False
        return True

    def _cut(self, segment: Segment, size: int) -> None:
        """Remove the bytes behind ``size``; the end mark stays."""
        frames = self._place.frames
        with reached():
            first, keep = self._place.group_at(segment, size)
            if keep:
                group = frames.find_one({"_id": first}) or {}
                frames.update_one({"_id": first}, {"$set": {"bytes": group.get("bytes", b"")[:keep]}})
            behind = keys_from(segment, key_of(segment, size))
            frames.delete_many({"_id": behind, "end": {"$exists": False}})
