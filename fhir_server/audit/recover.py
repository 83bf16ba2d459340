"""What a crash left: the last segment of a chain without its statement. It is read to its end and closed.

Nothing is thrown away unseen: bytes at the end that do not follow from what stands before them are copied
into a file beside the segment, said loudly, and counted in the signed statement.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from fhir_server.audit.chain import Broken
from fhir_server.audit.entry import Undecodable
from fhir_server.audit.keys import AuditKeys, replace_file
from fhir_server.audit.segment import BadSegment, Reading, Segment, Statement, close_segment, segments
from fhir_server.faults import Fault, Kind

_LOG = logging.getLogger("fhir_server.audit")


def recover(keys: AuditKeys, folder: Path, now: int) -> Statement | None:
    """Close the last segment of the chain in ``folder`` if need be; return its statement, None without one.

    The caller holds the chain's lock. Raises Fault(UNAVAILABLE) when the segment cannot be read at all: then
    it takes a person to say what became of it.
    """
    known = segments(folder)
    if not known:
        return None
    last = known[-1]
    try:
        return last.statement() or _close(keys, last, now)
    except BadSegment:
        raise Fault(
            Kind.UNAVAILABLE,
            f"Segment {last.name} of the audit log cannot be read; `fhir-server audit verify` tells more. "
            "Move the folder of its chain away to start a new one, and keep it for the investigation.",
        ) from None


def _close(keys: AuditKeys, segment: Segment, now: int) -> Statement:
    data = segment.path.read_bytes()
    reading = Reading.begin(keys, data)
    first = last = 0
    dropped = 0
    try:
        for _, entry in reading.entries():
            first = first or entry.at
            last = entry.at
    except (Broken, Undecodable):
        torn = data[reading.offset :].rstrip(b"\0")
        dropped = len(torn)
        replace_file(segment.torn_path, torn)
        _LOG.error(
            "The end of an audit segment could not be read and was set aside: look into it",
            extra={"fields": {"segment": segment.name, "bytes": dropped, "entries": reading.chain.count}},
        )
    with segment.path.open("r+b") as file:
        file.truncate(reading.offset)
        os.fsync(file.fileno())
    _LOG.warning(
        "An audit segment that a crash had left open was closed",
        extra={"fields": {"segment": segment.name, "entries": reading.chain.count}},
    )
    return close_segment(keys, segment, reading, (first, last), now, dropped)
