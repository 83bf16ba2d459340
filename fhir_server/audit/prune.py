"""Pruning: an administrator removes the entries of whole closed segments that are older than the retention.

Their signed statements stay, so that the chain can still be followed, and a signed note says who is missing
by intention. Nothing else ever removes an entry.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

import msgspec

from fhir_server.audit.keys import AuditKeys
from fhir_server.audit.segment import read_statement
from fhir_server.audit.shelf import Shelf
from fhir_server.faults import Fault, Kind

DAY_MS: Final = 86_400_000
LEAST_DAYS: Final = 180


class Note(msgspec.Struct, frozen=True):
    """Segments up to ``through`` of ``chain`` were pruned, last at ``at`` (ms), being older than ``days``."""

    chain: str
    through: int
    at: int
    days: int
    signature: str = ""

    @property
    def signed(self) -> bytes:
        """The bytes that the signature is over."""
        return msgspec.json.encode(msgspec.structs.replace(self, signature=""))


def prune(shelf: Shelf, keys: AuditKeys, days: int, now: int) -> list[str]:
    """Remove the segments all of whose entries are older than ``days``; return their names.

    Raises Fault when ``days`` is less than the law allows, or while a process writes to the log.
    """
    if days < LEAST_DAYS:
        raise Fault(Kind.BAD_REQUEST, f"The audit is kept for at least {LEAST_DAYS} days.")
    if not shelf.is_idle():
        raise Fault(Kind.CONFLICT, "The server is running: stop it, then prune the audit.")
    return [name for chain in shelf.chains() for name in _prune_chain(shelf, chain, keys, days, now)]


def _prune_chain(shelf: Shelf, chain: str, keys: AuditKeys, days: int, now: int) -> list[str]:
    old = []
    for segment in shelf.segments(chain):
        statement = read_statement(shelf.statement(segment))
        # In order, and only from the beginning: what is left has no holes.
        if statement is None or statement.last >= now - days * DAY_MS:
            break
        if shelf.header(segment) is not None:
            old.append(segment)
    if old:
        note = Note(chain, old[-1].number, now, days)
        signature = base64.b64encode(keys.sign(note.signed)).decode()
        shelf.prune(chain, old, msgspec.json.encode(msgspec.structs.replace(note, signature=signature)))
    return [segment.name for segment in old]


def pruned_through(shelf: Shelf, chain: str, keys: AuditKeys) -> int:
    """Return the number of the last segment that was pruned by command; 0 when none was, or nobody signed."""
    try:
        note = msgspec.json.decode(shelf.note(chain) or b"", type=Note)
        signature = base64.b64decode(note.signature, validate=True)
    except (msgspec.DecodeError, binascii.Error):
        return 0
    return note.through if note.chain == chain and keys.verify(signature, note.signed) else 0
