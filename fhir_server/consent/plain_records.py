"""Whether a provision is about a record, told simply: the measure of :mod:`consent.records`.

A denial is about what it may be about, a permission about what it surely is; docs/consent.md tells more.
"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_server.consent.policy import policy, sensitivities_below
from fhir_server.consent.provisions import OWN, Provision
from fhir_server.consent.tables import (
    author_parameters,
    clinical_date,
    code_parameters,
    medication_parameter,
    references,
)
from fhir_server.search.match import Resolve
from fhir_server.search.values import Values


@dataclass(frozen=True, slots=True)
class Record:
    """A record as the index knows it; ``resolve`` gives the values of others, as for ``search.match``."""

    type: str
    id: str
    values: Values
    resolve: Resolve


def is_about(record: Record, provision: Provision) -> bool:
    """Tell whether the record is one of those that the provision speaks of."""
    terms = provision.terms
    return (
        (not terms.labels or _is_labelled(record, provision))
        and (not terms.classes or any(_is_of(record, kind, code) for kind, code in terms.classes))
        and (not terms.codes or _is_coded(record, set(terms.codes)))
        and (terms.period is None or _is_dated(record, *terms.period, permit=provision.permit))
        and (not terms.data or any(_is_meant(record, each, provision.permit) for each in terms.data))
    )


def labels(record: Record) -> set[tuple[str, str]]:
    """Return system and code of each security label."""
    return {(system, code) for param, system, code in record.values.tokens if param == "_security"}


def _is_labelled(record: Record, provision: Provision) -> bool:
    for system, code in provision.terms.labels:
        ordered = policy().ordered.get(system)
        if ordered is None or code not in ordered.order:
            if any((system, each) in labels(record) for each in sensitivities_below(system, code)):
                return True
            continue
        height, limit = _height(record, system), ordered.order.index(code)
        if height <= limit if provision.permit else height >= limit:
            return True
    return False


def _height(record: Record, system: str) -> int:
    """Return how high the record is labelled: by its highest label, or as the highest if none is known."""
    ordered = policy().ordered[system]
    codes = {code for each, code in labels(record) if each == system}
    if not codes:
        return ordered.order.index(ordered.unlabelled)
    return max((ordered.order.index(each) for each in codes if each in ordered.order), default=99)


def _is_of(record: Record, kind: str, code: str) -> bool:
    if kind == "type":
        return record.type == code
    known = policy().document_parameters if kind == "document" else policy().content_parameters
    system = "http://loinc.org" if kind == "document" else None
    param = known.get(record.type)
    return any(
        name == param and system in (None, found_system) and found == code
        for name, found_system, found in record.values.tokens
    )


def _is_coded(record: Record, codes: set[tuple[str, str]]) -> bool:
    params = code_parameters(record.type)
    if any(name in params and (system, code) in codes for name, system, code in record.values.tokens):
        return True
    param = medication_parameter(record.type)
    medications = (_at(record, to) for name, to in record.values.references if name == param)
    return any(
        name == "code" and (system, code) in codes
        for found in medications
        if found is not None
        for name, system, code in found.tokens
    )


def _is_dated(record: Record, lo: int, hi: int, *, permit: bool) -> bool:
    if record.type in policy().standing:
        return permit
    param = clinical_date(record.type)
    spans = [(first, last) for name, first, last in record.values.dates if name == param]
    if not spans:
        return not permit
    if permit:
        return all(first >= lo and last <= hi for first, last in spans)
    return any(first <= hi and last >= lo for first, last in spans)


def _is_meant(record: Record, datum: tuple[str, str], permit: bool) -> bool:
    meaning, reference = datum
    itself = f"{record.type}/{record.id}" == reference or (
        reference == OWN and record.type == "Patient" and meaning != "authoredby"
    )
    if meaning == "authoredby":
        return _is_by(record, reference)
    if reference == OWN:
        return itself or meaning == "dependents"
    if itself or meaning == "instance" or (record.type in policy().standing and not permit):
        return itself
    return (meaning == "related" and _is_referred_to_by(record, reference)) or (
        (meaning == "dependents" or reference.partition("/")[0] in policy().contexts)
        and _refers(record, references(record.type, reference.partition("/")[0]), reference)
    )


def _is_referred_to_by(record: Record, reference: str) -> bool:
    other = _at(record, reference)
    params = references(reference.partition("/")[0], record.type)
    here = f"{record.type}/{record.id}"
    return other is not None and any(name in params and to == here for name, to in other.references)


def _is_by(record: Record, author: str) -> bool:
    named = author.partition("/")[0]
    if _refers(record, author_parameters(record.type, named), author):
        return True
    if named != "Organization" or record.type == "Encounter":
        return False
    params = references(record.type, "Encounter")
    encounters = (_at(record, to) for name, to in record.values.references if name in params)
    return any(found is not None and ("service-provider", author) in found.references for found in encounters)


def _refers(record: Record, params: tuple[str, ...], reference: str) -> bool:
    return any(name in params and to == reference for name, to in record.values.references)


def _at(record: Record, reference: str) -> Values | None:
    named, _, id_ = reference.partition("/")
    return record.resolve(named, id_)
