"""Which of the scopes that were asked for may be granted: never more than the client is registered for.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, cast

from fhir_server.access.scopes import ANY, RELABEL, Letter, Rights, Scope, understand

_LETTERS: Final = "cruds"
_AUDIT: Final = understand("user/AuditEvent.rs")
_V1: Final = {"rs": "read", "cud": "write", "cruds": "*"}
ENCOUNTER: Final = "launch/encounter"
LAUNCH: Final = frozenset({"launch", "launch/patient", ENCOUNTER})
LEVELS: Final = frozenset({"patient", "user", "system"})
"""Of scopes on resources."""
OFFLINE: Final = "offline_access"
ONLINE: Final = "online_access"


def within(asked: Rights, allowed: Rights) -> Rights:
    """Return the part of ``asked`` that ``allowed`` covers, scope by scope.

    A scope of which only a part is covered is narrowed: fewer letters, or the types that are covered.
    """
    scopes = dict.fromkeys(part.text for scope in asked.scopes for part in _narrowed(scope, allowed.scopes))
    return understand(" ".join([*sorted(asked.other & allowed.other), *scopes]))


def covers(allowed: Rights, asked: Rights) -> bool:
    """Tell whether every scope of ``asked`` is covered whole, and nothing in it is unknown."""
    if asked.unknown or not asked.other <= allowed.other:
        return False
    return all(
        any(part.text == scope.text for part in _narrowed(scope, allowed.scopes)) for scope in asked.scopes
    )


def without(granted: Rights, levels: frozenset[str]) -> Rights:
    """Return the rights without the scopes on resources of some levels (patient, user, system)."""
    kept = [scope.text for scope in granted.scopes if scope.level not in levels]
    return understand(" ".join([*sorted(granted.other), *kept]))


def of_audit(rights: Rights) -> Rights:
    """Return what an audit administrator may grant: reading the audit, where it is named, and no record."""
    named = " ".join(scope.text for scope in rights.scopes if scope.type == _AUDIT.scopes[0].type)
    return understand(f"{without(rights, LEVELS).granted} {within(understand(named), _AUDIT).granted}")


def is_for_people(rights: Rights) -> bool:
    """Tell whether nothing among the rights is for Backend Services alone."""
    return RELABEL not in rights.other and all(scope.level != "system" for scope in rights.scopes)


def needs_patient(rights: Rights) -> bool:
    """Tell whether a patient must be chosen: asked for, for an encounter, or for a ``patient/`` scope."""
    if not rights.other.isdisjoint({"launch/patient", ENCOUNTER}):
        return True
    return any(scope.level == "patient" for scope in rights.scopes)


def needs_encounter(rights: Rights) -> bool:
    """Tell whether an encounter may be chosen: only when it is asked for."""
    return ENCOUNTER in rights.other


def _narrowed(asked: Scope, allowed: Iterable[Scope]) -> Iterator[Scope]:
    fitting = [scope for scope in allowed if scope.level == asked.level and _conditions(asked, scope)]
    types = [asked.type]
    if asked.type == ANY and not any(scope.type == ANY for scope in fitting):
        types = sorted({scope.type for scope in fitting})
    for type_ in types:
        letters: set[Letter] = set()
        for scope in fitting:
            if scope.covers(type_):
                letters |= scope.letters & asked.letters
        if letters:
            yield _written(asked, type_, letters)


def _conditions(asked: Scope, allowed: Scope) -> bool:
    """Tell whether ``asked`` is at least as narrow as ``allowed``: it holds all of its parameters."""
    return set(allowed.parameters) <= set(asked.parameters)


def _written(asked: Scope, type_: str, letters: set[Letter]) -> Scope:
    if type_ == asked.type and letters == asked.letters:
        return asked
    text = "".join(letter for letter in _LETTERS if cast("Letter", letter) in letters)
    if asked.is_v1:
        text = _V1.get(text, text)
    query = asked.text.partition("?")[1:]
    return understand(f"{asked.level}/{type_}.{text}{''.join(query)}").scopes[0]
