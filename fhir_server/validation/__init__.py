"""Is a tree a valid R4 resource, and if not, why and where.

https://hl7.org/fhir/R4/validation.html
"""

from __future__ import annotations

from typing import Any

from fhir_server.faults import Issue
from fhir_server.validation.accept import accepts
from fhir_server.validation.explain import explain

_TOO_DEEP = Issue("error", "structure", "The resource is nested too deeply to be read.")


def validate(tree: Any) -> list[Issue]:
    """Return every problem of ``tree`` as an R4 resource, errors and warnings, in the order of the tree.

    Numbers must be int or Decimal, as the codec reads them. Nothing raises, whatever the tree. Expressions
    are FHIRPath from the resource's type on: ``Patient.name[0].given[1]``,
    ``Observation.value.ofType(Quantity).unit``. Not checked: profiles, bindings that are not required or
    cannot be enumerated, whether a target exists.
    """
    try:
        return explain(tree, warnings=True)
    except RecursionError:
        return [_TOO_DEEP]


def errors(tree: Any) -> list[Issue]:
    """Return the errors alone; the fast path of every write, which costs little when there are none."""
    try:
        return [] if accepts(tree) else explain(tree, warnings=False)
    except RecursionError:
        return [_TOO_DEEP]
