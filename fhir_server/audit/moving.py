"""A log in folders taken over into MongoDB, byte for byte: chains, statements and signatures stay.

What the old server left open stays open: the first process that takes its chain closes it, as after a crash.
The index is not taken over; it is made anew.
"""

from __future__ import annotations

from collections.abc import Iterator

from fhir_server.audit.mongodb.shelf import MongoShelf
from fhir_server.audit.shelf import Segment, Shelf
from fhir_server.faults import Fault, Kind


def take_over(source: Shelf, target: MongoShelf) -> Iterator[Segment]:
    """Take over what ``target`` lacks of the log in ``source``; yield each segment once it is there.

    One that was stopped goes on. Raises Fault(CONFLICT) while a process writes to either, and when the
    target has chains of its own by the same names.
    """
    if not (source.is_idle() and target.is_idle()):
        raise Fault(Kind.CONFLICT, "A server still writes to the old log, or to the new one: stop it first.")
    chains = source.chains()
    for chain in chains:
        _refuse_strangers(source, target, chain)
    heads = source.heads()
    for chain in chains:
        known = set(target.segments(chain))
        for segment in source.segments(chain):
            if segment not in known:
                target.adopt(segment, source.content(segment), source.statement(segment))
                yield segment
        target.remember(chain, source.note(chain), heads.get(chain))


def _refuse_strangers(source: Shelf, target: Shelf, chain: str) -> None:
    """Raise unless what the target has of a chain is the source's."""
    for segment in target.segments(chain):
        if target.header(segment) != _header(source, segment):
            raise Fault(
                Kind.CONFLICT,
                "The database has an audit log of its own already: an old one is taken over before the new "
                "server is first started.",
            )


def _header(shelf: Shelf, segment: Segment) -> bytes | None:
    header = shelf.header(segment)
    return None if header is None else header[: header.find(b"\n") + 1]
