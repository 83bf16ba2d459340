"""What was said of segments when they were closed: the server's log lines, as somebody else keeps them.

Who may change everything where the audit log lies cannot change what another machine has heard.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from fhir_server.audit.shelf import Segment

LOGGER: Final = "fhir_server.audit"


class _Line(msgspec.Struct):
    """What counts of a line. Every line of the server has a logger, those of closed segments the others."""

    logger: str = ""
    segment: str = ""
    hash: str = ""


_decode = msgspec.json.Decoder(_Line).decode


def heard(lines: Iterable[bytes]) -> dict[Segment, set[str]]:
    """Return the final hashes, in hexadecimal, of the segments that log lines tell of.

    What a collector put before a line (a time, a host) and lines of other kinds are passed over.
    """
    told: dict[Segment, set[str]] = {}
    for line in lines:
        start = line.find(b"{")
        try:
            said = _decode(line[start:]) if start >= 0 else _Line()
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        chain, slash, number = said.segment.partition("/")
        if said.logger == LOGGER and said.hash and slash and number.isdecimal():
            told.setdefault(Segment(chain, int(number)), set()).add(said.hash)
    return told
