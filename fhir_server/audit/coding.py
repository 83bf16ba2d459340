"""The code systems of AuditEvents, and who reports them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

Tree = dict[str, Any]

DICOM: Final = "http://dicom.nema.org/resources/ontology/DCM"
ROLES: Final = "http://terminology.hl7.org/CodeSystem/object-role"
ENTITIES: Final = "http://terminology.hl7.org/CodeSystem/audit-entity-type"

CLIENTS: Final = "urn:fhir-server:client"
"""System of the identifiers of OAuth2 clients."""

SOURCE: Final = (DICOM, "110153", "Source Role ID")
DESTINATION: Final = (DICOM, "110152", "Destination Role ID")
APPLICATION: Final = (DICOM, "110150", "Application")


@dataclass(frozen=True, slots=True)
class Origin:
    """Who reports: the server's name and network address, as others know it."""

    name: str = "fhir-server"
    address: str = "localhost"


def concept(coding: tuple[str, str, str]) -> Tree:
    """Return a CodeableConcept with one coding: system, code, display."""
    return {"coding": [{"system": coding[0], "code": coding[1], "display": coding[2]}]}
