"""What a segment of a chain says: frames behind a header, and the signed statement of what it holds."""

from __future__ import annotations

import base64
import binascii
import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from fhir_server.audit import chain as chains
from fhir_server.audit.chain import Chain, Torn
from fhir_server.audit.entry import Entry, decode
from fhir_server.audit.keys import AuditKeys
from fhir_server.audit.shelf import Segment
from fhir_server.crypto.suites import SUITES, Sealer

FORMAT: Final = 1
_SALT_BYTES: Final = 16
_MOST_HEADER: Final = 4096


class BadSegment(Exception):
    """A header or a statement that cannot be read."""


class Header(msgspec.Struct, frozen=True):
    """The first line of a segment. ``previous``: final hash of the segment before; ``opened``: ms."""

    format: int
    chain: str
    number: int
    suite: str
    salt: str
    previous: str
    opened: int


class Statement(msgspec.Struct, frozen=True):
    """What is signed when a segment is closed. ``first``, ``last``: times of its entries, ms, 0 = none.

    ``dropped``: bytes at its end that a crash left unreadable; they were never acknowledged.
    """

    format: int
    chain: str
    number: int
    suite: str
    count: int
    first: int
    last: int
    size: int
    hash: str
    previous: str
    closed: int
    dropped: int
    key: str
    signature: str = ""

    @property
    def signed(self) -> bytes:
        """The bytes that the signature is over: all fields but itself."""
        return msgspec.json.encode(msgspec.structs.replace(self, signature=""))

    @property
    def line(self) -> bytes:
        """The bytes that are kept."""
        return msgspec.json.encode(self) + b"\n"


def read_statement(content: bytes | None) -> Statement | None:
    """Return the statement that bytes are, unchecked; None for none. Raises :class:`BadSegment`."""
    try:
        return None if content is None else msgspec.json.decode(content, type=Statement)
    except msgspec.DecodeError as error:
        raise BadSegment from error


def new_header(keys: AuditKeys, segment: Segment, previous: bytes, now: int) -> bytes:
    """Return the first line of a new segment."""
    salt = secrets.token_hex(_SALT_BYTES)
    header = Header(FORMAT, *segment, keys.ring.suite.name, salt, previous.hex(), now)
    return msgspec.json.encode(header) + b"\n"


@dataclass(slots=True)
class Reading:
    """A segment's content as it is read: header, key, and where in the chain the reader stands."""

    header: Header
    data: bytes
    sealer: Sealer
    chain: Chain
    offset: int

    @classmethod
    def begin(cls, keys: AuditKeys, data: bytes) -> Reading:
        """Read the header; raises :class:`BadSegment`."""
        line, newline, _ = data[:_MOST_HEADER].partition(b"\n")
        try:
            header = msgspec.json.decode(line, type=Header)
            salt = bytes.fromhex(header.salt)
            bytes.fromhex(header.previous)
            suite = SUITES[header.suite]
        except (msgspec.DecodeError, ValueError, KeyError) as error:
            raise BadSegment from error
        if not newline or header.format != FORMAT:
            raise BadSegment
        hash_ = chains.hash_of(header.suite)
        sealer = suite.sealer(chains.segment_key(suite, keys.master, salt))
        return cls(header, data, sealer, Chain(hash_, hash_(b"", line + newline)), len(line) + 1)

    def resume(self, offset: int, count: int, last: bytes) -> None:
        """Go to where an earlier reading stood."""
        self.offset = offset
        self.chain.count = count
        self.chain.last = last

    def entries(self) -> Iterator[tuple[int, Entry]]:
        """Yield (number, entry) to the end.

        Raises :class:`chain.Broken`, or Undecodable for bytes that were sealed here but are no entry.
        """
        for end, raw in chains.opened(self.chain, self.sealer, self.data, self.offset):
            self.offset = end
            yield self.chain.count - 1, decode(raw)

    def entries_so_far(self) -> Iterator[tuple[int, Entry]]:
        """Yield as :meth:`entries` does, up to a frame that is still being written."""
        with contextlib.suppress(Torn):
            yield from self.entries()


def signed_statement(
    keys: AuditKeys, reading: Reading, times: tuple[int, int], now: int, dropped: int = 0
) -> Statement:
    """Return the signed statement of a segment whose end ``reading`` stands at."""
    header = reading.header
    unsigned = Statement(
        format=FORMAT,
        chain=header.chain,
        number=header.number,
        suite=header.suite,
        count=reading.chain.count,
        first=times[0],
        last=times[1],
        size=reading.offset,
        hash=reading.chain.last.hex(),
        previous=header.previous,
        closed=now,
        dropped=dropped,
        key=keys.name,
    )
    signature = base64.b64encode(keys.sign(unsigned.signed)).decode()
    return msgspec.structs.replace(unsigned, signature=signature)


def is_signed(keys: AuditKeys, statement: Statement) -> bool:
    """Tell whether a statement carries this audit's signature."""
    try:
        signature = base64.b64decode(statement.signature, validate=True)
    except binascii.Error:
        return False
    return keys.verify(signature, statement.signed)
