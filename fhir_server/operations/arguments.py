"""The arguments of an operation: from the URL's parameters or from a Parameters resource in the body.

https://hl7.org/fhir/R4/operations.html#request
"""

from __future__ import annotations

from typing import Any

from fhir_server.faults import Fault, Kind
from fhir_server.interactions.request import Request

Tree = dict[str, Any]


def parts(request: Request) -> list[Tree]:
    """Return the parameter parts of a Parameters body; [] for any other body."""
    if request.body is None or request.body.get("resourceType") != "Parameters":
        return []
    found = request.body.get("parameter", [])
    if not isinstance(found, list) or not all(isinstance(part, dict) for part in found):
        raise Fault(Kind.SYNTAX, "Parameters.parameter is a list of objects.", "Parameters.parameter")
    return found


def simple(request: Request) -> list[tuple[str, str]]:
    """Return every argument that has a primitive value, from the URL and from the body, as text."""
    arguments = list(request.parameters)
    for index, part in enumerate(parts(request)):
        values = [value for key, value in part.items() if key.startswith("value")]
        if not values:
            continue
        if not isinstance(part.get("name"), str) or isinstance(values[0], (dict, list)):
            raise Fault(
                Kind.BAD_PARAMETER, "This argument takes a simple value.", f"Parameters.parameter[{index}]"
            )
        text = str(values[0]).lower() if isinstance(values[0], bool) else str(values[0])
        arguments.append((part["name"], text))
    return arguments


def single(arguments: list[tuple[str, str]], known: frozenset[str]) -> dict[str, str]:
    """Return the arguments by name; 400 for one that is not ``known`` or given twice."""
    found: dict[str, str] = {}
    for name, value in arguments:
        if name not in known:
            names = ", ".join(sorted(known))
            raise Fault(
                Kind.UNSUPPORTED_PARAMETER, f"This operation has no parameter {name[:64]!r}; it has: {names}."
            )
        if name in found:
            raise Fault(Kind.BAD_PARAMETER, f"Give {name} once.")
        found[name] = value
    return found
