"""A search over several types read as one: each type's parameters parsed, what they share joined.

https://hl7.org/fhir/R4/search.html#all
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fhir_server.faults import Fault, Kind
from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.search.parse import Options, Search, parse
from fhir_server.search.query import Query

Parameters = tuple[tuple[str, str], ...]

TYPE = "_type"


def types_of(parameters: Parameters, possible: Sequence[str]) -> list[str]:
    """Return the types that ``_type`` names among ``possible``; ["Resource"], any of them, without it."""
    given = [value for name, value in parameters if name == TYPE]
    return _types(given, possible) if given else ["Resource"]


def several(
    parameters: Parameters, types: Sequence[str], possible: Sequence[str], options: Options
) -> tuple[Search, list[Query]]:
    """Parse a search over ``types``, as :func:`types_of` returned them.

    Returns what the types share (its query is of the first) and a query for each type. With ``_type`` a
    parameter must be one of each of the types, without it one that every type has.
    """
    rest = tuple(pair for pair in parameters if pair[0] != TYPE)
    searches = [parse(type_, rest, options) for type_ in types]
    if "Resource" in types:
        return searches[0], [replace(searches[0].query, type=type_) for type_ in possible]
    first = searches[0]
    ignored = [issue for issue in first.ignored if all(issue in each.ignored for each in searches)]
    kept = {pair for each in searches for pair in each.understood}
    shared = replace(
        first,
        includes=tuple(dict.fromkeys(include for each in searches for include in each.includes)),
        ignored=tuple(ignored),
        understood=tuple(pair for pair in parameters if pair[0] == TYPE or pair in kept),
    )
    return shared, [each.query for each in searches]


def _types(given: Sequence[str], possible: Sequence[str]) -> list[str]:
    if len(given) > 1:
        raise Fault(Kind.BAD_PARAMETER, "_type is given twice; name the types with commas between them.")
    named = dict.fromkeys(name.strip() for name in given[0].split(","))
    if not named.keys() <= RESOURCE_TYPES:
        raise Fault(Kind.BAD_PARAMETER, "_type names resource types of R4, e.g. _type=Patient,Observation.")
    chosen = [name for name in named if name in possible]
    if not chosen:
        raise Fault(Kind.BAD_PARAMETER, f"{', '.join(named)} cannot be found here; ask for another _type.")
    return chosen
