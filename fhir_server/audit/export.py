"""Export: the AuditEvents of a span of time as NDJSON, the last line a signed Provenance over all before it.

Whoever checks the server needs no key for it, only the public half of the audit's signing key.
https://hl7.org/fhir/R4/provenance.html#signatures
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import Any, Final

from fhir_server.audit.coding import Origin
from fhir_server.audit.events import audit_events, id_of
from fhir_server.audit.keys import AuditKeys
from fhir_server.audit.segment import Reading, read_statement
from fhir_server.audit.shelf import Shelf
from fhir_server.clock import instant
from fhir_server.resources.codec import encode, with_meta

SIGNATURE_FORMAT: Final = "application/octet-stream; algorithm=Ed25519; digest=BLAKE2b-256"


def exported(
    shelf: Shelf, keys: AuditKeys, since: int, until: int, now: int, origin: Origin
) -> Iterator[bytes]:
    """Yield the lines, each ending in a line feed: events from ``since`` up to ``until`` (ms, excluded).

    Chain by chain, in the order of the log. Raises what :class:`segment.Reading` raises where the log is
    broken: then nothing is signed.
    """
    digest = hashlib.blake2b(digest_size=32)
    for line in _lines(shelf, keys, since, until, origin):
        digest.update(line)
        yield line
    yield encode(_provenance(digest.digest(), keys, since, until, now, origin)) + b"\n"


def digest_of(lines: bytes) -> bytes:
    """Return what the signature is over: the BLAKE2b-256 digest of all lines before the last one."""
    body = lines[: lines.rstrip(b"\n").rfind(b"\n") + 1]
    return hashlib.blake2b(body, digest_size=32).digest()


def _lines(shelf: Shelf, keys: AuditKeys, since: int, until: int, origin: Origin) -> Iterator[bytes]:
    for segment in (each for chain in shelf.chains() for each in shelf.segments(chain)):
        statement = read_statement(shelf.statement(segment))
        if statement is not None and (statement.last < since or statement.first >= until):
            continue
        content = shelf.content(segment)
        if content is None:
            continue
        for number, entry in Reading.begin(keys, content).entries_so_far():
            if not since <= entry.at < until:
                continue
            for part, tree in enumerate(audit_events(entry, origin)):
                id_ = id_of(*segment, number, part)
                yield encode(with_meta(tree, id_, 1, instant(entry.at))) + b"\n"


def _provenance(
    digest: bytes, keys: AuditKeys, since: int, until: int, now: int, origin: Origin
) -> dict[str, Any]:
    who = {"display": origin.name, "identifier": {"system": "urn:fhir-server:audit-key", "value": keys.name}}
    return {
        "resourceType": "Provenance",
        "target": [
            {"identifier": {"system": "urn:fhir-server:blake2b-256", "value": digest.hex()}, "type": "Bundle"}
        ],
        "occurredPeriod": {"start": instant(since), "end": instant(until)},
        "recorded": instant(now),
        "agent": [{"who": who}],
        "signature": [
            {
                "type": [
                    {
                        "system": "urn:iso-astm:E1762-95:2013",
                        "code": "1.2.840.10065.1.12.1.5",
                        "display": "Verification Signature",
                    }
                ],
                "when": instant(now),
                "who": who,
                "targetFormat": "application/fhir+ndjson",
                "sigFormat": SIGNATURE_FORMAT,
                "data": base64.b64encode(keys.sign(digest)).decode(),
            }
        ],
    }
