"""The archived original: Binary of the bytes, DocumentReference of their digest, Provenance of what was made.

Sending the same bytes again changes nothing: the Binary is put under its own digest, the DocumentReference
under its identifier, and the Provenance is made only when there is none of that document.
https://hl7.org/fhir/R4/documentreference.html, binary.html, provenance.html
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha1, sha256
from typing import Any

from mappings.engine import ids
from mappings.engine.model import Context, Map, Message, Tree
from mappings.engine.systems import common


def archive(map_: Map, messages: Sequence[Message], entries: Sequence[Tree], context: Context) -> list[Tree]:
    """Return the three entries that keep the original of ``messages``; none when they have no bytes."""
    original = b"".join(message.raw for message in messages)
    if not original:
        return []
    digest = sha256(original).hexdigest()
    system = common().system("archive-sha256")
    document_url = ids.full_url("DocumentReference", system, digest)
    binary_url = ids.full_url("Binary", system, digest)
    patient = _one_patient(entries)
    return [
        {
            "fullUrl": binary_url,
            "resource": _binary(original, digest, document_url, context),
            "request": {"method": "PUT", "url": f"Binary/{digest}"},
        },
        {
            "fullUrl": document_url,
            "resource": _document(map_, original, digest, system, binary_url, patient, context),
            "request": {"method": "PUT", "url": ids.condition("DocumentReference", system, digest)},
        },
        {
            "fullUrl": ids.full_url("Provenance", system, digest),
            "resource": _provenance(map_, entries, document_url, context),
            "request": {
                "method": "POST",
                "url": "Provenance",
                "ifNoneExist": f"entity:DocumentReference.identifier={ids.token(system, digest)}",
            },
        },
    ]


def _one_patient(entries: Sequence[Tree]) -> str | None:
    """Return the fullUrl of the patient whom all of it is about; None when there are several or none."""
    found = [entry["fullUrl"] for entry in entries if entry["resource"]["resourceType"] == "Patient"]
    return found[0] if len(found) == 1 else None


def _binary(original: bytes, digest: str, document: str, context: Context) -> Tree:
    return {
        "resourceType": "Binary",
        # 64 hexadecimal digits are an id, so the same bytes are the same Binary.
        "id": digest,
        "contentType": context.media_type,
        # Who may not see the document may not see its bytes: https://hl7.org/fhir/R4/binary.html#security
        "securityContext": {"reference": document},
        "data": b64encode(original).decode(),
    }


def _document(
    map_: Map, original: bytes, digest: str, system: str, binary: str, patient: str | None, context: Context
) -> Tree:
    attachment: dict[str, Any] = {
        "contentType": context.media_type,
        "url": binary,
        "size": len(original),
        # R4 wants SHA-1 here, whatever else is known: https://hl7.org/fhir/R4/datatypes.html#Attachment
        "hash": b64encode(sha1(original, usedforsecurity=False).digest()).decode(),
        "title": " ".join(part for part in (map_.format, map_.kind, map_.direction) if part),
    }
    return {
        "resourceType": "DocumentReference",
        "identifier": [{"system": system, "value": digest}],
        "status": "current",
        "type": {"text": map_.title.get("en") or map_.name},
        **({"subject": {"reference": patient}} if patient else {}),
        "content": [{"attachment": attachment}],
    }


def _provenance(map_: Map, entries: Sequence[Tree], document: str, context: Context) -> Tree:
    find = common().system
    agents: list[Tree] = [
        {
            "type": {"coding": [{"system": find("provenance-participant"), "code": "assembler"}]},
            "who": {"display": f"fhir-map: {map_.name} {map_.version}".strip()},
        }
    ]
    if context.organization is not None:
        system, value = context.organization
        agents.append(
            {
                "type": {"coding": [{"system": find("provenance-participant"), "code": "author"}]},
                "who": {"type": "Organization", "identifier": {"system": system, "value": value}},
            }
        )
    return {
        "resourceType": "Provenance",
        "target": [{"reference": entry["fullUrl"]} for entry in entries],
        "recorded": context.now,
        "activity": {"coding": [{"system": find("data-operation"), "code": "CREATE"}]},
        "agent": agents,
        "entity": [{"role": "source", "what": {"reference": document}}],
    }
