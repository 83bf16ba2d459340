"""Which right an interaction needs: its letter of SMART's ``cruds``, asked for before anything is looked up.

https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html#scopes-for-requesting-fhir-resources
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from fhir_server.access.bearer import insufficient
from fhir_server.access.decide import Decision
from fhir_server.access.scopes import Letter
from fhir_server.interactions.request import Request
from fhir_server.search.predicate import Predicate
from fhir_server.search.visibility import Visibility

Right = Literal["r", "s", "u", "any", "admin"]
"""What an operation needs: a letter on its type (``r`` of a type or system counts as ``s``), any letter on
it, or the rights of an administrator."""

LETTERS: Final[Mapping[str, Letter]] = MappingProxyType(
    {
        "read": "r",
        "vread": "r",
        "history-instance": "r",
        "create": "c",
        "update": "u",
        "patch": "u",
        "delete": "d",
        "search-type": "s",
        "search-system": "s",
        "search-compartment": "s",
        "history-type": "s",
        "history-system": "s",
    }
)
"""An update may create: https://hl7.org/fhir/R4/http.html#upsert is part of ``u``."""


def letter_of(request: Request, right: Right | None) -> Letter:
    """Return the letter whose visibility an interaction works under; ``right``: of an operation.

    What stands for nothing by itself (a batch, the capabilities) is given that of a search.
    """
    if right is None:
        return LETTERS.get(request.name, "s")
    if right == "u":
        return "u"
    return "r" if right == "any" or (right == "r" and request.id is not None) else "s"


def admit(decision: Decision, request: Request, right: Right | None) -> None:
    """Pass when a scope allows the interaction on its type; Fault FORBIDDEN (insufficient_scope) otherwise.

    The answer depends on the token and the address alone, never on what is stored.
    """
    if right == "admin":
        if not decision.may_administer:
            raise insufficient("This operation is for administrators of the server.")
        return
    if right is None and request.name not in LETTERS:
        return
    if right == "any":
        if not decision.permits_any(request.type):
            raise insufficient(f"Your scopes allow nothing with {request.type or 'any resource'}.")
        return
    letter = letter_of(request, right)
    if not decision.permits(letter, request.type):
        what = request.type or "any resource type"
        raise insufficient(f"Your scopes do not include {_WORDS[letter]} {what} (.{letter}).")


_WORDS: Final[Mapping[Letter, str]] = MappingProxyType(
    {"c": "to create", "r": "to read", "u": "to update", "d": "to delete", "s": "to search"}
)


def require_open(visibility: Visibility, where: Predicate) -> None:
    """Refuse a search that goes through a type of which the caller may see nothing at all.

    Its result would be empty whatever is stored, and look like a finding. Fault FORBIDDEN.
    """
    closed = visibility.closed_hop(where)
    if closed is not None:
        raise insufficient(f"This search goes through {closed}, which your access does not allow to search.")
