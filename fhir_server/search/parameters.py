"""The search parameters of R4, for each resource type.

https://hl7.org/fhir/R4/searchparameter-registry.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from types import MappingProxyType
from typing import Literal

from fhir_server.faults import Fault, Kind
from fhir_server.resources.types import RESOURCE_TYPES, definitions, table

Type = Literal["token", "string", "date", "number", "quantity", "reference", "uri", "composite", "special"]
"""https://hl7.org/fhir/R4/search.html#ptypes"""


@dataclass(frozen=True, slots=True)
class Component:
    """One half of a composite parameter: its definition's URL and the path from the composite's element."""

    definition: str
    expression: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """One search parameter. ``targets``: the types that a reference may lead to."""

    code: str
    type: Type
    url: str
    expression: str
    targets: tuple[str, ...] = ()
    components: tuple[Component, ...] = ()

    @property
    def is_searchable(self) -> bool:
        """True when this server can search by it: composites and ``near`` (special) are not supported yet."""
        return self.type not in ("composite", "special")


class UnknownParameter(Fault):
    """A search parameter that this server does not know; the only fault that lenient handling forgives.

    https://hl7.org/fhir/R4/search.html#errors
    """

    def __init__(self, diagnostics: str) -> None:
        super().__init__(Kind.UNSUPPORTED_PARAMETER, diagnostics)


CLINICAL_DATE: Mapping[str, str] = MappingProxyType(
    {
        "AdverseEvent": "date",
        "AllergyIntolerance": "date",
        "Appointment": "date",
        "AuditEvent": "date",
        "CarePlan": "date",
        "CareTeam": "date",
        "ChargeItem": "occurrence",
        "Claim": "created",
        "ClaimResponse": "created",
        "ClinicalImpression": "date",
        "Communication": "sent",
        "CommunicationRequest": "authored",
        "Composition": "date",
        "Condition": "recorded-date",
        "Consent": "date",
        "CoverageEligibilityRequest": "created",
        "CoverageEligibilityResponse": "created",
        "DetectedIssue": "identified",
        "DeviceRequest": "authored-on",
        "DiagnosticReport": "date",
        "DocumentManifest": "created",
        "DocumentReference": "date",
        "Encounter": "date",
        "EpisodeOfCare": "date",
        "ExplanationOfBenefit": "created",
        "FamilyMemberHistory": "date",
        "Flag": "date",
        "Goal": "start-date",
        "ImagingStudy": "started",
        "Immunization": "date",
        "ImmunizationEvaluation": "date",
        "ImmunizationRecommendation": "date",
        "List": "date",
        "Media": "created",
        "MedicationAdministration": "effective-time",
        "MedicationDispense": "whenhandedover",
        "MedicationRequest": "authoredon",
        "MedicationStatement": "effective",
        "NutritionOrder": "datetime",
        "Observation": "date",
        "PaymentNotice": "created",
        "PaymentReconciliation": "created",
        "Procedure": "date",
        "QuestionnaireResponse": "authored",
        "RequestGroup": "authored",
        "RiskAssessment": "date",
        "ServiceRequest": "authored",
        "SupplyRequest": "date",
        "Task": "authored-on",
        "VisionPrescription": "datewritten",
    }
)
"""For a type whose records lie on a patient's time line: the date parameter that says where.

Each leads to an element that occurs at most once, so that its least and its greatest value are the same: a
store may keep it beside every reference and read "this patient's, newest first" as one range.
"""


@cache
def parameters(type_: str) -> Mapping[str, Parameter]:
    """Return the search parameters of ``type_`` by code; those of every type for "Resource".

    Those without an expression (``_text``, ``_content``, ``_query``) are not listed: they search no element.
    """
    levels = ["Resource"]
    if type_ != "Resource":
        # https://hl7.org/fhir/R4/domainresource.html: Bundle, Binary and Parameters are not of that kind.
        is_domain = any(element.name == "contained" for element in definitions()[type_].elements)
        levels += [*(["DomainResource"] if is_domain else []), type_]
    by_base = _by_base()
    return MappingProxyType({each.code: each for level in levels for each in by_base.get(level, ())})


@cache
def by_url() -> Mapping[str, Parameter]:
    """Return every search parameter by its canonical URL (a composite names its components so)."""
    return MappingProxyType({each.url: each for level in _by_base().values() for each in level})


@cache
def _by_base() -> dict[str, list[Parameter]]:
    found: dict[str, list[Parameter]] = {}
    for row in table("parameters"):
        if "expression" not in row:
            continue
        parameter = Parameter(
            code=row["code"],
            type=row["type"],
            url=row["url"],
            expression=row["expression"],
            targets=tuple(target for target in row.get("target", ()) if target in RESOURCE_TYPES),
            components=tuple(Component(**component) for component in row.get("component", ())),
        )
        for base in row["base"]:
            found.setdefault(base, []).append(parameter)
    return found


def resolve(type_: str, code: str) -> Parameter:
    """Return the search parameter ``code`` of ``type_``; raises :class:`UnknownParameter` with near names."""
    known = parameters(type_)
    parameter = known.get(code)
    if parameter is not None:
        return parameter
    # A long name resembles nothing, and comparing it would cost time that grows with its length.
    near = get_close_matches(code, known, n=3) if len(code) <= 64 else []
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    raise UnknownParameter(f"This server knows no search parameter {shown(code)} of {type_}.{hint}")


def shown(name: str) -> str:
    """Quote a caller's name for a sentence: what is odd or long is not repeated."""
    return repr(name) if len(name) <= 64 and name.isascii() and name.isprintable() else "of that name"
