"""Required bindings: a code must come from the value set that the element names.

https://hl7.org/fhir/R4/terminologies.html#required
"""

from __future__ import annotations

from functools import cache
from typing import Any

from fhir_server.resources.types import value_sets

CODED = frozenset({"code", "Coding", "CodeableConcept", "Quantity"})
"""The types that a binding applies to."""


@cache
def codes(url: str) -> frozenset[str]:
    """Return the codes of a value set, for elements of type ``code``."""
    return frozenset(code for listed in value_sets()[url].values() for code in listed)


@cache
def pairs(url: str) -> frozenset[tuple[str, str]]:
    """Return (system, code) of every code in a value set."""
    return frozenset((system, code) for system, listed in value_sets()[url].items() for code in listed)


def concept_is_bound(value: Any, allowed: frozenset[tuple[str, str]]) -> bool:
    """Tell whether a CodeableConcept, Coding or Quantity has a code out of ``allowed``.

    Text alone is not enough. A value that gives no code but an extension says why there is none, and passes.
    """
    if type(value) is not dict:
        return True
    if "coding" not in value:
        return _pair(value) in allowed if "code" in value else "extension" in value
    coding = value["coding"]
    return type(coding) is list and any(_pair(each) in allowed for each in coding if type(each) is dict)


def _pair(coding: dict[str, Any]) -> tuple[str, str]:
    system, code = coding.get("system"), coding.get("code")
    return (system if type(system) is str else "", code if type(code) is str else "")
