"""What a search brings along: ``_include`` and ``_revinclude``.

https://hl7.org/fhir/R4/search.html#include
"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_server.faults import Fault, Kind
from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.search.criteria import reference
from fhir_server.search.parameters import R4, Registry, shown

ANY = "*"
"""Stands for every type, or for every reference parameter of a type."""


@dataclass(frozen=True, slots=True)
class Include:
    """Follow the reference ``param`` of ``type`` to resources of ``target`` (None: any of its types).

    ``reverse``: from the matches back to the resources of ``type`` that refer to them; ``type`` is then never
    "*". ``iterate``: also from what was included.
    """

    type: str
    param: str
    target: str | None = None
    iterate: bool = False
    reverse: bool = False


def includes(type_: str, name: str, value: str, registry: Registry = R4) -> tuple[Include, ...]:
    """Read ``_include``, ``_revinclude`` or either with ``:iterate``, in a search for ``type_``.

    ``value``: ``Type:code``, ``Type:code:Target``, ``Type:*`` or ``*``. Raises a Fault,
    :class:`UnknownParameter` for a code that the type lacks.
    """
    base, _, modifier = name.partition(":")
    if modifier not in ("", "iterate"):
        raise Fault(Kind.UNSUPPORTED_PARAMETER, f"{base} takes the modifier iterate, or none.")
    reverse, iterate = base == "_revinclude", modifier == "iterate"
    if value == ANY:
        return _all(type_, registry, reverse=reverse, iterate=iterate)
    source, code, target = _parts(base, value)
    if code != ANY and target is not None and target not in reference(source, code, registry).targets:
        raise Fault(Kind.BAD_PARAMETER, f"{source}.{code} never refers to {target}.")
    if code != ANY:
        reference(source, code, registry)
    return (Include(source, code, target, iterate=iterate, reverse=reverse),)


def _parts(name: str, value: str) -> tuple[str, str, str | None]:
    parts = value.split(":")
    if not 2 <= len(parts) <= 3 or not parts[1]:
        raise Fault(Kind.BAD_PARAMETER, f"Write {name}=Type:reference or {name}=Type:reference:Target.")
    for each in (parts[0], *parts[2:]):
        if each not in RESOURCE_TYPES:
            raise Fault(
                Kind.BAD_PARAMETER, f"{name} names a resource type {shown(each)} that R4 does not have."
            )
    return parts[0], parts[1], parts[2] if len(parts) == 3 else None


def _all(type_: str, registry: Registry, *, reverse: bool, iterate: bool) -> tuple[Include, ...]:
    """Follow every reference; backwards: of every type that may refer to the type searched for."""
    if not reverse:
        return (Include(ANY, ANY, iterate=iterate),)
    if iterate:
        raise Fault(Kind.UNSUPPORTED_PARAMETER, "_revinclude:iterate=* is not supported; name the types.")
    return tuple(
        Include(source, ANY, reverse=True)
        for source in sorted(RESOURCE_TYPES)
        if any(
            type_ in each.targets for each in registry.parameters(source).values() if each.type == "reference"
        )
    )
