"""Which patients a resource is about, for their consents; and by which parameters it is in their compartment.

It is about those into whose compartment it falls, and R4 puts some types into none that are about a patient
all the same, such as Task: ``conformance/policies/subjects.json`` names their parameters. It lists every
other parameter that may lead to a patient too, with why it tells of nobody: who acts (``acts``), what is
referred to beside the record's own subject (``refers``), what has a rule of its own (``context``). Rights
follow the compartment alone. https://hl7.org/fhir/R4/compartmentdefinition-patient.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec

from fhir_server.resources import compartment
from fhir_server.search.parameters import parameters as catalogue
from fhir_server.search.values import Values

PATIENT: Final = "Patient"
BUNDLE: Final = "Bundle"
_PATIENT: Final = f"{PATIENT}/"


@dataclass(frozen=True, slots=True)
class Subjects:
    """The lists of ``subjects.json``: type → parameters, those ``not_about`` a patient by the reason why."""

    about: Mapping[str, tuple[str, ...]]
    not_about: Mapping[str, Mapping[str, tuple[str, ...]]]


@cache
def policy() -> Subjects:
    """Return the lists, read once."""
    content = (files("conformance") / "policies" / "subjects.json").read_bytes()
    return msgspec.json.decode(content, type=Subjects)


def membership(type_: str) -> tuple[str, ...]:
    """Return the parameters whose references to a patient put a ``type_`` into its compartment.

    A Device belongs to the patient that it is assigned to, though the definition does not say so.
    """
    return ("patient",) if type_ == "Device" else compartment.parameters("Patient", type_)


@cache
def parameters(type_: str) -> tuple[str, ...]:
    """Return the parameters whose references to a patient say that a ``type_`` is about it."""
    return (*membership(type_), *policy().about.get(type_, ()))


@cache
def telling(type_: str) -> frozenset[str]:
    """Return all parameters of R4 by which a reference to a patient says that a ``type_`` is about it.

    Beside those of :func:`parameters`, those that read no more than they do, such as ``Observation.patient``:
    each parameter that reads more is on a list of those that tell of nobody.
    """
    silent = {code for lists in policy().not_about.values() for code in lists.get(type_, ())}
    referring = (
        code
        for code, each in catalogue(type_).items()
        if each.type == "reference" and PATIENT in each.targets
    )
    return frozenset((*parameters(type_), *(code for code in referring if code not in silent)))


def may_be_about(type_: str) -> bool:
    """Tell whether a ``type_`` may be about a patient: a Bundle is about those whom its entries are about."""
    return type_ in (PATIENT, BUNDLE) or bool(parameters(type_))


def subjects(type_: str, id_: str, values: Values) -> tuple[str, ...]:
    """Return the ids of the patients that ``type_/id_`` with these references is about, each once.

    A Patient is about itself.
    """
    return _patients(parameters(type_), type_, id_, values)


def members(type_: str, id_: str, values: Values) -> tuple[str, ...]:
    """Return the ids of the patients in whose compartment ``type_/id_`` with these references is."""
    return _patients(membership(type_), type_, id_, values)


def _patients(params: tuple[str, ...], type_: str, id_: str, values: Values) -> tuple[str, ...]:
    found = [id_] if type_ == PATIENT else []
    if params:
        found += [
            target[len(_PATIENT) :]
            for param, target in values.references
            if target.startswith(_PATIENT) and param in params
        ]
    return tuple(dict.fromkeys(found))
