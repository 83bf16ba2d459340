"""SMART scopes, version 1 and 2: which interactions with which resources a token grants.

What is not understood grants nothing. https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC
from functools import lru_cache
from typing import Final, Literal, cast
from urllib.parse import parse_qsl

from fhir_server.faults import Fault, Kind
from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.search.parse import Options, parse
from fhir_server.search.predicate import EVERYTHING, Everything, Predicate

Letter = Literal["c", "r", "u", "d", "s"]
Level = Literal["patient", "user", "system"]

ANY: Final = "*"
"""Stands for every resource type in a scope."""

RELABEL: Final = "relabel"
"""This server's own scope: change security labels (``meta.security``) and protected tags."""

OTHER: Final = frozenset(
    {
        "openid",
        "fhirUser",
        "profile",
        "launch",
        "launch/patient",
        "launch/encounter",
        "offline_access",
        "online_access",
        RELABEL,
    }
)
"""Scopes that are known and grant no interaction with resources."""

MAX_SCOPES: Final = 200
"""Most scopes that are read from one token; each becomes part of a condition on every search."""

_V1: Final = {"read": "rs", "write": "cud", "*": "cruds"}
_COMMON: Final = frozenset({"_id", "_lastUpdated", "_profile", "_security", "_source", "_tag"})
_fits = re.compile(r"(patient|user|system)/([A-Za-z]+|\*)\.(read|write|\*|c?r?u?d?s?)(?:\?(.*))?").fullmatch


@dataclass(frozen=True, slots=True)
class Scope:
    """One scope on resources. ``type``: a resource type or "*"; ``parameters``: what narrows it, decoded."""

    text: str
    level: Level
    type: str
    letters: frozenset[Letter]
    parameters: tuple[tuple[str, str], ...] = ()
    is_v1: bool = False

    def covers(self, type_: str) -> bool:
        """Tell whether the scope speaks of resources of ``type_``."""
        return self.type in (type_, ANY)

    def condition(self, type_: str, options: Options) -> Predicate:
        """Return what a resource of ``type_`` must satisfy beyond its context, as a predicate."""
        if not self.parameters:
            return EVERYTHING
        return parse(type_ if self.type != ANY else "Resource", self.parameters, options).query.where


@dataclass(frozen=True, slots=True)
class Rights:
    """Scopes as they were understood; ``unknown`` lists what was not, and grants nothing."""

    scopes: tuple[Scope, ...] = ()
    other: frozenset[str] = field(default=frozenset())
    unknown: tuple[str, ...] = ()

    @property
    def may_relabel(self) -> bool:
        """True with the scope that allows to change security labels."""
        return RELABEL in self.other

    @property
    def granted(self) -> str:
        """What was understood, as the scope string that a token response names."""
        return " ".join([*sorted(self.other), *(scope.text for scope in self.scopes)])


NO_RIGHTS: Final = Rights()


def understand(text: str) -> Rights:
    """Read a scope string; never a Fault: what is unknown or malformed is listed and grants nothing."""
    scopes: list[Scope] = []
    other: set[str] = set()
    unknown: list[str] = []
    for item in dict.fromkeys(text.split()[: 2 * MAX_SCOPES]):
        if item in OTHER:
            other.add(item)
        elif (scope := _quietly(item)) is not None and len(scopes) < MAX_SCOPES:
            scopes.append(scope)
        else:
            unknown.append(item)
    return Rights(tuple(scopes), frozenset(other), tuple(unknown))


def grantable(text: str) -> Rights:
    """Read the scopes that a client asks for; Fault BAD_REQUEST when they may not be granted together.

    Refused: a scope on resources that is malformed or names what R4 does not have, versions 1 and 2 together,
    contexts (patient, user, system) together. Other unknown scopes are left out, as RFC 6749 3.3 allows.
    """
    items = text.split()
    if len(items) > MAX_SCOPES:
        raise _refused(f"Ask for at most {MAX_SCOPES} scopes.")
    scopes = [_scope(item) for item in items if item.partition("/")[0] in ("patient", "user", "system")]
    if len({scope.is_v1 for scope in scopes}) > 1:
        raise _refused("Ask for scopes of SMART version 1 (.read) or of version 2 (.rs), not of both.")
    if len({scope.level for scope in scopes}) > 1:
        raise _refused("Ask for scopes of one context: patient/, user/ or system/.")
    return understand(text)


def _quietly(text: str) -> Scope | None:
    try:
        return _scope(text)
    except Fault:
        return None


@lru_cache(maxsize=4096)
def _scope(text: str) -> Scope:
    """Read one scope on resources. Faults: BAD_REQUEST."""
    match = _fits(text)
    if match is None or not match[3]:
        raise _refused(
            "A scope on resources is patient/, user/ or system/, a type or *, a point, and letters of cruds "
            "in this order: patient/Observation.rs"
        )
    level, type_, actions, query = match.groups()
    if type_ != ANY and type_ not in RESOURCE_TYPES:
        raise _refused("A scope names a resource type that R4 does not have; mind capital letters.")
    if actions in _V1 and query is not None:
        raise _refused("Scopes of SMART version 1 take no search parameters; write .rs instead of .read.")
    scope = Scope(
        text=text,
        level=cast("Level", level),
        type=type_,
        letters=cast("frozenset[Letter]", frozenset(_V1.get(actions, actions))),
        parameters=() if query is None else _parameters(query),
        is_v1=actions in _V1,
    )
    if query is not None:
        _check(scope)
    return scope


def _parameters(query: str) -> tuple[tuple[str, str], ...]:
    """Read the search parameters of a scope; modifiers, chains and control parameters are refused."""
    try:
        found = tuple(parse_qsl(query, keep_blank_values=True, strict_parsing=True, errors="strict"))
    except ValueError:
        raise _refused("What follows ? in a scope is search parameters: category=laboratory") from None
    for name, _ in found:
        if ":" in name:
            raise _refused("A scope takes no search modifiers and no _has; name a parameter alone.")
        if "." in name:
            raise _refused("A scope takes no chained search parameters.")
        if name.startswith("_") and name not in _COMMON:
            raise _refused(
                f"A scope takes search parameters of the type and {', '.join(sorted(_COMMON))}; nothing that "
                "includes, sorts or shapes."
            )
    return found


def _check(scope: Scope) -> None:
    """Refuse parameters that cannot be read, and those that narrow nothing: the scope would grant more."""
    try:
        search = parse(scope.type if scope.type != ANY else "Resource", scope.parameters, _ANY_TIME)
    except Fault as fault:
        raise _refused(f"A scope's search parameters cannot be used. {fault.diagnostics}") from None
    if search.ignored or isinstance(search.query.where, Everything):
        raise _refused("A search parameter in a scope has no value.")


def _refused(sentence: str) -> Fault:
    return Fault(Kind.BAD_REQUEST, sentence)


_ANY_TIME: Final = Options(zone=UTC, now=0)
