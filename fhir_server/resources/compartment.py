"""Compartments: which types belong to a patient, practitioner, encounter … and by which search parameters.

https://hl7.org/fhir/R4/compartmentdefinition.html
"""

from __future__ import annotations

from functools import cache

from fhir_server.resources.types import compartments

_ITSELF = "{def}"
"""What the definitions write for "the resource that the compartment is named for is itself a member"."""


def parameters(compartment: str, type_: str) -> tuple[str, ...]:
    """Return the search parameters that put a ``type_`` into a ``compartment``; empty when none does.

    A resource is a member when any of them refers to the compartment's own resource. That resource itself
    (``Patient/1`` of Patient/1) is always a member and is not told by a parameter.
    """
    return _members(compartment).get(type_, ())


def member_types(compartment: str) -> tuple[str, ...]:
    """Return the types whose resources may belong to a ``compartment``, its own among them, sorted."""
    found = {name for name, params in _members(compartment).items() if params}
    return tuple(sorted({*found, compartment}))


@cache
def _members(compartment: str) -> dict[str, tuple[str, ...]]:
    rows = compartments()[compartment]
    return {name: tuple(p for p in params if p != _ITSELF) for name, params in rows.items()}
