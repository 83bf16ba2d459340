"""The search parameters of R4, for each resource type.

https://hl7.org/fhir/R4/searchparameter-registry.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from types import MappingProxyType
from typing import Literal

from fhir_server.faults import Fault, Kind
from fhir_server.resources.types import RESOURCE_TYPES, definitions, table
from fhir_server.search.targets import reachable

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
        """True when this server can search by it: of the special ones, by ``near``."""
        return self.type != "special" or self.code == "near"

    @property
    def is_sortable(self) -> bool:
        """True when its values have an order: not those of composites and special parameters."""
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


@dataclass(frozen=True, slots=True)
class Custom:
    """A search parameter that a stored SearchParameter defines, for each type of ``base``.

    ``is_active``: the index is whole, so that it can be searched by; until then writes fill the
    index already.
    """

    parameter: Parameter
    base: tuple[str, ...]
    is_active: bool = False


class Registry:
    """The search parameters that a server knows: those of R4, and custom ones. It never changes.

    ``generation``: the number of this set of custom parameters, for telling an index row's extractor from a
    later one; 0 for R4 alone.
    """

    def __init__(self, custom: Iterable[Custom] = (), generation: int = 0) -> None:
        self.generation = generation
        self._custom: dict[str, list[Custom]] = {}
        self._known: dict[str, Mapping[str, Parameter]] = {}
        for each in custom:
            for type_ in each.base:
                self._custom.setdefault(type_, []).append(each)

    def parameters(self, type_: str) -> Mapping[str, Parameter]:
        """Return the parameters that ``type_`` can be searched by, by code; of every type for "Resource"."""
        if type_ not in self._custom:
            return parameters(type_)
        known = self._known.get(type_)
        if known is None:
            active = {each.parameter.code: each.parameter for each in self._custom[type_] if each.is_active}
            known = self._known[type_] = MappingProxyType({**parameters(type_), **active})
        return known

    def custom(self, type_: str) -> tuple[Parameter, ...]:
        """Return the custom parameters whose values are extracted from a ``type_``, active or not."""
        return tuple(each.parameter for each in self._custom.get(type_, ()))

    def is_building(self, type_: str, code: str) -> bool:
        """Tell whether ``code`` is a custom parameter of ``type_`` whose index is not whole yet."""
        return any(each.parameter.code == code and not each.is_active for each in self._custom.get(type_, ()))

    def resolve(self, type_: str, code: str) -> Parameter:
        """Return the parameter ``code`` of ``type_``; raises :class:`UnknownParameter` with near names."""
        known = self.parameters(type_)
        parameter = known.get(code)
        if parameter is not None:
            return parameter
        if self.is_building(type_, code):
            raise UnknownParameter(
                f"The index of the search parameter {shown(code)} of {type_} is being built; search by it "
                "when $reindex has finished."
            )
        # A long name resembles nothing, and comparing it would cost time that grows with its length.
        near = get_close_matches(code, known, n=3) if len(code) <= 64 else []
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise UnknownParameter(f"This server knows no search parameter {shown(code)} of {type_}.{hint}")


@cache
def parameters(type_: str) -> Mapping[str, Parameter]:
    """Return R4's search parameters of ``type_`` by code; those of every type for "Resource".

    Those without an expression (``_text``, ``_content``, ``_query``) are not listed: they search no element.
    """
    levels = ["Resource"]
    if type_ != "Resource":
        # https://hl7.org/fhir/R4/domainresource.html: Bundle, Binary and Parameters are not of that kind.
        is_domain = any(element.name == "contained" for element in definitions()[type_].elements)
        levels += [*(["DomainResource"] if is_domain else []), type_]
    by_base = _by_base()
    found = (each for level in levels for each in by_base.get(level, ()))
    return MappingProxyType({each.code: _held(each, type_) for each in found})


def _held(parameter: Parameter, type_: str) -> Parameter:
    """Hold a reference to the types that it can lead to from ``type_``."""
    if parameter.type != "reference" or type_ == "Resource":
        return parameter
    targets = reachable(parameter.targets, parameter.expression, type_)
    return parameter if targets == parameter.targets else replace(parameter, targets=targets)


@cache
def by_url() -> Mapping[str, Parameter]:
    """Return every search parameter by its canonical URL (a composite names its components so)."""
    return MappingProxyType({each.url: each for level in _by_base().values() for each in level})


SECURITY_CONTEXT = Parameter(
    code="security-context",
    type="reference",
    url="https://fhir-server.invalid/SearchParameter/Binary-security-context",
    expression="Binary.securityContext",
    targets=tuple(sorted(RESOURCE_TYPES)),
)
"""This server's own: whose rules a Binary follows. https://hl7.org/fhir/R4/binary.html#security"""


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
    found.setdefault("Binary", []).append(SECURITY_CONTEXT)
    return found


R4 = Registry()
"""R4's own parameters and no others."""


def shown(name: str) -> str:
    """Quote a caller's name for a sentence: what is odd or long is not repeated."""
    return repr(name) if len(name) <= 64 and name.isascii() and name.isprintable() else "of that name"
