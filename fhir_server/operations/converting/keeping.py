"""Dead letters: originals that failed, kept with the report of why, until the same bytes come through.

A Binary of the bytes and a DocumentReference of category dead-letter, under the digest that the archive uses:
``DocumentReference?category=dead-letter`` lists them, and the same message taken later takes its place. They
are about nobody in particular, so only who sees the whole house's documents sees them, and the server writes
them itself; it does so for callers who may write documents.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha1, sha256
from typing import Final

from fhir_server.access.actor import Actor
from fhir_server.access.bearer import insufficient
from fhir_server.faults import Issue
from fhir_server.interactions.context import Context
from fhir_server.interactions.request import Request, Tree
from fhir_server.operations.converting.telling import few
from fhir_server.resources.outcome import outcome
from mappings.engine import ids
from mappings.engine.systems import common

ARCHIVE: Final = common().system("archive-sha256")
CATEGORY: Final = common().system("archive-category")
DEAD_LETTER: Final = "dead-letter"

_SERVER: Final = Actor.internal("convert")
_WRITTEN: Final = ("Binary", "DocumentReference")


async def keep(
    context: Context, data: bytes, media: str, title: str, report: Sequence[Issue]
) -> tuple[str, str]:
    """Keep ``data`` unless bytes like it are kept or archived; return (system, digest) to find them by.

    Fault FORBIDDEN for a caller who may not create documents.
    """
    if not all(context.decision.permits("c", type_) for type_ in _WRITTEN):
        raise insufficient("Your scopes do not include to create DocumentReference and Binary.")
    digest = sha256(data).hexdigest()
    request = context.request
    await context.run(
        Request(
            "batch",
            method="POST",
            body=_bundle(data, digest, media, title, report),
            base=request.base,
            request_id=request.request_id,
            address=request.address,
            actor=_SERVER,
        )
    )
    return ARCHIVE, digest


def _bundle(data: bytes, digest: str, media: str, title: str, report: Sequence[Issue]) -> Tree:
    document = ids.full_url("DocumentReference", ARCHIVE, digest)
    binary = {
        "resourceType": "Binary",
        "id": digest,
        "contentType": media,
        "securityContext": {"reference": document},
        "data": b64encode(data).decode(),
    }
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": ids.full_url("Binary", ARCHIVE, digest),
                "resource": binary,
                "request": {"method": "PUT", "url": f"Binary/{digest}"},
            },
            {
                "fullUrl": document,
                "resource": _document(data, digest, media, title, report),
                "request": {
                    "method": "POST",
                    "url": "DocumentReference",
                    "ifNoneExist": f"identifier={ids.token(ARCHIVE, digest)}",
                },
            },
        ],
    }


def _document(data: bytes, digest: str, media: str, title: str, report: Sequence[Issue]) -> Tree:
    original = {
        "contentType": media,
        "url": ids.full_url("Binary", ARCHIVE, digest),
        "size": len(data),
        # R4 wants SHA-1 here: https://hl7.org/fhir/R4/datatypes.html#Attachment
        "hash": b64encode(sha1(data, usedforsecurity=False).digest()).decode(),
        "title": title,
    }
    why = {
        "contentType": "application/fhir+json",
        "data": b64encode(outcome(few(report))).decode(),
        "title": "Why it failed (OperationOutcome)",
    }
    return {
        "resourceType": "DocumentReference",
        "identifier": [{"system": ARCHIVE, "value": digest}],
        "status": "current",
        "docStatus": "preliminary",
        "category": [{"coding": [{"system": CATEGORY, "code": DEAD_LETTER}]}],
        "description": "A message that could not be taken (死信)",
        "content": [{"attachment": original}, {"attachment": why}],
    }
