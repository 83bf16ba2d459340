"""A log in MongoDB, read by whoever may: chains, segments, statements, and what is remembered of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Final

from pymongo import ASCENDING
from pymongo.errors import DuplicateKeyError

from fhir_server.audit.mongodb.hold import PIECE_BYTES, MongoHold
from fhir_server.audit.mongodb.lease import SECONDS as LEASE_SECONDS
from fhir_server.audit.mongodb.lease import Lease, are_free
from fhir_server.audit.mongodb.place import SECONDS, Place, key_of, keys_from, reached
from fhir_server.audit.shelf import Position, Segment
from fhir_server.faults import Fault, Kind

INDEX_SUFFIX: Final = "_audit"
"""The index lies in a database of its own: the log's name and this."""
_MOST_CHAINS: Final = 1024


class MongoShelf:
    """The log in the database that ``uri`` names.

    ``seconds``: how long one operation may take; ``lease_seconds``: how long a silent process keeps a chain.
    Methods raise Fault(UNAVAILABLE) while the database cannot be reached.
    """

    def __init__(self, uri: str, *, seconds: float = SECONDS, lease_seconds: float = LEASE_SECONDS) -> None:
        self.place = Place(uri, seconds)
        self._lease_seconds = lease_seconds

    def chains(self) -> list[str]:
        """Return the names of the chains that have segments."""
        with reached():
            return sorted(self.place.segments.distinct("chain"))

    def segments(self, chain: str, least: int = 1) -> list[Segment]:
        """Return the segments from number ``least`` on."""
        wanted = {"chain": chain, "number": {"$gte": least}}
        with reached():
            found = self.place.segments.find(wanted, {"number": 1}).sort("number", ASCENDING)
            return [Segment(chain, each["number"]) for each in found]

    def header(self, segment: Segment) -> bytes | None:
        """Return the header of a segment."""
        return self._field(segment, "header")

    def content(self, segment: Segment, start: int = 0) -> bytes | None:
        """Return the bytes of a segment from ``start``, as its groups have them one after the other."""
        header = self.header(segment) if start == 0 else b""
        if header is None:
            return None
        with reached():
            first, skip = self.place.group_at(segment, start) if start else (key_of(segment, 0), 0)
            wanted = {"_id": keys_from(segment, first)}
            found = self.place.frames.find(wanted, {"bytes": 1}).sort("_id", ASCENDING)
            frames = b"".join([each.get("bytes", b"") for each in found])
        return header + frames[skip:]

    def statement(self, segment: Segment) -> bytes | None:
        """Return the statement of a segment."""
        return self._field(segment, "statement")

    def torn(self, segment: Segment) -> str:
        """Return the name of the documents with what was set aside."""
        with reached():
            found = self.place.torn.find_one({"_id": keys_from(segment, key_of(segment, 0))}, {"_id": 1})
        return f"{segment.name} in audit_torn" if found else ""

    def note(self, chain: str) -> bytes | None:
        """Return the note of what was pruned of a chain."""
        with reached():
            found = self.place.notes.find_one({"_id": chain})
        return None if found is None else bytes(found["note"])

    def prune(self, chain: str, segments: Iterable[Segment], note: bytes) -> None:
        """Keep the note, then remove groups and headers."""
        with reached():
            self.place.notes.replace_one({"_id": chain}, {"note": note}, upsert=True)
            for segment in segments:
                self.place.frames.delete_many({"_id": keys_from(segment, key_of(segment, 0))})
                self.place.segments.update_one({"_id": segment.name}, {"$unset": {"header": ""}})

    def known_key(self, name: str) -> str:
        """Return the name of the key that the log is signed with; ``name`` from now on if there is none."""
        with reached(), contextlib.suppress(DuplicateKeyError):
            self.place.keys.insert_one({"_id": "log", "name": name})
        with reached():
            found = self.place.keys.find_one({"_id": "log"})
        return str(found["name"]) if found else name

    def heads(self) -> dict[str, tuple[int, str]]:
        """Return the newest final hashes."""
        with reached():
            return {each["_id"]: (each["number"], each["hash"]) for each in self.place.heads.find()}

    def positions(self) -> dict[str, Position]:
        """Return up to where the chains are indexed."""
        with reached():
            found = list(self.place.positions.find())
        return {each.pop("_id"): Position(**each) for each in found}

    def keep(self, chain: str, position: Position) -> None:
        """Remember up to where a chain is indexed."""
        at = {name: getattr(position, name) for name in Position.__struct_fields__}
        with reached():
            self.place.positions.replace_one({"_id": chain}, at, upsert=True)

    def forget_index(self) -> None:
        """Remove the collections of the index."""
        index = self.place.client[self.place.name + INDEX_SUFFIX]
        with reached():
            self.place.positions.delete_many({})
            for name in index.list_collection_names():
                index.drop_collection(name)

    def adopt(self, segment: Segment, content: bytes | None, statement: bytes | None) -> None:
        """Keep a segment of another shelf as it is; it is seen once it is whole. None: there is none."""
        made: dict[str, object] = {"_id": segment.name, **segment._asdict()}
        if statement is not None:
            made["statement"] = statement
        with reached():
            # What was left of an attempt that was stopped.
            self.place.frames.delete_many({"_id": keys_from(segment, key_of(segment, 0))})
            if content is not None:
                start = content.find(b"\n") + 1
                made["header"] = content[:start]
                for at in range(start, len(content), PIECE_BYTES):
                    piece = content[at : at + PIECE_BYTES]
                    self.place.frames.insert_one({"_id": key_of(segment, at), "bytes": piece})
            self.place.segments.insert_one(made)

    def remember(self, chain: str, note: bytes | None, head: tuple[int, str] | None) -> None:
        """Keep what another shelf remembers of a chain: what was pruned, its newest segment."""
        with reached():
            if note is not None:
                self.place.notes.replace_one({"_id": chain}, {"note": note}, upsert=True)
            if head is not None:
                newest = {"number": head[0], "hash": head[1]}
                self.place.heads.replace_one({"_id": chain}, newest, upsert=True)

    def is_free(self, chain: str) -> bool:
        """Tell whether nobody has the lease of a chain."""
        with reached():
            return are_free(self.place.leases, {"_id": chain})

    def is_idle(self) -> bool:
        """Tell whether nobody has any lease: a process has one before its chain has a segment."""
        with reached():
            return are_free(self.place.leases, {})

    def take(self) -> MongoHold:
        """Take the first chain whose lease is free."""
        self.place.create()
        for number in range(_MOST_CHAINS):
            lease = Lease(self.place.leases, f"p{number:02d}", self._lease_seconds)
            with reached():
                if lease.acquire():
                    return MongoHold(self.place, lease)
        raise Fault(Kind.UNAVAILABLE, "More processes write to the audit log than it can have chains.")

    def turn(self) -> MongoTurn:
        """Return the turn to index."""
        return MongoTurn(Lease(self.place.leases, "index", self._lease_seconds))

    def close(self) -> None:
        """Close the connections."""
        self.place.close()

    def _field(self, segment: Segment, name: str) -> bytes | None:
        with reached():
            found = self.place.segments.find_one({"_id": segment.name}, {name: 1}) or {}
        return bytes(found[name]) if name in found else None


class MongoTurn:
    """The lease of the index."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._is_taken = False

    def acquire(self) -> bool:
        """Take the lease."""
        with reached():
            self._is_taken = self._lease.acquire()
        return self._is_taken

    def is_mine(self) -> bool:
        """Tell whether the lease was renewed in time."""
        return self._lease.is_mine()

    def release(self) -> None:
        """Give the lease free."""
        if self._is_taken:
            self._is_taken = False
            with reached():
                self._lease.release()
