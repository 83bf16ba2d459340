"""What somebody can do to a log who may write to where it lies: files, or the documents of a database."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from fhir_server.audit.chain import frames
from fhir_server.audit.files import FileShelf
from fhir_server.audit.mongodb.shelf import MongoShelf
from fhir_server.audit.shelf import Segment, Shelf

Change = Callable[[list[bytes]], list[bytes]]
"""A change of a segment's parts: its header, and its frames."""


class Hands(Protocol):
    """The ways of tampering with a log."""

    shelf: Shelf

    def write(self, segment: Segment, content: bytes) -> None:
        """Replace the content of a segment."""

    def remove_entries(self, segment: Segment) -> None:
        """Remove the content of a segment; its statement stays."""

    def set_statement(self, segment: Segment, content: bytes | None) -> None:
        """Replace or remove a statement."""

    def remove(self, segment: Segment) -> None:
        """Remove a segment with its statement."""

    def remove_chain(self, chain: str) -> None:
        """Remove a chain with all that is in it."""

    def set_note(self, chain: str, content: bytes) -> None:
        """Put a note of pruning there."""

    def forget_positions(self) -> None:
        """Have the index not know up to where it goes."""

    def heads(self) -> object:
        """Return what is remembered of the newest segments."""

    def set_heads(self, heads: Any) -> None:
        """Have what :meth:`heads` returned be remembered."""


class FileHands:
    """Tampers with files."""

    def __init__(self, shelf: FileShelf, folder: Path) -> None:
        self.shelf = shelf
        self._folder = folder

    def write(self, segment: Segment, content: bytes) -> None:
        self.shelf.path(segment).write_bytes(content)

    def remove_entries(self, segment: Segment) -> None:
        self.shelf.path(segment).unlink()

    def set_statement(self, segment: Segment, content: bytes | None) -> None:
        path = self.shelf.statement_path(segment)
        path.unlink()
        if content is not None:
            path.write_bytes(content)

    def remove(self, segment: Segment) -> None:
        self.remove_entries(segment)
        self.set_statement(segment, None)

    def remove_chain(self, chain: str) -> None:
        shutil.rmtree(self._folder / chain)

    def set_note(self, chain: str, content: bytes) -> None:
        (self._folder / chain / "pruned.json").write_bytes(content)

    def forget_positions(self) -> None:
        (self._folder / "index" / "positions.json").unlink()

    def heads(self) -> bytes:
        return self._heads.read_bytes()

    def set_heads(self, heads: Any) -> None:
        self._heads.write_bytes(heads)

    @property
    def _heads(self) -> Path:
        return self._folder.parent / "keys" / "audit" / "heads.json"


class DocumentHands:
    """Tampers with documents."""

    def __init__(self, shelf: MongoShelf) -> None:
        self.shelf = shelf
        self.place = shelf.place

    def write(self, segment: Segment, content: bytes) -> None:
        end = content.index(b"\n") + 1
        self._set(segment, "header", content[:end])
        self._remove_groups(f"{segment.name}/")
        self.place.frames.insert_one({"_id": f"{segment.name}/{end:012d}", "bytes": content[end:]})

    def remove_entries(self, segment: Segment) -> None:
        self._remove_groups(f"{segment.name}/")
        self._set(segment, "header", None)

    def set_statement(self, segment: Segment, content: bytes | None) -> None:
        self._set(segment, "statement", content)

    def remove(self, segment: Segment) -> None:
        self._remove_groups(f"{segment.name}/")
        self.place.segments.delete_one({"_id": segment.name})

    def remove_chain(self, chain: str) -> None:
        self._remove_groups(f"{chain}/")
        self.place.segments.delete_many({"chain": chain})

    def set_note(self, chain: str, content: bytes) -> None:
        self.place.notes.replace_one({"_id": chain}, {"note": content}, upsert=True)

    def forget_positions(self) -> None:
        self.place.positions.delete_many({})

    def heads(self) -> list[dict[str, Any]]:
        return list(self.place.heads.find())

    def set_heads(self, heads: Any) -> None:
        self.place.heads.delete_many({})
        self.place.heads.insert_many(heads)

    def groups(self, segment: Segment) -> list[dict[str, Any]]:
        """Return the documents of a segment's groups, in order."""
        found = self.place.frames.find({"_id": {"$regex": f"^{segment.name}/"}, "end": {"$exists": False}})
        return list(found.sort("_id", 1))

    def _set(self, segment: Segment, field: str, content: bytes | None) -> None:
        change = {"$unset": {field: ""}} if content is None else {"$set": {field: content}}
        self.place.segments.update_one({"_id": segment.name}, change)

    def _remove_groups(self, beginning: str) -> None:
        self.place.frames.delete_many({"_id": {"$regex": f"^{beginning}"}})


def hands_on(shelf: Shelf, folder: Path) -> Hands:
    """Return the hands for a shelf; ``folder``: the log's, if it is in files."""
    if isinstance(shelf, FileShelf):
        return FileHands(shelf, folder)
    assert isinstance(shelf, MongoShelf)
    return DocumentHands(shelf)


def content(shelf: Shelf, segment: Segment) -> bytes:
    """Return the content of a segment that is there."""
    data = shelf.content(segment)
    assert data is not None
    return data


def rewrite(hands: Hands, number: int, change: Change) -> None:
    """Change the header and the frames of a segment of the first chain."""
    segment = Segment("p00", number)
    hands.write(segment, b"".join(change(_parts(content(hands.shelf, segment)))))


def alter_statement(hands: Hands, number: int, **changes: object) -> None:
    """Change fields of a statement of the first chain."""
    segment = Segment("p00", number)
    fields = json.loads(hands.shelf.statement(segment) or b"")
    hands.set_statement(segment, json.dumps({**fields, **changes}).encode())


def swap_entries(hands: Hands) -> None:
    """Swap the content of the first two segments of the first chain."""
    one, other = Segment("p00", 1), Segment("p00", 2)
    first, second = content(hands.shelf, one), content(hands.shelf, other)
    hands.write(one, second)
    hands.write(other, first)


def swap_statements(hands: Hands) -> None:
    """Swap the statements of the first two segments of the first chain."""
    one, other = Segment("p00", 1), Segment("p00", 2)
    first, second = hands.shelf.statement(one), hands.shelf.statement(other)
    hands.set_statement(one, second)
    hands.set_statement(other, first)


def swap_segments(hands: Hands) -> None:
    """Swap the first two segments of the first chain, statements and all."""
    swap_entries(hands)
    swap_statements(hands)


def flip(frame: bytes) -> bytes:
    """Change one bit of a frame."""
    return frame[:-1] + bytes([frame[-1] ^ 1])


def _parts(data: bytes) -> list[bytes]:
    """Split a segment into its header and its frames."""
    start = data.index(b"\n") + 1
    ends = [start, *(end for end, _ in frames(data, start))]
    return [data[:start], *(data[a:b] for a, b in pairwise(ends))]
