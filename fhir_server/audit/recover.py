"""What a crash left: the last segment of a chain without its statement. It is read to its end and closed.

Nothing is thrown away unseen: bytes at the end that do not follow from what stands before them are set aside,
said loudly, and counted in the signed statement.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from fhir_server.audit.chain import Broken
from fhir_server.audit.entry import Undecodable
from fhir_server.audit.keys import AuditKeys
from fhir_server.audit.segment import BadSegment, Reading, Statement, read_statement, signed_statement
from fhir_server.audit.shelf import Hold, Segment, Shelf
from fhir_server.faults import Fault, Kind

_TRIES: Final = 50
_PAUSE_SECONDS: Final = 0.1
"""A group that was on its way when its process was given up may still come: the segment is read again."""

_LOG = logging.getLogger("fhir_server.audit")


def recover(keys: AuditKeys, shelf: Shelf, hold: Hold, now: int) -> Statement | None:
    """Close the last segment of the chain that is held if need be; return its statement, None without one.

    Raises Fault(UNAVAILABLE) when the segment cannot be read at all: then it takes a person to say what
    became of it. Raises Lost when the chain is not held any more.
    """
    hold.confirm()
    known = shelf.segments(hold.chain)
    if not known:
        return None
    last = known[-1]
    try:
        return read_statement(shelf.statement(last)) or _close(keys, shelf, hold, last, now)
    except BadSegment:
        raise Fault(
            Kind.UNAVAILABLE,
            f"Segment {last.name} of the audit log cannot be read; `fhir-server audit verify` tells more. "
            "Move its chain away to start a new one, and keep it for the investigation.",
        ) from None


def _close(keys: AuditKeys, shelf: Shelf, hold: Hold, segment: Segment, now: int) -> Statement:
    for _ in range(_TRIES):
        data = shelf.content(segment)
        if data is None:
            raise BadSegment
        reading = Reading.begin(keys, data)
        times, torn = _follow(reading)
        if torn:
            hold.set_aside(segment, torn)
        if hold.end(segment, len(data), reading.offset):
            break
        time.sleep(_PAUSE_SECONDS)
    else:
        raise Fault(Kind.UNAVAILABLE, "The audit log is being written to by another process; try again.")
    if torn:
        _LOG.error(
            "The end of an audit segment could not be read and was set aside: look into it",
            extra={"fields": {"segment": segment.name, "bytes": len(torn), "entries": reading.chain.count}},
        )
    statement = signed_statement(keys, reading, times, now, len(torn))
    hold.close(segment, statement.line, statement.hash)
    _LOG.warning(
        "An audit segment that a crash had left open was closed",
        extra={"fields": {"segment": segment.name, "entries": statement.count, "hash": statement.hash}},
    )
    return statement


def _follow(reading: Reading) -> tuple[tuple[int, int], bytes]:
    """Read to the end; return the times of the first and the last entry, and what could not be read."""
    first = last = 0
    try:
        for _, entry in reading.entries():
            first = first or entry.at
            last = entry.at
    except (Broken, Undecodable):
        return (first, last), reading.data[reading.offset :].rstrip(b"\0")
    return (first, last), b""
