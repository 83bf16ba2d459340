"""Parameters that are by definition no more than others together: their values are indexed once.

``combo-code`` of Observation is ``code`` or ``component-code``, word for word in its expression. It has no
rows of its own; who asks for it is answered by the rows of the others, so that no answer changes.
https://hl7.org/fhir/R4/observation.html#search
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from fhir_server.search.predicate import All, AnyOf, Not, Predicate, Together, Where, all_of, any_of, negate

_SOUNDS_LIKE: Final = MappingProxyType({"phonetic": ("name",)})

JOINED: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = MappingProxyType(
    {
        "Observation": MappingProxyType(
            {
                **{
                    f"combo-{end}": (end, f"component-{end}")
                    for end in ("code", "data-absent-reason", "value-concept", "value-quantity")
                },
                # Those of the observation itself are searched by its plain parameters.
                "combo-code-value-concept": ("component-code-value-concept",),
                "combo-code-value-quantity": ("component-code-value-quantity",),
            }
        ),
        **dict.fromkeys(("Patient", "Person", "Practitioner", "RelatedPerson"), _SOUNDS_LIKE),
    }
)
"""By type: the code of a parameter of R4 → the codes under which its values are indexed."""

_NONE: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({})


def is_indexed(type_: str, code: str) -> bool:
    """Tell whether a parameter has rows of its own. An id has none: a resource is found by it anyway."""
    return code != "_id" and code not in JOINED.get(type_, _NONE)


def indexed_as(type_: str, param: str) -> tuple[str, ...]:
    """Return the names under which the values of ``param``, a code perhaps with a suffix, are indexed."""
    code, colon, suffix = param.partition(":")
    parts = JOINED.get(type_, _NONE).get(code)
    return (param,) if parts is None else tuple(f"{part}{colon}{suffix}" for part in parts)


def apart(type_: str, predicate: Predicate) -> Predicate:  # noqa: PLR0911 - one case for each node
    """Return the same predicate about ``type_``, with each parameter that joins others in terms of these.

    What is asked at the far end of a chain is left as it is.
    """
    if type_ not in JOINED:
        return predicate
    match predicate:
        case Where(param, test):
            return any_of(Where(part, test) for part in indexed_as(type_, param))
        case Together(param, tests):
            return any_of(Together(part, tests) for part in indexed_as(type_, param))
        case All(items):
            return all_of(apart(type_, item) for item in items)
        case AnyOf(items):
            return any_of(apart(type_, item) for item in items)
        case Not(item):
            return negate(apart(type_, item))
    return predicate
