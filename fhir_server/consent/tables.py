"""Where the index holds what a provision speaks of: for each type its codes, authors, references and dates.

https://hl7.org/fhir/R4/searchparameter-registry.html
"""

from __future__ import annotations

from functools import cache

from fhir_server.consent.policy import policy
from fhir_server.search.parameters import CLINICAL_DATE, parameters


@cache
def code_parameters(type_: str) -> tuple[str, ...]:
    """Return the parameters that hold what a record is about: its code, category, reason, finding …"""
    wanted = policy().code_parameters
    known = parameters(type_).items()
    return tuple(sorted(code for code, each in known if each.type == "token" and code in wanted))


@cache
def medication_parameter(type_: str) -> str | None:
    """Return the parameter that leads to the Medication whose code is the record's; None without one."""
    found = parameters(type_).get("medication")
    return "medication" if found is not None and "Medication" in found.targets else None


@cache
def author_parameters(type_: str, author: str) -> tuple[str, ...]:
    """Return the parameters that name who made a ``type_``, where that may be an ``author`` (a type)."""
    wanted = policy().author_parameters
    known = parameters(type_).items()
    return tuple(sorted(code for code, each in known if code in wanted and author in each.targets))


@cache
def references(type_: str, target: str) -> tuple[str, ...]:
    """Return the parameters by which a ``type_`` refers to a ``target`` (a type)."""
    known = parameters(type_).items()
    return tuple(sorted(code for code, each in known if each.type == "reference" and target in each.targets))


def clinical_date(type_: str) -> str | None:
    """Return the parameter that says when what a ``type_`` records took place; None without one."""
    return CLINICAL_DATE.get(type_)
