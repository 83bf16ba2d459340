"""Which patients a resource is about: those into whose compartment it falls.

The parameters of the CompartmentDefinition alone say so; other references, such as ``Observation.focus``, do
not. A Patient is about itself, and a Device about the patient that it is assigned to, though the definition
does not say so. https://hl7.org/fhir/R4/compartmentdefinition-patient.html
"""

from __future__ import annotations

from typing import Final

from fhir_server.resources import compartment
from fhir_server.search.values import Values

_PATIENT: Final = "Patient/"


def parameters(type_: str) -> tuple[str, ...]:
    """Return the parameters whose references to a patient say that a ``type_`` is about it."""
    return ("patient",) if type_ == "Device" else compartment.parameters("Patient", type_)


def subjects(type_: str, id_: str, values: Values) -> tuple[str, ...]:
    """Return the ids of the patients that ``type_/id_`` with these references is about, each once."""
    found = [id_] if type_ == "Patient" else []
    params = parameters(type_)
    if params:
        found += [
            target[len(_PATIENT) :]
            for param, target in values.references
            if target.startswith(_PATIENT) and param in params
        ]
    return tuple(dict.fromkeys(found))
