"""What a patient, a practitioner or an organisation may see of a type: predicates, nothing else.

Membership of a compartment is by the parameters of its CompartmentDefinition alone; other references, such as
``Observation.focus``, confer nothing. https://hl7.org/fhir/R4/compartmentdefinition.html
"""

from __future__ import annotations

from functools import lru_cache

from fhir_server.access.policy import policy
from fhir_server.resources.compartment import parameters
from fhir_server.search import subjects
from fhir_server.search.predicate import (
    EVERYTHING,
    NOTHING,
    Chain,
    Has,
    IdIn,
    Predicate,
    Present,
    ReferenceIs,
    Where,
    any_of,
    negate,
)

UNASSIGNED: Predicate = negate(any_of((Where("patient", Present()), Where("patient:identifier", Present()))))
"""A Device that is nobody's."""


def common(type_: str, *, knowledge: bool) -> Predicate:
    """Return what of ``type_`` is about no patient: universal types, devices in nobody's use, definitions."""
    if type_ in policy().universal or (knowledge and type_ in policy().knowledge):
        return EVERYTHING
    return UNASSIGNED if type_ == "Device" else NOTHING


def compartment(name: str, ids: tuple[str, ...], type_: str) -> Predicate:
    """Return what of ``type_`` belongs to the compartments ``name/id`` of ``ids``; no ids, nothing.

    A Device belongs to the patient it is assigned to, though the definition does not say so.
    """
    return _naming(name, ids, type_, _members(name, type_))


def about(patient: str, type_: str) -> Predicate:
    """Return what of ``type_`` is about a patient (logical id), whose consent therefore counts."""
    return _naming("Patient", (patient,), type_, subjects.parameters(type_))


def _naming(name: str, ids: tuple[str, ...], type_: str, params: tuple[str, ...]) -> Predicate:
    if not ids:
        return NOTHING
    targets = ReferenceIs(tuple(f"{name}/{id_}" for id_ in ids))
    itself = IdIn(ids) if type_ == name else NOTHING
    return any_of((itself, *(Where(param, targets) for param in params)))


@lru_cache(maxsize=20_000)
def organisation(reference: str, type_: str) -> Predicate:
    """Return what of ``type_`` is the organisation's own (``reference``: ``Organization/1``).

    Its records: those that name it (policy ``owned``), those of patients whose records it manages, and those
    of encounters that it provides. Its patients: those it manages and those it treats or insures.
    """
    it = ReferenceIs((reference,))
    ways: list[Predicate] = [Where(param, it) for param in policy().owned.get(type_, ())]
    if type_ == "Organization":
        ways.append(IdIn((reference.partition("/")[2],)))
    for param, through in policy().owned_through.get(type_, ()):
        owned = any_of(Where(each, it) for each in policy().owned[through])
        ways.append(Chain(param, through, owned))
    if type_ == "Patient":
        ways += [Has(by, patient, Where(owner, it)) for by, patient, owner in policy().patients_of]
    else:
        managed, provided = Where("organization", it), Where("service-provider", it)
        ways += [Chain(param, "Patient", managed) for param in _members("Patient", type_)]
        if type_ != "Encounter":
            ways += [Chain(param, "Encounter", provided) for param in parameters("Encounter", type_)]
    return any_of(ways)


def _members(name: str, type_: str) -> tuple[str, ...]:
    return subjects.membership(type_) if name == "Patient" else parameters(name, type_)
